package rules

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/vm/runtime"
)

// The names of the functions that only compiled programs can call. No
// expression can contain them: "@" is no character of the language. Each takes
// the machine first.
const (
	fnRead    = "@read"    // (path) the value of a path; remembers when it is missing
	fnPeek    = "@peek"    // (path) the same where missing is expected
	fnMember  = "@member"  // (value, key) value[key]; remembers when it is missing
	fnPeekAt  = "@peekAt"  // (value, key) the same where missing is expected
	fnLoop    = "@loop"    // (list, steps, room) the list, after charging for each element
	fnUse     = "@use"     // (value, unit, room) the value, after charging for its length
	fnUseDeep = "@useDeep" // (value, room) the value, after charging for everything inside
	fnIn      = "@in"      // (value, container)
	fnMatches = "@matches" // (text, *regexProgram)
	fnGlob    = "@glob"    // (*globPattern, text)
	fnCIDR    = "@cidr"    // (ip, []netip.Prefix)
	fnSemver  = "@semver"  // (version, *semver.Constraints)
	fnHas     = "@has"     // (value, empty counts as missing)
	fnHash    = "@hash"    // (value, n)
	fnTrim    = "@trim"    // (text[, cutset])
	fnReplace = "@replace" // (text, old, new[, n])
	fnSplit   = "@split"   // (text, separator, keep the separators[, n])
	fnJoin    = "@join"    // (list[, glue])
	fnObject  = "@object"  // (names, value…)
	fnKeys    = "@keys"    // (object) sorted
	fnValues  = "@values"  // (object) in the order of keys
)

// regexProgram is a compiled pattern and what it costs.
type regexProgram struct {
	re    *regexp.Regexp
	size  int    // instructions
	start string // what every text that it matches starts with
}

// newRegexp compiles a pattern, of which vetter has seen that it compiles.
func newRegexp(pattern string) *regexProgram {
	p := &regexProgram{re: regexp.MustCompile(pattern), start: regexpStart(pattern)}
	p.size, _ = programSize(pattern)
	return p
}

// regexpStart returns the text that everything the pattern matches starts with.
// U+FFFD in a pattern also matches bytes that are not UTF-8.
func regexpStart(pattern string) string {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return ""
	}
	re = re.Simplify()
	if re.Op != syntax.OpConcat || len(re.Sub) < 2 || re.Sub[0].Op != syntax.OpBeginText {
		return ""
	}
	l := re.Sub[1]
	if l.Op != syntax.OpLiteral || l.Flags&syntax.FoldCase != 0 || slices.Contains(l.Rune, utf8.RuneError) {
		return ""
	}
	return string(l.Rune)
}

// globPattern is a pattern and what every text that it matches starts and ends
// with.
type globPattern struct{ text, start, end string }

func newGlob(pattern string) *globPattern {
	return &globPattern{text: pattern, start: globStart(pattern), end: globEnd(pattern)}
}

// function is the body of one of the functions above, without the machine in args.
type function func(m *machine, args []any) (any, error)

var functions = map[string]function{
	fnRead: func(m *machine, a []any) (any, error) {
		v, err := readPath(m, a[0].(*path))
		m.missing = m.missing || v == nil
		return v, err
	},
	fnPeek: func(m *machine, a []any) (any, error) { return readPath(m, a[0].(*path)) },
	fnMember: func(m *machine, a []any) (any, error) {
		v := member(a[0], a[1])
		m.missing = m.missing || v == nil
		return v, m.charge(size(a[1], bytesPerStep))
	},
	fnPeekAt: func(m *machine, a []any) (any, error) {
		return member(a[0], a[1]), m.charge(size(a[1], bytesPerStep))
	},
	fnLoop: loop,
	fnUse: func(m *machine, a []any) (any, error) {
		if err := m.grow(length(a[0]) * a[2].(int)); err != nil {
			return nil, err
		}
		return a[0], m.charge(size(a[0], a[1].(int)))
	},
	fnUseDeep: func(m *machine, a []any) (any, error) {
		n := deepSize(a[0], maxSteps)
		if err := m.grow(n * a[1].(int)); err != nil {
			return nil, err
		}
		return a[0], m.charge(n)
	},
	fnIn:      in,
	fnMatches: matches,
	fnGlob: func(m *machine, a []any) (any, error) {
		s, err := textOrMissing(a[1])
		if s == nil {
			return nil, err
		}
		return m.glob(a[0].(*globPattern), *s)
	},
	fnCIDR:   cidr,
	fnSemver: satisfies,
	fnHas: func(_ *machine, a []any) (any, error) {
		return a[0] != nil && (a[0] != "" || a[1] == false), nil
	},
	fnHash:    bucket,
	fnTrim:    trim,
	fnReplace: replace,
	fnSplit:   splitText,
	fnJoin:    join,
	fnObject:  makeObject,
	fnKeys: func(m *machine, a []any) (any, error) {
		keys, _, err := sortedKeys(m, a[0])
		return keys, err
	},
	fnValues: func(m *machine, a []any) (any, error) {
		keys, object, err := sortedKeys(m, a[0])
		for i, k := range keys {
			keys[i] = object[k.(string)]
		}
		return keys, err
	},
}

// newRunConfig returns what the compiler of programs knows: the functions
// above, no types, no optimizer (which changes results: with it a missing x is
// in ["", "a"]).
func newRunConfig() *conf.Config {
	c := conf.CreateNew()
	c.Optimize = false
	for name, f := range functions {
		c.Functions[name] = &builtin.Function{Name: name, Func: func(args ...any) (any, error) {
			return f(args[0].(*machine), args[1:])
		}}
	}
	return c
}

func readPath(m *machine, p *path) (any, error) {
	if p.field == fieldNone {
		if !m.extract() {
			return nil, errPayload
		}
	}
	return m.read(p), nil
}

func wrongType(want string, got any) error {
	return &safeError{msg: "expected " + want + ", got " + typeName(got)}
}

// errMissing is returned where a missing value cannot be passed on. What was
// missing has been remembered when it was read.
var errMissing = &safeError{msg: "expected array, got missing"}

func loop(m *machine, a []any) (any, error) {
	switch a[0].(type) {
	case []any, []string:
		n := length(a[0])
		if err := m.grow(n * a[2].(int)); err != nil {
			return nil, err
		}
		return a[0], m.charge(n * a[1].(int))
	case nil:
		return nil, errMissing
	}
	return nil, wrongType("array", a[0])
}

func in(m *machine, a []any) (any, error) {
	switch c := a[1].(type) {
	case nil:
		return false, nil
	case map[string]any:
		switch k := a[0].(type) {
		case nil:
			return false, nil
		case string:
			_, ok := c[k]
			return ok, m.charge(size(k, bytesPerStep))
		}
		return nil, wrongType("string", a[0])
	case []any:
		cost := len(c)
		switch a[0].(type) {
		case []any, map[string]any:
			cost = deepSize(c, maxSteps)
		}
		if err := m.charge(cost); err != nil {
			return nil, err
		}
		return runtime.In(a[0], c), nil
	case []string:
		s, ok := a[0].(string)
		return ok && slices.Contains(c, s), m.charge(len(c))
	}
	return nil, wrongType("array or object", a[1])
}

func matches(m *machine, a []any) (any, error) {
	switch s := a[0].(type) {
	case nil:
		return false, nil
	case string:
		return m.match(a[1].(*regexProgram), s)
	}
	return nil, wrongType("string", a[0])
}

// textOrMissing returns nil for a missing value and for anything but text; the
// latter with an error.
func textOrMissing(v any) (*string, error) {
	switch s := v.(type) {
	case nil:
		return nil, nil
	case string:
		return &s, nil
	}
	return nil, wrongType("string", v)
}

// glob and match cost nothing for a text that starts or ends otherwise: such
// rules are not even looked at by Match, so they must not fail for their cost.

func (m *machine) glob(p *globPattern, s string) (bool, error) {
	if !strings.HasPrefix(s, p.start) || !strings.HasSuffix(s, p.end) {
		return false, nil
	}
	if err := m.charge(len(s) * len(p.text) / globPerStep); err != nil {
		return false, err
	}
	return glob(p.text, s), nil
}

func (m *machine) match(p *regexProgram, s string) (bool, error) {
	if !strings.HasPrefix(s, p.start) {
		return false, nil
	}
	if err := m.charge(len(s) * p.size / regexpPerStep); err != nil {
		return false, err
	}
	return p.re.MatchString(s), nil
}
