package payload

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// documents makes JSON texts that are hard to get right: most are valid and
// acceptable, some have one thing to refuse, some are broken at random.
type documents struct {
	rng *rand.Rand
	// faults is how often a value is one to be refused: one in so many.
	faults int
}

func newDocuments(seed uint64) *documents {
	return &documents{rng: rand.New(rand.NewPCG(seed, 0)), faults: 400}
}

// next returns one document.
func (d *documents) next() []byte {
	var b strings.Builder
	d.space(&b)
	switch d.rng.IntN(50) {
	case 0: // around the permitted depth
		n := 62 + d.rng.IntN(5)
		open, shut := `[`, `]`
		if d.rng.IntN(2) == 0 {
			open, shut = `{"1":`, `}`
		}
		b.WriteString(strings.Repeat(open, n) + "0" + strings.Repeat(shut, n))
	case 1: // past the size from which names are hashed
		d.object(&b, 1, fewKeys+d.rng.IntN(60))
	default:
		d.value(&b, 6)
	}
	d.space(&b)
	out := []byte(b.String())
	if d.rng.IntN(8) == 0 {
		out = d.damage(out)
	}
	return out
}

func (d *documents) pick(list ...string) string { return list[d.rng.IntN(len(list))] }

func (d *documents) value(b *strings.Builder, depth int) {
	n := 9
	if depth == 0 {
		n = 6
	}
	switch d.rng.IntN(n) {
	case 0:
		b.WriteString(d.pick("true", "false", "null"))
	case 1, 2, 3:
		d.number(b)
	case 4, 5:
		d.text(b)
	case 6:
		d.array(b, depth)
	default:
		d.object(b, depth, d.rng.IntN(9))
	}
}

func (d *documents) array(b *strings.Builder, depth int) {
	b.WriteByte('[')
	for i := range d.rng.IntN(6) {
		if i > 0 {
			b.WriteByte(',')
		}
		d.space(b)
		d.value(b, depth-1)
		d.space(b)
	}
	b.WriteByte(']')
}

func (d *documents) object(b *strings.Builder, depth, members int) {
	b.WriteByte('{')
	seen := make(map[string]bool)
	for range members {
		name := d.name()
		if seen[name] && d.rng.IntN(20) > 0 {
			continue // now and then a repeated member stays
		}
		if len(seen) > 0 {
			b.WriteByte(',')
		}
		seen[name] = true
		d.space(b)
		d.quote(b, name)
		d.space(b)
		b.WriteByte(':')
		d.space(b)
		d.value(b, depth-1)
		d.space(b)
	}
	b.WriteByte('}')
}

// name returns a member name, often one that JavaScript sorts or fears.
func (d *documents) name() string {
	switch d.rng.IntN(4) {
	case 0:
		return strconv.Itoa(d.rng.IntN(120))
	case 1:
		return d.pick("4294967293", "4294967294", "4294967295", "4294967296", "9007199254740991", "99999999999",
			"00", "01", "-0", "-1", "1.0", "1e3", "+1", " 1", "", "__proto__", "constructor", "toString", "length", "Infinity", "NaN")
	default:
		return string(d.runes(1 + d.rng.IntN(4)))
	}
}

func (d *documents) runes(n int) []rune {
	out := make([]rune, n)
	for i := range out {
		switch d.rng.IntN(8) {
		case 0:
			out[i] = []rune("\"\\/\b\f\n\r\t\x00\x1f\x7f\u0080\u2028\u2029\ufeff\ufffd\uffff\ud7ff\ue000")[d.rng.IntN(19)]
		case 1:
			out[i] = 0x10000 + rune(d.rng.IntN(0x100000))
		case 2:
			out[i] = 0x80 + rune(d.rng.IntN(0xd000))
		default:
			out[i] = 'a' + rune(d.rng.IntN(26))
		}
	}
	return out
}

func (d *documents) text(b *strings.Builder) {
	d.quote(b, string(d.runes(d.rng.IntN(30))))
}

// quote writes text in one of the many spellings a string has.
func (d *documents) quote(b *strings.Builder, text string) {
	b.WriteByte('"')
	if d.fault() {
		b.WriteString(d.pick(`\ud800`, `\uDFFF`, `\udc00\ud800`, `\ud83dx`))
	}
	for _, r := range text {
		short := strings.IndexRune("\"\\/\b\f\n\r\t", r)
		switch {
		case short >= 0 && d.rng.IntN(2) == 0:
			b.WriteString(`\` + `"\/bfnrt`[short:short+1])
		case r < ' ' || r == '"' || r == '\\' || d.rng.IntN(6) == 0:
			for _, unit := range utf16Units(r) {
				fmt.Fprintf(b, d.pick(`\u%04x`, `\u%04X`), unit)
			}
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}

func utf16Units(r rune) []rune {
	if r < 0x10000 {
		return []rune{r}
	}
	r -= 0x10000
	return []rune{0xd800 + r>>10, 0xdc00 + r&0x3ff}
}

func (d *documents) number(b *strings.Builder) {
	if d.fault() {
		b.WriteString(d.pick("9007199254740993", "-9007199254740993", "1e400", "1e-400", "4e-324", "123456789012345678",
			"0.1000000000000000055511151231257827", "1.7976931348623159e308", "0.30000000000000005", "2e-324", "1e23456789012345678901"))
		return
	}
	if d.rng.IntN(3) == 0 {
		b.WriteString(d.pick("", "-"))
	}
	switch d.rng.IntN(6) {
	case 0:
		b.WriteString(d.pick("0", "9007199254740990", "9007199254740991", "9007199254740992", "5e-324", "1e20", "1e21", "123456789012345680000",
			"1e22", "0.000001", "1e-7", "0.0000001", "1.7976931348623157e308", "2.2250738585072014e-308", "2.225073858507201e-308",
			"4294967295", "0.1", "0.30000000000000004", "1e-6", "100e-2", "0e400", "0.0e-400", "1.0", "123456789.000", "999999999999999900000"))
	case 1: // any double, shortest
		f := math.Abs(math.Float64frombits(d.rng.Uint64()))
		if math.IsNaN(f) || math.IsInf(f, 0) {
			f = 1
		}
		b.WriteString(strconv.FormatFloat(f, "eg"[d.rng.IntN(2)], -1, 64))
	case 2: // up to 16 digits around every change of notation
		fmt.Fprintf(b, "%de%d", d.rng.Uint64N(10_000_000_000_000_000)>>d.rng.IntN(50), d.rng.IntN(50)-30)
	case 3:
		fmt.Fprintf(b, "%d.%0*d", d.rng.IntN(1000), 1+d.rng.IntN(12), d.rng.IntN(1000))
	case 4: // 17 digits: some are doubles, most are not
		if d.rng.IntN(20) == 0 {
			fmt.Fprintf(b, "%d", d.rng.Uint64N(90_000_000_000_000_000)+10_000_000_000_000_000)
			return
		}
		fallthrough
	default:
		fmt.Fprintf(b, "%d%s", d.rng.IntN(1_000_000), d.pick("", "", ".0", "e0", "E+2", "e-2", ".50"))
	}
}

func (d *documents) space(b *strings.Builder) {
	if d.rng.IntN(5) == 0 {
		b.WriteString(d.pick(" ", "\n", "\t", "\r\n", "  "))
	}
}

func (d *documents) fault() bool { return d.rng.IntN(d.faults) == 0 }

// damage changes, drops or repeats a few bytes.
func (d *documents) damage(doc []byte) []byte {
	i := d.rng.IntN(len(doc) + 1)
	switch d.rng.IntN(4) {
	case 0:
		return doc[:i]
	case 1:
		return append(doc[:i:i], doc[min(i+1, len(doc)):]...)
	case 2:
		junk := "\"\\{}[],:.eE+-019 tfn/u\x00\x1f\x80\xff\xed"
		return append(append(doc[:i:i], junk[d.rng.IntN(len(junk))]), doc[i:]...)
	default:
		return append(append([]byte(nil), doc...), doc[i:]...)
	}
}
