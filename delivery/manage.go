package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/sign"
	"github.com/atoship/caddy-webhooks/rules"
)

// CreateEndpoint makes an endpoint of settings in the shape of the JSON configuration, durable and in force on return, and
// answers its name and secrets. A secret of each form that its schemes need and that is not given is made. Errors:
// *SettingError, ErrNoKeys, ErrTooMany, ErrUnavailable (then it may exist after all, under a name nobody knows), or the
// context's.
func (e *Engine) CreateEndpoint(ctx context.Context, settings json.RawMessage, given []sign.Secret) (name string, secrets []sign.Secret, err error) {
	e.applying.Lock()
	defer e.applying.Unlock()
	base, err := e.manageable(ctx)
	if err != nil {
		return "", nil, err
	}
	if len(e.managed) >= MaxManaged {
		return "", nil, ErrTooMany
	}
	forms, err := base.Maker.Forms(settings)
	if err != nil {
		return "", nil, err
	}
	now := stamp(time.Now())
	m := &managed{name: newManagedName(), secrets: completeSecrets(forms, given)}
	m.Version, m.Settings, m.Created, m.Updated = 1, compact(settings), now, now
	if err := e.install(ctx, nil, m); err != nil {
		return "", nil, err
	}
	e.log.Info("an endpoint was made", slog.String("endpoint", m.name), slog.String("tenant", m.Tenant))
	return m.name, m.secrets, nil
}

// ChangeEndpoint replaces the settings of a managed endpoint by what change makes of them; the next attempt goes by the new
// ones. It answers when that is durable. version is what the caller knows, 0 for any; another one is ErrRevision. Errors
// beside: ErrNotFound, *FromConfigError, ErrUnreadable, those of change, and those of CreateEndpoint.
func (e *Engine) ChangeEndpoint(ctx context.Context, name string, version uint64, change func(json.RawMessage) (json.RawMessage, error)) error {
	return e.change(ctx, name, version, "settings", func(m *managed) error {
		settings, err := change(m.Settings)
		m.Settings = compact(settings)
		return err
	})
}

// RotateSecret gives a managed endpoint a new secret, made unless one is given. The older ones of its form go on until then
// at most, all of them signing as their schemes say. It answers with the new one; versions and errors are as of
// ChangeEndpoint.
func (e *Engine) RotateSecret(ctx context.Context, name string, version uint64, secret string, until time.Time) (sign.Secret, error) {
	rotated := sign.Secret{Value: secret}
	err := e.change(ctx, name, version, "new secret", func(m *managed) error {
		if rotated.Value == "" {
			rotated.Value = generate(sign.FormOf(m.newest()))
		}
		m.secrets = rotate(m.secrets, rotated, until)
		return nil
	})
	return rotated, err
}

// newest is the secret that a rotation replaces.
func (m *managed) newest() string {
	if len(m.secrets) == 0 {
		return ""
	}
	return m.secrets[0].Value
}

// rotate puts a secret before the others and ends those of its form. What has ended goes.
func rotate(secrets []sign.Secret, next sign.Secret, until time.Time) []sign.Secret {
	out := []sign.Secret{next}
	for _, s := range sign.Live(secrets, time.Now()) {
		if sign.FormOf(s.Value) == sign.FormOf(next.Value) && (s.Until.IsZero() || s.Until.After(until)) {
			s.Until = until
		}
		out = append(out, s)
	}
	return sign.Live(out, time.Now())
}

// change makes a new version of a managed endpoint, durable and in force on return.
func (e *Engine) change(ctx context.Context, name string, version uint64, what string, edit func(*managed) error) error {
	e.applying.Lock()
	defer e.applying.Unlock()
	if err := e.ofConfig(name); err != nil { // whether there are keys does not matter then
		return err
	}
	if _, err := e.manageable(ctx); err != nil {
		return err
	}
	was, err := e.versioned(name, version)
	if err != nil {
		return err
	}
	if was.sealed != nil {
		return ErrUnreadable
	}
	m := *was
	m.made = nil
	if err := edit(&m); err != nil {
		return err
	}
	m.Version++
	m.Updated = stamp(time.Now())
	if err := e.install(ctx, was, &m); err != nil {
		return err
	}
	e.log.Info("an endpoint made at run time was changed", slog.String("endpoint", name), slog.String("change", what), slog.Uint64("version", m.Version))
	return nil
}

// DeleteEndpoint ends a managed endpoint for good and cancels what is pending for it, if that is no more than confirmed;
// else it is a *PendingError and nothing is done. Deliveries that moved on to a backup go on there, attempts in flight end
// first. Errors beside: ErrNotFound, *FromConfigError, ErrRevision, *InUseError, ErrUnavailable (then the endpoint may be
// gone and what waits for it not yet cancelled: that is done at the next start), or the context's.
func (e *Engine) DeleteEndpoint(ctx context.Context, name string, version, confirmed uint64) (cancelled int, err error) {
	if err := e.remove(ctx, name, version, confirmed); err != nil {
		return 0, err
	}
	e.log.Info("an endpoint was deleted", slog.String("endpoint", name))
	// Events that were routed by the plan before are stored before what waits is cancelled.
	e.intake.Lock()
	e.intake.Unlock() //nolint:staticcheck // it only waits for those inside
	return e.CancelEndpoint(context.WithoutCancel(ctx), name)
}

func (e *Engine) remove(ctx context.Context, name string, version, confirmed uint64) error {
	e.applying.Lock()
	defer e.applying.Unlock()
	if err := e.settleDoubts(ctx); err != nil {
		return err
	}
	m, err := e.versioned(name, version)
	if err != nil {
		return err
	}
	plan := e.plan.Load()
	var by []string
	for other, ep := range plan.Endpoints {
		if slices.Contains(ep.Backups, name) {
			by = append(by, other)
		}
	}
	if len(by) > 0 {
		slices.Sort(by)
		return &InUseError{by}
	}
	if n := e.store.Pending(name); n > confirmed {
		return &PendingError{n}
	}
	if err := e.store.DeleteDocument(ctx, endpointKind, name, m.revision); err != nil {
		e.doubt(name)
		return fmt.Errorf("endpoint %s: %w", name, err)
	}
	return e.forget(m, plan)
}

// Secrets are those of a managed endpoint, newest first; who asks is for the caller to put on record. Errors: ErrNotFound,
// *FromConfigError, ErrUnreadable.
func (e *Engine) Secrets(name string) ([]sign.Secret, error) {
	e.applying.Lock()
	defer e.applying.Unlock()
	m, err := e.versioned(name, 0)
	switch {
	case err != nil:
		return nil, err
	case m.sealed != nil:
		return nil, ErrUnreadable
	}
	return slices.Clone(m.secrets), nil
}

// manageable is the plan in force, if it lets endpoints be made and nothing is in doubt.
func (e *Engine) manageable(ctx context.Context) (*Plan, error) {
	plan := e.plan.Load()
	switch {
	case plan == nil || e.work.Err() != nil:
		return nil, ErrStopping
	case plan.Keys == nil || plan.Maker == nil:
		return nil, ErrNoKeys
	}
	if err := e.settleDoubts(ctx); err != nil {
		return nil, err
	}
	return e.plan.Load(), nil
}

// versioned finds a managed endpoint at a version; applying is held.
func (e *Engine) versioned(name string, version uint64) (*managed, error) {
	if err := e.ofConfig(name); err != nil {
		return nil, err
	}
	m := e.managed[name]
	switch {
	case m == nil:
		return nil, fmt.Errorf("endpoint %s: %w", name, ErrNotFound)
	case version != 0 && version != m.Version:
		return nil, fmt.Errorf("endpoint %s: %w", name, ErrRevision)
	}
	return m, nil
}

// ofConfig is a *FromConfigError for an endpoint of the configuration; applying is held.
func (e *Engine) ofConfig(name string) error {
	if plan := e.plan.Load(); plan != nil && e.managed[name] == nil && plan.Endpoints[name] != nil {
		return &FromConfigError{name, plan.Endpoints[name].Pos}
	}
	return nil
}

// install makes a managed endpoint work, durable and then in force; was is what it replaces, nil for a new one. applying is
// held.
func (e *Engine) install(ctx context.Context, was, m *managed) error {
	plan := e.plan.Load()
	if len(m.Settings) > MaxSettings {
		return &SettingError{Err: fmt.Errorf("the settings have %d bytes, at most %d are allowed", len(m.Settings), MaxSettings)}
	}
	if err := m.make(plan.Maker); err != nil {
		return err
	}
	m.Tenant = m.made.Endpoint.Tenant
	j, err := e.joinOne(plan, was, m)
	if err == nil {
		err = e.keep(ctx, plan.Keys, m)
	}
	if err != nil {
		m.release()
		return err
	}
	e.use(j, m.name)
	return nil
}

// joinOne makes the plan with one more endpoint, or another one under its name.
func (e *Engine) joinOne(plan *Plan, was, m *managed) (*joined, error) {
	if err := m.checkBackups(plan); err != nil {
		return nil, err
	}
	var remove []string
	if was != nil {
		remove = []string{m.name}
	}
	var add []rules.Subscription
	if m.made.Subscription != nil {
		add = []rules.Subscription{*m.made.Subscription}
	}
	router, err := resubscribe(plan.Router, remove, add)
	if err != nil {
		return nil, err
	}
	j := &joined{managed: maps.Clone(e.managed)}
	j.managed[m.name] = m
	endpoints := maps.Clone(plan.Endpoints)
	endpoints[m.name] = m.made.Endpoint
	j.plan = plan.with(endpoints, router)
	return j, j.plan.check()
}

// keep writes the document, after making sure that what follows cannot fail.
func (e *Engine) keep(ctx context.Context, keys *Keys, m *managed) error {
	l, _ := e.findLane(m.name)
	if err := l.load(ctx); err != nil {
		return fmt.Errorf("endpoint %s: reading its state: %w", m.name, err)
	}
	d, err := m.encode(keys)
	if err != nil {
		return err
	}
	m.revision, err = e.store.PutDocument(ctx, d)
	m.sealer = keys.sealer()
	if err != nil {
		e.doubt(m.name)
		return fmt.Errorf("endpoint %s: %w", m.name, err)
	}
	return nil
}

// checkBackups refuses a chain that could not work, and one that would send a tenant's events to another.
func (m *managed) checkBackups(plan *Plan) error {
	ep := m.made.Endpoint
	for i, name := range ep.Backups {
		at := fmt.Sprintf("/backup/%d", i)
		switch other := plan.Endpoints[name]; {
		case name == m.name:
			return &SettingError{at, errors.New("an endpoint cannot be its own backup")}
		case other == nil || other.Tenant != ep.Tenant:
			return &SettingError{at, fmt.Errorf("backup %.64s is not an endpoint of the same tenant", name)}
		case slices.Contains(ep.Backups[:i], name):
			return &SettingError{at, fmt.Errorf("backup %s is named twice", name)}
		}
	}
	return nil
}

// newManagedName makes the name of an endpoint: ep_ and 26 characters that cannot be guessed.
func newManagedName() string {
	var id [16]byte
	random(id[:])
	return string(appendBase32([]byte(ManagedPrefix), id))
}

// compact takes the white space out of JSON.
func compact(text json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return text
	}
	return b.Bytes()
}
