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
	parts []*condition // two or more for and, or; one for not
	atom  *atom        // for leaf
	cost  uint8        // the highest of its atoms
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
		return c.atom.eval(m)
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
		return c.combine(m, isTrue, &andRank)
	default:
		return c.combine(m, isFalse, &orRank)
	}
}

func (c *condition) combine(m *machine, result outcome, rank *[4]uint8) (outcome, *failure) {
	var why *failure
	for _, p := range c.parts {
		o, w := p.eval(m)
		if rank[o] > rank[result] {
			result, why = o, w
		}
		if rank[result] == 3 {
			return result, nil
		}
	}
	return result, why
}
