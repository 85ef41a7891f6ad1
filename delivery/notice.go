package delivery

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/payload"
)

// NoticePrefix begins the event types of operational events. They are the gateway's own: publishers may not use it.
const NoticePrefix = "webhooks."

// Types of operational events. Each is raised on a change of state only.
const (
	NoticeBreakerOpened     = NoticePrefix + "breaker_opened"
	NoticeBreakerClosed     = NoticePrefix + "breaker_closed"
	NoticeEndpointDisabled  = NoticePrefix + "endpoint_disabled"
	NoticeDeliveryExhausted = NoticePrefix + "delivery_exhausted"
	NoticeEgressChanged     = NoticePrefix + "egress_changed"
)

// Notice is an operational event: something about the gateway that an operator wants to know.
type Notice struct {
	Type string
	// Endpoint it is about; empty: none.
	Endpoint string
	// At is when it happened.
	At time.Time
	// Data says more: short values without secrets. It must not be changed any more.
	Data map[string]any
}

// IsNotice tells whether an event type is an operational one.
func IsNotice(eventType string) bool { return strings.HasPrefix(eventType, NoticePrefix) }

// noticeBacklog bounds the notices not yet passed on: a thousand endpoints may open their breakers in the same second.
const noticeBacklog = 4096

// Notify raises an operational event: the observer is told, and endpoints that want such events get it like any other. It
// never blocks; what does not fit into the backlog is dropped with a line in the log.
func (e *Engine) Notify(n Notice) {
	if n.At.IsZero() {
		n.At = time.Now()
	}
	n.At = stamp(n.At)
	select {
	case e.notices <- n:
	default:
		e.hot.Warn("too many operational events at once: one was dropped", slog.String("type", n.Type), slog.String("endpoint", n.Endpoint))
	}
}

// passNotices hands notices on until the engine stops taking work.
func (e *Engine) passNotices() {
	for {
		select {
		case <-e.work.Done():
			return
		case n := <-e.notices:
			e.obs.Noticed(n)
			if err := e.acceptNotice(n); err != nil && e.work.Err() == nil {
				e.hot.Error("an operational event was not stored", slog.String("type", n.Type), slog.String("endpoint", n.Endpoint), slog.Any("error", err))
			}
		}
	}
}

// acceptNotice makes an event of a notice and stores it if any endpoint asked for such news by name: a customer that
// subscribed to everything is not to hear how others are doing. News about an endpoint never goes to that endpoint, not even
// as a backup.
func (e *Engine) acceptNotice(n Notice) error {
	plan := e.plan.Load()
	if plan == nil {
		return nil
	}
	ev, err := plan.noticeEvent(n)
	if err != nil {
		return err
	}
	ctx := context.WithoutCancel(e.work) // once asked, the store decides; it is closed after this has ended
	ds, err := e.route(ctx, plan, ev)
	if err != nil {
		return err
	}
	ds = slices.DeleteFunc(ds, func(d *Delivery) bool {
		ep := plan.Endpoints[d.Chain[0]]
		return d.Chain[0] == n.Endpoint || d.Route != SubscriptionPrefix+d.Chain[0] || ep == nil || !ep.wantsNotice(n.Type)
	})
	if len(ds) == 0 {
		return nil
	}
	for i, d := range ds {
		d.Ord = uint16(i)
		d.Chain = slices.DeleteFunc(d.Chain, func(name string) bool { return name == n.Endpoint })
	}
	ev.Routing, ev.Held = Routed, nil // a route that could not decide gets no second chance: it would forget who must not get it
	receipts, err := e.publish(ctx, Accept{Event: ev, Deliveries: ds})
	if err != nil {
		return fmt.Errorf("storing it: %w", err)
	}
	e.obs.Accepted(ev, receipts[0].Deliveries)
	return nil
}

// noticeEvent makes the event; its data are the notice's, with the endpoint.
func (p *Plan) noticeEvent(n Notice) (*Event, error) {
	data := make(map[string]any, len(n.Data)+1)
	maps.Copy(data, n.Data)
	if n.Endpoint != "" {
		data["endpoint"] = n.Endpoint
	}
	ev, err := p.NewEvent(n.Type, n.At, data)
	if err != nil {
		return nil, err
	}
	ev.Tenant = p.tenantOf(n.Endpoint)
	return ev, nil
}

// NewEvent makes an event of the default environment of what happened on this machine; data are any values that JSON can
// show.
func (p *Plan) NewEvent(eventType string, at time.Time, data any) (*Event, error) {
	text, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encoding it: %w", err)
	}
	if text, err = payload.AppendStable(nil, text); err != nil {
		return nil, fmt.Errorf("encoding it: %w", err)
	}
	at = stamp(at)
	ev := &Event{
		ID: NewEventID(at), Type: eventType, Environment: p.Intake.DefaultEnvironment(),
		Timestamp: at.Format(time.RFC3339), Accepted: at, ContentType: "application/json",
	}
	ev.Body = payload.AppendBody(nil, ev.Type, ev.Timestamp, text)
	end := len(ev.Body) - 1 // the data's place: the closing brace follows it
	ev.DataStart, ev.DataEnd = uint32(end-len(text)), uint32(end)
	sum := sha256.Sum256(ev.Body)
	copy(ev.Hash[:], sum[:])
	return ev, nil
}

// tenantOf an endpoint: news of it is for its tenant and for those who ask for everybody's.
func (p *Plan) tenantOf(endpoint string) string {
	if ep := p.Endpoints[endpoint]; ep != nil {
		return ep.Tenant
	}
	return ""
}

// wantsNotice tells whether the endpoint's subscription names the type, or all operational events.
func (ep *Endpoint) wantsNotice(eventType string) bool {
	return slices.ContainsFunc(ep.Notices, func(pattern string) bool {
		return pattern == eventType || pattern == NoticePrefix+"*"
	})
}
