package rules

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkHostile evaluates every expression of the corpus and reports the
// dearest: the best of three runs of each, so that the machine's other work does
// not count.
func BenchmarkHostile(b *testing.B) {
	b.Run("refused", func(b *testing.B) {
		slowest := time.Duration(0)
		for b.Loop() {
			for _, text := range hostileAndRefused {
				took := bestOfThree(func() { _, _ = newExprCompiler().condition(text) })
				slowest = max(slowest, took)
			}
		}
		b.ReportMetric(float64(slowest.Microseconds())/1000, "ms-slowest")
	})
	b.Run("stopped", func(b *testing.B) {
		slowest, largest := time.Duration(0), uint64(0)
		for b.Loop() {
			for name, text := range hostileAndStopped {
				took, allocated := stopping(text)
				if slowest = max(slowest, took); took > 10*time.Millisecond {
					b.Logf("%v: %s", took, name)
				}
				largest = max(largest, allocated)
			}
		}
		b.ReportMetric(float64(len(hostileAndStopped)), "expressions")
		b.ReportMetric(float64(slowest.Microseconds())/1000, "ms-slowest")
		b.ReportMetric(float64(largest>>10), "KiB-largest")
	})
}

func bestOfThree(f func()) time.Duration {
	best := time.Duration(math.MaxInt64)
	for range 3 {
		start := time.Now()
		f()
		best = min(best, time.Since(start))
	}
	return best
}

// stopping evaluates a condition over the hostile event until it is stopped.
func stopping(text string) (took time.Duration, allocated uint64) {
	c := newExprCompiler()
	cond, _ := c.condition(text)
	m := newMachine(c.plan())
	m.ev = hostileEvent()
	for _, p := range m.plan.paths {
		m.read(p)
	}
	allocated = math.MaxUint64
	took = bestOfThree(func() {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m.begin()
		cond.eval(m)
		runtime.ReadMemStats(&after)
		allocated = min(allocated, after.TotalAlloc-before.TotalAlloc)
	})
	return took, allocated
}

// BenchmarkBesideHostile measures what ordinary events take in a set in which a
// tenant has every hostile condition of the corpus, while nobody sends that
// tenant's events, and while some do, one after the other.
func BenchmarkBesideHostile(b *testing.B) {
	c := newCorpus(1000)
	config := c.config(0)
	for _, text := range hostileAndStopped {
		config.Subscriptions = append(config.Subscriptions, Subscription{
			Endpoint: fmt.Sprintf("h%d", len(config.Subscriptions)), Types: []string{"*"}, Tenant: "hostile", When: when(text),
		})
	}
	s, err := Compile(config)
	if err != nil {
		b.Fatal(err)
	}
	events, hostile := c.events(1000), hostileEvent()
	hostile.Tenant = "hostile"
	for _, senders := range []int{0, 1, runtime.GOMAXPROCS(0), 4 * runtime.GOMAXPROCS(0)} {
		b.Run(fmt.Sprintf("%d hostile", senders), func(b *testing.B) {
			var stop atomic.Bool
			var wg sync.WaitGroup
			for range senders {
				wg.Go(func() {
					for !stop.Load() {
						s.Match(hostile)
					}
				})
			}
			took := make([]time.Duration, 0, 1<<16)
			i := 0
			for b.Loop() {
				start := time.Now()
				s.Match(events[i%len(events)])
				took = append(took, time.Since(start))
				if i++; i%100 == 0 {
					time.Sleep(time.Millisecond) // as events come: with pauses
				}
			}
			stop.Store(true)
			wg.Wait()
			slices.Sort(took)
			for name, share := range map[string]float64{"ns-p50": 0.5, "ns-p99": 0.99, "ns-p99.9": 0.999} {
				b.ReportMetric(float64(took[int(share*float64(len(took)-1))]), name)
			}
		})
	}
}
