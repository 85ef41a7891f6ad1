package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/payload"
	"github.com/atoship/caddy-webhooks/delivery/sign"
)

// Manager is what making and changing endpoints needs of *delivery.Engine, which documents the methods.
type Manager interface {
	CreateEndpoint(ctx context.Context, settings json.RawMessage, given []sign.Secret) (name string, secrets []sign.Secret, err error)
	ChangeEndpoint(ctx context.Context, name string, version uint64, change func(json.RawMessage) (json.RawMessage, error)) error
	DeleteEndpoint(ctx context.Context, name string, version, confirmed uint64) (cancelled int, err error)
	RotateSecret(ctx context.Context, name string, version uint64, secret string, until time.Time) (sign.Secret, error)
	Secrets(name string) ([]sign.Secret, error)
}

// Bounds of a rotation.
const (
	// defaultOverlap is how long an old secret goes on beside its successor: a working day for the receiver to follow.
	defaultOverlap = 24 * time.Hour
	maxOverlap     = 90 * 24 * time.Hour
)

// secretView is a secret, shown where it is new or was asked for.
type secretView struct {
	Value string `json:"value"`
	// Standard is the same in the form that Standard Webhooks libraries take, where Value is not.
	Standard string `json:"standard,omitempty"`
	// PublicKey is what receivers verify the signatures of an Ed25519 key with.
	PublicKey string `json:"public_key,omitempty"`
	Until     moment `json:"until,omitzero"`
}

func viewSecrets(secrets []sign.Secret) []secretView {
	v := make([]secretView, len(secrets))
	for i, s := range secrets {
		v[i] = secretView{Value: s.Value, Until: moment{s.Until}}
		if sign.FormOf(s.Value) == sign.PrivateKey {
			v[i].PublicKey, _ = sign.PublicKeyOf(s.Value) // it was checked when it was taken
		} else if standard := sign.StandardForm(s.Value); standard != s.Value {
			v[i].Standard = standard
		}
	}
	return v
}

// createEndpoint makes an endpoint of the body, which is its settings and, if it brings its own, `secret`. This answer is where
// a secret that was made is shown.
func (a *API) createEndpoint(ctx context.Context, c *call) (any, error) {
	settings, secrets, err := c.newSettings()
	if err != nil {
		return nil, err
	}
	name, secrets, err := c.gateway.CreateEndpoint(ctx, settings, secrets)
	if err != nil {
		return nil, err
	}
	a.audit(ctx, c, "made an endpoint", name)
	out, err := c.endpoint(name)
	if err != nil {
		return nil, err
	}
	out.status, out.location = http.StatusCreated, "endpoints/"+name
	out.body = newEndpointView{out.body.(endpointView), viewSecrets(secrets)}
	return out, nil
}

// newEndpointView is an endpoint that was made.
type newEndpointView struct {
	endpointView
	Secrets []secretView `json:"secrets"`
}

// deletedView is an endpoint that was deleted, and how many pending deliveries that cancelled.
type deletedView struct {
	ID        string `json:"id"`
	Cancelled int    `json:"cancelled"`
}

// rotatedView is a new secret; OldUntil is when those before it end, if they do not before.
type rotatedView struct {
	ID       string     `json:"id"`
	Secret   secretView `json:"secret"`
	OldUntil moment     `json:"old_until"`
}

// revealedView shows secrets, newest first.
type revealedView struct {
	ID      string       `json:"id"`
	Secrets []secretView `json:"secrets"`
}

// patchEndpoint merges the body into the settings (RFC 7396).
func (a *API) patchEndpoint(ctx context.Context, c *call) (any, error) {
	if _, p := parseQuery(c.Request); p != nil {
		return nil, p
	}
	version, p := c.version(true)
	if p != nil {
		return nil, p
	}
	patch, p := c.object(typeJSON, typeMergePatch)
	if p != nil {
		return nil, p
	}
	if _, given := patch["secret"]; given {
		return nil, &Problem{Status: http.StatusUnprocessableEntity, Detail: "secrets change by rotate-secret", Pointer: "/secret"}
	}
	name := c.PathValue("id")
	err := c.gateway.ChangeEndpoint(ctx, name, version, func(was json.RawMessage) (json.RawMessage, error) { return mergePatch(was, patch) })
	if err != nil {
		return nil, err
	}
	a.audit(ctx, c, "changed an endpoint", name)
	return c.endpoint(name)
}

// deleteEndpoint ends an endpoint; ?confirm= is the number of pending deliveries that the caller knows will be cancelled.
func (a *API) deleteEndpoint(ctx context.Context, c *call) (any, error) {
	q, p := parseQuery(c.Request, "confirm")
	if p != nil {
		return nil, p
	}
	version, p := c.version(true)
	if p != nil {
		return nil, p
	}
	var confirmed uint64
	if v, given := q["confirm"]; given {
		var err error
		if confirmed, err = strconv.ParseUint(v, 10, 64); err != nil {
			return nil, badParameter("confirm", "must be the number of pending deliveries to cancel")
		}
	}
	name := c.PathValue("id")
	cancelled, err := c.gateway.DeleteEndpoint(ctx, name, version, confirmed)
	if err != nil {
		return nil, err
	}
	a.audit(ctx, c, "deleted an endpoint", name)
	return deletedView{name, cancelled}, nil
}

// rotation is the body of rotate-secret; all of it is optional.
type rotation struct {
	// Secret to use. Default: one is made.
	Secret string `json:"secret"`
	// Overlap is how long the old one goes on, such as 24h, the default, or 0s for not at all; Until says so by a time.
	Overlap *string   `json:"overlap"`
	Until   time.Time `json:"until"`
}

func (ro *rotation) until(now time.Time) (time.Time, *Problem) {
	wrong := func(member, detail string) *Problem {
		return &Problem{Status: http.StatusUnprocessableEntity, Pointer: "/" + member, Detail: detail}
	}
	end := now.Add(defaultOverlap)
	switch {
	case ro.Overlap != nil && !ro.Until.IsZero():
		return end, wrong("until", "overlap and until exclude each other")
	case ro.Overlap != nil:
		d, err := time.ParseDuration(*ro.Overlap)
		if err != nil || d < 0 {
			return end, wrong("overlap", "must be a duration such as 24h")
		}
		end = now.Add(d)
	case !ro.Until.IsZero():
		end = ro.Until
	}
	if end.Sub(now) > maxOverlap {
		return end, wrong("overlap", "an old secret goes on for 90 days at most")
	}
	return end.UTC().Truncate(time.Millisecond), nil
}

// rotateSecret gives an endpoint a new secret. This answer is where it is shown.
func (a *API) rotateSecret(ctx context.Context, c *call) (any, error) {
	if _, p := parseQuery(c.Request); p != nil {
		return nil, p
	}
	version, p := c.version(false)
	if p != nil {
		return nil, p
	}
	var ro rotation
	if p := c.optional(&ro); p != nil {
		return nil, p
	}
	until, p := ro.until(time.Now())
	if p != nil {
		return nil, p
	}
	name := c.PathValue("id")
	next, err := c.gateway.RotateSecret(ctx, name, version, ro.Secret, until)
	if from, ok := errors.AsType[*delivery.FromConfigError](err); ok {
		return nil, conflict(from.Error() + ": its secret is changed there, with the new one as the first `secret` and an `until` behind the old one, and a reload")
	}
	if err != nil {
		return nil, err
	}
	a.audit(ctx, c, "rotated a signing secret", name)
	return rotatedView{name, viewSecrets([]sign.Secret{next})[0], moment{until}}, nil
}

// revealSecret shows an endpoint's secrets, newest first. It goes on record.
func (a *API) revealSecret(ctx context.Context, c *call) (any, error) {
	if _, p := parseQuery(c.Request); p != nil {
		return nil, p
	}
	name := c.PathValue("id")
	secrets, err := c.gateway.Secrets(name)
	if from, ok := errors.AsType[*delivery.FromConfigError](err); ok {
		return nil, conflict(from.Error() + ": its secrets are there, and are not told here")
	}
	if err != nil {
		return nil, err
	}
	a.audit(ctx, c, "revealed signing secrets", name)
	return revealedView{name, viewSecrets(secrets)}, nil
}

// audit puts on record who did what.
func (a *API) audit(ctx context.Context, c *call, did, what string) {
	a.log.InfoContext(ctx, "audit", "did", did, "what", what, "who", c.access.Name, "tenant", c.access.Tenant, "from", c.RemoteAddr)
}

func conflict(detail string) *Problem { return &Problem{Status: http.StatusConflict, Detail: detail} }

// managementProblem answers what the engine says of endpoints made by API; nil for other errors.
func managementProblem(err error) *Problem {
	if e, ok := errors.AsType[*delivery.SettingError](err); ok {
		return &Problem{Status: http.StatusUnprocessableEntity, Detail: e.Error(), Pointer: e.Pointer}
	}
	if e, ok := errors.AsType[*delivery.PendingError](err); ok {
		return &Problem{
			Status: http.StatusConflict, Pending: &e.Pending,
			Detail: e.Error() + ": confirm it by ?confirm=" + strconv.FormatUint(e.Pending, 10),
		}
	}
	if e, ok := errors.AsType[*delivery.InUseError](err); ok {
		return conflict(e.Error())
	}
	if e, ok := errors.AsType[*delivery.FromConfigError](err); ok {
		return conflict(e.Error() + ", and is changed there")
	}
	if e, ok := errors.AsType[*payload.Error](err); ok {
		return inputProblem(e)
	}
	switch {
	case errors.Is(err, delivery.ErrRevision):
		return &Problem{Status: http.StatusPreconditionFailed, Detail: "it was changed meanwhile: get it again, and repeat with its ETag"}
	case errors.Is(err, delivery.ErrNoKeys):
		return conflict("no endpoint is made or changed without a secret_key, by which its secrets are kept encrypted: " +
			"give the global option `webhooks` a `secret_key {env.WEBHOOKS_KEY}` of 32 bytes or more")
	case errors.Is(err, delivery.ErrUnreadable):
		return conflict("no secret_key of the configuration opens this endpoint's settings: put the key back that sealed them, or delete it")
	case errors.Is(err, delivery.ErrTooMany):
		return conflict(err.Error())
	}
	return nil
}

// etagOf a version of settings. It says nothing of what the endpoint is doing.
func etagOf(version uint64) string { return `"v` + strconv.FormatUint(version, 10) + `"` }

// version is the one that If-Match names; 0 for `*`, and without the header where it may be missing.
func (c *call) version(required bool) (uint64, *Problem) {
	given := strings.Join(c.Header.Values("If-Match"), ",")
	switch {
	case given == "" && required:
		return 0, &Problem{
			Status: http.StatusPreconditionRequired,
			Detail: "say by If-Match which version you mean: the ETag that GET answered, or * for whichever it is",
		}
	case given == "", strings.TrimSpace(given) == "*":
		return 0, nil
	}
	text, ok := strings.CutPrefix(strings.TrimSpace(given), `"v`)
	text, closed := strings.CutSuffix(text, `"`)
	n, err := strconv.ParseUint(text, 10, 64)
	if !ok || !closed || err != nil || n == 0 {
		return 0, &Problem{Status: http.StatusPreconditionFailed, Detail: "If-Match holds no ETag of this API"}
	}
	return n, nil
}
