package rules

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// corpus makes rules as a platform with many tenants has them: 20 domains of
// events with 10 verbs each, three environments, a tenant for every 20 rules; a
// tenth looks into a list, a fifth goes by a prefix.
type corpus struct {
	*rand.Rand
	rules int
}

func newCorpus(n int) corpus { return corpus{rand.New(rand.NewPCG(7, 7)), n} }

var (
	domains = []string{
		"order", "shipment", "invoice", "payment", "refund", "user", "parcel", "label", "pickup", "return",
		"claim", "quote", "rate", "track", "stock", "price", "cart", "coupon", "review", "loyalty",
	}
	verbs        = []string{"created", "updated", "deleted", "paid", "failed", "lost", "shipped", "delivered", "opened", "closed"}
	environments = []string{"production", "staging", "sandbox"}
	carriers     = []string{"dhl", "ups", "gls", "fedex"}
)

func oneOf[T any](c corpus, of []T) T { return of[c.IntN(len(of))] }

func (c corpus) eventType() string { return oneOf(c, domains) + "." + oneOf(c, verbs) }
func (c corpus) tenant() string    { return fmt.Sprintf("tenant-%d", c.IntN(max(2, c.rules/20))) }

func (c corpus) condition() string {
	typ, env, tenant := c.eventType(), oneOf(c, environments), c.tenant()
	switch c.IntN(10) {
	case 0, 1, 2:
		return fmt.Sprintf(`event.type == %q && event.environment == %q && event.tenant == %q`, typ, env, tenant)
	case 3, 4:
		return fmt.Sprintf(`event.environment == %q && event.tenant == %q && event.type startsWith "%s."`, env, tenant, oneOf(c, domains))
	case 5, 6:
		return fmt.Sprintf(`event.type == %q && event.environment == "production" && event.tenant == %q && data.carrier in ["dhl", "ups", "gls"] && data.amount > %d`, typ, tenant, c.IntN(1000))
	case 7:
		return fmt.Sprintf(`event.type in [%q, "%s.lost"] && event.tenant == %q && (data.carrier == "dhl" || data.weight >= %d)`, typ, oneOf(c, domains), tenant, c.IntN(50))
	case 8:
		return fmt.Sprintf(`event.type == %q && data.customer.id == "cust-%d" && !(data.test == true)`, typ, c.IntN(c.rules))
	default:
		return fmt.Sprintf(`event.tenant == %q && event.environment == "production" && any(data.items ?? [], .sku == "sku-%d")`, tenant, c.IntN(100))
	}
}

// unindexable makes a condition that has to be evaluated for every event: what
// it asks is a negation, or a part of a text.
func (c corpus) unindexable() string {
	switch c.IntN(3) {
	case 0:
		return fmt.Sprintf(`event.source != "shop-%d" && event.id contains "-%d"`, c.IntN(100), c.IntN(100_000))
	case 1:
		return fmt.Sprintf(`data.priority != "low" && event.id contains "-%d-"`, c.IntN(100_000))
	default:
		return fmt.Sprintf(`not (data.amount < %d or data.priority == "low")`, 1000+c.IntN(1000))
	}
}

func (c corpus) config(unindexable float64) Config {
	out := Config{Endpoints: []string{"a", "b"}}
	for i := range c.rules {
		text := c.condition()
		if c.Float64() < unindexable {
			text = c.unindexable()
		}
		out.Routes = append(out.Routes, Route{Name: fmt.Sprintf("r%d", i), When: when(text), To: to("a backup b")})
	}
	return out
}

// events makes events of about 1 kB.
func (c corpus) events(n int) []*Event {
	out := make([]*Event, n)
	for i := range out {
		items := ""
		for j := range 3 {
			if j > 0 {
				items += ", "
			}
			items += fmt.Sprintf(`{"sku": "sku-%d", "qty": %d, "description": "A thing, as good as things get", "price": "12.50"}`, c.IntN(100), c.IntN(5))
		}
		out[i] = &Event{
			ID: fmt.Sprintf("evt_%d", i), Type: c.eventType(), Environment: oneOf(c, environments), Tenant: c.tenant(), Source: "checkout",
			Timestamp: "2026-11-30T06:00:00Z",
			Data: fmt.Appendf(nil, `{"carrier": %q, "amount": %d, "weight": %d, "country": "FR", "priority": %q, "test": false,
				"customer": {"id": "cust-%d", "name": "Ada Lovelace", "email": "ada@example.com", "since": "2021-05-01"},
				"address": {"street": "12 Rue des Lilas", "city": "Paris", "zip": "75020", "geo": {"lat": 48.8699, "lon": 2.3985}},
				"items": [%s],
				"notes": "Please leave the parcel with the neighbour, second floor, and ring twice.", "tags": ["fragile", "gift"],
				"events": [{"at": "2026-11-29T10:00:00Z", "code": "PU"}, {"at": "2026-11-29T18:30:00Z", "code": "IT"}]}`,
				oneOf(c, carriers), c.IntN(1000), c.IntN(50), oneOf(c, []string{"low", "high"}), c.IntN(c.rules), items),
		}
	}
	return out
}

func BenchmarkIndex(b *testing.B) {
	for _, bb := range []struct {
		rules       int
		unindexable float64
	}{{10, 0}, {100, 0}, {1000, 0}, {10_000, 0}, {100_000, 0}, {10_000, 0.01}, {10_000, 0.05}} {
		name := fmt.Sprintf("%d rules", bb.rules)
		if bb.unindexable > 0 {
			name += fmt.Sprintf(", %g%% unindexable", 100*bb.unindexable)
		}
		b.Run(name, func(b *testing.B) {
			c := newCorpus(bb.rules)
			config := c.config(bb.unindexable)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			start := time.Now()
			s, err := Compile(config)
			if err != nil {
				b.Fatal(err)
			}
			compiled := time.Since(start)
			runtime.GC()
			runtime.ReadMemStats(&after)
			events := c.events(1000)
			b.Run("decoded", func(b *testing.B) {
				benchDecoded(b, s, events)
			})
			b.Run("raw", func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					s.Match(events[i%len(events)])
					i++
				}
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(bb.rules), "B/rule")
				b.ReportMetric(compiled.Seconds(), "s-to-compile")
			})
		})
	}
}

// benchDecoded measures finding the rules of events whose data have been taken
// out of their bytes before.
func benchDecoded(b *testing.B, s *Set, events []*Event) {
	ms := make([]*matcher, len(events))
	matched, tried := 0, 0
	var linear time.Duration
	for i, ev := range events {
		ms[i] = &matcher{machine: newMachine(s.plan)}
		m := ms[i]
		m.set, m.event = s, *ev
		m.machine.ev = &m.event
		m.machine.extract()
		m.find(s.root)
		matched += len(m.hits)
		tried += m.tried
		if i%100 == 0 {
			start := time.Now()
			for j := range s.routes {
				m.holds(&s.routes[j].rule)
			}
			linear += time.Since(start)
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		m := ms[i%len(ms)]
		m.hits, m.tried = m.hits[:0], 0
		m.find(s.root)
		i++
	}
	perEvent := float64(b.Elapsed()) / float64(b.N)
	b.ReportMetric(float64(linear)/float64(len(events)/100)/perEvent, "x-faster-than-linear")
	b.ReportMetric(float64(matched)/float64(len(events)), "matches/op")
	b.ReportMetric(float64(tried)/float64(len(events)), "tried/op")
}

// subscriptions makes what the endpoints of many tenants subscribe to.
func (c corpus) subscriptions(n int) []Subscription {
	out := make([]Subscription, n)
	for i := range out {
		out[i] = Subscription{
			Endpoint: fmt.Sprintf("ep_%d", i), Tenant: c.tenant(), Types: []string{c.eventType(), oneOf(c, domains) + ".*"},
			Environments: []string{oneOf(c, environments)},
		}
		if c.IntN(10) == 0 {
			out[i].When = when(fmt.Sprintf("data.amount > %d", c.IntN(1000)))
		}
	}
	return out
}

func BenchmarkSubscriptions(b *testing.B) {
	c := newCorpus(100_000)
	config := Config{Subscriptions: c.subscriptions(100_000)}
	events := c.events(1000)
	b.Run("compile and index 100000", func(b *testing.B) {
		for b.Loop() {
			if _, err := Compile(config); err != nil {
				b.Fatal(err)
			}
		}
	})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s, err := Compile(config)
	if err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.Run("match among 100000", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			s.Match(events[i%len(events)])
			i++
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/100_000, "B/rule")
	})
	b.Run("change one of 100000", func(b *testing.B) {
		b.ReportAllocs()
		next, slowest := s, time.Duration(0)
		i := 0
		for b.Loop() {
			sub := config.Subscriptions[i%len(config.Subscriptions)]
			sub.Types = []string{c.eventType()}
			start := time.Now()
			var err error
			if next, err = next.Change([]string{sub.Endpoint}, []Subscription{sub}); err != nil {
				b.Fatal(err)
			}
			slowest = max(slowest, time.Since(start))
			i++
		}
		b.ReportMetric(float64(slowest.Microseconds()), "µs-slowest")
	})
}

func BenchmarkReload(b *testing.B) {
	config := newCorpus(10_000).config(0)
	b.Run("10000 routes anew", func(b *testing.B) {
		for b.Loop() {
			if _, err := Compile(config); err != nil {
				b.Fatal(err)
			}
		}
	})
	first, err := Compile(config)
	if err != nil {
		b.Fatal(err)
	}
	condition := func(i int) Expr { return when(fmt.Sprintf("event.id == 'evt_%d'", i)) }
	for _, bb := range []struct {
		name   string
		change func(i int)
	}{
		{"one changed", func(i int) { config.Routes[5000].When = condition(i) }},
		{"one put first, all others a line further down", func(i int) {
			config.Routes[0] = Route{Name: fmt.Sprintf("first%d", i), When: condition(i), To: to("a")}
			for j := range config.Routes {
				config.Routes[j].Pos.Line++
			}
		}},
		{"the last one made the first", func(int) {
			config.Routes = append(config.Routes[9999:], config.Routes[:9999]...)
		}},
		{"a tenth changed", func(i int) {
			for j := range 1000 {
				config.Routes[10*j].When = condition(i + j)
			}
		}},
		{"a fifth changed", func(i int) {
			for j := range 2000 {
				config.Routes[5*j].When = condition(i + j)
			}
		}},
	} {
		b.Run("10000 routes/"+bb.name, func(b *testing.B) {
			b.ReportAllocs()
			s, slowest, i := first, time.Duration(0), 0
			for b.Loop() {
				bb.change(i)
				start := time.Now()
				if s, err = s.Recompile(config); err != nil {
					b.Fatal(err)
				}
				slowest = max(slowest, time.Since(start))
				i++
			}
			b.ReportMetric(float64(slowest.Microseconds())/1000, "ms-slowest")
		})
	}
	c := newCorpus(100_000)
	many := Config{Subscriptions: c.subscriptions(100_000)}
	b.Run("100000 subscriptions/one changed", func(b *testing.B) {
		s, err := Compile(many)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			many.Subscriptions[5000].Types = []string{c.eventType()}
			if s, err = s.Recompile(many); err != nil {
				b.Fatal(err)
			}
		}
	})
}
