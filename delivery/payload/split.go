package payload

import (
	"strconv"
)

// SplitArray returns the elements of a JSON array as pieces of src, for a
// batch of events. It only finds where each element ends: if every element is
// then parsed as one JSON text, all of src has been checked. More than most
// elements are an [*Error] of kind [TooLarge], found before any is parsed: a
// body of `[0,0,0…` must not cost an event's memory per two bytes. An empty
// array has no elements and is no error.
func SplitArray(src []byte, most int) ([][]byte, error) {
	s := newScanner(src, nil)
	defer s.release()
	var elements [][]byte
	err := s.document(func() *Error {
		return s.elements(func(i int) *Error {
			if i == most {
				return s.fail(TooLarge, s.pos, "a batch is at most "+strconv.Itoa(most)+" events")
			}
			start := s.pos
			s.skip()
			if s.pos == start {
				return s.unexpected("a value")
			}
			elements = append(elements, src[start:s.pos])
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return elements, nil
}

// skip moves to the comma or bracket that ends the array element at pos, or
// to the end of src. It counts brackets without telling [ from {: where they
// do not match, the element is no JSON text, which its parser will say.
func (s *scanner) skip() {
	depth := 0
	for ; s.pos < len(s.src); s.pos++ {
		switch s.src[s.pos] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return
			}
			depth--
		case ',':
			if depth == 0 {
				return
			}
		case '"':
			s.skipString()
		}
	}
}

// skipString moves from an opening quote to the closing one, or to the last
// byte of src if there is none.
func (s *scanner) skipString() {
	for i := s.pos + 1; i < len(s.src); i++ {
		if i = plain(s.src, i); i == len(s.src) {
			break
		}
		switch s.src[i] {
		case '"':
			s.pos = i
			return
		case '\\':
			i++
		}
	}
	s.pos = len(s.src) - 1
}
