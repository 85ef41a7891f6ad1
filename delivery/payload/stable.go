package payload

import (
	"bytes"
	"strconv"
	"sync"
)

// MaxDepth is how many arrays and objects may lie inside one another, the
// outermost included. It bounds the scanner's stack, and that of everything
// downstream which walks the data: rules, schemas, receivers.
const MaxDepth = 64

// AppendStable appends to dst what ECMAScript's JSON.stringify(JSON.parse(src))
// would print and returns the longer slice. src is one JSON text (RFC 8259,
// strictly, in UTF-8 without a byte order mark); white space around it is
// dropped. The result is compact, has the members of each object in ECMAScript
// property order (array indices ascending, then as sent), and has numbers and
// string escapes as ECMAScript prints them. It is a fixed point: appending the
// stable form of a result gives the same bytes.
//
// Refused is what would not keep its meaning on the way: a number is accepted
// if and only if JavaScript prints the same decimal value back; a member given
// twice, an unpaired surrogate and nesting past [MaxDepth] are refused too.
// The error is an [*Error]; dst is then returned as it was. src is not kept.
func AppendStable(dst, src []byte) ([]byte, error) {
	s := newScanner(src, dst)
	defer s.release()
	if err := s.document(s.value); err != nil {
		return dst, err
	}
	return s.dst, nil
}

// scanner reads src once, checking, and writes the stable form behind dst.
// Its methods leave pos behind what they read; after an error it is spent.
type scanner struct {
	src   []byte
	pos   int
	dst   []byte
	depth int

	// verbatim copies numbers as they stand instead of printing what
	// JavaScript would: for JSON Schemas, whose bounds are exact decimals.
	verbatim bool

	keys  []key    // members of the objects still open, innermost last
	names keyTable // duplicate detection for large objects
	spare []byte   // one object's members while they change places
}

// scanners keeps key stacks and tables between documents: with it a document
// costs no allocation beyond what dst needs to grow.
var scanners = sync.Pool{New: func() any { return new(scanner) }}

func newScanner(src, dst []byte) *scanner {
	s := scanners.Get().(*scanner)
	s.src, s.dst = src, dst
	return s
}

// release gives s back.
func (s *scanner) release() {
	s.reset()
	scanners.Put(s)
}

// reset forgets the document, and lets go of memory that only a rare huge one
// needs: 1,024 keys are 32 KiB.
func (s *scanner) reset() {
	s.src, s.dst, s.pos, s.depth, s.verbatim = nil, nil, 0, 0, false
	if s.keys = s.keys[:0]; cap(s.keys) > 1024 {
		s.keys = nil
	}
	if s.spare = s.spare[:0]; cap(s.spare) > 64<<10 {
		s.spare = nil
	}
	s.names.reset()
}

// document reads one value with read and makes sure nothing but white space
// is around it. It returns an error interface that is nil on success, which
// a nil *Error in an interface would not be.
func (s *scanner) document(read func() *Error) error {
	if bytes.HasPrefix(s.src, []byte("\xef\xbb\xbf")) {
		return s.fail(Syntax, 0, "starts with a byte order mark: JSON is sent without one")
	}
	if err := read(); err != nil {
		return err
	}
	s.space()
	if s.pos < len(s.src) {
		return s.unexpected("the end of the text")
	}
	return nil
}

// value reads any JSON value.
func (s *scanner) value() *Error {
	s.space()
	switch c := s.peek(); c {
	case '"':
		return s.str()
	case '{':
		return s.object()
	case '[':
		return s.array()
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		if c == '-' || isDigit(c) {
			return s.number()
		}
		return s.unexpected("a value")
	}
}

// object reads an object: each member goes to dst as it comes, its name is
// compared with those before, and only an object whose array indices are not
// already in front and ascending is put in order at the end.
func (s *scanner) object() *Error {
	if err := s.enter(); err != nil {
		return err
	}
	body, base := len(s.dst), len(s.keys)
	group, last, ordered := uint32(0), int64(-1), true
	for more := s.opened('}'); more; {
		s.space()
		at, start := s.pos, len(s.dst)
		if s.peek() != '"' {
			return s.unexpected("a member name in double quotes")
		}
		if err := s.str(); err != nil {
			return err
		}
		k := key{start: start, colon: len(s.dst), index: arrayIndex(s.dst[start+1 : len(s.dst)-1])}
		if s.repeated(base, k, &group) {
			return s.fail(Value, at, "this member is given twice in one object").under(s.name(k))
		}
		// An index is in its place if it is above all before it; after any
		// other name nothing is.
		if k.index >= 0 {
			ordered = ordered && k.index > last
			last = max(last, k.index)
		} else {
			last = noIndexAfter
		}
		own := len(s.keys)
		s.keys = append(s.keys, k)
		if s.space(); s.peek() != ':' {
			return s.unexpected("':' after the member name").under(s.name(k))
		}
		s.pos++
		s.dst = append(s.dst, ':')
		if err := s.value(); err != nil {
			return err.under(s.name(k))
		}
		s.keys[own].end = len(s.dst)
		var err *Error
		if more, err = s.next('}'); err != nil {
			return err
		}
	}
	if !ordered {
		s.reorder(body, s.keys[base:])
	}
	s.keys = s.keys[:base]
	s.leave('}')
	return nil
}

// array reads an array.
func (s *scanner) array() *Error {
	if err := s.enter(); err != nil {
		return err
	}
	i := 0
	for more := s.opened(']'); more; i++ {
		if err := s.value(); err != nil {
			return err.underIndex(i)
		}
		var err *Error
		if more, err = s.next(']'); err != nil {
			return err
		}
	}
	s.leave(']')
	return nil
}

// enter copies the opening bracket at pos and counts the level.
func (s *scanner) enter() *Error {
	if s.depth == MaxDepth {
		return s.fail(Value, s.pos, "nested deeper than "+strconv.Itoa(MaxDepth)+" levels")
	}
	s.depth++
	s.dst = append(s.dst, s.src[s.pos])
	s.pos++
	return nil
}

// opened reports whether anything stands before the closing bracket, which it
// does not read.
func (s *scanner) opened(closing byte) bool {
	s.space()
	return s.peek() != closing
}

// next reads the comma after an element; it reports false at the closing
// bracket, which it does not read.
func (s *scanner) next(closing byte) (bool, *Error) {
	s.space()
	switch s.peek() {
	case ',':
		s.pos++
		s.dst = append(s.dst, ',')
		return true, nil
	case closing:
		return false, nil
	}
	return false, s.unexpected("',' or '" + string(rune(closing)) + "'")
}

// leave reads and copies the closing bracket that opened or next has seen.
func (s *scanner) leave(closing byte) {
	s.pos++
	s.dst = append(s.dst, closing)
	s.depth--
}

func (s *scanner) word(w string) *Error {
	if !bytes.HasPrefix(s.src[s.pos:], []byte(w)) {
		return s.unexpected("a value")
	}
	s.dst = append(s.dst, w...)
	s.pos += len(w)
	return nil
}

// space skips the four characters that RFC 8259 calls white space.
func (s *scanner) space() {
	for s.pos < len(s.src) {
		switch s.src[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the byte at pos, or 0 at the end: a NUL is legal nowhere
// outside strings, so callers need not tell the two apart.
func (s *scanner) peek() byte {
	if s.pos < len(s.src) {
		return s.src[s.pos]
	}
	return 0
}

func (s *scanner) fail(k Kind, at int, reason string) *Error {
	return &Error{Offset: at, Reason: reason, Kind: k}
}

// unexpected is the syntax error at pos.
func (s *scanner) unexpected(want string) *Error {
	if s.pos >= len(s.src) {
		return s.fail(Syntax, len(s.src), "the text ends here, expected "+want)
	}
	end := min(s.pos+12, len(s.src))
	return s.fail(Syntax, s.pos, "found "+excerpt(string(s.src[s.pos:end]))+", expected "+want)
}

func isDigit(c byte) bool { return c-'0' <= 9 }
