package gate

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// model runs lanes as the engine does, on coroutines of which one at a time
// runs, for one step: up to the next call of the Fair, or the next lock. So
// every order of those calls can come up that can come up in the engine.
type model struct {
	t      *testing.T
	rnd    *rand.Rand
	f      *Fair[int]
	now    time.Time
	timer  time.Time
	lanes  []modelLane
	actors []func() (struct{}, bool) // each call is one step; false: it has ended
	log    []string
	begun  int
}

type modelLane struct {
	locked  bool
	class   Class
	able    bool // no other gate holds it
	queued  int
	running int
}

const modelSlots = 2

// spawn starts something that yields between its steps.
func (m *model) spawn(name string, body func(step func(string))) {
	next, _ := iter.Pull(func(yield func(struct{}) bool) {
		body(func(what string) {
			yield(struct{}{})
			m.log = append(m.log, name+": "+what)
		})
	})
	m.actors = append(m.actors, next)
}

// serve is the duty of whoever gave something back, and of the timer.
func (m *model) serve(step func(string)) {
	for {
		step("next")
		turn, wake, ok := m.f.Next(m.now)
		if !ok {
			step("arm")
			m.arm(wake)
			return
		}
		m.pump(step, turn.Lane)
		step(fmt.Sprint("done ", turn.Lane))
		m.f.Done(turn)
	}
}

func (m *model) arm(at time.Time) {
	if !at.IsZero() && (m.timer.IsZero() || at.Before(m.timer)) {
		m.timer = at
	}
}

func (m *model) lock(step func(string), l *modelLane) {
	step("lock")
	for l.locked {
		step("wait")
	}
	l.locked = true
}

// pump lets a lane look, as lane.pump does.
func (m *model) pump(step func(string), i int) {
	l := &m.lanes[i]
	m.lock(step, l)
	m.start(step, i)
	l.locked = false
}

// start begins what it can, under the lane's lock.
func (m *model) start(step func(string), i int) {
	for l := &m.lanes[i]; l.able && l.queued > 0 && l.running < modelSlots; {
		step(fmt.Sprint("take ", i))
		class := l.class
		hold := m.f.Take(i, class, m.now)
		if hold.Reason != ReasonNone {
			step(fmt.Sprint("held ", hold.Reason))
			m.arm(hold.Until)
			return
		}
		if m.rnd.IntN(6) == 0 { // the breaker refuses
			l.able = false
			step(fmt.Sprint("give back ", i))
			m.f.GiveBack(class)
			m.spawn("after a give back", m.serve) // not here: a lock is held
			return
		}
		step(fmt.Sprint("use ", i))
		m.f.Use(m.now)
		l.queued--
		l.running++
		m.begun++
		m.spawn(fmt.Sprint("attempt of ", i), func(step func(string)) { m.attempt(step, i, class) })
	}
}

// attempt ends, and its lane looks, as lane.work does.
func (m *model) attempt(step func(string), i int, class Class) {
	for range m.rnd.IntN(20) {
		step("work")
	}
	if m.rnd.IntN(3) == 0 {
		step("rest")
		m.f.Rest(class)
		m.spawn(fmt.Sprint("rest of ", i), m.rest)
	} else {
		step("release")
		m.f.Release(class)
	}
	l := &m.lanes[i]
	m.lock(step, l)
	l.class = Class(m.rnd.IntN(classes))
	l.running--
	m.start(step, i)
	l.locked = false
	m.serve(step)
}

// rest ends some time after an attempt had no answer.
func (m *model) rest(step func(string)) {
	for range m.rnd.IntN(20) {
		step("rest")
	}
	step("rested")
	m.f.Rested()
	m.serve(step)
}

// disturb does something that the world does to lanes.
func (m *model) disturb() {
	i := m.rnd.IntN(len(m.lanes))
	l := &m.lanes[i]
	look := func(step func(string)) { m.pump(step, i) }
	switch m.rnd.IntN(10) {
	case 0, 1, 2:
		l.queued += 1 + m.rnd.IntN(3)
		m.spawn(fmt.Sprint("delivery for ", i), look)
	case 3:
		l.able = false
	case 4, 5:
		l.able = true
		m.spawn(fmt.Sprint("resume ", i), look)
	case 6:
		m.f.Set(m.someLimits(), m.someRate())
		m.spawn("reload", m.serve)
	case 7, 8:
		m.now = m.now.Add(time.Duration(m.rnd.IntN(400)) * time.Millisecond)
		m.tick()
	default:
	}
}

func (m *model) someLimits() Limits {
	return Limits{All: 1 + m.rnd.IntN(3), Unsure: 1 + m.rnd.IntN(3), Silent: 1 + m.rnd.IntN(3)}
}

func (m *model) someRate() RateSettings {
	if m.rnd.IntN(3) == 0 {
		return RateSettings{}
	}
	n := 1 + m.rnd.IntN(4)
	return RateSettings{N: n, Unit: time.Second, Burst: 1 + m.rnd.IntN(n)}
}

func (m *model) tick() {
	if !m.timer.IsZero() && !m.now.Before(m.timer) {
		m.timer = time.Time{}
		m.spawn("timer", m.serve)
	}
}

// settle lets all that is under way come to its end, in random order.
func (m *model) settle() {
	for len(m.actors) > 0 {
		m.one()
	}
}

func (m *model) one() {
	if len(m.actors) == 0 {
		return
	}
	i := m.rnd.IntN(len(m.actors))
	if _, more := m.actors[i](); !more {
		m.actors = slices.Delete(m.actors, i, i+1)
	}
}

func (m *model) fail(format string, args ...any) {
	m.t.Helper()
	for _, line := range m.log[max(0, len(m.log)-60):] {
		m.t.Log(line)
	}
	m.t.Fatalf(format, args...)
}

// check looks at a world in which nothing is under way any more.
func (m *model) check() {
	m.t.Helper()
	f := m.f
	if f.used != [classes]int{} || f.rests != 0 || f.rate.taken != 0 {
		m.fail("nothing is under way, and %d attempts (by class, with those above), %d rests, %d tokens are taken", f.used, f.rests, f.rate.taken)
	}
	if f.named {
		m.fail("a turn is left open")
	}
	for i, l := range m.lanes {
		if _, waits := f.line.places[i]; l.able && l.queued > 0 && !waits {
			m.fail("lane %d has work, could begin, and is not in line", i)
		}
	}
	if len(f.line.places) == 0 {
		return
	}
	ok, until := f.rate.Peek(m.now)
	if ok || m.timer.IsZero() || m.timer.After(until) {
		m.fail("%d wait; a token is free: %v, or at %v; the timer fires at %v", len(f.line.places), ok, until, m.timer)
	}
}

func TestNoWakeUpIsLostInAnyOrderOfCalls(t *testing.T) {
	t.Parallel()
	for seed := range uint64(600) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		m := &model{t: t, rnd: rnd, now: epoch, lanes: make([]modelLane, 1+rnd.IntN(5))}
		for i := range m.lanes {
			m.lanes[i].class = ClassFresh
		}
		m.f = NewFair[int](m.someLimits(), m.someRate())
		for range 4 {
			for range 20 + rnd.IntN(100) {
				if rnd.IntN(12) == 0 {
					m.disturb()
				}
				m.one()
			}
			m.settle()
			m.check()
		}
		// In peace, timers alone bring everything to its end.
		for i := range m.lanes {
			m.lanes[i].able = true
			m.spawn(fmt.Sprint("resume ", i), func(step func(string)) { m.pump(step, i) })
		}
		for m.settle(); !m.timer.IsZero(); m.settle() {
			m.check()
			m.now = m.timer
			m.tick()
			for i := range m.lanes { // breakers close again
				if !m.lanes[i].able {
					m.lanes[i].able = true
					m.spawn(fmt.Sprint("resume ", i), func(step func(string)) { m.pump(step, i) })
				}
			}
		}
		m.check()
		for i, l := range m.lanes {
			if l.able && l.queued > 0 {
				m.fail("seed %d: %d deliveries of lane %d never began", seed, l.queued, i)
			}
		}
	}
}
