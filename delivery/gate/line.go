package gate

// line is who waits at a Fair, each with one place: in a queue per class, so that the first of one is found behind any number
// of others. The places given up are used over, so the memory is as large as the line once was.
type line[W comparable] struct {
	places map[W]*place[W]
	queues [classes]queue[W]
	ticket uint64    // of the last who joined
	spare  *place[W] // linked by next
}

// place is one lane's in the line.
type place[W comparable] struct {
	lane       W
	ticket     uint64 // who came before whom, across the queues
	class      Class
	prev, next *place[W]
}

// join puts a lane that is not there yet at the end.
func (l *line[W]) join(w W, class Class) {
	if l.places[w] != nil {
		return
	}
	p := l.spare
	if p == nil {
		p = new(place[W])
	} else {
		l.spare = p.next
	}
	l.ticket++
	*p = place[W]{lane: w, ticket: l.ticket, class: class}
	l.places[w] = p
	l.queues[class].insert(p)
}

// leave takes a lane out, if it is there.
func (l *line[W]) leave(w W) {
	p := l.places[w]
	if p == nil {
		return
	}
	delete(l.places, w)
	l.queues[p.class].remove(p)
	*p = place[W]{next: l.spare}
	l.spare = p
}

// regard moves a lane to the queue of its class when that was another one before; its place in the line as a whole stays.
func (l *line[W]) regard(w W, class Class) {
	p := l.places[w]
	if p == nil || p.class == class {
		return
	}
	l.queues[p.class].remove(p)
	p.class = class
	l.queues[class].insert(p)
}

// queue is a list of places in the order of their tickets.
type queue[W comparable] struct{ first, last *place[W] }

// insert finds the place from the end, where all but those that changed queues belong: a step for each who came later.
func (q *queue[W]) insert(p *place[W]) {
	after := q.last
	for after != nil && after.ticket > p.ticket {
		after = after.prev
	}
	p.prev = after
	if after == nil {
		p.next, q.first = q.first, p
	} else {
		p.next, after.next = after.next, p
	}
	if p.next == nil {
		q.last = p
	} else {
		p.next.prev = p
	}
}

func (q *queue[W]) remove(p *place[W]) {
	if p.prev == nil {
		q.first = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		q.last = p.prev
	} else {
		p.next.prev = p.prev
	}
	p.prev, p.next = nil, nil
}
