package payload

import (
	"slices"
	"strings"
)

// fields reads an object of ours, whose members have the given names and no
// others. For each it calls read with the member's place in names, pos at its
// value. It returns which members were there. What read leaves in dst stays.
func (s *scanner) fields(names []string, read func(field int) *Error) (seen uint64, err *Error) {
	if err := s.expect('{', "an object"); err != nil {
		return 0, err
	}
	s.pos++
	for more := s.opened('}'); more; {
		s.space()
		at := s.pos
		if s.peek() != '"' {
			return 0, s.unexpected("a member name in double quotes")
		}
		n := len(s.dst)
		if err := s.str(); err != nil {
			return 0, err
		}
		raw := s.dst[n:]
		s.dst = s.dst[:n]
		// Our names need no escapes: in stable form they are compared as they
		// stand, without making a string of each.
		field := slices.IndexFunc(names, func(name string) bool { return name == string(raw[1:len(raw)-1]) })
		if field < 0 {
			name := unquote(raw)
			return 0, s.fail(Value, at, "there is no such member"+didYouMean(name, slices.Values(names))).under(name)
		}
		name := names[field]
		if seen&(1<<field) != 0 {
			return 0, s.fail(Value, at, "this member is given twice").under(name)
		}
		seen |= 1 << field
		if s.space(); s.peek() != ':' {
			return 0, s.unexpected("':' after the member name").under(name)
		}
		s.pos++
		s.space()
		if err := read(field); err != nil {
			return 0, err.under(name)
		}
		var err *Error
		if more, err = s.comma('}'); err != nil {
			return 0, err
		}
	}
	s.pos++
	return seen, nil
}

// elements calls read for each element of an array, pos at the element.
func (s *scanner) elements(read func(i int) *Error) *Error {
	if err := s.expect('[', "an array"); err != nil {
		return err
	}
	s.pos++
	i := 0
	for more := s.opened(']'); more; i++ {
		s.space()
		if err := read(i); err != nil {
			return err.underIndex(i)
		}
		var err *Error
		if more, err = s.comma(']'); err != nil {
			return err
		}
	}
	s.pos++
	return nil
}

// comma is next for what is not copied.
func (s *scanner) comma(closing byte) (bool, *Error) {
	n := len(s.dst)
	more, err := s.next(closing)
	s.dst = s.dst[:n]
	return more, err
}

// expect makes sure that a value of the wanted type begins at pos.
func (s *scanner) expect(opening byte, want string) *Error {
	s.space()
	c := s.peek()
	if c == opening {
		return nil
	}
	var got string
	switch {
	case c == '{':
		got = "an object"
	case c == '[':
		got = "an array"
	case c == '"':
		got = "a string"
	case c == '-' || isDigit(c):
		got = "a number"
	default:
		rest := s.src[s.pos:min(len(s.src), s.pos+5)]
		for _, word := range [...]string{"true", "false", "null"} {
			if strings.HasPrefix(string(rest), word) {
				got = word
			}
		}
	}
	if got == "" {
		return s.unexpected(want)
	}
	return s.fail(Value, s.pos, "this is "+got+", it must be "+want)
}

// text reads a string value and returns what it says; dst stays as it is.
func (s *scanner) text() (string, *Error) {
	if err := s.expect('"', "a string"); err != nil {
		return "", err
	}
	n := len(s.dst)
	if err := s.str(); err != nil {
		return "", err
	}
	text := unquote(s.dst[n:])
	s.dst = s.dst[:n]
	return text, nil
}

// stable reads any value and returns its stable form: the piece of dst written
// for it, which later values do not touch.
func (s *scanner) stable() ([]byte, *Error) {
	n := len(s.dst)
	if err := s.value(); err != nil {
		return nil, err
	}
	return s.dst[n:len(s.dst):len(s.dst)], nil
}
