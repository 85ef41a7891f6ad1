package httpapi

import (
	"context"

	"github.com/atoship/caddy-webhooks/delivery"
)

// tenantJournal shows one tenant's events of a journal. Like tenantGateway it embeds nothing.
type tenantJournal struct {
	whole  delivery.Journal
	tenant string
	owns   func(endpoint string) bool
}

var _ delivery.Journal = (*tenantJournal)(nil)

// Event implements delivery.Journal.
func (j *tenantJournal) Event(ctx context.Context, id string, tenant *string) (*delivery.EventRecord, error) {
	if tenant != nil && *tenant != j.tenant {
		return nil, delivery.ErrNotFound
	}
	return j.whole.Event(ctx, id, &j.tenant)
}

// Delivery implements delivery.Journal. Rules may send a tenant's event to an endpoint that is not the tenant's: what is sent there
// tells its URL and its settings, which are not shown.
func (j *tenantJournal) Delivery(ctx context.Context, id string) (*delivery.DeliveryRecord, error) {
	r, err := j.whole.Delivery(ctx, id)
	if err == nil && r.Delivery.Event.Tenant != j.tenant {
		err = delivery.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	for i := range r.Transitions {
		if a := r.Transitions[i].Attempt; a != nil && a.Request != nil && !j.owns(a.Endpoint) {
			bare := *a
			bare.Request = nil
			r.Transitions[i].Attempt = &bare
		}
	}
	return r, nil
}

// mine narrows a listing to the tenant. One that was asked of another tenant has nothing.
func (j *tenantJournal) mine(asked **string) bool {
	if *asked != nil && **asked != j.tenant {
		return false
	}
	*asked = &j.tenant
	return true
}

// Events implements delivery.Search.
func (j *tenantJournal) Events(ctx context.Context, q delivery.EventQuery) (delivery.EventPage, error) {
	if !j.mine(&q.Tenant) {
		return delivery.EventPage{}, nil
	}
	return j.whole.Events(ctx, q)
}

// Deliveries implements delivery.Search.
func (j *tenantJournal) Deliveries(ctx context.Context, q delivery.DeliveryQuery) (delivery.DeliveryPage, error) {
	if !j.mine(&q.Tenant) {
		return delivery.DeliveryPage{}, nil
	}
	return j.whole.Deliveries(ctx, q)
}

// Attempts implements delivery.Search.
func (j *tenantJournal) Attempts(ctx context.Context, q delivery.AttemptQuery) (delivery.AttemptPage, error) {
	if !j.mine(&q.Tenant) {
		return delivery.AttemptPage{}, nil
	}
	return j.whole.Attempts(ctx, q)
}

// Counts are for those who see all tenants.
func (*tenantJournal) Counts(context.Context) (delivery.Counts, error) {
	return delivery.Counts{}, delivery.ErrNotFound
}

// LaneCounts are for those who see all tenants.
func (*tenantJournal) LaneCounts(context.Context) (map[string]delivery.Counts, error) {
	return nil, delivery.ErrNotFound
}

// Cancel implements delivery.Journal.
func (j *tenantJournal) Cancel(ctx context.Context, id string) (delivery.State, error) {
	if _, err := j.Delivery(ctx, id); err != nil {
		return delivery.Pending, err
	}
	return j.whole.Cancel(ctx, id)
}

// Prune is for the engine.
func (*tenantJournal) Prune(context.Context, delivery.Prune) (expired, deleted int, err error) {
	return 0, 0, delivery.ErrNotFound
}

// noDocuments has none and keeps none.
type noDocuments struct{}

func (noDocuments) Document(context.Context, string, string) (delivery.Document, error) {
	return delivery.Document{}, delivery.ErrNotFound
}

func (noDocuments) ListDocuments(context.Context, string, string, int) ([]delivery.Document, error) {
	return nil, delivery.ErrNotFound
}

func (noDocuments) PutDocument(context.Context, delivery.Document) (uint64, error) {
	return 0, delivery.ErrNotFound
}

func (noDocuments) DeleteDocument(context.Context, string, string, uint64) error {
	return delivery.ErrNotFound
}

// Erase is the engine's.
func (*tenantJournal) Erase(context.Context, []uint64, bool) (delivery.Erasure, error) {
	return delivery.Erasure{}, delivery.ErrUnsupported
}
