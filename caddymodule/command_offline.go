package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/rules"
)

// offline is the routing part of a configuration that is not running: nothing is provisioned, so that no store, secret or
// address is needed.
type offline struct {
	file string
	app  *App
	set  *rules.Set

	types []string // of the catalog; none without one
}

// loadOffline adapts a configuration file and compiles its rules. An empty name is the Caddyfile here.
func loadOffline(file, adapter string) (*offline, error) {
	if file == "" {
		file = "Caddyfile"
	}
	config, err := os.ReadFile(file) //nolint:gosec // whoever runs the command names the file
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	if config, err = adapted(config, file, adapter); err != nil {
		return nil, err
	}
	var whole struct {
		Apps map[string]json.RawMessage `json:"apps"`
	}
	if err := json.Unmarshal(config, &whole); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	raw, ok := whole.Apps[appID]
	if !ok {
		return nil, fmt.Errorf("%s has no webhooks app: in a Caddyfile that is the global option `webhooks`", file)
	}
	o := &offline{file: file, app: new(App)}
	if err := caddy.StrictUnmarshalJSON(raw, o.app); err != nil {
		return nil, fmt.Errorf("reading the webhooks app of %s: %w", file, err)
	}
	if err := o.app.check(); err != nil {
		return nil, err
	}
	var router struct {
		Module string `json:"module"`
	}
	if len(o.app.RouterRaw) > 0 {
		if err := json.Unmarshal(o.app.RouterRaw, &router); err != nil || router.Module != "expr" {
			return nil, fmt.Errorf("%s routes by the module %q; only the rules of `expr` can be looked into", file, router.Module)
		}
	}
	catalog, err := o.app.loadCatalog()
	if err != nil {
		return nil, err
	}
	c, err := o.app.rules(catalog)
	if err != nil {
		return nil, err
	}
	o.types = c.Types
	o.set, err = rules.Compile(c)
	return o, errors.Join(err, o.app.checkExpressions(), o.app.checkPaths(catalog))
}

// checkExpressions compiles what the config computes beside its rules.
func (a *App) checkExpressions() error {
	_, err := a.buildTransforms()
	errs := []error{err}
	for i := range a.Endpoint {
		e := &a.Endpoint[i]
		o := e.over(a.Defaults)
		_, transformErr := buildTransform("endpoint "+strconv.Quote(e.Name), o.Transform, o.TransformPos)
		_, orderErr := o.order(e.Name)
		errs = append(errs, transformErr, orderErr)
	}
	return errors.Join(errs...)
}

// adapted turns a configuration into JSON, by the adapter named or the one that its file's name asks for.
func adapted(config []byte, file, name string) ([]byte, error) {
	if name == "" {
		name = strings.TrimPrefix(filepath.Ext(file), ".")
		switch {
		case name == "json":
			return config, nil
		case caddyconfig.GetAdapter(name) == nil:
			name = "caddyfile"
		}
	}
	adapter := caddyconfig.GetAdapter(name)
	if adapter == nil {
		return nil, fmt.Errorf("there is no config adapter %q", name)
	}
	out, _, err := adapter.Adapt(config, map[string]any{"filename": file})
	if err != nil {
		return nil, fmt.Errorf("adapting %s: %w", file, err)
	}
	return out, nil
}

// event reads an event as ingest does, and fills in what ingest would.
func (o *offline) event(src []byte) (*rules.Event, error) {
	intake := delivery.Intake{Environments: o.app.Environment}
	return intake.RuleEvent(src, time.Now())
}

// unknownType says that an event's type is not in the catalog; "" if it is, or there is none.
func (o *offline) unknownType(typ string) string {
	if len(o.types) == 0 || slices.Contains(o.types, typ) || strings.HasPrefix(typ, delivery.NoticePrefix) {
		return ""
	}
	note := "note: ingest would refuse this event, as there is no event type " + typ + " in the catalog"
	for _, known := range o.types {
		if near(typ, known) {
			return note + "; did you mean " + known + "?"
		}
	}
	return note
}
