package gate

// line is who waits at a Fair, each with one place: in two queues, so that the first of those that are not quiet is found
// behind any number that are. The places given up are used over, so the memory is as large as the line once was.
type line[W comparable] struct {
	places map[W]*place[W]
	lively queue[W]
	quiet  queue[W]
	ticket uint64    // of the last who joined
	spare  *place[W] // linked by next
}

// place is one lane's in the line.
type place[W comparable] struct {
	lane       W
	ticket     uint64 // who came before whom, across the queues
	quiet      bool
	prev, next *place[W]
}

// join puts a lane that is not there yet at the end.
func (l *line[W]) join(w W, quiet bool) {
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
	*p = place[W]{lane: w, ticket: l.ticket, quiet: quiet}
	l.places[w] = p
	l.queue(quiet).insert(p)
}

// leave takes a lane out, if it is there.
func (l *line[W]) leave(w W) {
	p := l.places[w]
	if p == nil {
		return
	}
	delete(l.places, w)
	l.queue(p.quiet).remove(p)
	*p = place[W]{next: l.spare}
	l.spare = p
}

// regard moves a lane to the other queue when it is quiet now and was not before, or the reverse; its place in the line
// as a whole stays.
func (l *line[W]) regard(w W, quiet bool) {
	p := l.places[w]
	if p == nil || p.quiet == quiet {
		return
	}
	l.queue(p.quiet).remove(p)
	p.quiet = quiet
	l.queue(quiet).insert(p)
}

func (l *line[W]) queue(quiet bool) *queue[W] {
	if quiet {
		return &l.quiet
	}
	return &l.lively
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
