package rules

import (
	"fmt"
	"testing"
)

// benchSet has n routes as people write them: by type and environment, by
// payload, with a loop, with a pick.
func benchSet(b *testing.B, n int) *Set {
	conditions := []string{
		`event.type startsWith "label." && event.environment == "production"`,
		`event.type == "order.paid" && data.n > 3`,
		`event.type in ["shipment.lost", "label.created"] && data.text == "abc" && data.n <= 30`,
		`event.type == "shipment.exception" && any(data.items, .sku == "b2" or .qty > 3)`,
		`glob("label.*", event.type) && event.tenant == "acme"`,
	}
	c := Config{Endpoints: []string{"a", "b"}}
	for i := range n {
		c.Routes = append(c.Routes, Route{
			Name: fmt.Sprintf("r%d", i), When: when(conditions[i%len(conditions)]), To: to("a backup b"),
		})
	}
	s, err := Compile(c)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		for name, ev := range map[string]*Event{
			"decoding":     testEvent(),
			"not decoding": {Type: "other", Environment: "production", Data: []byte(payload)},
		} {
			b.Run(fmt.Sprintf("%d routes/%s", n, name), func(b *testing.B) {
				s := benchSet(b, n)
				b.ReportAllocs()
				for b.Loop() {
					s.Match(ev)
				}
			})
		}
	}
}

func BenchmarkAtoms(b *testing.B) {
	for _, text := range []string{
		`data.text == "abc"`, `data.n > 3`, `lower(data.text) == "abc"`, `any(data.items, .sku == "b2")`, `(data.n ?? 0) > 3`, `data.absent + 1 > 3`,
	} {
		b.Run(text, func(b *testing.B) {
			c := newExprCompiler()
			cond, _ := c.condition(text)
			m := newMachine(c.plan())
			m.ev = testEvent()
			b.ReportAllocs()
			for b.Loop() {
				m.begin()
				cond.eval(m)
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		benchSet(b, 10)
	}
}
