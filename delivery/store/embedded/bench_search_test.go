package embedded_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/store/embedded"
)

// The bar is a page of 50 among three million attempts in 5 ms: go test -bench Search -attempts 3000000.
var searchAttempts = flag.Int("attempts", 50_000, "how many attempts BenchmarkSearch looks among")

// fillForSearch makes a past in which tenants, endpoints, types and outcomes occur with very different frequencies.
func fillForSearch(b *testing.B, s *embedded.Store, n int) {
	b.Helper()
	r := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // the same past every time
	began := time.Now().Add(-30 * 24 * time.Hour)
	for i := 0; i < n; i += 1000 {
		batch := make([]delivery.Accept, min(1000, n-i))
		for j := range batch {
			lane := fmt.Sprint("endpoint-", min(int(r.ExpFloat64()*20), 999))
			a := accept(fmt.Sprint("e", i+j), 400, lane)
			a.Event.GivenID = false
			a.Event.Accepted = began.Add(time.Duration(i+j) * 500 * time.Millisecond)
			a.Event.Tenant = fmt.Sprint("tenant-", min(int(r.ExpFloat64()*50), 999))
			a.Event.Type = fmt.Sprint("type-", min(int(r.ExpFloat64()*3), 99))
			batch[j] = a
		}
		if _, err := s.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		settlements := make([]delivery.Settlement, len(batch))
		for j, a := range batch {
			settlements[j] = settled(a.Deliveries[0])
			t := &settlements[j].Transition
			t.At = a.Event.Accepted.Add(time.Second)
			t.Attempt.Endpoint = a.Deliveries[0].Lane()
			if r.IntN(1000) == 0 {
				t.Attempt.Outcome, t.Attempt.Status = "server_error", 500
				t.Progress.State, t.Progress.Reason = delivery.Exhausted, delivery.ReasonSchedule
			}
		}
		for _, err := range s.Settle(b.Context(), settlements) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkSearch takes one page of 50 from the newest end, whatever it holds, and then goes on page by page until it has 50
// in all: µs/page is the bar, µs/50 what it costs to find them when they are rare.
func BenchmarkSearch(b *testing.B) {
	s, _ := benchStore(b, true)
	fillForSearch(b, s, *searchAttempts)
	middle := time.Now().Add(-30 * 24 * time.Hour).Add(time.Duration(*searchAttempts/2) * 500 * time.Millisecond)
	for _, q := range []delivery.AttemptQuery{
		{},
		{Until: middle},
		{Endpoint: "endpoint-1"},
		{Endpoint: "endpoint-150"},
		{Outcome: "server_error"},
		{Outcome: "delivered", Until: middle},
		{Endpoint: "endpoint-1", Outcome: "server_error"},
		{StatusFrom: 500, StatusTo: 599},
		{Tenant: new("tenant-1")},
		{Tenant: new("tenant-300")},
	} {
		b.Run("attempts"+describeAttempts(q), func(b *testing.B) {
			pageByPage(b, func(cursor string) (int, string, error) {
				q.Cursor = cursor
				page, err := s.Attempts(b.Context(), q)
				return len(page.Items), page.Next, err
			})
		})
	}
	for _, q := range []delivery.DeliveryQuery{
		{},
		{Until: middle},
		{Endpoint: "endpoint-1"},
		{Endpoint: "endpoint-150"},
		{State: new(delivery.Exhausted)},
		{State: new(delivery.Exhausted), Endpoint: "endpoint-1"},
		{State: new(delivery.Pending)},
		{Type: "type-20"},
		{Tenant: new("tenant-300")},
	} {
		b.Run("deliveries"+describeDeliveries(q), func(b *testing.B) {
			pageByPage(b, func(cursor string) (int, string, error) {
				q.Cursor = cursor
				page, err := s.Deliveries(b.Context(), q)
				return len(page.Items), page.Next, err
			})
		})
	}
}

func pageByPage(b *testing.B, page func(cursor string) (int, string, error)) {
	b.Helper()
	var first []time.Duration
	var all time.Duration
	pages := 0
	for range b.N {
		began := time.Now()
		n, next, err := page("")
		first = append(first, time.Since(began))
		for pages++; n < 50 && next != "" && err == nil; pages++ {
			var more int
			more, next, err = page(next)
			n += more
		}
		if err != nil {
			b.Fatal(err)
		}
		all += time.Since(began)
	}
	slices.Sort(first)
	b.ReportMetric(float64(first[len(first)/2].Microseconds()), "µs/page")
	b.ReportMetric(float64(all.Microseconds())/float64(b.N), "µs/50")
	b.ReportMetric(float64(pages)/float64(b.N), "pages/50")
}

func describeAttempts(q delivery.AttemptQuery) string {
	s := describeDeliveries(delivery.DeliveryQuery{Endpoint: q.Endpoint, Tenant: q.Tenant, Until: q.Until})
	if q.Outcome != "" {
		s += " outcome=" + q.Outcome
	}
	if q.StatusFrom > 0 {
		s += fmt.Sprint(" status=", q.StatusFrom)
	}
	return s
}

func describeDeliveries(q delivery.DeliveryQuery) (s string) {
	if q.Endpoint != "" {
		s += " endpoint=" + q.Endpoint
	}
	if q.State != nil {
		s += " state=" + q.State.String()
	}
	if q.Type != "" {
		s += " type=" + q.Type
	}
	if q.Tenant != nil {
		s += " tenant=" + *q.Tenant
	}
	if !q.Until.IsZero() {
		s += " until=middle"
	}
	return s
}
