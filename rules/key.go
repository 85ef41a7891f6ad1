package rules

import (
	"errors"
	"sync"

	"github.com/expr-lang/expr/vm"
)

// Key computes a string of an event, such as the one by which the deliveries
// of an endpoint are ordered. It is safe for concurrent use.
type Key struct {
	expr    Expr
	program *vm.Program
	pool    sync.Pool // of *machine
}

// CompileKey compiles an expression that gives a string. subject is what the
// messages call its owner. The error is of type Diagnostics.
func CompileKey(subject, field string, e Expr) (*Key, error) {
	c := newExprCompiler()
	program, found := c.key(field, e.Text)
	if found != nil {
		k := setCompiler{subject: subject}
		k.refuseExpr(field, e, found)
		return nil, k.found
	}
	plan := c.plan()
	return &Key{expr: e, program: program, pool: sync.Pool{New: func() any { return newMachine(plan) }}}, nil
}

func (c *exprCompiler) key(field, text string) (*vm.Program, []mistake) {
	tree, found := c.parse(text)
	if found != nil {
		return nil, found
	}
	if n := tree.Node.Nature(); !n.IsUnknown(&c.check.NtCache) && !n.IsString() {
		return nil, []mistake{{at: tree.Node.Location().From, msg: field + " must give a string; this gives " + natureName(n)}}
	}
	p, err := c.program(tree.Node, tree.Source)
	if err != nil {
		return nil, []mistake{compileMistake(err)}
	}
	return p, nil
}

// Of computes the key of an event, which must not change meanwhile. It is
// empty when a value the expression needs is missing. The error shows the
// place in the expression.
func (k *Key) Of(ev *Event) (string, error) {
	m := k.pool.Get().(*machine)
	defer func() {
		m.release()
		k.pool.Put(m)
	}()
	m.ev = ev
	m.begin()
	v, why := m.run(k.program)
	if why != nil {
		if why.missing {
			return "", nil
		}
		_, snippet := caret(k.expr.Text, why.at)
		return "", errors.New(why.msg + "\n" + snippet)
	}
	switch s := v.(type) {
	case nil:
		return "", nil
	case string:
		return s, nil
	}
	return "", errors.New("the expression gives " + typeName(v) + ", not a string; string(…) makes one of it")
}
