package rules

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	// maxNesting is how deep parentheses, brackets and braces may nest. The
	// parser recurses on them; a megabyte of "(" ends a Go process in a stack
	// overflow that cannot be recovered, so this is counted before parsing.
	maxNesting = 64

	// maxSteps is the budget of one evaluation. A step is worth about 100 ns,
	// so the dearest expression is stopped after some 10 ms.
	maxSteps = 100_000

	// bytesPerStep is how much text one step pays for, bytesPerPiece the same
	// for what is slower: functions that convert every character, such as
	// lower (10 ns a byte), or may make a string of each, such as split.
	bytesPerStep  = 32
	bytesPerPiece = 8

	// nodesPerStep is how many nodes of a loop's body one step pays for.
	nodesPerStep = 4

	// maxPattern and maxProgram bound a regular expression: its length in
	// bytes and its compiled size in instructions. Go's matcher is linear in
	// the text, but each byte can cost as many steps as there are
	// instructions, and x{1000} is a thousand of them.
	maxPattern = 256
	maxProgram = 1000

	// regexpPerStep is how many (byte, instruction) pairs one step pays for.
	regexpPerStep = 16

	// maxGlob is the length of a glob pattern in bytes, globPerStep how many
	// (byte of text, byte of pattern) pairs one step pays for.
	maxGlob     = 256
	globPerStep = 64

	// maxVersion is the longest text semver() looks at, in bytes. Longer text
	// is no version.
	maxVersion = 256

	// maxExprDiagnostics is how many mistakes are reported for one expression.
	maxExprDiagnostics = 10

	// maxJSONDepth is how deep a payload may nest. Ingest refuses much less;
	// this bounds the stack for callers that did not ask it.
	maxJSONDepth = 256
)

// limits are what one kind of expression may be, and what evaluating it once
// may cost.
type limits struct {
	// source is the length of the text in bytes. It bounds the time and the
	// stack that the parser can take.
	source int
	// nodes is the size of the syntax tree. It bounds what one evaluation
	// outside loops can cost.
	nodes int
	// loops is how deep loops may lie inside one another.
	loops int
	// room is how many bytes of text, lists and objects may be made.
	room int
}

var (
	conditionLimits = limits{source: 4 << 10, nodes: 250, loops: 1, room: 900 << 10} // 124 KiB are left to the machine itself

	// A transform writes a whole body, of maxOutput at most, out of parts that
	// are made first.
	transformLimits = limits{source: 16 << 10, nodes: 1000, loops: 2, room: 4 << 20}
)

// maxOutput is the largest body a transform may make, in bytes of JSON.
const maxOutput = 1 << 20

// The room that is charged beside what a text or list itself takes, in bytes.
const (
	callRoom   = 56  // the arguments of a call, and boxing its result
	listRoom   = 24  // a list, beside its elements
	objectRoom = 320 // an object of a few members
	memberRoom = 48  // each of its members
	valueRoom  = 16  // an element of a list

	versionRoom = 512 // a version, taken apart
)

// checkSource refuses texts that must not reach the parser. It returns the
// offset of the place, in characters, and "" when there is nothing to refuse.
func checkSource(text string, most int) (at int, problem string) {
	if len(text) > most {
		return 0, fmt.Sprintf("the expression is %d bytes long; at most %d are allowed", len(text), most)
	}
	if !utf8.ValidString(text) {
		return 0, "the expression is not valid UTF-8"
	}
	if strings.TrimSpace(text) == "" {
		return 0, "the expression is empty"
	}
	if i := tooDeep(text); i >= 0 {
		return utf8.RuneCountInString(text[:i]), fmt.Sprintf("brackets nest deeper than %d here", maxNesting)
	}
	return 0, ""
}

// tooDeep returns the byte offset of the first bracket past maxNesting, or -1.
// Brackets inside string literals and comments do not count.
func tooDeep(text string) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '(', '[', '{':
			if depth++; depth > maxNesting {
				return i
			}
		case ')', ']', '}':
			depth--
		case '"', '\'':
			i = skipString(text, i)
		case '`':
			// A doubled backtick inside is two adjacent literals here, which
			// skips the same text.
			i = skipTo(text, i+1, "`")
		case '/':
			switch {
			case strings.HasPrefix(text[i:], "//"):
				i = skipTo(text, i+2, "\n")
			case strings.HasPrefix(text[i:], "/*"):
				i = skipTo(text, i+2, "*/")
			}
		}
	}
	return -1
}

// skipString returns the offset of the quote that ends the literal at i.
func skipString(text string, i int) int {
	quote := text[i]
	for i++; i < len(text) && text[i] != quote; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i
}

// skipTo returns the offset of the last byte of the next end, or of the text.
func skipTo(text string, i int, end string) int {
	if n := strings.Index(text[i:], end); n >= 0 {
		return i + n + len(end) - 1
	}
	return len(text)
}
