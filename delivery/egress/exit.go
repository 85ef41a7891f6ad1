package egress

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"
)

// exit sends the requests of one endpoint: it chooses source addresses and a
// proxy for each, and then uses the connections of that route alone.
type exit struct {
	*Transport
	endpoint string
	order    []int     // of the pool's members; see Pool.order
	refused  []backoff // per proxy: what it would not do for this endpoint
}

// route is what makes connections different within a transport.
type route struct {
	source sourcePair
	proxy  int // in failover order; direct for none
}

const direct = -1

func newExit(t *Transport, endpoint string) *exit {
	e := &exit{Transport: t, endpoint: endpoint}
	if t.profile.Sources != nil {
		e.order = t.profile.Sources.order(endpoint)
	}
	if t.profile.Proxies != nil {
		e.refused = make([]backoff, len(t.profile.Proxies.list))
	}
	return e
}

// RoundTrip sends one request, as [Transport.RoundTrip] does. What fails
// before a byte of it was sent, and on our side, is tried by the next way.
func (e *exit) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == "http" && !e.profile.PlainHTTP {
		closeBody(req)
		return nil, &BlockedError{Why: "the egress profile does not permit plain HTTP"}
	}
	if e.order == nil && e.refused == nil {
		return e.way(route{proxy: direct}).RoundTrip(req)
	}
	if end, ok := req.Context().Deadline(); ok && e.refused != nil {
		req = req.WithContext(context.WithValue(req.Context(), attemptEnd{}, end))
	}
	var failed error
	tried := make(map[int]bool)
	// Each round but the last loses a source or a proxy; the count is for a
	// source that comes and goes meanwhile.
	for range len(e.order) + len(e.refused) + 1 {
		r, err := e.choose(tried)
		if err != nil {
			closeBody(req)
			return nil, blame(failed, err)
		}
		resp, err := e.way(r).RoundTrip(req)
		if err == nil {
			if r.proxy != direct {
				e.refused[r.proxy].succeeded()
			}
			return resp, nil
		}
		if !e.learn(r, err, tried) {
			return nil, blame(failed, e.suspect(req.Context(), r, err))
		}
		failed = blame(failed, err)
		if req = rewound(req); req == nil {
			break
		}
	}
	return nil, failed
}

// choose picks the next route: sources that are there, and the first proxy
// that is up, has not been tried and has not refused this endpoint lately,
// or else one that has.
func (e *exit) choose(tried map[int]bool) (route, error) {
	now := time.Now()
	r := route{proxy: direct}
	if e.order != nil {
		var err error
		if r.source, err = e.profile.Sources.pick(e.order, now); err != nil {
			return r, err
		}
	}
	if e.refused == nil {
		return r, nil
	}
	up := func(i int) bool { return !tried[i] && e.profile.Proxies.list[i].down.ready(now) }
	for i := range e.refused {
		if !tried[i] && e.refused[i].ready(now) && up(i) {
			r.proxy = i
			return r, nil
		}
	}
	for i := range e.refused {
		if up(i) {
			r.proxy = i
			return r, nil
		}
	}
	return r, &ProxyError{Err: errors.New("every proxy of the profile is down")}
}

// learn takes in why a route failed, and reports whether nothing was sent and
// another may do better.
func (e *exit) learn(r route, err error, tried map[int]bool) (again bool) {
	if lost, ok := errors.AsType[*SourceError](err); ok {
		return lost.Addr.IsValid() // and is out of the pool by now
	}
	if r.proxy == direct {
		return false
	}
	fault, ours := errors.AsType[*ProxyError](err)
	_, theirs := errors.AsType[*TunnelError](err)
	switch {
	case ours && fault.named:
		if e.refused[r.proxy].failed(time.Now()) {
			e.profile.Proxies.changed(Change{Kind: ProxyRefused, Proxy: fault.Proxy, Endpoint: e.endpoint, Err: fault.Err})
		}
	case ours: // and remembered for all endpoints
	case theirs:
		e.refused[r.proxy].failed(time.Now())
	default:
		return false
	}
	tried[r.proxy] = true
	return true
}

// blame is the error to report of two from one attempt: what the proxies said
// of the destination, since that is the only word on the endpoint, else the
// later one, unless all it says is that there was no other way left.
func blame(first, later error) error {
	if first == nil {
		return later
	}
	_, source := errors.AsType[*SourceError](later)
	fault, proxy := errors.AsType[*ProxyError](later)
	if _, theirs := errors.AsType[*TunnelError](first); theirs && (source || proxy) || proxy && fault.Proxy == "" {
		return first
	}
	return later
}

// suspect looks whether an attempt that broke off or ran out of time did so
// because its source address or its proxy has gone: then a kept connection
// hangs or breaks, and the endpoint has no part in it.
func (e *exit) suspect(ctx context.Context, r route, err error) error {
	if _, named := errors.AsType[interface {
		error
		Outcome() string
	}](err); named || errors.Is(err, context.Canceled) {
		return err
	}
	for _, a := range []netip.Addr{r.source.four, r.source.six} {
		if a.IsValid() && e.profile.Sources.gone(a) {
			return &SourceError{Addr: a, Err: err}
		}
	}
	if r.proxy == direct {
		return err
	}
	d := e.dialer(r, nil)
	if gone := d.proxy.gone(context.WithoutCancel(ctx), d.dialProxy); gone != nil {
		return d.proxy.fault(false, errors.Join(gone, err))
	}
	return err
}

// rewound is the request with its body at the start again, nil if it has a
// body that cannot be read twice.
func rewound(req *http.Request) *http.Request {
	if req.Body == nil || req.Body == http.NoBody {
		return req
	}
	if req.GetBody == nil {
		return nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil
	}
	again := *req
	again.Body = body
	return &again
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // as RoundTripper promises
	}
}

var _ http.RoundTripper = (*exit)(nil)
