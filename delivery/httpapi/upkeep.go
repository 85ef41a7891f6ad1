package httpapi

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"

	"github.com/atoship/caddy-webhooks/delivery"
)

// Keeper is what keeping the store needs of *delivery.Engine.
type Keeper interface {
	// Backup copies the store into a new directory of this machine.
	Backup(ctx context.Context, dir string) error
	// EraseEvent and EraseTenant erase payloads; cancel says what becomes of pending deliveries.
	EraseEvent(ctx context.Context, id string, tenant *string, cancel bool) (delivery.Erasure, error)
	EraseTenant(ctx context.Context, tenant string, cancel bool, from string) (delivery.Erasure, error)
}

// AllowBackup lets callers write copies of the store to this machine's disk. Only whoever may do that anyway, as at Caddy's
// admin endpoint, is to get an API that does.
func (a *API) AllowBackup() *API {
	a.backup = true
	return a
}

// upkeepRoutes are what this file handles. What concerns the store as a whole, or cannot be undone, is not for tenants.
func (a *API) upkeepRoutes() []*route {
	return []*route{
		{pattern: "GET /stats/endpoints", do: plainly(a.endpointStats), global: true, doc: doc{
			summary: "Count deliveries by endpoint, most pending first", query: []string{"limit"}, answer: endpointStatsPageView{},
		}},
		{pattern: "POST /events/{id}/erase", do: plainly(a.eraseEvent), global: true, doc: doc{
			summary: "Erase the payload of an event", query: []string{"tenant"}, body: eraseRequest{}, answer: erasureView{}, refuses: []int{http.StatusConflict},
		}},
		{pattern: "POST /store/erase", do: plainly(a.eraseTenant), global: true, doc: doc{
			summary: "Erase the payloads of a tenant's events", body: eraseTenantRequest{}, needed: true, answer: erasureView{},
		}},
		{pattern: "POST /store/backup", do: plainly(a.backUp), global: true, doc: doc{
			summary: "Copy the store to a directory of the gateway's machine", body: backupView{}, needed: true, answer: backupView{},
			refuses: []int{http.StatusConflict, http.StatusNotImplemented},
		}},
	}
}

// eraseRequest is the body that erases an event.
type eraseRequest struct {
	CancelPending bool `json:"cancel_pending"`
}

// eraseTenantRequest is the body that erases a tenant's events.
type eraseTenantRequest struct {
	Tenant        string `json:"tenant"`
	CancelPending bool   `json:"cancel_pending"`
	// Next of the answer before.
	Next string `json:"next"`
}

// backupView names the directory of a backup, in the request and in the answer.
type backupView struct {
	Directory string `json:"directory"`
}

type erasureView struct {
	Erased    int `json:"erased"`
	Cancelled int `json:"cancelled"`
	// Pending events were left as they are. Next goes on where this answer ends.
	Pending int    `json:"pending"`
	Next    string `json:"next,omitempty"`
}

// eraseProblem says why something was not erased.
func eraseProblem(err error) error {
	if errors.Is(err, delivery.ErrPending) {
		return &Problem{
			Status: http.StatusConflict,
			Detail: `deliveries of the event are pending: cancel them first, or with the same request by {"cancel_pending":true}`,
		}
	}
	return err
}

func (*API) eraseEvent(ctx context.Context, g Gateway, r *http.Request) (any, error) {
	var body eraseRequest
	tenant, p := readTenant(r)
	if p == nil {
		p = readObject(r, maxOperatorBody, &body, `the body is empty, or {"cancel_pending":true}`)
	}
	if p != nil {
		return nil, p
	}
	x, err := g.EraseEvent(ctx, r.PathValue("id"), tenant, body.CancelPending)
	if err != nil {
		return nil, eraseProblem(err)
	}
	return erasureView{Erased: x.Erased, Cancelled: x.Cancelled}, nil
}

func (*API) eraseTenant(ctx context.Context, g Gateway, r *http.Request) (any, error) {
	const wrong = `the body names a tenant, such as {"tenant":"acme","cancel_pending":true}, and goes on with "next" of the answer before`
	var body eraseTenantRequest
	if _, p := parseQuery(r); p != nil {
		return nil, p
	}
	if p := readObject(r, maxOperatorBody, &body, wrong); p != nil {
		return nil, p
	}
	if body.Tenant == "" {
		return nil, &Problem{Status: http.StatusUnprocessableEntity, Detail: wrong, Pointer: "/tenant"}
	}
	x, err := g.EraseTenant(ctx, body.Tenant, body.CancelPending, body.Next)
	if errors.Is(err, delivery.ErrCursor) {
		return nil, &Problem{Status: http.StatusUnprocessableEntity, Detail: "not one that an answer before gave out", Pointer: "/next"}
	}
	if err != nil {
		return nil, err
	}
	return erasureView{x.Erased, x.Cancelled, x.Pending, x.Next}, nil
}

// backUp answers when the copy is complete and on disk.
func (a *API) backUp(ctx context.Context, g Gateway, r *http.Request) (any, error) {
	const wrong = `the body names a directory of this machine that does not exist yet, such as {"directory":"/var/backups/webhooks-monday"}`
	var body backupView
	if !a.backup {
		return nil, &Problem{Status: http.StatusForbidden, Detail: "a backup is made at Caddy's admin endpoint only"}
	}
	if _, p := parseQuery(r); p != nil {
		return nil, p
	}
	if p := readObject(r, maxOperatorBody, &body, wrong); p != nil {
		return nil, p
	}
	if !filepath.IsAbs(body.Directory) || len(body.Directory) > maxParameter {
		return nil, &Problem{Status: http.StatusUnprocessableEntity, Detail: wrong, Pointer: "/directory"}
	}
	dir := filepath.Clean(body.Directory)
	err := g.Backup(ctx, dir)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, &Problem{Status: http.StatusConflict, Detail: "the directory exists"}
	case errors.Is(err, delivery.ErrUnsupported):
		return nil, &Problem{Status: http.StatusNotImplemented, Detail: "this store has no backup of its own"}
	case err != nil && !errors.Is(err, delivery.ErrUnavailable):
		a.log.ErrorContext(ctx, "backup failed", "directory", dir, "error", err)
		return nil, &Problem{Status: http.StatusUnprocessableEntity, Detail: "the directory could not be written: " + err.Error(), Pointer: "/directory"}
	case err != nil:
		return nil, err
	}
	return backupView{dir}, nil
}

type endpointStatsView struct {
	Endpoint  string `json:"endpoint"`
	Pending   uint64 `json:"pending"`
	Delivered uint64 `json:"delivered"`
	Exhausted uint64 `json:"exhausted"`
	Cancelled uint64 `json:"cancelled"`
	// OldestDue is since when the first of what is due there waits.
	OldestDue moment `json:"oldest_due,omitzero"`
}

// endpointStatsPageView shows the first of all endpoints, which are Total.
type endpointStatsPageView struct {
	Items []endpointStatsView `json:"items"`
	Total int                 `json:"total"`
}

// endpointStats counts deliveries by home endpoint, those with the most pending first. The cursor is not needed to find the
// worst, so there is none: limit says how many are shown.
func (*API) endpointStats(ctx context.Context, g Gateway, r *http.Request) (any, error) {
	var limit int
	if p := readTerms(r, terms{"limit": size(&limit)}); p != nil {
		return nil, p
	}
	counts, err := g.Journal().LaneCounts(ctx)
	if err != nil {
		return nil, err
	}
	oldest, err := g.Oldest(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]endpointStatsView, 0, len(counts))
	for name, c := range counts {
		all = append(all, endpointStatsView{name, c.Pending, c.Delivered, c.Exhausted, c.Cancelled, moment{oldest[name]}})
	}
	slices.SortFunc(all, func(a, b endpointStatsView) int {
		return cmp.Or(cmp.Compare(b.Pending, a.Pending), cmp.Compare(a.Endpoint, b.Endpoint))
	})
	return endpointStatsPageView{all[:min(limit, len(all))], len(all)}, nil
}
