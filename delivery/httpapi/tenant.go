package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/sign"
)

// tenantGateway is what one tenant may see of a gateway, and all that its callers ever get: the one place where tenants are
// kept apart. It embeds nothing, so that no method can be added to Gateway without someone deciding what it means here. What
// belongs to others is not found.
type tenantGateway struct {
	whole  Gateway
	tenant string
}

var _ Gateway = (*tenantGateway)(nil)

// Plan tells how events are taken in, and nothing of endpoints.
func (g *tenantGateway) Plan() *delivery.Plan {
	plan := g.whole.Plan()
	if plan == nil {
		return nil
	}
	return &delivery.Plan{Intake: plan.Intake, HeaderPrefix: plan.HeaderPrefix, UserAgent: plan.UserAgent, Egress: plan.Egress}
}

// Accept takes events as the tenant's.
func (g *tenantGateway) Accept(ctx context.Context, evs []*delivery.Event) ([]delivery.Receipt, error) {
	for _, ev := range evs {
		ev.Tenant = g.tenant
	}
	return g.whole.Accept(ctx, evs)
}

// Journal shows the tenant's events.
func (g *tenantGateway) Journal() delivery.Journal {
	return &tenantJournal{g.whole.Journal(), g.tenant, func(name string) bool { return g.must(name) == nil }}
}

// Healthy implements Gateway.
func (g *tenantGateway) Healthy() bool { return g.whole.Healthy() }

// owns tells whether an endpoint is the tenant's.
func (g *tenantGateway) owns(s *delivery.EndpointStatus) bool {
	switch {
	case s.Managed != nil:
		return s.Managed.Tenant == g.tenant
	case s.Endpoint != nil:
		return s.Endpoint.Tenant == g.tenant
	}
	return false // removed: nobody knows whose it was
}

// Endpoints implements Gateway.
func (g *tenantGateway) Endpoints() []delivery.EndpointStatus {
	var own []delivery.EndpointStatus
	for _, s := range g.whole.Endpoints() {
		if g.owns(&s) {
			own = append(own, s)
		}
	}
	return own
}

// Endpoint implements Gateway.
func (g *tenantGateway) Endpoint(name string) (delivery.EndpointStatus, error) {
	s, err := g.whole.Endpoint(name)
	if err == nil && !g.owns(&s) {
		err = delivery.ErrNotFound
	}
	if err != nil {
		return delivery.EndpointStatus{}, err
	}
	return s, nil
}

// must is nil when the endpoint is the tenant's.
func (g *tenantGateway) must(name string) error {
	_, err := g.Endpoint(name)
	return err
}

// Pause implements Gateway.
func (g *tenantGateway) Pause(ctx context.Context, name string) error {
	if err := g.must(name); err != nil {
		return err
	}
	return g.whole.Pause(ctx, name)
}

// Resume implements Gateway.
func (g *tenantGateway) Resume(ctx context.Context, name string) error {
	if err := g.must(name); err != nil {
		return err
	}
	return g.whole.Resume(ctx, name)
}

// Test implements Tester; the event is the tenant's.
func (g *tenantGateway) Test(ctx context.Context, name string, ev *delivery.Event) (*delivery.DeliveryRecord, error) {
	if err := g.must(name); err != nil {
		return nil, err
	}
	ev.Tenant = g.tenant
	return g.whole.Test(ctx, name, ev)
}

// Check implements Tester; the event is the tenant's.
func (g *tenantGateway) Check(ctx context.Context, name string, ev *delivery.Event) (*delivery.Check, error) {
	if err := g.must(name); err != nil {
		return nil, err
	}
	ev.Tenant = g.tenant
	return g.whole.Check(ctx, name, ev)
}

// Follow passes on what happens to the tenant's events.
func (g *tenantGateway) Follow(cursor string, wants func(*delivery.FeedItem) bool) (*delivery.Follower, error) {
	return g.whole.Follow(cursor, func(i *delivery.FeedItem) bool { return i.Tenant == g.tenant && wants(i) })
}

// Pulse is for those who see all tenants.
func (*tenantGateway) Pulse() []delivery.PulseMinute { return nil }

// Activity sums up the tenant's endpoints.
func (g *tenantGateway) Activity(ctx context.Context, of func(endpoint string) bool) (delivery.Activity, error) {
	own := make(map[string]bool)
	for _, s := range g.Endpoints() {
		own[s.Name] = true
	}
	return g.whole.Activity(ctx, func(name string) bool { return own[name] && of(name) })
}

// RouteUse is for those who see all tenants.
func (*tenantGateway) RouteUse(string) delivery.RouteUse { return delivery.RouteUse{} }

// Redeliver implements Redeliverer.
func (g *tenantGateway) Redeliver(ctx context.Context, id string) (*delivery.Delivery, error) {
	if _, err := g.Journal().Delivery(ctx, id); err != nil {
		return nil, err
	}
	return g.whole.Redeliver(ctx, id)
}

// ReplayEvent implements Redeliverer; an endpoint that is named must be the tenant's.
func (g *tenantGateway) ReplayEvent(ctx context.Context, id string, tenant *string, endpoint string) ([]*delivery.Delivery, error) {
	if tenant != nil && *tenant != g.tenant {
		return nil, delivery.ErrNotFound
	}
	if endpoint != "" {
		if err := g.must(endpoint); err != nil {
			return nil, err
		}
	}
	return g.whole.ReplayEvent(ctx, id, &g.tenant, endpoint)
}

// Cancel implements Redeliverer.
func (g *tenantGateway) Cancel(ctx context.Context, id string) (delivery.State, error) {
	if _, err := g.Journal().Delivery(ctx, id); err != nil {
		return delivery.Pending, err
	}
	return g.whole.Cancel(ctx, id)
}

// Route implements Redeliverer.
func (g *tenantGateway) Route(ctx context.Context, id string, tenant *string) (*delivery.EventRecord, error) {
	if tenant != nil && *tenant != g.tenant {
		return nil, delivery.ErrNotFound
	}
	return g.whole.Route(ctx, id, &g.tenant)
}

// StartReplay replays the tenant's events only; an endpoint that is named must be the tenant's.
func (g *tenantGateway) StartReplay(ctx context.Context, q delivery.ReplayQuery) (delivery.Replay, error) {
	if q.Tenant != nil && *q.Tenant != g.tenant {
		return delivery.Replay{}, &delivery.SettingError{Pointer: "/tenant", Err: errors.New("the caller is limited to another tenant")}
	}
	if q.Endpoint != "" {
		if err := g.must(q.Endpoint); err != nil {
			return delivery.Replay{}, err
		}
	}
	q.Tenant = &g.tenant
	return g.whole.StartReplay(ctx, q)
}

// begun tells whether a replay is of the tenant's events.
func (g *tenantGateway) begun(r *delivery.Replay) bool {
	return r.Query.Tenant != nil && *r.Query.Tenant == g.tenant
}

// Replay implements Replayer.
func (g *tenantGateway) Replay(ctx context.Context, id string) (delivery.Replay, error) {
	r, err := g.whole.Replay(ctx, id)
	if err == nil && !g.begun(&r) {
		err = delivery.ErrNotFound
	}
	if err != nil {
		return delivery.Replay{}, err
	}
	return r, nil
}

// Replays implements Replayer.
func (g *tenantGateway) Replays(ctx context.Context) ([]delivery.Replay, error) {
	all, err := g.whole.Replays(ctx)
	return slices.DeleteFunc(slices.Clone(all), func(r delivery.Replay) bool { return !g.begun(&r) }), err
}

// CancelReplay implements Replayer.
func (g *tenantGateway) CancelReplay(ctx context.Context, id string) (delivery.Replay, error) {
	if _, err := g.Replay(ctx, id); err != nil {
		return delivery.Replay{}, err
	}
	return g.whole.CancelReplay(ctx, id)
}

// Stats are for those who see all tenants.
func (*tenantGateway) Stats(context.Context) (delivery.Stats, error) {
	return delivery.Stats{}, delivery.ErrNotFound
}

// Oldest is for those who see all tenants.
func (*tenantGateway) Oldest(context.Context) (map[string]time.Time, error) {
	return nil, delivery.ErrNotFound
}

// Documents are for those who see all tenants.
func (*tenantGateway) Documents() delivery.Documents { return noDocuments{} }

// operatorOnly are settings that reach beyond the tenant: which way out, with which addresses allowed, and whom it trusts.
var operatorOnly = []string{"egress", "tls"}

// CreateEndpoint makes an endpoint of the tenant's.
func (g *tenantGateway) CreateEndpoint(ctx context.Context, settings json.RawMessage, secrets []sign.Secret) (string, []sign.Secret, error) {
	settings, err := g.confine(nil, settings)
	if err != nil {
		return "", nil, err
	}
	return g.whole.CreateEndpoint(ctx, settings, secrets)
}

// ChangeEndpoint changes an endpoint of the tenant's, which it stays.
func (g *tenantGateway) ChangeEndpoint(ctx context.Context, name string, version uint64, change func(json.RawMessage) (json.RawMessage, error)) error {
	if err := g.must(name); err != nil {
		return err
	}
	return placeless(g.whole.ChangeEndpoint(ctx, name, version, func(was json.RawMessage) (json.RawMessage, error) {
		settings, err := change(was)
		if err != nil {
			return nil, err
		}
		return g.confine(was, settings)
	}))
}

// confine keeps settings within the tenant: was are those before, nil for a new endpoint.
func (g *tenantGateway) confine(was, settings json.RawMessage) (json.RawMessage, error) {
	var before, members map[string]json.RawMessage
	if err := json.Unmarshal(settings, &members); err != nil {
		return nil, &delivery.SettingError{Err: errors.New("the settings are not a JSON object")}
	}
	if was != nil {
		if err := json.Unmarshal(was, &before); err != nil {
			return nil, err
		}
	}
	for _, name := range operatorOnly {
		if !bytes.Equal(members[name], before[name]) {
			return nil, &delivery.SettingError{Pointer: "/" + name, Err: errors.New("this is for callers that are not limited to a tenant")}
		}
	}
	own, err := json.Marshal(g.tenant)
	if err != nil {
		return nil, err
	}
	if given, ok := members["tenant"]; ok && !bytes.Equal(given, own) {
		return nil, &delivery.SettingError{Pointer: "/tenant", Err: errors.New("the caller is limited to another tenant")}
	}
	members["tenant"] = own
	return json.Marshal(members)
}

// placeless is an error without places in the gateway's own files, which a tenant is not told about.
func placeless(err error) error {
	if from, ok := errors.AsType[*delivery.FromConfigError](err); ok {
		return &delivery.FromConfigError{Endpoint: from.Endpoint}
	}
	return err
}

// DeleteEndpoint implements Manager.
func (g *tenantGateway) DeleteEndpoint(ctx context.Context, name string, version, confirmed uint64) (int, error) {
	if err := g.must(name); err != nil {
		return 0, err
	}
	cancelled, err := g.whole.DeleteEndpoint(ctx, name, version, confirmed)
	return cancelled, placeless(err)
}

// RotateSecret implements Manager.
func (g *tenantGateway) RotateSecret(ctx context.Context, name string, version uint64, secret string, until time.Time) (sign.Secret, error) {
	if err := g.must(name); err != nil {
		return sign.Secret{}, err
	}
	next, err := g.whole.RotateSecret(ctx, name, version, secret, until)
	return next, placeless(err)
}

// Secrets implements Manager.
func (g *tenantGateway) Secrets(name string) ([]sign.Secret, error) {
	if err := g.must(name); err != nil {
		return nil, err
	}
	secrets, err := g.whole.Secrets(name)
	return secrets, placeless(err)
}

// Backup implements Keeper; like erasing it is for those who see all tenants.
func (*tenantGateway) Backup(context.Context, string) error { return delivery.ErrUnsupported }

// EraseEvent implements Keeper.
func (*tenantGateway) EraseEvent(context.Context, string, *string, bool) (delivery.Erasure, error) {
	return delivery.Erasure{}, delivery.ErrUnsupported
}

// EraseTenant implements Keeper.
func (*tenantGateway) EraseTenant(context.Context, string, bool, string) (delivery.Erasure, error) {
	return delivery.Erasure{}, delivery.ErrUnsupported
}
