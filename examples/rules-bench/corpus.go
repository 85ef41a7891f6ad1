package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/atoship/caddy-webhooks/rules"
)

// rule is a condition in no engine's language. What is empty is not asked.
type rule struct {
	types       []string // any of
	below       string   // or any type that starts with this
	environment string
	tenant      string
	carriers    []string // data.carrier is any of
	not         string   // data.priority is not this
}

// event is one event, in bytes and decoded.
type event struct {
	rules.Event
	decoded map[string]any // as engines that want it so get it
}

var (
	domains = []string{
		"order", "shipment", "invoice", "payment", "refund", "user", "parcel", "label", "pickup", "return",
		"claim", "quote", "rate", "track", "stock", "price", "cart", "coupon", "review", "loyalty",
	}
	verbs        = []string{"created", "updated", "deleted", "paid", "failed", "lost", "shipped", "delivered", "opened", "closed"}
	environments = []string{"production", "staging", "sandbox"}
	carriers     = []string{"dhl", "ups", "gls", "fedex"}
	priorities   = []string{"low", "high"}
)

// corpus makes rules and events that go together: a tenant for every 20 rules.
type corpus struct {
	*rand.Rand
	tenants int
}

func newCorpus(n int) corpus { return corpus{rand.New(rand.NewPCG(1, 1)), max(2, n/20)} } //nolint:gosec // the same rules every time

func oneOf[T any](c corpus, of []T) T { return of[c.IntN(len(of))] }

func (c corpus) eventType() string { return oneOf(c, domains) + "." + oneOf(c, verbs) }
func (c corpus) tenant() string    { return fmt.Sprintf("tenant-%d", c.IntN(c.tenants)) }

func (c corpus) rule() rule {
	r := rule{environment: oneOf(c, environments), tenant: c.tenant(), types: []string{c.eventType()}}
	switch c.IntN(10) {
	case 0, 1, 2, 3:
	case 4, 5:
		r.types, r.below = nil, oneOf(c, domains)+"."
	case 6, 7:
		r.carriers = carriers[:3]
	case 8:
		r.types, r.environment = append(r.types, c.eventType()), ""
	default:
		r.tenant, r.not = "", "low"
		r.types = []string{fmt.Sprintf("%s.%d", r.types[0], c.IntN(c.tenants))}
	}
	return r
}

func (c corpus) rules(n int) []rule {
	out := make([]rule, n)
	for i := range out {
		out[i] = c.rule()
	}
	return out
}

// events makes events of about 850 bytes.
func (c corpus) events(n int) []event {
	out := make([]event, n)
	for i := range out {
		e := &out[i]
		e.Event = rules.Event{ID: fmt.Sprintf("evt_%d", i), Type: c.eventType(), Environment: oneOf(c, environments), Tenant: c.tenant()}
		if c.IntN(10) == 0 {
			e.Type = fmt.Sprintf("%s.%d", e.Type, c.IntN(c.tenants))
		}
		e.Data = fmt.Appendf(nil, `{"carrier":%q,"priority":%q,"amount":%d,"customer":{"id":"cust-%d","name":"Ada Lovelace","email":"ada@example.com"},`+
			`"address":{"street":"12 Rue des Lilas","city":"Paris","zip":"75020","country":"FR","geo":{"lat":48.8699,"lon":2.3985}},`+
			`"items":[%s],"notes":"Please leave the parcel with the neighbour, second floor, and ring twice.","tags":["fragile","gift"],`+
			`"history":[{"at":"2026-11-29T10:00:00Z","code":"PU"},{"at":"2026-11-29T18:30:00Z","code":"IT"}]}`,
			oneOf(c, carriers), oneOf(c, priorities), c.IntN(1000), c.IntN(1000),
			strings.TrimSuffix(strings.Repeat(`{"sku":"sku-17","qty":2,"price":"12.50","description":"A thing, as good as things get"},`, 3), ","))
		e.decode()
	}
	return out
}

func (e *event) decode() {
	var data map[string]any
	if err := json.Unmarshal(e.Data, &data); err != nil {
		panic(err) // it is made above
	}
	e.decoded = map[string]any{
		"event": map[string]any{"type": e.Type, "environment": e.Environment, "tenant": e.Tenant}, "data": data,
	}
}

// language is how an engine writes a condition.
type language struct {
	and      string
	starts   string // takes the variable and the text
	brackets string // around a list
}

// write writes a rule in a language.
func (l *language) write(r *rule) string {
	var parts []string
	equal := func(name, text string) {
		if text != "" {
			parts = append(parts, fmt.Sprintf("%s == %q", name, text))
		}
	}
	list := func(name string, texts []string) {
		quoted := make([]string, len(texts))
		for i, t := range texts {
			quoted[i] = fmt.Sprintf("%q", t)
		}
		parts = append(parts, name+" in "+l.brackets[:1]+strings.Join(quoted, ", ")+l.brackets[1:])
	}
	switch {
	case r.below != "":
		parts = append(parts, fmt.Sprintf(l.starts, "event.type", r.below))
	case len(r.types) == 1:
		equal("event.type", r.types[0])
	default:
		list("event.type", r.types)
	}
	equal("event.environment", r.environment)
	equal("event.tenant", r.tenant)
	if len(r.carriers) > 0 {
		list("data.carrier", r.carriers)
	}
	if r.not != "" {
		parts = append(parts, fmt.Sprintf("data.priority != %q", r.not))
	}
	return strings.Join(parts, l.and)
}
