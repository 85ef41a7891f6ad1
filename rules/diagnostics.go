package rules

import (
	"fmt"
	"strings"
	"unicode"
)

// Diagnostics are all the mistakes found in one configuration, in its order.
// It is the error type of Compile.
type Diagnostics []Diagnostic

// Error returns every diagnostic, each beginning on a line of its own.
func (ds Diagnostics) Error() string {
	lines := make([]string, len(ds))
	for i, d := range ds {
		lines[i] = d.Error()
	}
	return strings.Join(lines, "\n")
}

// Diagnostic is one mistake in a configuration.
type Diagnostic struct {
	Subject string // `route "labels"` or `endpoint "audit"`
	Field   string // the option: when, pick, to, events, environment, …; "" for the whole
	Pos     Pos    // the line with the mistake
	Message string
	Hint    string // such as "did you mean event.type?"; "" when there is none
	Snippet string // the line of the expression, and below it a caret; "" outside expressions
}

// Error returns the place, the message and, for expressions, the line with a caret.
func (d Diagnostic) Error() string {
	var b strings.Builder
	if p := d.Pos.String(); p != "" {
		b.WriteString(p + ": ")
	}
	b.WriteString(d.Subject)
	if d.Field != "" {
		b.WriteString(", " + d.Field)
	}
	b.WriteString(": " + d.Message)
	if d.Hint != "" {
		b.WriteString("; " + d.Hint)
	}
	if d.Snippet != "" {
		b.WriteString("\n" + d.Snippet)
	}
	return b.String()
}

// String returns "file:line", as far as known.
func (p Pos) String() string {
	switch {
	case p.Line > 0 && p.File != "":
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	case p.Line > 0:
		return fmt.Sprintf("line %d", p.Line)
	}
	return p.File
}

// down returns the position n lines below.
func (p Pos) down(n int) Pos {
	if p.Line > 0 {
		p.Line += n
	}
	return p
}

// snippetWidth is how many characters of a long line are shown on each side of
// the caret.
const snippetWidth = 60

// caret returns the line of text that holds the character at the offset, with
// a caret below that character, and how many lines come before it.
func caret(text string, at int) (line int, snippet string) {
	start, col, n := 0, 0, 0
	for i, r := range text {
		if n == at {
			break
		}
		n++
		col++
		if r == '\n' {
			line, start, col = line+1, i+1, 0
		}
	}
	shown, _, _ := strings.Cut(text[start:], "\n")
	runes := []rune(shown)
	for i, r := range runes {
		if !unicode.IsPrint(r) { // tabs would move the caret, control characters a terminal
			runes[i] = ' '
		}
	}
	col = min(col, len(runes))
	if from := col - snippetWidth; from > 0 {
		runes = append([]rune("…"), runes[from:]...)
		col = snippetWidth + 1
	}
	if to := col + snippetWidth; to < len(runes) {
		runes = append(runes[:to:to], '…')
	}
	body := strings.TrimRight(string(runes), " ")
	if body == "" {
		return line, ""
	}
	return line, "    " + body + "\n    " + strings.Repeat(" ", col) + "^"
}
