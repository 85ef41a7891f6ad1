package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/payload"
)

// Tester is what trying an endpoint out needs of *delivery.Engine.
type Tester interface {
	// Test sends one marked event to one endpoint now and tells how it went.
	Test(ctx context.Context, endpoint string, ev *delivery.Event) (*delivery.DeliveryRecord, error)
	// Check tells step by step why an endpoint fails; ev is the test event among the steps.
	Check(ctx context.Context, endpoint string, ev *delivery.Event) (*delivery.Check, error)
}

// pingType is the event type of a test where no catalog has an example.
const pingType = "test.ping"

// retryBusy is after how many seconds another test may be let in.
const retryBusy = 10

// testRequest is the body of a test or check; all of it is optional.
type testRequest struct {
	// Event type. Default: the first of the catalog that has an example, else test.ping.
	Event string `json:"event"`
	// Data of the event. Default: the catalog's example of the type, else {}.
	Data json.RawMessage `json:"data"`
}

type checkView struct {
	Endpoint string     `json:"endpoint"`
	At       moment     `json:"at"`
	Result   string     `json:"result"` // ok, warn, fail: the worst of the steps'
	Steps    []stepView `json:"steps"`
}

type stepView struct {
	Name    string            `json:"name"`
	Result  string            `json:"result"`
	Summary string            `json:"summary"`
	Advice  string            `json:"advice,omitempty"`
	Facts   map[string]string `json:"facts,omitempty"`
	TookMS  int64             `json:"took_ms"`
}

func viewCheck(c *delivery.Check) *checkView {
	v := &checkView{Endpoint: c.Endpoint, At: moment{c.At}, Result: string(c.Result()), Steps: make([]stepView, len(c.Steps))}
	for i, s := range c.Steps {
		v.Steps[i] = stepView{
			Name: s.Name, Result: string(s.Result), Summary: s.Summary, Advice: s.Advice, Facts: s.Facts, TookMS: s.Took.Milliseconds(),
		}
	}
	return v
}

// test sends a test event and answers with its delivery.
func (a *API) test(ctx context.Context, g Gateway, r *http.Request) (any, error) {
	ev, p := testEvent(g, r)
	if p != nil {
		return nil, p
	}
	rec, err := g.Test(ctx, r.PathValue("id"), ev)
	if err != nil {
		return nil, testProblem(err)
	}
	return a.linkRecord(viewDeliveryRecord(rec)), nil
}

// check looks at everything between us and an endpoint.
func (*API) check(ctx context.Context, g Gateway, r *http.Request) (any, error) {
	ev, p := testEvent(g, r)
	if p != nil {
		return nil, p
	}
	c, err := g.Check(ctx, r.PathValue("id"), ev)
	if err != nil {
		return nil, testProblem(err)
	}
	return viewCheck(c), nil
}

func testProblem(err error) error {
	switch {
	case errors.Is(err, delivery.ErrBusy):
		return &Problem{
			Status: http.StatusTooManyRequests, RetryAfter: retryBusy,
			Detail: "too many tests are under way, or this endpoint was checked less than ten seconds ago",
		}
	case errors.Is(err, delivery.ErrStopping):
		return notReady()
	}
	return err
}

// testEvent makes the event of a test.
func testEvent(g Gateway, r *http.Request) (*delivery.Event, *Problem) {
	if _, p := parseQuery(r); p != nil {
		return nil, p
	}
	plan := g.Plan()
	if plan == nil {
		return nil, notReady()
	}
	req, p := readTest(r, plan.Intake.MaxBody)
	if p != nil {
		return nil, p
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	env := payload.Envelope{Type: req.Event, Data: req.Data}
	fillIn(&env, plan.Intake.Catalog)
	if err := env.Check(payload.Options{}); err != nil {
		return nil, inputProblem(err)
	}
	in := &intake{
		h: &Ingest{}, plan: plan, now: now, maxBody: plan.Intake.MaxBody, environment: plan.Intake.DefaultEnvironment(),
	}
	return in.jsonEvent(&env)
}

// fillIn takes what a request left out from the catalog's examples.
func fillIn(env *payload.Envelope, catalog delivery.Catalog) {
	examples, _ := catalog.(interface{ Types() []payload.EventType })
	if examples != nil {
		for _, t := range examples.Types() {
			if env.Type == "" && t.Example != nil {
				env.Type = t.Type
			}
			if env.Type == t.Type && env.Data == nil {
				env.Data = t.Example
			}
		}
	}
	if env.Type == "" {
		env.Type = pingType
	}
	if env.Data == nil {
		env.Data = []byte("{}")
	}
}

// readTest reads the body, which may be empty.
func readTest(r *http.Request, limit int64) (req testRequest, p *Problem) {
	p = readObject(r, limit, &req,
		`the body is an object with the members event (a type) and data, both optional, such as {"event":"label.created","data":{}}`)
	return req, p
}

// readObject reads a JSON object into a struct, strictly; an empty body leaves it as it is. Wrong says what the body should be.
func readObject(r *http.Request, limit int64, into any, wrong string) *Problem {
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	switch {
	case err != nil:
		return &Problem{Status: http.StatusBadRequest, Detail: "the body could not be read to its end"}
	case int64(len(body)) > limit:
		return tooLarge("body", limit)
	case len(bytes.TrimSpace(body)) == 0:
		return nil
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != typeJSON {
		return &Problem{Status: http.StatusUnsupportedMediaType, Detail: "the body must be application/json"}
	}
	stable, err := payload.AppendStable(nil, body) // strict where encoding/json is not: repeated members, numbers that change
	if err != nil {
		return inputProblem(err)
	}
	d := json.NewDecoder(bytes.NewReader(stable))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return &Problem{Status: http.StatusUnprocessableEntity, Detail: wrong}
	}
	return nil
}
