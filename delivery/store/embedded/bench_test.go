package embedded_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/store/embedded"
)

// The benchmarks use a real directory with real syncs: TMPDIR decides which disk. Time per op is per event or delivery.

func benchStore(b *testing.B, take bool) (*embedded.Store, *handover) {
	b.Helper()
	s, err := embedded.Open(b.Context(), embedded.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	h := &handover{take: take, holds: map[delivery.Key]*delivery.Delivery{}, queued: map[string]int{}}
	if err := s.Attach(h); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	b.ReportAllocs()
	return s, h
}

func BenchmarkAppendBy64(b *testing.B) {
	s, _ := benchStore(b, true)
	var n atomic.Int64
	b.SetParallelism(32) // × GOMAXPROCS 2
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Append(b.Context(), []delivery.Accept{accept(fmt.Sprint("e", n.Add(1)), 400, "orders")}); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkAppendBatchOf100(b *testing.B) {
	s, _ := benchStore(b, true)
	for n := 0; n < b.N; n += 100 {
		batch := make([]delivery.Accept, 100)
		for i := range batch {
			batch[i] = accept(fmt.Sprint("e", n+i), 400, "orders")
		}
		if _, err := s.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
}

// fill appends n events.
func fill(b *testing.B, s *embedded.Store, n int) (ds []*delivery.Delivery) {
	b.Helper()
	for i := 0; i < n; i += 1000 {
		batch := make([]delivery.Accept, min(1000, n-i))
		for j := range batch {
			batch[j] = accept(fmt.Sprint("e", i+j), 400, "orders")
		}
		if _, err := s.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		for _, a := range batch {
			ds = append(ds, a.Deliveries...)
		}
	}
	return ds
}

func BenchmarkSettleBatchesOf256(b *testing.B) {
	s, _ := benchStore(b, true)
	ds := fill(b, s, b.N)
	b.ResetTimer()
	for len(ds) > 0 {
		batch := make([]delivery.Settlement, min(256, len(ds)))
		for i := range batch {
			batch[i] = settled(ds[i])
		}
		ds = ds[len(batch):]
		for _, err := range s.Settle(b.Context(), batch) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// lineUp appends n events of one ordering key.
func lineUp(b *testing.B, s *embedded.Store, n int, key string) (ds []*delivery.Delivery) {
	b.Helper()
	for i := 0; i < n; i += 1000 {
		batch := make([]delivery.Accept, min(1000, n-i))
		for j := range batch {
			batch[j] = accept(fmt.Sprint(key, i+j), 400, "orders")
			batch[j].Deliveries[0].OrderKey = key
		}
		if _, err := s.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		for _, a := range batch {
			ds = append(ds, a.Deliveries...)
		}
	}
	return ds
}

// BenchmarkDrainALineOf10000 delivers the 10,000 deliveries of one ordering key one by one, each of which takes a claim and a
// settlement of its own. The times of the first and the last 1,000 are told apart: they must not grow with what was drained.
// Beside it, deliveries of no key go through the lane.
func BenchmarkDrainALineOf10000(b *testing.B) {
	for _, beside := range []int{0, 10} {
		b.Run(fmt.Sprint("beside ", beside), func(b *testing.B) {
			const n = 10_000
			s, _ := benchStore(b, false)
			lineUp(b, s, n, "k")
			l, err := s.Lease(b.Context(), "orders")
			if err != nil {
				b.Fatal(err)
			}
			var first, last time.Duration
			b.ResetTimer()
			for i := range n {
				for j := range beside {
					if _, err := s.Append(b.Context(), []delivery.Accept{accept(fmt.Sprint("e", i, "-", j), 400, "orders")}); err != nil {
						b.Fatal(err)
					}
				}
				began := time.Now()
				got, err := l.Claim(b.Context(), delivery.Claim{Now: time.Now().Add(time.Hour), Max: 100, MaxBytes: 1 << 30})
				if err != nil || len(got.Deliveries) != 1+beside {
					b.Fatalf("after %d: %d claimed, %v", i, len(got.Deliveries), err)
				}
				batch := make([]delivery.Settlement, len(got.Deliveries))
				for j, d := range got.Deliveries {
					batch[j] = settled(d)
				}
				if err := s.Settle(b.Context(), batch)[0]; err != nil {
					b.Fatal(err)
				}
				switch took := time.Since(began); {
				case i < 1000:
					first += took
				case i >= n-1000:
					last += took
				}
			}
			b.ReportMetric(float64(first.Microseconds())/1000, "µs/first1000")
			b.ReportMetric(float64(last.Microseconds())/1000, "µs/last1000")
		})
	}
}

// BenchmarkSettleHeadsOf256Keys ends the heads of lines that have a successor each.
func BenchmarkSettleHeadsOf256Keys(b *testing.B) {
	s, _ := benchStore(b, true)
	var ds []*delivery.Delivery
	for i := range (b.N + 255) / 256 * 256 {
		ds = append(ds, lineUp(b, s, 2, fmt.Sprint("k", i))[0])
	}
	b.ResetTimer()
	for len(ds) > 0 {
		batch := make([]delivery.Settlement, 256)
		for i := range batch {
			batch[i] = settled(ds[i])
		}
		ds = ds[len(batch):]
		for _, err := range s.Settle(b.Context(), batch) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkClaim100FromABacklog(b *testing.B) {
	s, _ := benchStore(b, false)
	fill(b, s, b.N)
	l, err := s.Lease(b.Context(), "orders")
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for n := 0; n < b.N; {
		got, err := l.Claim(b.Context(), delivery.Claim{Now: time.Now().Add(time.Hour), Max: 100, MaxBytes: 1 << 30})
		if err != nil || len(got.Deliveries) == 0 {
			b.Fatalf("%d claimed, then %v", n, err)
		}
		n += len(got.Deliveries)
	}
}

func BenchmarkPageOf50(b *testing.B) {
	s, _ := benchStore(b, true)
	fill(b, s, 20_000)
	b.ResetTimer()
	for range b.N {
		if page, err := s.Deliveries(b.Context(), delivery.DeliveryQuery{}); err != nil || len(page.Items) != 50 {
			b.Fatal(len(page.Items), err)
		}
	}
}
