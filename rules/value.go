package rules

import (
	"strings"
)

// kind says what a value is. The zero kind means that the event holds no such
// value.
type kind uint8

const (
	kindAbsent kind = iota
	kindNull
	kindBool
	kindNumber
	kindText
	kindList
	kindObject
)

// value is what a path gives for an event, taken from its bytes without an
// allocation. Its text is a view of the event's bytes or of the machine's
// scratch space and must not outlive the evaluation: box copies it.
type value struct {
	kind  kind
	truth bool   // of a bool
	num   number // of a number
	text  string // of a text; of a list or an object, its JSON
}

// isNil reports whether expressions see nil.
func (v *value) isNil() bool { return v.kind <= kindNull }

// typeName is the name of the value's type in messages.
func (v *value) typeName() string {
	switch v.kind {
	case kindBool:
		return "bool"
	case kindNumber:
		return typeName(v.num.value())
	case kindText:
		return "string"
	case kindList:
		return "array"
	case kindObject:
		return "object"
	case kindAbsent, kindNull:
	}
	return "missing"
}

// box makes the value that the expr machine works on, of the types that decode
// gives, noting the order of members.
func (v *value) box(order keyOrder) any {
	switch v.kind {
	case kindBool:
		return v.truth
	case kindNumber:
		return v.num.value()
	case kindText:
		return strings.Clone(v.text)
	case kindList, kindObject:
		d, _ := decodeNoting([]byte(v.text), order) // scanner has seen that it is JSON
		return d
	case kindAbsent, kindNull:
	}
	return nil
}
