package rules

import (
	"github.com/expr-lang/expr/vm"
)

// machine evaluates expressions over one event at a time. Machines are pooled
// by Set and used by one goroutine at a time.
type machine struct {
	ev *Event

	decoded bool // ev.Data has been decoded, or could not be
	data    any
	bad     bool // ev.Data is not JSON

	values []any  // by slot: what the path gives, once known
	known  []bool // by slot

	vm      vm.VM
	steps   int  // left of the budget of this evaluation
	missing bool // this evaluation read a missing value
}

func newMachine(slots int) *machine {
	return &machine{values: make([]any, slots), known: make([]bool, slots)}
}

// release forgets the event, so that a pooled machine keeps no payload alive.
// (The loops of vm.VM may keep one array until their next use.)
func (m *machine) release() {
	m.ev, m.data, m.decoded, m.bad = nil, nil, false, false
	clear(m.values)
	clear(m.known)
	clear(m.vm.Stack[:cap(m.vm.Stack)])
	clear(m.vm.Variables)
}

// payload returns the decoded payload. ok is false when it is not JSON.
func (m *machine) payload() (v any, ok bool) {
	if !m.decoded {
		m.decoded = true
		if len(m.ev.Data) > 0 {
			v, err := decode(m.ev.Data)
			m.data, m.bad = v, err != nil
		}
	}
	return m.data, !m.bad
}

// read returns the value of a path: a string for event fields, nil for what is
// missing. An undecodable payload gives nil; who needs to tell asks payload.
func (m *machine) read(p *path) any {
	if p.field != fieldNone {
		return p.field.of(m.ev)
	}
	if !m.known[p.slot] {
		data, _ := m.payload()
		m.values[p.slot] = p.get(data)
		m.known[p.slot] = true
	}
	return m.values[p.slot]
}

// text is read for callers that want a string, without boxing event fields.
func (m *machine) text(p *path) (string, bool) {
	if p.field != fieldNone {
		return p.field.of(m.ev), true
	}
	s, ok := m.read(p).(string)
	return s, ok
}

// begin starts the budget of one evaluation.
func (m *machine) begin() {
	m.steps = maxSteps
}

// charge takes n steps from the budget.
func (m *machine) charge(n int) error {
	if m.steps -= n; m.steps < 0 {
		return errSteps
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
