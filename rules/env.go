package rules

import (
	"maps"
	"reflect"
	"slices"

	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/types"
)

// eventField is one field of the variable event; 0 is none.
type eventField uint8

const (
	fieldNone eventField = iota
	fieldID
	fieldType
	fieldEnvironment
	fieldTenant
	fieldSource
	fieldTimestamp
)

// eventFields are the names of the fields, at their constant minus one.
var eventFields = []string{"id", "type", "environment", "tenant", "source", "timestamp"}

// fieldNamed returns the field of that name, or fieldNone.
func fieldNamed(name string) eventField {
	return eventField(slices.Index(eventFields, name) + 1)
}

func (f eventField) of(ev *Event) string {
	switch f {
	case fieldID:
		return ev.ID
	case fieldType:
		return ev.Type
	case fieldEnvironment:
		return ev.Environment
	case fieldTenant:
		return ev.Tenant
	case fieldSource:
		return ev.Source
	case fieldTimestamp:
		return ev.Timestamp
	default:
		return ""
	}
}

// ownFunctions are the functions offered beyond expr's, with the types that
// the checker holds calls to. What they do is in funcs.go.
var ownFunctions = map[string]any{
	"glob":   (func(pattern, s string) bool)(nil),
	"cidr":   (func(ip, network string, more ...string) bool)(nil),
	"semver": (func(version, constraint string) bool)(nil),
	"has":    (func(path any) bool)(nil),
	"hash":   (func(s any, n int) int)(nil),
}

// cost says how an argument of a function is charged to the step budget.
type cost uint8

const (
	free   cost = iota // the function's time does not depend on the argument's size
	linear             // it depends on the length of the text, list or object
	pieces             // as linear, with more work for each character
	deep               // it depends on everything inside
)

// offered are the functions of expr that rules may use. Those missing here
// depend on the clock (now, date), have no bound (reduce, repeat, sortBy, uniq),
// give their results in random order (toPairs), or parse and print JSON again.
var offered = map[string]cost{
	// Loops: charged on their own, see rewriter.loop.
	"all": free, "none": free, "any": free, "one": free, "filter": free, "map": free, "count": free, "sum": free,
	"find": free, "findIndex": free, "findLast": free, "findLastIndex": free,

	"len": linear, "type": free, "string": deep, "int": linear, "float": linear,
	"abs": free, "ceil": free, "floor": free, "round": free,
	"max": linear, "min": linear, "mean": linear, "median": linear,
	"bitand": free, "bitor": free, "bitxor": free, "bitnand": free, "bitnot": free,
	"bitshl": free, "bitshr": free, "bitushr": free,

	"upper": pieces, "lower": pieces, "trimPrefix": linear, "trimSuffix": linear,
	"indexOf": linear, "lastIndexOf": linear, "hasPrefix": linear, "hasSuffix": linear,
	"toBase64": linear, "fromBase64": linear,

	"first": free, "last": free, "get": free, "take": free,
	"reverse": linear, "concat": linear, "flatten": deep,

	// Replaced by functions of ours that charge for what they make.
	"trim": free, "split": free, "splitAfter": free, "replace": free, "join": free, "keys": free, "values": free,
}

// functionNames are all names that can be called, sorted.
var functionNames = slices.Sorted(slices.Values(slices.Concat(
	slices.Collect(maps.Keys(offered)), slices.Collect(maps.Keys(ownFunctions)))))

// newCheckConfig returns what the parser and the type checker know. It is not
// safe for concurrent use: the checker caches types in it.
func newCheckConfig() *conf.Config {
	event := types.Map{}
	for _, name := range eventFields {
		event[name] = types.String
	}
	c := conf.New(types.Map{"event": event, "data": types.Any})
	c.MaxNodes = 0 // counted by vetter, which can say how many there are
	for name, f := range ownFunctions {
		c.Functions[name] = &builtin.Function{Name: name, Types: []reflect.Type{reflect.TypeOf(f)}}
	}
	return c
}
