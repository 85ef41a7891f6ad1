package delivery

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// PulseMinutes is how far back the pulse goes.
const PulseMinutes = 60

// PulseMinute is what happened in one minute.
type PulseMinute struct {
	At time.Time // its beginning, UTC
	// Events accepted; Succeeded and Failed attempts, without tests, local faults and our own stops.
	Events, Succeeded, Failed uint64
	// P50 and P95 of the time from acceptance to a 2xx, for what was delivered in this minute; 0 when nothing was. They are
	// exact to a sixth.
	P50, P95 time.Duration
}

// pulse counts the last hour by the minute, for a glance at a page: a monitoring system keeps the history. It is an Observer
// that costs two atomic additions for an event and three for an attempt.
type pulse struct {
	NopObserver
	minutes [PulseMinutes]pulseMinute
	turning sync.Mutex
}

// latencyBuckets grow by a quarter from 1 ms on: the last begins after about a day, as late as the schedule delivers.
const latencyBuckets = 84

type pulseMinute struct {
	minute                    atomic.Int64 // since 1970
	events, succeeded, failed atomic.Uint64
	latency                   [latencyBuckets]atomic.Uint32
}

// at is the minute of a time. One that was another minute an hour ago is wiped first; what is counted in the moment of that
// may be lost.
func (p *pulse) at(now time.Time) *pulseMinute {
	n := now.Unix() / 60
	m := &p.minutes[n%PulseMinutes]
	if m.minute.Load() == n {
		return m
	}
	p.turning.Lock()
	defer p.turning.Unlock()
	if m.minute.Load() != n {
		m.events.Store(0)
		m.succeeded.Store(0)
		m.failed.Store(0)
		for i := range m.latency {
			m.latency[i].Store(0)
		}
		m.minute.Store(n)
	}
	return m
}

// Accepted implements Observer.
func (p *pulse) Accepted(ev *Event, _ []*Delivery) {
	if !ev.Test {
		p.at(ev.Accepted).events.Add(1)
	}
}

// Attempted implements Observer.
func (p *pulse) Attempted(d *Delivery, a *Attempt) {
	if d.Event.Test || a.Outcome == "local" || a.Outcome == "cancelled" {
		return
	}
	end := a.Started.Add(a.Duration)
	m := p.at(end)
	if a.Outcome != "delivered" {
		m.failed.Add(1)
		return
	}
	m.succeeded.Add(1)
	m.latency[latencyBucket(end.Sub(d.Event.Accepted))].Add(1)
}

func latencyBucket(d time.Duration) int {
	if d < time.Millisecond {
		return 0
	}
	return min(1+int(math.Log(float64(d)/float64(time.Millisecond))/math.Log(1.25)), latencyBuckets-1)
}

// bucketValue is the middle of a bucket.
func bucketValue(i int) time.Duration {
	if i == 0 {
		return time.Millisecond / 2
	}
	return time.Duration(math.Pow(1.25, float64(i)-0.5) * float64(time.Millisecond))
}

// Pulse tells what happened in the last hour, oldest minute first; the last one is still under way.
func (e *Engine) Pulse() []PulseMinute { return e.pulse.last(time.Now()) }

func (p *pulse) last(now time.Time) []PulseMinute {
	all := make([]PulseMinute, PulseMinutes)
	this := now.Unix() / 60
	for i := range all {
		n := this - PulseMinutes + 1 + int64(i)
		all[i].At = time.Unix(n*60, 0).UTC()
		m := &p.minutes[n%PulseMinutes]
		if m.minute.Load() != n {
			continue
		}
		all[i].Events, all[i].Succeeded, all[i].Failed = m.events.Load(), m.succeeded.Load(), m.failed.Load()
		all[i].P50, all[i].P95 = m.quantile(0.5), m.quantile(0.95)
	}
	return all
}

func (m *pulseMinute) quantile(q float64) time.Duration {
	var counts [latencyBuckets]uint32
	total := 0.0
	for i := range counts {
		counts[i] = m.latency[i].Load()
		total += float64(counts[i])
	}
	if total == 0 {
		return 0
	}
	seen := 0.0
	for i, n := range counts {
		if seen += float64(n); seen >= q*total {
			return bucketValue(i)
		}
	}
	return bucketValue(latencyBuckets - 1)
}

var _ Observer = (*pulse)(nil)
