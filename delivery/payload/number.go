package payload

import (
	"bytes"
	"strconv"
)

// number reads a number and writes it as ECMAScript's Number::toString does,
// provided that it has the same decimal value. Whole numbers of up to 15
// digits, nearly all there are, are their own text.
func (s *scanner) number() *Error {
	src, start := s.src, s.pos
	i := start
	if src[i] == '-' {
		i++
	}
	first := i
	for i < len(src) && isDigit(src[i]) {
		i++
	}
	switch {
	case i == first:
		return s.fail(Syntax, start, "a minus sign must be followed by a digit")
	case i-first > 1 && src[first] == '0':
		return s.fail(Syntax, start, "a number must not start with a zero and more digits")
	}
	if i-first <= 15 && src[first] != '0' && (i == len(src) || src[i] != '.' && src[i]|0x20 != 'e') {
		s.dst = append(s.dst, src[start:i]...)
		s.pos = i
		return nil
	}
	return s.decimal(start, first, i)
}

// decimal goes on where number has read the whole part src[first:end] of a
// literal that starts at start. A literal of any length costs one pass: more
// than 17 significant digits are never what JavaScript prints, and are refused
// without arithmetic.
func (s *scanner) decimal(start, first, end int) *Error {
	whole := s.src[first:end]
	s.pos = end
	var fraction []byte
	if s.peek() == '.' {
		if fraction = s.digits(s.pos + 1); len(fraction) == 0 {
			return s.fail(Syntax, s.pos, "a decimal point must be followed by a digit")
		}
	}
	exponent := 0
	if s.peek()|0x20 == 'e' {
		var ok bool
		if exponent, ok = s.exponent(); !ok {
			return s.fail(Syntax, s.pos, "an exponent needs a digit")
		}
	}
	var d decimal
	d.negative = s.src[start] == '-'
	d.set(whole, fraction, exponent)
	if s.verbatim {
		// The schema library expands exponents into digits; 1e999999999 in a
		// schema would never finish loading.
		if s.pos-start > 64 || d.point > 310 || d.point < -330 {
			return s.fail(Value, start, "this number is outside of what can be compared")
		}
		s.dst = append(s.dst, s.src[start:s.pos]...)
		return nil
	}
	if reason := d.refusal(); reason != "" {
		return s.fail(Value, start, reason)
	}
	s.dst = d.append(s.dst)
	return nil
}

// digits reads digits from i on.
func (s *scanner) digits(i int) []byte {
	from := i
	for i < len(s.src) && isDigit(s.src[i]) {
		i++
	}
	if i > from {
		s.pos = i
	}
	return s.src[from:i]
}

// exponent reads e, sign and digits. The value stops growing past 2^30, far
// beyond what any text can shift back into range.
func (s *scanner) exponent() (int, bool) {
	i := s.pos + 1
	negative := false
	if i < len(s.src) && (s.src[i] == '+' || s.src[i] == '-') {
		negative = s.src[i] == '-'
		i++
	}
	digits := s.digits(i)
	n := 0
	for _, c := range digits {
		if n < 1<<30 {
			n = n*10 + int(c-'0')
		}
	}
	if negative {
		n = -n
	}
	return n, len(digits) > 0
}

// decimal is a number as written: 0.d1d2d3… × 10^point, d1 and the last digit
// not zero. Zero has no digits.
type decimal struct {
	negative bool
	long     bool // more digits than fit: the rest was dropped
	n        int
	point    int
	buf      [maxDigits]byte
}

// maxDigits is the most significant digits that the shortest decimal form of
// any binary64 number has.
const maxDigits = 17

// set takes the digits of a literal, leaving out zeros at both ends.
func (d *decimal) set(whole, fraction []byte, exponent int) {
	zeros := 0 // read since the last digit kept
	leading := 0
digits:
	for _, part := range [2][]byte{whole, fraction} {
		for _, c := range part {
			switch {
			case c == '0' && d.n == 0:
				leading++
				continue
			case c == '0':
				zeros++
				continue
			case d.n+zeros >= maxDigits:
				d.long = true
				break digits
			}
			for ; zeros > 0; zeros-- {
				d.buf[d.n] = '0'
				d.n++
			}
			d.buf[d.n] = c
			d.n++
		}
	}
	if d.n > 0 {
		d.point = len(whole) - leading + exponent
	}
}

// refusal says why JavaScript would not print the same value back, or "".
//
// Up to 15 digits always survive the way into a binary64 number and back while
// the number is a normal one (10^-307 to 10^308), because no two such decimals
// share a nearest binary64. The rest is converted and compared.
func (d *decimal) refusal() string {
	const advice = ": send it as a string"
	switch {
	case d.long:
		return "this number has more than 17 significant digits, JavaScript would round it" + advice
	case d.n <= 15 && -300 <= d.point && d.point <= 300:
		return ""
	case d.point > 310:
		return "this number is too large for JavaScript" + advice
	case d.point < -330:
		return "JavaScript would read this number as 0" + advice
	}
	var text [maxDigits + 8]byte
	literal := append(text[:0], d.buf[:d.n]...)
	literal = append(literal, 'e')
	literal = strconv.AppendInt(literal, int64(d.point-d.n), 10)
	f, err := strconv.ParseFloat(string(literal), 64)
	if err != nil {
		return "this number is too large for JavaScript" + advice
	}
	var js decimal
	js.negative = d.negative
	js.setFloat(f)
	if js.point == d.point && bytes.Equal(js.buf[:js.n], d.buf[:d.n]) {
		return ""
	}
	return "JavaScript would read this number as " + string(js.append(nil)) + advice
}

// setFloat takes the shortest digits that f is the nearest number to, as both
// Go and ECMAScript print it. f is finite and not negative.
func (d *decimal) setFloat(f float64) {
	var text [32]byte
	mantissa, exponent, _ := bytes.Cut(strconv.AppendFloat(text[:0], f, 'e', -1, 64), []byte("e"))
	n, _ := strconv.Atoi(string(exponent))
	whole, fraction, _ := bytes.Cut(mantissa, []byte("."))
	d.set(whole, fraction, n)
}

// append writes d as Number::toString (ECMA-262, Number::toString with radix
// 10) prints a number of these digits.
func (d *decimal) append(dst []byte) []byte {
	if d.n == 0 {
		return append(dst, '0') // -0 too
	}
	if d.negative {
		dst = append(dst, '-')
	}
	digits, point := d.buf[:d.n], d.point
	switch {
	case d.n <= point && point <= 21:
		return appendZeros(append(dst, digits...), point-d.n)
	case 0 < point && point < d.n:
		dst = append(append(dst, digits[:point]...), '.')
		return append(dst, digits[point:]...)
	case -6 < point && point <= 0:
		return append(appendZeros(append(dst, "0."...), -point), digits...)
	}
	dst = append(dst, digits[0])
	if d.n > 1 {
		dst = append(append(dst, '.'), digits[1:]...)
	}
	dst = append(dst, 'e')
	if point > 0 {
		dst = append(dst, '+')
	}
	return strconv.AppendInt(dst, int64(point-1), 10)
}

func appendZeros(dst []byte, n int) []byte {
	for range n {
		dst = append(dst, '0')
	}
	return dst
}
