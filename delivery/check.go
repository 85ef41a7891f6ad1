package delivery

import (
	"context"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/egress"
)

// checkPause is the least time between two checks of one endpoint: each sends it three requests and a handshake, and must be
// no way to make us probe hosts at a rate.
const checkPause = 10 * time.Second

// maxCheckTimes bounds what is remembered of checks made lately.
const maxCheckTimes = 10_000

// Check tells a customer why an endpoint fails, step by step from the name to the answer.
type Check struct {
	Endpoint string
	At       time.Time
	// Steps in the order they were made. A step that an earlier failure kept from being made is left out.
	Steps []CheckStep
}

// Result is the worst of the steps'.
func (c *Check) Result() CheckResult {
	worst := CheckOK
	for _, s := range c.Steps {
		if s.Result == CheckFail || s.Result == CheckWarn && worst == CheckOK {
			worst = s.Result
		}
	}
	return worst
}

// CheckStep is one thing looked at.
type CheckStep struct {
	// Name is one of egress, dns, connect_ipv4, connect_ipv6, tls, test_event, wrong_signature, repeated_event.
	Name   string
	Result CheckResult
	// Summary says what was found, Advice what to do next (empty: nothing), both in a customer's words.
	Summary, Advice string
	// Facts are what the summary rests on, such as the addresses or the days that a certificate has left.
	Facts map[string]string
	Took  time.Duration
}

// CheckResult is what a step came to.
type CheckResult string

// The results.
const (
	CheckOK   CheckResult = "ok"
	CheckWarn CheckResult = "warn" // deliveries arrive, but something is wrong or soon will be
	CheckFail CheckResult = "fail" // deliveries do not arrive
)

// Check looks at everything between us and an endpoint, by the way that deliveries take: name, address guard, connections,
// certificate; then a signed test event, the same wrongly signed, and the same once more. The test event is ev, as of Test,
// and on record like one; the other two requests are not, and no breaker counts any of them.
//
// What is behind a blocked address is not told: an endpoint's owner may not learn what our network looks like. An endpoint is
// checked at most every ten seconds. Errors are those of Test; ErrBusy also when it was checked a moment ago.
func (e *Engine) Check(ctx context.Context, name string, ev *Event) (*Check, error) {
	plan, ep, done, err := e.beginTest(name)
	if err != nil {
		return nil, err
	}
	defer done()
	if !e.checked.start(name, time.Now()) {
		return nil, ErrBusy
	}
	c := &checking{e: e, plan: plan, ep: ep, check: Check{Endpoint: name, At: stamp(time.Now())}}
	if c.connections(ctx) {
		if err := c.requests(ctx, ev); err != nil {
			return nil, err
		}
	}
	e.log.Info("endpoint checked", slog.String("endpoint", name), slog.String("result", string(c.check.Result())))
	return &c.check, nil
}

// checkTimes remembers when endpoints were checked. The zero value is ready.
type checkTimes struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// start notes a check, or answers false if the one before was a moment ago.
func (c *checkTimes) start(name string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil || len(c.last) >= maxCheckTimes {
		c.last = make(map[string]time.Time)
	}
	if now.Sub(c.last[name]) < checkPause {
		return false
	}
	c.last[name] = now
	return true
}

// checking is one check under way.
type checking struct {
	e     *Engine
	plan  *Plan
	ep    *Endpoint
	check Check
}

func (c *checking) add(s CheckStep) { c.check.Steps = append(c.check.Steps, s) }

// connections looks at everything below HTTP, and tells whether a request would get through.
func (c *checking) connections(ctx context.Context) bool {
	inspector, ok := c.ep.Transport.(egress.Inspector)
	if !ok {
		return true // a transport of somebody else's: the requests tell
	}
	in := inspector.Inspect(ctx, c.ep.URL)
	host := c.ep.URL.Hostname()
	if in.RouteErr != nil {
		c.add(noWayOut())
		return false
	}
	dns := resolvedStep(host, in)
	c.add(dns)
	if dns.Result == CheckFail {
		return false
	}
	steps, connected := connectSteps(c.ep.URL, in)
	for _, s := range steps {
		c.add(s)
	}
	if !connected || in.Handshake == nil {
		return connected
	}
	tls := handshakeStep(c.ep.URL, in.Handshake, time.Now())
	c.add(tls)
	return tls.Result != CheckFail
}

// requests sends the test event, and if it arrives what tells a careful receiver from another one.
func (c *checking) requests(ctx context.Context, ev *Event) error {
	rec, err := c.e.test(ctx, c.plan, c.ep, ev)
	if err != nil {
		return err
	}
	a := rec.Transitions[0].Attempt
	c.add(answerStep(c.ep, a))
	if rec.Delivery.State != Delivered {
		return nil
	}
	d := *rec.Delivery
	d.Progress = Progress{}
	c.add(forgedStep(c.send(ctx, &d, true)))
	c.add(repeatedStep(c.send(ctx, &d, false)))
	return nil
}

// said is what came back from a request that is not on record.
type said struct {
	status int
	err    error
	took   time.Duration
}

// send makes a request of the check. A forged one carries a signature of every scheme that is right for another body.
func (c *checking) send(ctx context.Context, d *Delivery, forged bool) said {
	now := c.e.clock.now()
	a := &Attempt{N: 1, Endpoint: c.ep.Name, Started: now.UTC(), began: now}
	out := outgoings.Get().(*outgoing)
	defer out.release()
	out.begin(ctx, d, c.ep)
	err := c.e.transform(out, c.plan, d, c.ep, a)
	signed := out.Body
	if forged {
		signed = append(append([]byte(nil), signed...), ' ')
	}
	if err == nil {
		err = out.sign(c.plan, d, c.ep, a, signed)
	}
	if err == nil {
		err = out.send(ctx, c.ep)
	}
	return said{status: out.Status, err: err, took: time.Since(a.began)}
}

// location is where a redirect points to, without what may be secret in it; empty if it says nothing usable.
func location(base *url.URL, header string) string {
	to, err := base.Parse(header)
	if err != nil || header == "" {
		return ""
	}
	to.User, to.RawQuery, to.Fragment = nil, "", ""
	return to.String()
}
