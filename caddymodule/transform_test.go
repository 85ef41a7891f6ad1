package caddymodule

import (
	"os"
	"strings"
	"testing"

	"github.com/atoship/caddy-webhooks/delivery"
)

// TestTheTransformOfTheReference is the one that the README shows.
func TestTheTransformOfTheReference(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "### Transforms")
	_, snippet, _ := strings.Cut(section, "```caddyfile\n")
	snippet, _, _ = strings.Cut(snippet, "```")
	file := writeFile(t, "Caddyfile", "{\n\twebhooks {\n\t\tdefaults {\n"+snippet+"}\n\t\tendpoint a {\n\t\t\turl https://a.example/\n\t\t\tsecret {env.X}\n\t\t}\n\t}\n}\n")
	o, err := loadOffline(file, "")
	if err != nil {
		t.Fatal(err)
	}
	d := o.app.Defaults
	tr, err := buildTransform("endpoint", d.Transform, d.TransformPos)
	if err != nil {
		t.Fatal(err)
	}
	const head, data = `{"data":`, `{"carrier":"usps","items":[{"qty":2,"sku":"MUG"}]}`
	body, err := tr.Transform(&delivery.Event{
		ID: "evt_1", Body: []byte(head + data + "}"), DataStart: uint32(len(head)), DataEnd: uint32(len(head + data)),
	})
	if want := `{"id":"evt_1","carrier":"USPS","lines":[{"sku":"MUG","qty":2}]}`; err != nil || string(body) != want {
		t.Errorf("made %s (%v), want %s", body, err, want)
	}
}

func TestMistakesOfRulesAndTransformsAreReportedAtOnce(t *testing.T) {
	t.Setenv("TEST_WEBHOOKS_SECRET", testSecret)
	_, _, err := planOf(t, &App{
		Endpoint: []Endpoint{endpoint("a", func(e *Endpoint) { e.Transform, e.TransformPos = "event.no1", "Caddyfile:3" })},
		Route: []Route{
			{Name: "one", When: "event.no2 == 1", WhenPos: "Caddyfile:11", To: []Target{{Endpoint: "a"}}},
			{Name: "two", Transform: "event.no3", TransformPos: "Caddyfile:15", To: []Target{{Endpoint: "a"}}},
			{Name: "three", Transform: "now()", TransformPos: "Caddyfile:19", To: []Target{{Endpoint: "a"}}},
		},
	})
	for _, want := range []string{
		`Caddyfile:3: endpoint "a", transform: unknown field event.no1`, `Caddyfile:11: route "one", when: unknown field event.no2`,
		`Caddyfile:15: route "two", transform: unknown field event.no3`, `Caddyfile:19: route "three", transform: the function now`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

func TestTransformedEventsAreDeliveredOverHTTPS(t *testing.T) {
	g := newGateway(t)
	app := strings.Replace(everything, "events *", "events *\n\t\t\ttransform `{\"tracking\": data.tracking_number, \"event\": event.type}`", 1)
	if err := g.load(g.caddyfile(app, ""), false); err != nil {
		t.Fatal(err)
	}
	g.publish(guidePayload)
	if r := g.next(); r.body != `{"tracking":"9400111899223","event":"label.created"}` || r.header.Get("Content-Type") != "application/json" {
		t.Errorf("delivered %s as %s", r.body, r.header.Get("Content-Type"))
	}
}
