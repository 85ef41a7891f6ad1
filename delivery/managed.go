package delivery

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/sign"
	"github.com/atoship/caddy-webhooks/rules"
)

// Endpoints come from two sources with one shape: the configuration, and the API at run time ("managed" ones). The latter
// live as documents of the store. Whatever is in force is one Plan: the configuration's own, with the managed endpoints
// joined in (join.go). Both a reload and a change by API make that plan anew under Engine.applying, from the newest of
// either, so that neither can lose the other.

// ManagedPrefix begins the names of managed endpoints; no name of the configuration may.
const ManagedPrefix = "ep_"

// Bounds of managed endpoints.
const (
	// MaxManaged bounds how many there may be: each costs some 4 KiB of memory, and a reload that changes what they are made
	// by makes all of them anew.
	MaxManaged = 100_000
	// MaxSettings bounds the settings of one, in bytes of JSON.
	MaxSettings = 32 << 10
)

// Errors of changing managed endpoints, beside ErrNotFound, ErrRevision, ErrUnavailable, *FromConfigError and *SettingError.
var (
	// ErrNoKeys is the answer while no secret key is configured: secrets would have to be kept in the clear.
	ErrNoKeys = errors.New("no secret_key is configured")
	// ErrUnreadable is the answer to changing an endpoint that none of the configured keys opens.
	ErrUnreadable = errors.New("none of the configured secret keys opens the endpoint's settings")
	// ErrTooMany is the answer past MaxManaged.
	ErrTooMany = fmt.Errorf("there are %d endpoints made at run time already", MaxManaged)
)

// SettingError refuses settings: Pointer (RFC 6901) is the place in them, as far as known.
type SettingError struct {
	Pointer string
	Err     error
}

func (e *SettingError) Error() string { return e.Err.Error() }
func (e *SettingError) Unwrap() error { return e.Err }

// FromConfigError refuses to change an endpoint of the configuration, or to tell its secrets. Pos is the place there, such as
// "Caddyfile:10"; empty: the configuration does not say.
type FromConfigError struct{ Endpoint, Pos string }

func (e *FromConfigError) Error() string {
	if e.Pos == "" {
		return "endpoint " + e.Endpoint + " comes from the configuration"
	}
	return "endpoint " + e.Endpoint + " comes from the configuration, " + e.Pos
}

// PendingError refuses to delete an endpoint whose pending deliveries would be cancelled without anyone having been told.
type PendingError struct{ Pending uint64 }

func (e *PendingError) Error() string {
	return fmt.Sprintf("%d pending deliveries would be cancelled", e.Pending)
}

// InUseError refuses to delete an endpoint that others name as a backup.
type InUseError struct{ By []string }

func (e *InUseError) Error() string {
	return "the endpoint is a backup of " + strings.Join(e.By, ", ")
}

// EndpointMaker makes working endpoints of settings, which have the shape of the JSON configuration. It belongs to a Plan:
// defaults and ways out are those of its configuration. The engine calls it from one goroutine at a time.
type EndpointMaker interface {
	// Forms tells which forms of secrets the settings' signature schemes need.
	Forms(settings []byte) ([]sign.Form, error)
	// Make makes the endpoint of this name. A mistake in the settings is a *SettingError.
	Make(name string, settings []byte, secrets []sign.Secret) (*MadeEndpoint, error)
	// Same tells that endpoints which the maker of the plan before made would come out as they are: a reload keeps them then,
	// if they are lasting.
	Same(before EndpointMaker) bool
}

// MadeEndpoint is a working endpoint with its subscription, nil if it has none. Release is called once, when it is not used
// any more.
type MadeEndpoint struct {
	Endpoint     *Endpoint
	Subscription *rules.Subscription
	Release      func()
	// Lasting: nothing in it belongs to the configuration whose maker made it, so that it may outlive that.
	Lasting bool

	uses int // by values of managed, before it is released; guarded by Engine.applying
}

// Managed describes an endpoint made at run time.
type Managed struct {
	// Version of the settings; it grows with every change.
	Version uint64
	// Settings as they were given, without secrets. They may hold credentials of the customer's: header values, the query of
	// the URL, an OAuth2 client secret.
	Settings json.RawMessage
	// Tenant it belongs to, as of its last change; empty: none.
	Tenant           string
	Created, Updated time.Time
	// Problem says why it is not in force: the configuration changed so that it cannot be made. Empty: it is.
	Problem string
}

// managed is the engine's side of it. The engine's managedMu guards the map they are in; they are replaced, not changed.
type managed struct {
	Managed

	name     string
	revision uint64  // of the document
	sealed   []byte  // as stored, while it cannot be read
	sealer   keyName // the key that sealed what is stored
	secrets  []sign.Secret
	made     *MadeEndpoint // nil: see Problem
}

// storedEndpoint is the document of a managed endpoint, sealed.
type storedEndpoint struct {
	Version  uint64          `json:"version"`
	Tenant   string          `json:"tenant,omitempty"`
	Settings json.RawMessage `json:"settings"`
	Secrets  []storedSecret  `json:"secrets"`
	Created  time.Time       `json:"created"`
	Updated  time.Time       `json:"updated"`
}

type storedSecret struct {
	Value string    `json:"value"`
	Until time.Time `json:"until,omitzero"`
}

const endpointKind = "endpoint"

// encode makes the document.
func (m *managed) encode(keys *Keys) (Document, error) {
	s := storedEndpoint{m.Version, m.Tenant, m.Settings, nil, m.Created, m.Updated}
	for _, secret := range m.secrets {
		s.Secrets = append(s.Secrets, storedSecret(secret))
	}
	text, err := json.Marshal(s)
	if err != nil {
		return Document{}, fmt.Errorf("encoding endpoint %s: %w", m.name, err)
	}
	return Document{Kind: endpointKind, Name: m.name, Revision: m.revision, Body: keys.seal(endpointKind+" "+m.name, text)}, nil
}

// unseal fills in what the document says. What cannot be read is kept as it is, with a Problem: the next configuration may
// have the key.
func (m *managed) unseal(keys *Keys) {
	text, err := keys.open(endpointKind+" "+m.name, m.sealed)
	if err != nil {
		m.Problem = "none of the configured secret keys opens its settings"
		if keys == nil {
			m.Problem = "no secret_key is configured to open its settings"
		}
		return
	}
	var s storedEndpoint
	if err := json.Unmarshal(text, &s); err != nil {
		m.Problem = "its settings cannot be read"
		return
	}
	m.Managed = Managed{Version: s.Version, Settings: s.Settings, Tenant: s.Tenant, Created: s.Created, Updated: s.Updated}
	for _, secret := range s.Secrets {
		m.secrets = append(m.secrets, sign.Secret(secret))
	}
	m.sealer, m.sealed = sealedBy(m.sealed), nil
}

// stale tells that another key sealed what is stored than would now.
func (m *managed) stale(keys *Keys) bool {
	return keys != nil && m.sealed == nil && m.sealer != keys.sealer()
}

// make lets the plan's maker have a try.
func (m *managed) make(maker EndpointMaker) (err error) {
	m.made = nil
	switch {
	case m.sealed != nil:
		return ErrUnreadable
	case maker == nil:
		return &SettingError{Err: errors.New("this configuration makes no endpoints at run time")}
	}
	made, err := maker.Make(m.name, m.Settings, m.secrets)
	if err != nil {
		return err
	}
	made.uses = 1
	m.made, m.Problem = made, ""
	return nil
}

// release gives up what it holds of a configuration.
func (m *managed) release() {
	if m.made == nil {
		return
	}
	if m.made.uses--; m.made.uses == 0 && m.made.Release != nil {
		m.made.Release()
	}
	m.made = nil
}

// completeSecrets adds a new secret of each form that the settings need and nobody gave.
func completeSecrets(forms []sign.Form, given []sign.Secret) []sign.Secret {
	out := slices.Clone(given)
	for _, form := range forms {
		if slices.ContainsFunc(out, func(s sign.Secret) bool { return sign.FormOf(s.Value)&form != 0 }) {
			continue
		}
		out = append(out, sign.Secret{Value: generate(form)})
	}
	return out
}

func generate(form sign.Form) string {
	if form&sign.SharedSecret != 0 {
		return sign.Generate()
	}
	return sign.GenerateEd25519()
}
