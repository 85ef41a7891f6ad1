package rules

import (
	"fmt"

	"github.com/expr-lang/expr/vm"
)

// machine evaluates expressions over one event at a time. Machines are pooled
// by Set and used by one goroutine at a time.
type machine struct {
	ev   *Event
	plan *plan

	extracted bool // what the plan reads has been taken from the payload
	bad       bool // the payload is not JSON

	slots        []slot     // the values of paths
	lists        [][]string // what each collects
	touched      []int      // the slots that are not empty
	touchedLists []int
	scratch      []byte // texts that had escapes
	marks        []int  // of the lists, before the element being read

	order keyOrder // of the members of objects; nil: nobody asks

	vm      vm.VM
	limits  *limits
	steps   int  // left of the budget of this evaluation
	room    int  // likewise, in bytes that may be made
	missing bool // this evaluation read a missing value
}

func newMachine(p *plan) *machine {
	return &machine{plan: p, limits: &conditionLimits}
}

// release forgets the event, so that a pooled machine keeps no payload alive.
// (The loops of vm.VM may keep one array until their next use.)
func (m *machine) release() {
	m.forgetPayload()
	m.ev, m.extracted, m.bad = nil, false, false
	clear(m.vm.Stack[:cap(m.vm.Stack)])
	clear(m.vm.Variables)
}

// read returns the value of a path as the expr machine takes it: a string for
// event fields, nil for what is missing.
func (m *machine) read(p *path) any {
	if p.field != fieldNone {
		return p.field.of(m.ev)
	}
	if m.at(p).isNil() {
		return nil
	}
	s := &m.slots[p.slot]
	if !s.isBoxed {
		s.boxed, s.isBoxed = s.box(m.order), true
	}
	return s.boxed
}

// text returns the value of a path when that is a text.
func (m *machine) text(p *path) (string, bool) {
	if p.field != fieldNone {
		return p.field.of(m.ev), true
	}
	v := m.at(p)
	return v.text, v.kind == kindText
}

// begin starts the budget of one evaluation.
func (m *machine) begin() {
	m.steps, m.room = maxSteps, m.limits.room
}

// charge takes n steps from the budget.
func (m *machine) charge(n int) error {
	if m.steps -= n; m.steps < 0 {
		return errSteps
	}
	return nil
}

// grow takes n bytes from the room that an evaluation has for what it makes.
func (m *machine) grow(n int) error {
	if m.room -= n; m.room < 0 {
		return &safeError{msg: fmt.Sprintf("stopped after making %d KiB of text and lists", m.limits.room>>10), always: true}
	}
	return nil
}

// run executes a program.
func (m *machine) run(p *vm.Program) (any, *failure) {
	m.missing = false
	out, err := m.vm.Run(p, m)
	if err != nil {
		return nil, explain(err, m.missing)
	}
	return out, nil
}

// length is the number of bytes of a text, of elements or members.
func length(v any) int { return size(v, 1) }

// size is what a function with linear time pays for a value.
func size(v any, perStep int) int {
	switch x := v.(type) {
	case string:
		return len(x) / perStep
	case []any:
		return len(x)
	case []string:
		return len(x)
	case map[string]any:
		return len(x)
	}
	return 0
}

// deepSize is what an operation that looks at everything inside pays. It stops
// counting past limit, so that counting is not the attack.
func deepSize(v any, limit int) int {
	n := 1
	switch x := v.(type) {
	case []any:
		for _, e := range x {
			if n += deepSize(e, limit-n); n > limit {
				return n
			}
		}
	case map[string]any:
		for k, e := range x {
			if n += deepSize(e, limit-n) + len(k)/bytesPerStep; n > limit {
				return n
			}
		}
	default:
		n += size(v, bytesPerStep)
	}
	return n
}
