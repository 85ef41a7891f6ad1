package rules

import "unicode/utf8"

// extractor reads a payload once and hands the values that are wanted to a
// machine. It accepts exactly what decode accepts: an outcome may not depend on
// how much of a payload the rules read.
type extractor struct {
	scanner
	m *machine
}

// document reads the whole document. It reports whether it is JSON.
func (x *extractor) document(root *wanted) bool {
	ok := x.value(root, 0)
	x.space()
	return ok && x.i == len(x.b)
}

// value reads a value, which nobody wants when w is nil.
func (x *extractor) value(w *wanted, depth int) bool {
	if depth > maxJSONDepth {
		return false
	}
	if w != nil && x.m.slots[w.slot].kind != kindAbsent {
		x.m.forget(w) // a repeated name: the last one counts
	}
	c := x.next()
	start, v := x.i, value{}
	var ok bool
	switch c {
	case '{':
		v.kind = kindObject
		ok = x.object(w, depth)
	case '[':
		v.kind = kindList
		ok = x.array(w, depth)
	case '"':
		if w == nil {
			_, _, ok = x.quoted()
			return ok
		}
		v.kind = kindText
		v.text, ok = x.text()
	case 't':
		v.kind, v.truth = kindBool, true
		ok = x.word("true")
	case 'f':
		v.kind = kindBool
		ok = x.word("false")
	case 'n':
		v.kind = kindNull
		ok = x.word("null")
	default:
		v.kind = kindNumber
		v.num, ok = x.amount(w != nil)
	}
	if !ok || w == nil {
		return ok
	}
	if v.kind == kindObject || v.kind == kindList {
		v.text = view(x.b[start:x.i])
	}
	x.m.put(w.slot, &v)
	return true
}

func (x *extractor) object(w *wanted, depth int) bool {
	x.i++
	if x.next() == '}' {
		x.i++
		return true
	}
	for again := true; again; {
		var below *wanted
		if w != nil && len(w.members) > 0 {
			name, ok := x.name()
			if !ok {
				return false
			}
			below = w.find(name)
		} else if x.next() != '"' {
			return false
		} else if _, _, ok := x.quoted(); !ok {
			return false
		}
		if x.next() != ':' {
			return false
		}
		x.i++
		if !x.value(below, depth+1) {
			return false
		}
		var ok bool
		if again, ok = x.more('}'); !ok {
			return false
		}
	}
	return true
}

// name reads the name of a member.
func (x *extractor) name() (string, bool) {
	if x.next() != '"' {
		return "", false
	}
	return x.text()
}

func (x *extractor) array(w *wanted, depth int) bool {
	start := x.i
	x.i++
	if x.next() == ']' {
		x.i++
		return true
	}
	n, listed := 0, 0
	for again := true; again; n++ {
		var below *wanted
		if w != nil && listed < len(w.elements) && w.elements[listed].index == n {
			below = w.elements[listed].place
			listed++
		}
		x.space()
		at := x.i
		if !x.value(below, depth+1) {
			return false
		}
		if w != nil && w.each != nil {
			x.collect(w.each, at)
		}
		var ok bool
		if again, ok = x.more(']'); !ok {
			return false
		}
	}
	if w != nil && len(w.fromEnd) > 0 {
		x.backwards(w, start, n, depth)
	}
	return true
}

// backwards reads the elements that are counted from the end of an array, of
// which the length is known only now. Every byte is read again at most once per
// such place in the plan.
func (x *extractor) backwards(w *wanted, start, n, depth int) {
	end := x.i
	x.i = start + 1
	next := 0
	for i := range n {
		for next < len(w.fromEnd) && w.fromEnd[next].index+n < i {
			next++
		}
		var below *wanted
		if next < len(w.fromEnd) && w.fromEnd[next].index+n == i {
			below = w.fromEnd[next].place
		}
		x.value(below, depth+1) // has been read before: it is JSON
		x.space()
		x.i++ // the comma, or the end
	}
	x.i = end
}

// collect adds the texts of the element at i, which has been read.
func (x *extractor) collect(e *wantedEach, i int) {
	end := x.i
	x.i = i
	switch x.b[i] {
	case '"':
		if e.elements >= 0 {
			t, _ := x.text()
			x.m.add(e.elements, t)
		}
	case '{':
		if len(e.members) > 0 {
			x.collectMembers(e)
		}
	}
	x.i = end
}

// collectMembers adds the wanted members of the object at x.i that are texts. Of
// members with the same name the last one counts, whatever it is.
func (x *extractor) collectMembers(e *wantedEach) {
	marks := x.m.marks[:0]
	for _, m := range e.members {
		marks = append(marks, len(x.m.lists[m.slot]))
	}
	x.m.marks = marks
	x.i++
	if x.next() == '}' {
		return
	}
	for again := true; again; again, _ = x.more('}') {
		name, _ := x.name()
		x.next()
		x.i++ // the colon
		isText := x.next() == '"'
		at := x.i
		x.value(nil, 0)
		for i, m := range e.members {
			if m.name != name {
				continue
			}
			x.m.truncate(m.slot, marks[i])
			if isText {
				end := x.i
				x.i = at
				t, _ := x.text()
				x.m.add(m.slot, t)
				x.i = end
			}
		}
	}
}

// text reads the string at x.i, which is a quote.
func (x *extractor) text() (string, bool) {
	inner, plain, ok := x.quoted()
	if !ok {
		return "", false
	}
	if plain && (ascii(inner) || utf8.Valid(inner)) {
		return view(inner), true
	}
	start := len(x.m.scratch)
	x.m.scratch = unquote(x.m.scratch, inner)
	return view(x.m.scratch[start:]), true
}

// amount reads a number. Its value is made only when it is wanted.
func (x *extractor) amount(wanted bool) (number, bool) {
	text, integer, small, ok := x.number()
	if !ok || !wanted && small {
		return number{}, ok
	}
	return parseNumber(text, integer)
}
