package payload

import (
	"encoding/binary"
	"math/bits"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// str reads a string and writes it as JSON.stringify does: the short escapes
// for " \ and five control characters, \u00xx for the other control
// characters, everything else literally. Runs without change are copied whole,
// an ordinary string in one piece with its quotes.
func (s *scanner) str() *Error {
	src, opening := s.src, s.pos
	run, i := opening, opening+1
	for {
		if i = plain(src, i); i == len(src) {
			return s.fail(Syntax, opening, "this string is not closed")
		}
		switch c := src[i]; {
		case c == '"':
			s.dst = append(s.dst, src[run:i+1]...)
			s.pos = i + 1
			return nil
		case c == '\\':
			if i+1 < len(src) && strings.IndexByte(`"\bfnrt`, src[i+1]) >= 0 {
				i += 2 // already as JSON.stringify writes it
				continue
			}
			s.dst = append(s.dst, src[run:i]...)
			n, err := s.escape(i)
			if err != nil {
				return err
			}
			i += n
			run = i
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRune(src[i:])
			if r == utf8.RuneError && n == 1 {
				return s.fail(Syntax, i, "invalid UTF-8")
			}
			i += n
		default:
			return s.fail(Syntax, i, "a control character in a string must be escaped")
		}
	}
}

// escape reads the escape at i that is not one of the short ones JSON.stringify
// uses, writes the character it stands for, and returns its length in src.
func (s *scanner) escape(i int) (int, *Error) {
	if i+1 < len(s.src) && s.src[i+1] == '/' {
		s.dst = append(s.dst, '/')
		return 2, nil
	}
	r := hex4(s.src, i)
	if r < 0 {
		return 0, s.fail(Syntax, i, "invalid escape in a string")
	}
	if !utf16.IsSurrogate(r) {
		s.dst = appendEscaped(s.dst, r)
		return 6, nil
	}
	pair := utf16.DecodeRune(r, hex4(s.src, i+6))
	if pair == utf8.RuneError {
		return 0, s.fail(Value, i, "half of a surrogate pair is not a character: it cannot be sent as UTF-8")
	}
	s.dst = utf8.AppendRune(s.dst, pair)
	return 12, nil
}

// hex4 returns the UTF-16 code unit that \uXXXX at i stands for, -1 if there
// is no such escape.
func hex4(b []byte, i int) rune {
	if i+6 > len(b) || b[i] != '\\' || b[i+1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range b[i+2 : i+6] {
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// appendEscaped writes one character of a string as JSON.stringify does.
func appendEscaped(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	if r < ' ' {
		return append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
	}
	return utf8.AppendRune(dst, r)
}

// appendQuoted writes text as a JSON string in stable form. Bytes that are not
// UTF-8 become U+FFFD, so that the result is always JSON.
func appendQuoted(dst []byte, text string) []byte {
	dst = append(dst, '"')
	n := len(dst)
	if dst = append(dst, text...); plain(dst, n) == len(dst) {
		return append(dst, '"') // ordinary ASCII, as types and timestamps are
	}
	dst = dst[:n]
	for _, r := range text {
		dst = appendEscaped(dst, r)
	}
	return append(dst, '"')
}

// unquote is the inverse for a string the scanner has written.
func unquote(stable []byte) string {
	b := stable[1 : len(stable)-1]
	text := string(b)
	if !strings.Contains(text, `\`) {
		return text
	}
	var out strings.Builder
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			out.WriteByte(b[i])
			continue
		}
		if b[i+1] == 'u' {
			out.WriteRune(hex4(b, i))
			i += 5
			continue
		}
		i++
		if at := strings.IndexByte("bfnrt", b[i]); at >= 0 {
			out.WriteByte("\b\f\n\r\t"[at])
		} else {
			out.WriteByte(b[i])
		}
	}
	return out.String()
}

// plain returns the first index from i on whose byte needs a look: a quote, a
// backslash, a control character or a byte past ASCII. It takes eight bytes at
// a time: subtracting sets a byte's top bit where the byte was below the
// subtrahend, and a borrow only ever comes from a lower byte that is itself
// such a hit, so the lowest hit is always right.
func plain(b []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		hits := (w - ' '*ones) | ((w ^ '"'*ones) - ones) | ((w ^ '\\'*ones) - ones) | w
		if hits &= tops; hits != 0 {
			return i + bits.TrailingZeros64(hits)/8
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			break
		}
	}
	return i
}
