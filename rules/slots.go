package rules

// slot is where a machine keeps the value of a place.
type slot struct {
	value
	boxed   any // the value as box gives it, once asked for
	isBoxed bool
}

// ready is extract, quick when it has been called before.
func (m *machine) ready() bool { return m.extracted && !m.bad || m.extract() }

// extract takes what the plan reads out of the event's payload, once per event.
// It reports whether the payload is JSON, or none.
func (m *machine) extract() bool {
	if m.extracted {
		return !m.bad
	}
	m.extracted = true
	if len(m.ev.Data) == 0 {
		return true
	}
	if len(m.slots) < m.plan.slots {
		m.slots = make([]slot, m.plan.slots)
	}
	if len(m.lists) < m.plan.lists {
		m.lists = append(m.lists, make([][]string, m.plan.lists-len(m.lists))...)
	}
	x := extractor{scanner: scanner{b: m.ev.Data}, m: m}
	m.bad = !x.document(m.plan.root)
	if m.bad {
		m.forgetPayload()
	}
	return !m.bad
}

// at returns the value of a path into the payload. An undecodable payload gives
// none; who needs to tell asks extract.
func (m *machine) at(p *path) *value {
	if !m.ready() || p.slot >= len(m.slots) {
		return &absent
	}
	return &m.slots[p.slot].value
}

// absent is the value of what is not there. It is never written to.
var absent value

// put keeps the value of a place.
func (m *machine) put(at int, v *value) {
	m.slots[at].value = *v
	m.touched = append(m.touched, at)
}

// add collects a text of an element.
func (m *machine) add(list int, text string) {
	if len(m.lists[list]) == 0 {
		m.touchedLists = append(m.touchedLists, list)
	}
	m.lists[list] = append(m.lists[list], text)
}

// forget takes back the values of a place and of everything below.
func (m *machine) forget(w *wanted) {
	m.slots[w.slot] = slot{}
	for _, c := range w.members {
		m.forget(c.place)
	}
	for _, c := range w.elements {
		m.forget(c.place)
	}
	for _, c := range w.fromEnd {
		m.forget(c.place)
	}
	if w.each != nil {
		if w.each.elements >= 0 {
			m.truncate(w.each.elements, 0)
		}
		for _, c := range w.each.members {
			m.truncate(c.slot, 0)
		}
	}
}

// truncate takes back all texts of a list but the first n.
func (m *machine) truncate(list, n int) {
	clear(m.lists[list][n:])
	m.lists[list] = m.lists[list][:n]
}

// The most that a machine keeps for its next event, in texts of a list and in
// bytes of scratch space.
const (
	keptTexts   = 1 << 10
	keptScratch = 64 << 10
)

// forgetPayload lets go of everything that was taken from the payload.
func (m *machine) forgetPayload() {
	for _, i := range m.touched {
		m.slots[i] = slot{}
	}
	for _, i := range m.touchedLists {
		if m.truncate(i, 0); cap(m.lists[i]) > keptTexts {
			m.lists[i] = nil
		}
	}
	m.touched, m.touchedLists = m.touched[:0], m.touchedLists[:0]
	if m.scratch = m.scratch[:0]; cap(m.scratch) > keptScratch {
		m.scratch = nil
	}
}

// textsOf returns the texts that an each collects. They are views, as value's.
func (m *machine) textsOf(e *each) []string {
	if !m.ready() || e.slot >= len(m.lists) {
		return nil
	}
	return m.lists[e.slot]
}
