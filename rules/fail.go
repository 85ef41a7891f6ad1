package rules

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/expr-lang/expr/file"
)

// failure is why an expression has no value for an event.
type failure struct {
	at      int    // the place, in characters of the expression
	msg     string // safe to show: no values of the event
	missing bool   // because the event lacks something the expression read
}

// safeError is an error of a function in funcs.go. Its text holds no values of
// the event.
type safeError struct {
	msg    string
	always bool // an error even if a missing value was read before
}

func (e *safeError) Error() string { return e.msg }

// errSteps stops an evaluation that costs too much.
var errSteps = &safeError{msg: fmt.Sprintf("stopped after %d steps over this event's data", maxSteps), always: true}

// errAbsent is the failure of whatever failed for want of a value. Missing is
// quiet, so nobody asks where.
var errAbsent = &failure{msg: "a value is missing", missing: true}

// explain turns an error of the expr machine into a failure. missing tells
// that a missing value had been read.
func explain(err error, missing bool) *failure {
	own, isOwn := errors.AsType[*safeError](err)
	if missing && (!isOwn || !own.always) {
		return errAbsent
	}
	f := &failure{msg: unspeakable}
	if fe, ok := errors.AsType[*file.Error](err); ok {
		f.at = fe.From
		f.msg = describe(fe.Message)
	}
	if isOwn {
		f.msg = own.msg
	}
	return f
}

// unspeakable stands for messages that may quote a value of the event.
const unspeakable = "this cannot be evaluated for these values"

// goType matches the Go types a value can have while an expression runs.
const goType = `(<nil>|nil|bool|int|float64|string|uint8|\[\]interface \{\}|\[\]string|map\[string\]interface \{\}|interface \{\})`

// harmless are the messages of expr and the runtime that name types only. Any
// other message may quote a value of the event and is not shown.
var harmless = []struct {
	re   *regexp.Regexp
	text string // with $1, $2 … for the groups
}{
	{regexp.MustCompile(`^interface conversion: interface \{\} is ` + goType + `, not ` + goType + `$`), "expected $2, got $1"},
	{regexp.MustCompile(`^invalid operation: ` + goType + ` (\S{1,2}) ` + goType + `$`), "cannot compute $1 $2 $3"},
	{regexp.MustCompile(`^invalid operation: - ` + goType + `$`), "cannot compute - $1"},
	{regexp.MustCompile(`^invalid operation: (int|float|bool)\(` + goType + `\)$`), "cannot compute $1($2)"},
	{regexp.MustCompile(`(?s)^invalid operation: (int|float)\(.*\)$`), "$1 cannot convert this text"},
	{regexp.MustCompile(`^invalid argument for (\w+) \(type ` + goType + `\)$`), "$1 cannot take $2"},
	{regexp.MustCompile(`^cannot use ` + goType + ` as argument \(type (\w+)\) to call (\w+)$`), "$3 cannot take $1"},
	{regexp.MustCompile(`^cannot (take|reverse|concat|flatten) (?:from )?(\w+)$`), "$1 cannot take $2"},
	{regexp.MustCompile(`^runtime error: (integer divide by zero)$`), "$1"},
	{regexp.MustCompile(`^(memory budget exceeded)$`), "$1"},
	{regexp.MustCompile(`^(illegal base64 data) at input byte \d+$`), "$1"},
}

// describe returns a message that can be shown.
func describe(msg string) string {
	for _, h := range harmless {
		if m := h.re.FindStringSubmatchIndex(msg); m != nil {
			return plainTypes.Replace(string(h.re.ExpandString(nil, h.text, msg, m)))
		}
	}
	return unspeakable
}

// plainTypes gives Go's types the names that JSON has for them.
var plainTypes = strings.NewReplacer(
	"map[string]interface {}", "object",
	"[]interface {}", "array",
	"[]string", "array",
	"interface {}", "any",
	"float64", "float",
	"<nil>", "missing",
)

// typeName is the name of a value's type in messages.
func typeName(v any) string {
	return plainTypes.Replace(fmt.Sprintf("%T", v))
}

// expected is the failure of a place that wants another type.
func expected(at int, want string, got any) *failure {
	return &failure{at: at, msg: fmt.Sprintf("expected %s, got %s", want, typeName(got))}
}

// wanting is expected for a value that the machine has not boxed.
func wanting(at int, want string, got *value) *failure {
	return &failure{at: at, msg: "expected " + want + ", got " + got.typeName()}
}
