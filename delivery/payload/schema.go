package payload

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// schemaBase is the address schemas are compiled under, for messages of the
// library; it leads nowhere.
const schemaBase = "catalog:///"

// errForeign is what a schema gets that refers to anything but itself.
var errForeign = errors.New("a schema may refer to itself and to the JSON Schema meta-schemas only, nothing is fetched")

// noLoader refuses every document that the library does not carry itself: a
// $ref must not make the gateway read files or call other machines.
type noLoader struct{}

func (noLoader) Load(string) (any, error) { return nil, errForeign }

// compile prepares the schema, if there is one.
func (t *EventType) compile() *Error {
	if t.Schema == nil {
		return nil
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(t.Schema))
	if err != nil {
		return refused("", "reading the schema: "+err.Error())
	}
	switch doc.(type) {
	case map[string]any, bool:
	default:
		return refused("", "a JSON Schema is an object, true or false")
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.UseLoader(noLoader{})
	address := schemaBase + t.Type
	if err := compiler.AddResource(address, doc); err != nil {
		return refused("", "reading the schema: "+err.Error())
	}
	compiled, err := compiler.Compile(address)
	if err != nil {
		return compileFault(err)
	}
	if compiled.DraftVersion != 2020 {
		return refused("/$schema", "schemas are written in JSON Schema 2020-12")
	}
	t.compiled = compiled
	return nil
}

// compileFault says in our words why the library does not take a schema.
func compileFault(err error) *Error {
	if load, ok := errors.AsType[*jsonschema.LoadURLError](err); ok {
		return refused("", excerpt(strings.TrimPrefix(load.URL, schemaBase))+": "+errForeign.Error())
	}
	if invalid, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		if violation, ok := errors.AsType[*jsonschema.ValidationError](invalid.Err); ok {
			return violationFault(violation)
		}
	}
	return refused("", strings.ReplaceAll(err.Error(), schemaBase, ""))
}

// check validates a payload; numbers are compared as the decimals they are.
func (t *EventType) check(stable []byte) *Error {
	if t.compiled == nil {
		return nil
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(stable))
	if err != nil {
		return refused("", "reading the payload: "+err.Error())
	}
	err = t.compiled.Validate(doc)
	if err == nil {
		return nil
	}
	if violation, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		return violationFault(violation)
	}
	return refused("", err.Error())
}

// violationFault reports one violation out of a tree of them: the innermost,
// and of several the first by place, so that the same input always gets the
// same answer (the library goes through members in map order).
func violationFault(root *jsonschema.ValidationError) *Error {
	best := innermost(root)
	e := refused("", violationText(best))
	for _, token := range slices.Backward(best.InstanceLocation) {
		e = e.under(token)
	}
	return e
}

// innermost follows v down to a violation without causes. It stops at anyOf,
// oneOf and not: the branches below contradict one another.
func innermost(v *jsonschema.ValidationError) *jsonschema.ValidationError {
	switch v.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf, *kind.Not:
		return v
	}
	if len(v.Causes) == 0 {
		return v
	}
	var best *jsonschema.ValidationError
	for _, cause := range v.Causes {
		if leaf := innermost(cause); best == nil || before(leaf, best) {
			best = leaf
		}
	}
	return best
}

func before(a, b *jsonschema.ValidationError) bool {
	at, bt := strings.Join(a.InstanceLocation, "/"), strings.Join(b.InstanceLocation, "/")
	if at != bt {
		return at < bt
	}
	return a.SchemaURL+"/"+strings.Join(a.ErrorKind.KeywordPath(), "/") <
		b.SchemaURL+"/"+strings.Join(b.ErrorKind.KeywordPath(), "/")
}

// violationText is the library's sentence for v alone.
func violationText(v *jsonschema.ValidationError) string {
	alone := jsonschema.ValidationError{SchemaURL: v.SchemaURL, ErrorKind: v.ErrorKind}
	if out := alone.BasicOutput(); out.Error != nil {
		return "the schema says: " + out.Error.String()
	}
	return "the schema does not allow this value"
}
