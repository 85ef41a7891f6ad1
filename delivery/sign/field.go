package sign

import (
	"encoding/base64"
	"slices"
	"strings"
)

// This file reads the dictionaries of Signature-Input, Signature and
// Content-Digest (structured fields, RFC 8941). It takes the one spelling
// that serialising gives, with optional white space only between members: a
// signature covers that spelling, so another could not verify.

// input is one member of Signature-Input.
type input struct {
	label      string
	text       string // the whole value: components and parameters
	components []string
	created    int64 // Unix seconds; 0: absent
	expires    int64 // Unix seconds; 0: absent
	alg        string
}

// covers reports whether all of names are covered.
func (in *input) covers(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(in.components, name) })
}

// Bounds of what is parsed, which is work for strangers: our own requests
// have at most 10 members and 7 components.
const (
	maxMembers    = 2 * MaxSecrets
	maxComponents = 32
)

// parseInputs reads a Signature-Input. Members whose components we do not
// know are left out; a field that is malformed anywhere is refused whole.
func parseInputs(field string) ([]input, bool) {
	var inputs []input
	seen := map[string]bool{}
	p := parser{field}
	for {
		label, ok := p.key()
		if !ok || !p.skip('=') || seen[label] || len(seen) == maxMembers {
			return nil, false
		}
		seen[label] = true
		start := p.rest
		in := input{label: label}
		known, ok := p.innerList(&in)
		if !ok || !p.params(&in) {
			return nil, false
		}
		in.text = start[:len(start)-len(p.rest)]
		if known {
			inputs = append(inputs, in)
		}
		if p.rest == "" {
			return inputs, true
		}
		if !p.comma() {
			return nil, false
		}
	}
}

// parseBytes reads a dictionary of byte sequences.
func parseBytes(field string) (map[string][]byte, bool) {
	members := map[string][]byte{}
	p := parser{field}
	for {
		label, ok := p.key()
		if !ok || !p.skip('=') || members[label] != nil || len(members) == maxMembers {
			return nil, false
		}
		item, ok := p.item()
		if !ok || item[0] != ':' {
			return nil, false
		}
		value, err := base64.StdEncoding.Strict().DecodeString(strings.Trim(item, ":"))
		if err != nil {
			return nil, false
		}
		members[label] = value
		if p.rest == "" {
			return members, true
		}
		if !p.comma() {
			return nil, false
		}
	}
}

// parser takes a field apart from the left. Its methods report whether what
// they read was there.
type parser struct{ rest string }

func (p *parser) skip(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// take cuts off the first n bytes.
func (p *parser) take(n int) string {
	text := p.rest[:n]
	p.rest = p.rest[n:]
	return text
}

// comma is what stands between members.
func (p *parser) comma() bool {
	p.rest = strings.TrimLeft(p.rest, " \t")
	if !p.skip(',') {
		return false
	}
	p.rest = strings.TrimLeft(p.rest, " \t")
	return true
}

// key is a lower-case name of a member or parameter.
func (p *parser) key() (string, bool) {
	n := 0
	for n < len(p.rest) {
		c := p.rest[n]
		first := 'a' <= c && c <= 'z' || c == '*'
		later := '0' <= c && c <= '9' || c == '_' || c == '-' || c == '.'
		if !first && (n == 0 || !later) {
			break
		}
		n++
	}
	return p.take(n), n > 0
}

// innerList is a list of component names. known is false when one has
// parameters; then they are only passed over.
func (p *parser) innerList(in *input) (known, ok bool) {
	known = true
	if !p.skip('(') {
		return false, false
	}
	for first := true; !p.skip(')'); first = false {
		if !first && !p.skip(' ') {
			return false, false
		}
		item, ok := p.item()
		if !ok || item[0] != '"' || len(in.components) == maxComponents {
			return false, false
		}
		name := strings.Trim(item, `"`)
		before := p.rest
		if !p.params(&input{}) {
			return false, false
		}
		plain := before == p.rest
		if plain && (slices.Contains(in.components, name) || strings.Contains(name, `\`)) {
			return false, false // RFC 9421, 2.5: a component is covered once
		}
		known = known && plain
		in.components = append(in.components, name)
	}
	return known, true
}

// params reads ";name=value" as often as it comes and keeps what we use. A
// parameter given twice could mean one thing here and another elsewhere.
func (p *parser) params(in *input) bool {
	seen := map[string]bool{}
	for p.skip(';') {
		name, ok := p.key()
		if !ok || seen[name] || len(seen) == maxMembers {
			return false
		}
		seen[name] = true
		item := "?1" // what a name alone means
		if p.skip('=') {
			if item, ok = p.item(); !ok {
				return false
			}
		}
		switch name {
		case "created":
			in.created, ok = parseSeconds(item)
		case "expires":
			in.expires, ok = parseSeconds(item)
		case "alg":
			in.alg, ok = strings.Trim(item, `"`), item[0] == '"'
		}
		if !ok {
			return false
		}
	}
	return true
}

// item is one bare item, in its own spelling: string, byte sequence, number,
// token or boolean.
func (p *parser) item() (string, bool) {
	if p.rest == "" {
		return "", false
	}
	switch p.rest[0] {
	case '"':
		return p.quoted()
	case ':':
		end := strings.IndexByte(p.rest[1:], ':')
		if end < 0 {
			return "", false
		}
		return p.take(end + 2), true
	case '?':
		if !strings.HasPrefix(p.rest, "?0") && !strings.HasPrefix(p.rest, "?1") {
			return "", false
		}
		return p.take(2), true
	default:
		n := strings.IndexAny(p.rest, " \t,;()=\"\\")
		if n < 0 {
			n = len(p.rest)
		}
		return p.take(n), n > 0
	}
}

// quoted is a string with its quotes.
func (p *parser) quoted() (string, bool) {
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			return p.take(i + 1), true
		case c == '\\':
			i++
			if i == len(p.rest) || p.rest[i] != '"' && p.rest[i] != '\\' {
				return "", false
			}
		case c < ' ' || c >= 0x7f:
			return "", false
		}
	}
	return "", false
}
