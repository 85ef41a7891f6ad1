package rules

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// scanner reads the tokens of JSON (RFC 8259). It accepts exactly what
// encoding/json accepts, except numbers beyond float64.
type scanner struct {
	b []byte
	i int
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// next skips space and returns the byte after it without taking it, 0 at the end.
func (s *scanner) next() byte {
	s.space()
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *scanner) word(w string) bool {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return false
	}
	s.i += len(w)
	return true
}

// more reads what stands between members or elements, and reports whether
// another follows.
func (s *scanner) more(end byte) (again, ok bool) {
	switch s.next() {
	case ',':
		s.i++
		return true, true
	case end:
		s.i++
		return false, true
	}
	return false, false
}

// quoted reads the string at s.i, which is a quote, and returns what stands
// between the quotes. plain means that it is the string's value as well, but
// for bytes that are not UTF-8.
func (s *scanner) quoted() (inner []byte, plain, ok bool) {
	s.i++
	start := s.i
	plain = true
	for {
		s.i = special(s.b, s.i)
		if s.i == len(s.b) {
			return nil, false, false
		}
		switch s.b[s.i] {
		case '"':
			s.i++
			return s.b[start : s.i-1], plain, true
		case '\\':
			plain = false
			n := escape(s.b[s.i:])
			if n == 0 {
				return nil, false, false
			}
			s.i += n
		default: // a control character
			return nil, false, false
		}
	}
}

// special returns the index of the next byte from i on that is a quote, a
// backslash or a control character, or len(b). It looks at eight bytes at a
// time (Mycroft's test for a byte below n, exact up to the first such byte).
func special(b []byte, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, backslash := x^ones*'"', x^ones*'\\'
		found := (x - ones*' ') &^ x
		found |= (quote - ones) &^ quote
		found |= (backslash - ones) &^ backslash
		if found &= highs; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c == '"' || c == '\\' || c < ' ' {
			return i
		}
	}
	return i
}

// escape returns the length of the escape sequence that b starts with, 0 when
// it is none.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(b[2:]); ok {
			return 6
		}
	}
	return 0
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

func ascii(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b)&0x8080808080808080 != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// number reads a number. integer means that it is written as one, small that it
// is known to be within float64 without having been computed.
func (s *scanner) number() (text []byte, integer, small, ok bool) {
	start := s.i
	integer, small = true, true
	s.take('-')
	if !s.take('0') && !s.digits() {
		return nil, false, false, false
	}
	if s.take('.') {
		integer = false
		if !s.digits() {
			return nil, false, false, false
		}
	}
	if s.take('e') || s.take('E') {
		integer, small = false, false
		if !s.take('+') {
			s.take('-')
		}
		if !s.digits() {
			return nil, false, false, false
		}
	}
	text = s.b[start:s.i]
	return text, integer, small && len(text) < 300, true
}

func (s *scanner) take(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > start
}

// parseNumber computes a number: an int when it is written as an integer that
// fits, else a float. ok is false when it is beyond float64.
func parseNumber(text []byte, integer bool) (n number, ok bool) {
	if integer {
		if i, err := strconv.Atoi(view(text)); err == nil {
			return number{i: i, f: float64(i), isInt: true}, true
		}
	}
	f, err := strconv.ParseFloat(view(text), 64)
	return number{f: f}, err == nil
}

// unquote appends the value of what stands between the quotes of a string: with
// its escapes resolved, and U+FFFD for lone surrogates and bytes that are not
// UTF-8.
func unquote(dst, inner []byte) []byte {
	for i := 0; i < len(inner); {
		c := inner[i]
		switch {
		case c == '\\' && inner[i+1] == 'u':
			r, _ := hex4(inner[i+2:])
			i += 6
			if utf16.IsSurrogate(r) {
				r = pair(r, inner[i:])
				if r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
		case c == '\\':
			dst = append(dst, unescaped[inner[i+1]])
			i += 2
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			r, n := utf8.DecodeRune(inner[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
		}
	}
	return dst
}

// pair joins a surrogate with the escape after it, if that is its other half.
func pair(first rune, rest []byte) rune {
	if len(rest) >= 6 && rest[0] == '\\' && rest[1] == 'u' {
		second, _ := hex4(rest[2:])
		return utf16.DecodeRune(first, second)
	}
	return utf8.RuneError
}

// unescaped are the characters that the short escapes stand for.
var unescaped = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// view makes a string of bytes without copying them. Who keeps it beyond the
// evaluation must clone it: the bytes are the caller's.
func view(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // read only while Match runs, in which the event may not change; box clones
}
