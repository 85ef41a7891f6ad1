package rules

import (
	"slices"
	"strings"

	"github.com/expr-lang/expr/vm"
)

// atomKind says how an atom is evaluated.
type atomKind uint8

const (
	onMachine atomKind = iota // by the expr machine
	constantly
	equalsText
	equalsNumber
	equalsBool
	isNil
	inList
	hasPrefix
	hasSuffix
	contains
	matchesGlob
	matchesRegexp
	anyText    // any(path, .k == "x") and its like
	anyGuarded // any(path, .k == "x" and …)
	hasElement // "x" in path
	isPresent
	isFlag // the value itself
	less
	lessOrEqual
	greater
	greaterOrEqual
)

// atom is a part of a condition without and, or, not. The commonest shapes,
// a path compared with something written out, are evaluated here, in some 10
// ns; all others by the expr machine, in some 300. Both give the same, which a
// randomized test holds them to.
type atom struct {
	kind    atomKind
	data    bool // it reads the payload
	flipped bool // the literal stands on the left
	truth   bool
	orEmpty bool // a missing list counts as an empty one
	path    *path
	text    string
	num     number
	texts   []string
	nums    []number
	glob    *globPattern
	regexp  *regexProgram
	each    *each
	program *vm.Program
}

// cost orders atoms: what needs the payload decoded comes last.
func (a *atom) cost() uint8 {
	var c uint8 = 1
	if a.data {
		c = 3
	}
	if a.program != nil {
		c++
	}
	return c
}

// eval returns the outcome and, when it is error, why. at is the place of the
// atom in its expression, in characters.
func (a *atom) eval(m *machine, at int) (outcome, *failure) {
	if a.data && !m.ready() {
		return isError, &failure{at: at, msg: errPayload.msg}
	}
	switch a.kind {
	case onMachine:
		return a.run(m, at)
	case constantly:
		return outcomeOf(a.truth), nil
	case equalsText:
		s, ok := m.text(a.path)
		return outcomeOf(ok && s == a.text), nil
	case inList:
		return outcomeOf(a.listed(m)), nil
	case isNil:
		return outcomeOf(a.path.field == fieldNone && m.at(a.path).isNil()), nil
	case equalsBool:
		if a.path.field != fieldNone {
			return isFalse, nil
		}
		v := m.at(a.path)
		return outcomeOf(v.kind == kindBool && v.truth == a.truth), nil
	case equalsNumber:
		return outcomeOf(a.path.field == fieldNone && a.num.equals(m.at(a.path))), nil
	case isPresent:
		if a.path.field != fieldNone {
			return outcomeOf(a.path.field.of(m.ev) != ""), nil
		}
		return outcomeOf(!m.at(a.path).isNil()), nil
	case isFlag:
		return a.flag(m, at)
	case hasPrefix, hasSuffix, contains, matchesGlob, matchesRegexp:
		return a.compareText(m, at)
	case anyText, anyGuarded, hasElement:
		return a.compareElements(m, at)
	default:
		return a.compareNumber(m.at(a.path), at)
	}
}

// asCondition is the outcome of a value where true or false is wanted.
func asCondition(at int, v any) (outcome, *failure) {
	switch b := v.(type) {
	case bool:
		return outcomeOf(b), nil
	case nil:
		return isMissing, nil
	}
	return isError, expected(at, "bool", v)
}

func (a *atom) run(m *machine, at int) (outcome, *failure) {
	v, why := m.run(a.program)
	if why == nil {
		return asCondition(at, v)
	}
	if why.missing {
		return isMissing, nil
	}
	return isError, why
}

func (a *atom) compareText(m *machine, at int) (outcome, *failure) {
	s, ok := m.text(a.path)
	if !ok {
		switch v := m.at(a.path); {
		case !v.isNil():
			return isError, wanting(at, "string", v)
		case a.kind == matchesGlob:
			return isMissing, nil
		}
		return isFalse, nil
	}
	switch a.kind {
	case hasPrefix:
		ok = strings.HasPrefix(s, a.text)
	case hasSuffix:
		ok = strings.HasSuffix(s, a.text)
	case contains:
		ok = strings.Contains(s, a.text)
	default:
		var err error
		if a.kind == matchesGlob {
			ok, err = m.glob(a.glob, s)
		} else {
			ok, err = m.match(a.regexp, s)
		}
		if err != nil {
			return isError, &failure{at: at, msg: err.Error()}
		}
	}
	return outcomeOf(ok), nil
}

// listed reports whether the value is one of those listed.
func (a *atom) listed(m *machine) bool {
	if s, ok := m.text(a.path); ok {
		return slices.Contains(a.texts, s)
	}
	v := m.at(a.path)
	return slices.ContainsFunc(a.nums, func(n number) bool { return n.equals(v) })
}

// compareElements looks for the texts among those collected of a list. What
// they do not decide is run: other values than lists, and the rest of a guarded
// condition.
func (a *atom) compareElements(m *machine, at int) (outcome, *failure) {
	switch v := m.at(a.path); {
	case v.isNil():
		if a.orEmpty {
			return isFalse, nil
		}
		return isMissing, nil
	case v.kind != kindList:
		return a.run(m, at)
	}
	found := slices.ContainsFunc(m.textsOf(a.each), func(s string) bool { return slices.Contains(a.texts, s) })
	if found && a.kind == anyGuarded {
		return a.run(m, at)
	}
	return outcomeOf(found), nil
}

// flag is the outcome of the value itself.
func (a *atom) flag(m *machine, at int) (outcome, *failure) {
	if a.path.field != fieldNone {
		return isError, expected(at, "bool", "")
	}
	switch v := m.at(a.path); {
	case v.kind == kindBool:
		return outcomeOf(v.truth), nil
	case v.isNil():
		return isMissing, nil
	default:
		return isError, wanting(at, "bool", v)
	}
}

// equals compares as expr does: two integers exactly, all else as floats.
func (n number) equals(v *value) bool {
	if v.kind != kindNumber {
		return false
	}
	if n.isInt && v.num.isInt {
		return n.i == v.num.i
	}
	return n.f == v.num.f
}

func (a *atom) compareNumber(v *value, at int) (outcome, *failure) {
	switch {
	case v.kind == kindNumber && v.num.isInt && a.num.isInt:
		return outcomeOf(ordered(a.kind, v.num.i, a.num.i)), nil
	case v.kind == kindNumber:
		return outcomeOf(ordered(a.kind, v.num.f, a.num.f)), nil
	case v.isNil():
		return isMissing, nil
	}
	l, r, op := v.typeName(), typeName(a.num.value()), operators[a.kind]
	if a.flipped {
		l, r, op = r, l, operators[mirrored[a.kind]]
	}
	return isError, &failure{at: at, msg: "cannot compute " + l + " " + op + " " + r}
}

func ordered[N int | float64](k atomKind, a, b N) bool {
	switch k {
	case less:
		return a < b
	case lessOrEqual:
		return a <= b
	case greater:
		return a > b
	default:
		return a >= b
	}
}

var operators = map[atomKind]string{less: "<", lessOrEqual: "<=", greater: ">", greaterOrEqual: ">="}

// mirrored are the operators that mean the same with their sides changed.
var mirrored = map[atomKind]atomKind{less: greater, lessOrEqual: greaterOrEqual, greater: less, greaterOrEqual: lessOrEqual}
