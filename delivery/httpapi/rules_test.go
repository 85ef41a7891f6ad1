package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/rules"
)

// routed is an API whose gateway routes by two rules and a subscription.
func routed(t *testing.T, more ...rules.Route) *API {
	t.Helper()
	e := newFake(t)
	set, err := rules.Compile(rules.Config{
		Endpoints: []string{"orders", "orders-dr", "audit"},
		Backups:   map[string][]string{"orders": {"orders-dr"}},
		Routes: append([]rules.Route{
			{Name: "labels", When: rules.Expr{Text: `event.type startsWith "label." && data.n > 3`}, To: []rules.Chain{{Primary: "orders"}}},
			{Name: "canary", Split: []rules.Share{{Endpoint: "orders", Weight: 9}, {Endpoint: "audit", Weight: 1}}, By: rules.Expr{Text: "data.id"}, OnError: rules.OnErrorHold},
		}, more...),
		Subscriptions: []rules.Subscription{{Endpoint: "audit", Types: []string{"*"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	e.plan.Router = delivery.RuleRouter{Set: set}
	return NewAPI(func() Gateway { return used{e.gateway()} }, nil)
}

// used is a gateway whose route labels was used.
type used struct{ Gateway }

func (used) RouteUse(name string) delivery.RouteUse {
	if name != "labels" {
		return delivery.RouteUse{}
	}
	return delivery.RouteUse{Matched: 7, Failed: 2, LastMatched: time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)}
}

func ask(api *API, method, path, body string) (int, string) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestExplainSaysWhoGetsAnEvent(t *testing.T) {
	t.Parallel()
	api := routed(t)
	const event = `{"event":"label.created","data":{"n":5,"id":"a"}}`
	for name, body := range map[string]string{"the event": event, "the event in a member": `{"event":` + event + `}`} {
		status, answer := ask(api, "POST", "/routes/explain", body)
		var x rules.Explanation
		if err := json.Unmarshal([]byte(answer), &x); err != nil || status != http.StatusOK {
			t.Fatalf("%s: %d %s", name, status, answer)
		}
		if x.Event.Environment != "production" || len(x.Rules) != 3 || x.Rules[0].When == nil || x.Rules[0].When.Outcome != "true" ||
			len(x.Targets) != 2 || x.Targets[0].Endpoint != "orders" || x.Targets[0].Backups[0] != "orders-dr" {
			t.Errorf("%s: %s", name, answer)
		}
	}
	status, answer := ask(api, "POST", "/routes/explain?route=endpoint:audit", event)
	if status != http.StatusOK || strings.Contains(answer, `"rule":"labels"`) || !strings.Contains(answer, `"rule":"endpoint:audit"`) {
		t.Errorf("%d %s", status, answer)
	}
}

func TestExplainRefuses(t *testing.T) {
	t.Parallel()
	api := routed(t)
	for name, c := range map[string]struct {
		path, body string
		status     int
		want       string
	}{
		"what is no event":         {"/routes/explain", `{"event":"label.created"}`, 422, "data"},
		"what is no JSON":          {"/routes/explain", `{`, 400, "detail"},
		"a rule that is none":      {"/routes/explain?route=label", `{"event":"x","data":{}}`, 400, "did you mean labels?"},
		"an unknown parameter":     {"/routes/explain?rout=x", `{}`, 400, "unknown parameter"},
		"a body that is too large": {"/routes/explain", strings.Repeat(" ", 5<<10), 413, "larger"},
	} {
		if status, answer := ask(api, "POST", c.path, c.body); status != c.status || !strings.Contains(answer, c.want) {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	plain := newFake(t)
	if status, answer := ask(plain.api(), "GET", "/routes", ""); status != http.StatusNotFound {
		t.Errorf("without rules: %d %s", status, answer)
	}
}

func TestRoutesAreListedInPages(t *testing.T) {
	t.Parallel()
	var more []rules.Route
	for i := range 60 {
		more = append(more, rules.Route{Name: fmt.Sprintf("r%d", i), Stop: true, To: []rules.Chain{{Primary: "audit"}}})
	}
	api := routed(t, more...)
	var names []string
	next, pages := "", 0
	for {
		status, answer := ask(api, "GET", "/routes?limit=25"+next, "")
		var v rulesView
		if err := json.Unmarshal([]byte(answer), &v); err != nil || status != http.StatusOK || v.Digest == "" {
			t.Fatalf("%d %s", status, answer)
		}
		for _, r := range v.Items {
			names = append(names, r.Name)
		}
		pages++
		if v.Next == "" {
			break
		}
		next = "&cursor=" + v.Next
	}
	if len(names) != 62 || pages != 3 || names[0] != "labels" || names[61] != "r59" {
		t.Errorf("%d routes in %d pages", len(names), pages)
	}
	_, answer := ask(api, "GET", "/routes?limit=2", "")
	for _, want := range []string{
		`"name":"labels","when":"event.type startsWith \"label.\" && data.n > 3","to":[{"endpoint":"orders","backups":["orders-dr"],"route":"labels"}],"on_error":"skip","hits":7,"errors":2,"last_hit":"2026-11-30T08:00:00.000Z"}`,
		`"split":[{"endpoint":"orders","weight":9},{"endpoint":"audit","weight":1}],"by":"data.id","on_error":"hold","hits":0,"errors":0}`, `"next":"2"`,
	} {
		if !strings.Contains(answer, want) {
			t.Errorf("%s is not in %s", want, answer)
		}
	}
	if status, _ := ask(api, "GET", "/routes?cursor=x", ""); status != http.StatusBadRequest {
		t.Errorf("a cursor that is none: %d", status)
	}
}
