package rules

// outcome is what a condition, or a part of one, gives for an event.
type outcome uint8

const (
	isFalse outcome = iota
	isTrue
	isMissing
	isError
)

func (o outcome) String() string {
	switch o {
	case isFalse:
		return "false"
	case isTrue:
		return "true"
	case isMissing:
		return "missing"
	case isError:
		return "error"
	}
	return "invalid outcome"
}

func outcomeOf(b bool) outcome {
	if b {
		return isTrue
	}
	return isFalse
}

// swapped is what not makes of an outcome.
func (o outcome) swapped() outcome { return negations[o&3] }

var negations = [4]outcome{isFalse: isTrue, isTrue: isFalse, isMissing: isMissing, isError: isError}

// connective is what a node of a condition does with its parts.
type connective uint8

const (
	leaf connective = iota // it has none: an atom
	and
	or
	not // in the parts of an explanation only; a condition is negated
)

// condition is a tree of and, or and not over atoms. It is kept small and its
// parts side by side: what has to be evaluated for every event is read from
// memory for every event.
type condition struct {
	op      connective
	negated bool
	cost    uint8       // the highest of its atoms
	at      int32       // of a leaf: its place, in characters of the expression
	atom    *atom       // of a leaf
	parts   []condition // of and, or: two or more
}

// The ranks of outcomes, by outcome: the highest of the parts is the result.
var (
	andRank = [4]uint8{isFalse: 3, isMissing: 2, isError: 1, isTrue: 0}
	orRank  = [4]uint8{isTrue: 3, isError: 2, isMissing: 1, isFalse: 0}
)

// eval returns the outcome and, when it is error, why. Parts are taken from
// the cheapest to the dearest, up to the first that settles the result; their
// order has no influence on it.
func (c *condition) eval(m *machine) (o outcome, why *failure) {
	switch c.op {
	case leaf:
		o, why = c.atom.eval(m, int(c.at))
	case and:
		o, why = c.combine(m, isTrue, isFalse, &andRank)
	default:
		o, why = c.combine(m, isFalse, isTrue, &orRank)
	}
	if c.negated {
		o = o.swapped()
	}
	return o, why
}

// combine starts from the outcome of no parts and stops at the one that settles
// the result.
func (c *condition) combine(m *machine, start, settled outcome, rank *[4]uint8) (outcome, *failure) {
	result, why := start, (*failure)(nil)
	for i := range c.parts {
		p := &c.parts[i]
		var o outcome
		var w *failure
		if p.op != leaf {
			o, w = p.eval(m)
		} else if o, w = p.atom.eval(m, int(p.at)); p.negated {
			o = o.swapped()
		}
		switch {
		case o == start:
		case o == settled:
			return o, nil
		case rank[o] > rank[result]:
			result, why = o, w
		}
	}
	return result, why
}
