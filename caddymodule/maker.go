package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/sign"
	"github.com/atoship/caddy-webhooks/rules"
)

// maxDescription bounds words for people, in bytes.
const maxDescription = 1024

// endpointMaker makes the endpoints that the API is asked for, by the translation that the config's own go through: with the
// same checks, `defaults` and egress profiles. What it is given comes from customers, so nothing in it may name what only the
// operator of this machine may read: no placeholders, no files.
type endpointMaker struct {
	app     *App
	ctx     caddy.Context
	catalog delivery.Catalog // nil: none
	basis   makerBasis
}

// madeSettings are the settings of an endpoint made by API: those of the config, without name and secrets.
type madeSettings struct {
	URL string `json:"url"`
	EndpointOptions
}

// settingNames lists the members that settings may have. Those that say where a Caddyfile has something are not for the API.
var settingNames = sync.OnceValue(func() []string {
	names := []string{"url"}
	for f := range reflect.TypeFor[EndpointOptions]().Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && !strings.HasSuffix(name, "_pos") {
			names = append(names, name)
		}
	}
	return names
})

// buildMaker reads the secret keys; without any, the API makes no endpoints.
func (a *App) buildMaker(ctx caddy.Context, plan *delivery.Plan) error {
	if len(a.SecretKey) == 0 {
		return nil
	}
	texts := make([]string, len(a.SecretKey))
	for i, text := range a.SecretKey {
		var err error
		if texts[i], err = resolveSecret(a.logger, text, fmt.Sprintf("secret_key %d", i+1)); err != nil {
			return err
		}
	}
	keys, err := delivery.NewKeys(texts...)
	if err != nil {
		return fmt.Errorf("secret_key: %w", err)
	}
	basis, err := a.makerBasis(ctx, plan.Intake.Catalog)
	if err != nil {
		return fmt.Errorf("defaults: %w", err)
	}
	plan.Keys, plan.Maker = keys, &endpointMaker{a, ctx, plan.Intake.Catalog, basis}
	return nil
}

// Forms implements delivery.EndpointMaker.
func (m *endpointMaker) Forms(settings []byte) ([]sign.Form, error) {
	s, err := parseSettings(settings)
	if err != nil {
		return nil, err
	}
	schemes, err := loadSchemes(m.context(), s.over(m.app.Defaults).SignatureRaw)
	if err != nil {
		return nil, at("/signature", err)
	}
	forms := make([]sign.Form, len(schemes))
	for i, scheme := range schemes {
		if forms[i] = scheme.Traits(sign.Options{Prefix: m.app.HeaderPrefix}).Forms; forms[i] == 0 {
			forms[i] = sign.SharedSecret
		}
	}
	return forms, nil
}

// Make implements delivery.EndpointMaker.
func (m *endpointMaker) Make(name string, settings []byte, secrets []sign.Secret) (*delivery.MadeEndpoint, error) {
	s, err := parseSettings(settings)
	if err != nil {
		return nil, err
	}
	e := &Endpoint{Name: name, URL: s.URL, EndpointOptions: s.EndpointOptions}
	for i, secret := range secrets {
		if err := literal(secret.Value); err != nil {
			return nil, at(fmt.Sprintf("/secret/%d/value", i), err)
		}
		e.Secret = append(e.Secret, Secret(secret))
	}
	// What this endpoint takes into use is its own to release. Its secrets are no mistake of the config's, so they are not
	// warned about in its log.
	own := &App{Defaults: m.app.Defaults, HeaderPrefix: m.app.HeaderPrefix, profiles: m.app.profiles, logger: zap.NewNop()}
	release := func() {
		for _, t := range own.transports {
			t.release()
		}
	}
	built, err := own.buildEndpoint(m.context(), e)
	if err != nil {
		release()
		if _, placed := errors.AsType[*delivery.SettingError](err); !placed {
			err = at("", err)
		}
		return nil, err
	}
	o := e.over(m.app.Defaults)
	made := &delivery.MadeEndpoint{Endpoint: built, Subscription: o.subscription(e.Name, ""), Release: release, Lasting: builtInSchemes(o.SignatureRaw)}
	if made.Subscription == nil {
		return made, nil // others send it what they do
	}
	c := rules.Config{Subscriptions: []rules.Subscription{*made.Subscription}}
	known(&c, m.catalog)
	if err := o.checkPaths(rules.NewPathChecker(&c), name); err != nil {
		release()
		return nil, err
	}
	return made, nil
}

// context is one that modules can be loaded in at any time: it neither ends nor remembers them. The config's own may be used
// while the config is provisioned only.
func (m *endpointMaker) context() caddy.Context {
	lasting := m.ctx
	lasting.Context = context.WithoutCancel(m.ctx.Context)
	ctx, _ := caddy.NewContext(lasting) //nolint:govet // to cancel it would run what the config does at its own end
	return ctx
}

// subscription is what the options say of events; nil if they ask for none.
func (o EndpointOptions) subscription(endpoint, pos string) *rules.Subscription {
	if len(o.Events) == 0 {
		return nil
	}
	return &rules.Subscription{
		Endpoint: endpoint, Types: o.Events, When: rules.Expr{Text: o.When, Pos: parsePos(o.WhenPos)},
		Environments: o.Environment, Tenant: o.Tenant, Pos: parsePos(pos),
	}
}

// at places an error in settings, for the API; in a config its text stays what it is.
func at(pointer string, err error) error { return &delivery.SettingError{Pointer: pointer, Err: err} }

// parseSettings reads settings strictly and refuses what is not for the API.
func parseSettings(text []byte) (*madeSettings, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, at("", errors.New("the settings are not a JSON object"))
	}
	for name := range members {
		if names := settingNames(); !slices.Contains(names, name) {
			return nil, at("/"+name, fmt.Errorf("there is no setting %.64q%s", name, suggestion(name, names)))
		}
	}
	s := new(madeSettings)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(s); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			field := strings.TrimPrefix(wrong.Field, "EndpointOptions.") // the embedded struct has no name in JSON
			return nil, at("/"+strings.ReplaceAll(field, ".", "/"), fmt.Errorf("this cannot be a JSON %s", wrong.Value))
		}
		return nil, at("", fmt.Errorf("reading the settings: %w", err))
	}
	for i, raw := range s.SignatureRaw { // "standard" is {"module": "standard"}
		if len(raw) > 0 && raw[0] == '"' {
			s.SignatureRaw[i] = json.RawMessage(`{"module":` + string(raw) + `}`)
		}
	}
	return s, s.forAPI()
}

func suggestion(name string, names []string) string {
	for _, known := range names {
		if near(name, known) {
			return "; did you mean " + known + "?"
		}
	}
	return "; there are " + strings.Join(names, ", ")
}

// forAPI refuses what would read this machine's environment or files, or has no sense.
func (s *madeSettings) forAPI() error {
	if len(s.Description) > maxDescription {
		return at("/description", fmt.Errorf("longer than %d bytes", maxDescription))
	}
	if err := literal(s.URL); err != nil {
		return at("/url", err)
	}
	for name, values := range s.Header {
		for i, value := range values {
			if err := literal(value); err != nil {
				return at(fmt.Sprintf("/header/%s/%d", name, i), err)
			}
		}
	}
	if err := s.TLS.forAPI(); err != nil {
		return at("/tls", err)
	}
	if o := s.OAuth2; o != nil {
		for name, text := range map[string]string{"token_url": o.TokenURL, "client_id": o.ClientID, "client_secret": o.ClientSecret} {
			if err := literal(text); err != nil {
				return at("/oauth2/"+name, err)
			}
		}
		if err := o.TLS.forAPI(); err != nil {
			return at("/oauth2/tls", err)
		}
	}
	return nil
}

// hidden stands where the API shows no value; see httpapi.
const hidden = "…"

// literal refuses text that the config's translation would replace, and what stands for a hidden value.
func literal(text string) error {
	switch {
	case placeholder.MatchString(text) || strings.HasPrefix(text, "{") && strings.HasSuffix(text, "}"):
		return errors.New("placeholders are for the configuration of the gateway")
	case strings.Contains(text, hidden):
		return errors.New("'…' stands for a value that is not shown: leave this out to keep it, or give the value")
	}
	return nil
}

// forAPI permits what is in the settings themselves: authorities given inline, and the name.
func (t *EndpointTLS) forAPI() error {
	if t == nil {
		return nil
	}
	if t.ClientAuth != nil {
		return errors.New("client_auth names files of the gateway's machine: configure it there, for instance in `defaults`")
	}
	var pool struct {
		Module string `json:"module"`
	}
	if t.TrustPoolRaw != nil && (json.Unmarshal(t.TrustPoolRaw, &pool) != nil || pool.Module != "inline") {
		return errors.New("trust_pool can be the module inline here, others read from the gateway's machine")
	}
	return nil
}

var _ delivery.EndpointMaker = (*endpointMaker)(nil)
