package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"sync"

	"github.com/expr-lang/expr/vm"
)

// Transform computes the body to send instead of an event's own: any JSON
// value. Objects keep the order of their members, as written in the expression
// or as it is in the payload. It is safe for concurrent use.
type Transform struct {
	expr    Expr
	program *vm.Program
	reads   []reading
	plan    *plan
	digest  string
	pool    sync.Pool // of *machine
}

// CompileTransform compiles an expression that gives a body. subject is what
// the messages call its owner. The error is of type Diagnostics.
func CompileTransform(subject, field string, e Expr) (*Transform, error) {
	c := newExprCompiler()
	c.limits = &transformLimits
	program, reads, found := c.transform(e.Text)
	if found != nil {
		k := setCompiler{subject: subject}
		k.refuseExpr(field, e, found)
		return nil, k.found
	}
	sum := sha256.Sum256(appendTexts(nil, "transform 1", e.Text))
	return &Transform{expr: e, program: program, reads: reads, plan: c.plan(), digest: hex.EncodeToString(sum[:8])}, nil
}

func (c *exprCompiler) transform(text string) (*vm.Program, []reading, []mistake) {
	tree, found := c.parse(text)
	if found != nil {
		return nil, nil, found
	}
	p, err := c.program(tree.Node, tree.Source)
	if err != nil {
		return nil, nil, []mistake{compileMistake(err)}
	}
	b := bench{expr: c}
	return p, b.readings(tree.Node, nil), nil
}

// Digest identifies what the transform does: equal texts have equal digests.
func (t *Transform) Digest() string { return t.digest }

// Of computes the body for an event, which must not change meanwhile: compact
// JSON of at most 1 MiB. The error names the place in the expression, types and
// missing paths, and no value of the event.
func (t *Transform) Of(ev *Event) ([]byte, error) {
	m, _ := t.pool.Get().(*machine)
	if m == nil {
		m = newMachine(t.plan)
		m.limits = &transformLimits
	}
	m.ev, m.order = ev, keyOrder{}
	defer func() {
		m.release()
		m.order = nil
		t.pool.Put(m)
	}()
	m.begin()
	v, why := m.run(t.program)
	if why == nil && v == nil && m.missing {
		why = errAbsent
	}
	if why != nil {
		return nil, t.failed(m, why)
	}
	w := jsonWriter{order: m.order}
	if err := w.value(v, 0); err != nil {
		return nil, err
	}
	return w.out, nil
}

// failed tells why there is no body.
func (t *Transform) failed(m *machine, why *failure) error {
	if !why.missing {
		line, snippet := caret(t.expr.Text, why.at)
		text := why.msg
		if p := t.expr.Pos.down(line).String(); p != "" {
			text = p + ": " + text
		}
		return errors.New(strings.TrimSuffix(text+"\n"+snippet, "\n"))
	}
	var absent []string
	for _, r := range t.reads {
		if m.read(r.path) == nil {
			absent = append(absent, r.name)
		}
	}
	if len(absent) == 0 {
		return errors.New("a value is missing")
	}
	is := " is missing"
	if len(absent) > 1 {
		is = " are missing"
	}
	return errors.New(strings.Join(absent, ", ") + is)
}
