package payload

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind says whose rule the input broke, and so which HTTP status answers it.
type Kind uint8

const (
	// Syntax is text that is not JSON in UTF-8 (RFC 8259): answer 400.
	Syntax Kind = iota + 1
	// Value is JSON that we refuse for what it says: an unknown member, a
	// wrong type, a number JavaScript would change, a schema violation:
	// answer 422.
	Value
	// TooLarge is a batch of more elements than allowed: answer 413.
	TooLarge
)

// String returns the kind as a lower-case word, for logs and metric labels.
func (k Kind) String() string {
	switch k {
	case Syntax:
		return "syntax"
	case Value:
		return "value"
	case TooLarge:
		return "too_large"
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// Error is a refusal of input, with its place. It quotes at most a short piece
// of that input, so that an error can be logged and answered as it is.
type Error struct {
	// Pointer is the JSON pointer (RFC 6901) of the value or member at fault;
	// "" is the whole document. A token over 64 bytes and a pointer over 512
	// bytes are cut and marked with "…": then only Offset is exact.
	Pointer string
	// Offset counts bytes from the start of the text given to the function
	// that failed; -1 where there is no text to count in ([Catalog.Check]).
	Offset int
	// Reason is one sentence for the person who sent the input, with what to
	// do about it where that is not plain. At most about 300 bytes.
	Reason string
	// Kind tells malformed text from refused content.
	Kind Kind
}

// Error returns the place and the reason in one line.
func (e *Error) Error() string {
	switch {
	case e.Pointer == "" && e.Offset < 0:
		return e.Reason
	case e.Pointer == "":
		return fmt.Sprintf("at byte %d: %s", e.Offset, e.Reason)
	case e.Offset < 0:
		return fmt.Sprintf("at %s: %s", e.Pointer, e.Reason)
	}
	return fmt.Sprintf("at %s (byte %d): %s", e.Pointer, e.Offset, e.Reason)
}

// Limits on what an error repeats: without them a 200 KB member name would
// come back in every answer and log line about it.
const (
	maxToken   = 64
	maxPointer = 512
	maxReason  = 300
	maxExcerpt = 40
)

// under moves the place of e below the member or index token. Scanning
// functions call it while they return, so a document without faults never
// pays for a path.
func (e *Error) under(token string) *Error {
	token = cut(token, maxToken)
	token = strings.ReplaceAll(token, "~", "~0")
	token = strings.ReplaceAll(token, "/", "~1")
	p := "/" + token + e.Pointer
	if len(p) > maxPointer {
		p = p[:strings.LastIndexByte(p[:maxPointer], '/')] + "/…"
	}
	e.Pointer = p
	return e
}

func (e *Error) underIndex(i int) *Error { return e.under(strconv.Itoa(i)) }

// refused builds the error of a member that breaks a rule of ours and has no
// place in any text.
func refused(pointer, reason string) *Error {
	return &Error{Pointer: pointer, Offset: -1, Reason: cut(reason, maxReason), Kind: Value}
}

// excerpt quotes the beginning of s for an error.
func excerpt(s string) string { return strconv.Quote(cut(s, maxExcerpt)) }

// cut shortens s to at most n bytes on a rune boundary and marks the cut.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
