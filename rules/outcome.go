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

// connective is what a node of a condition does with its parts.
type connective uint8

const (
	leaf connective = iota // it has none: an atom
	and
	or
	not
)

// condition is a tree of and, or and not over atoms.
type condition struct {
	op    connective
	cost  uint8       // the highest of its atoms
	at    int         // of a leaf: its place, in characters of the expression
	atom  *atom       // of a leaf
	parts []condition // two or more for and, or; one for not
}

// The ranks of outcomes, by outcome: the highest of the parts is the result.
var (
	andRank = [4]uint8{isFalse: 3, isMissing: 2, isError: 1, isTrue: 0}
	orRank  = [4]uint8{isTrue: 3, isError: 2, isMissing: 1, isFalse: 0}
)

// eval returns the outcome and, when it is error, why. Parts are taken from
// the cheapest to the dearest, up to the first that settles the result; their
// order has no influence on it.
func (c *condition) eval(m *machine) (outcome, *failure) {
	switch c.op {
	case leaf:
		return c.atom.eval(m, c.at)
	case not:
		o, why := c.parts[0].eval(m)
		switch o {
		case isFalse:
			o = isTrue
		case isTrue:
			o = isFalse
		case isMissing, isError:
		}
		return o, why
	case and:
		return c.combine(m, isTrue, isFalse, &andRank)
	default:
		return c.combine(m, isFalse, isTrue, &orRank)
	}
}

// combine starts from the outcome of no parts and stops at the one that settles
// the result.
func (c *condition) combine(m *machine, start, settled outcome, rank *[4]uint8) (outcome, *failure) {
	result, why := start, (*failure)(nil)
	for i := range c.parts {
		o, w := c.parts[i].eval(m)
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
