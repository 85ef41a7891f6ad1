package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"golang.org/x/net/http/httpguts"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/egress"
	"github.com/atoship/caddy-webhooks/delivery/payload"
	"github.com/atoship/caddy-webhooks/rules"
)

// Words of the config.
const (
	matchAll    = "all"
	matchFirst  = "first"
	onErrorHold = "hold"
	onErrorSkip = "skip"
	traceLink   = "link"
	traceParent = "parent"
)

// Bounds of the config. They stop slips of the keyboard: none is a limit that a working setup meets.
const (
	maxInFlight    = 1 << 16 // sockets one process may have open, at most
	maxConcurrency = 1000
	maxCount       = 1 << 20 // breaker counts
	maxPending     = 1 << 30 // deliveries of one endpoint
	maxTries       = 100     // of backup_after: more than any schedule has
	maxName        = payload.MaxName
	// maxBodyLimit is what the store takes for one event.
	maxBodyLimit = 8 << 20
)

// validName is what endpoints and routes may be called; ep_ is for endpoints made through the API.
var validName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func checkName(what, name string) error {
	switch {
	case !validName.MatchString(name):
		return fmt.Errorf("%s name '%s' is not 1 to 64 of A-Z a-z 0-9 _ -", what, name)
	case strings.HasPrefix(name, "ep_"):
		return fmt.Errorf("%s name '%s' starts with ep_, which is for endpoints made through the API", what, name)
	}
	return nil
}

// buildPlan translates the config. All that can fail fails here, before anything that runs is touched.
func (a *App) buildPlan(ctx caddy.Context) (*delivery.Plan, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	catalog, err := a.loadCatalog()
	if err != nil {
		return nil, err
	}
	// Whoever mends one rule wants to hear of all that are broken.
	router, routerErr := a.buildRouter(ctx, catalog)
	transforms, transformsErr := a.buildTransforms()
	endpoints, endpointsErr := a.buildEndpoints(ctx)
	if err := errors.Join(routerErr, transformsErr, endpointsErr, a.checkPaths(catalog)); err != nil {
		return nil, err
	}
	rate, err := a.RateLimit.settings()
	if err != nil {
		return nil, fmt.Errorf("rate_limit: %w", err)
	}
	traceURL, err := a.traceURL()
	if err != nil {
		return nil, fmt.Errorf("trace_url: %w", err)
	}
	plan := &delivery.Plan{
		Router:       router,
		Endpoints:    endpoints,
		Transforms:   transforms,
		HeaderPrefix: cmp.Or(a.HeaderPrefix, delivery.DefaultHeaderPrefix),
		UserAgent:    a.userAgent(),
		Dedupe:       cmp.Or(time.Duration(a.Dedupe), delivery.DefaultDedupe),
		Expire:       cmp.Or(time.Duration(a.Expire), delivery.DefaultExpire),
		Retention:    cmp.Or(time.Duration(a.Retention), delivery.DefaultRetention),
		Drain:        cmp.Or(time.Duration(a.Drain), delivery.DefaultDrain),
		MaxInFlight:  cmp.Or(a.MaxInFlight, delivery.DefaultMaxInFlight),
		Rate:         rate,
		MaxPending:   valueOr(a.MaxPending, delivery.DefaultMaxPending),
		TraceURL:     traceURL,
		Intake: delivery.Intake{
			Environments: a.Environment,
			Catalog:      catalog,
			MaxBody:      cmp.Or(a.MaxBody, delivery.DefaultMaxBody),
		},
	}
	plan.Egress, plan.PlannedAt = egress.NewList(a.listed()...), time.Now()
	return plan, a.buildMaker(ctx, plan)
}

// valueOr is what p points to, or a default.
func valueOr[T any](p *T, d T) T {
	if p == nil {
		return d
	}
	return *p
}

// check refuses values that no default and no other option could make right.
func (a *App) check() error {
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	for name, d := range map[string]caddy.Duration{
		"retention": a.Retention, "dedupe": a.Dedupe, "expire": a.Expire, "drain": a.Drain,
	} {
		refuse(d < 0, "%s must be positive", name)
	}
	refuse(a.MaxBody < 0 || a.MaxBody > maxBodyLimit, "max_body must be from 1 byte to %d (8 MiB)", maxBodyLimit)
	refuse(a.MaxPending != nil && (*a.MaxPending < 0 || *a.MaxPending > maxPending), "max_pending must be from 0 (off) to %d", maxPending)
	refuse(a.MaxInFlight < 0 || a.MaxInFlight > maxInFlight, "max_in_flight must be from 1 to %d", maxInFlight)
	refuse(a.HeaderPrefix != "" && !httpguts.ValidHeaderFieldName(a.HeaderPrefix), "header_prefix %q cannot be in a header name", a.HeaderPrefix)
	refuse(!httpguts.ValidHeaderFieldValue(a.UserAgent), "user_agent %q cannot be a header value", a.UserAgent)
	refuse(!slices.Contains([]string{"", matchAll, matchFirst}, a.Match), "match is all or first, not %q", a.Match)
	for i, env := range a.Environment {
		refuse(env == "" || len(env) > maxName, "environment %q: a name has 1 to %d bytes", env, maxName)
		refuse(slices.Contains(a.Environment[:i], env), "environment %q is declared twice", env)
	}
	seen := make(map[string]bool)
	for _, e := range a.Endpoint {
		if err := checkName("endpoint", e.Name); err != nil {
			errs = append(errs, placed(e.Pos, err))
		}
		if seen[e.Name] {
			errs = append(errs, placed(e.Pos, fmt.Errorf("endpoint %s exists already", e.Name)))
		}
		seen[e.Name] = true
	}
	slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) }) // a map was ranged over
	return errors.Join(errs...)
}

// placed adds where in the Caddyfile a mistake is, as far as known.
func placed(pos string, err error) error {
	if pos == "" {
		return err
	}
	return fmt.Errorf("%s: %w", pos, err)
}

// buildRouter hands routes and subscriptions to the router module.
func (a *App) buildRouter(ctx caddy.Context, catalog delivery.Catalog) (delivery.Router, error) {
	m, err := load[Router](ctx, a, "RouterRaw", a.RouterRaw == nil, routerNamespace+".expr")
	if err != nil {
		return nil, err
	}
	c, err := a.rules(catalog)
	if err != nil {
		return nil, err
	}
	router, err := m.Router(c)
	if err != nil {
		return nil, fmt.Errorf("rules:\n%w", err) // several lines, each with its place
	}
	return router, nil
}

// checkPaths holds ordered_by and the transforms to the schemas of the catalog. What is wrong with the rules themselves is said
// elsewhere.
func (a *App) checkPaths(catalog delivery.Catalog) error {
	c, err := a.rules(catalog)
	if err != nil || c.Shapes == nil {
		return nil //nolint:nilerr // the router's error
	}
	checker := rules.NewPathChecker(&c)
	var errs []error
	for i := range a.Route {
		r := &a.Route[i]
		if r.Transform == "" {
			continue
		}
		errs = append(errs, checker.Route(r.Name, "transform", rules.Expr{Text: r.Transform, Pos: parsePos(r.TransformPos)}))
	}
	for _, e := range a.Endpoint {
		o := e.over(a.Defaults)
		errs = append(errs, o.checkPaths(checker, e.Name))
	}
	return errors.Join(errs...)
}

// checkPaths places its errors for the API.
func (o *EndpointOptions) checkPaths(checker *rules.PathChecker, endpoint string) error {
	var errs []error
	if err := checker.Endpoint(endpoint, "ordered_by", rules.Expr{Text: o.OrderedBy, Pos: parsePos(o.OrderedByPos)}); err != nil {
		errs = append(errs, at("/ordered_by", err))
	}
	if err := checker.Endpoint(endpoint, "transform", rules.Expr{Text: o.Transform, Pos: parsePos(o.TransformPos)}); err != nil {
		errs = append(errs, at("/transform", err))
	}
	return errors.Join(errs...)
}

// rules translates routes and subscriptions. Expressions are passed on as they are: braces are part of the language.
func (a *App) rules(catalog delivery.Catalog) (rules.Config, error) {
	c := rules.Config{Environments: a.Environment, Backups: make(map[string][]string)}
	known(&c, catalog)
	if a.Match == matchFirst {
		c.Mode = rules.MatchFirst
	}
	for _, r := range a.Route {
		route, err := r.rule()
		if err != nil {
			return c, placed(r.Pos, fmt.Errorf("route %s: %w", r.Name, err))
		}
		c.Routes = append(c.Routes, route)
	}
	for _, e := range a.Endpoint {
		c.Endpoints = append(c.Endpoints, e.Name)
		o := e.over(a.Defaults)
		if len(o.Backup) > 0 {
			c.Backups[e.Name] = o.Backup
		}
		if len(o.Events) == 0 {
			if e.When != "" || len(e.Environment) > 0 || e.Tenant != "" {
				return c, placed(e.Pos, fmt.Errorf(
					"endpoint %s: when, environment and tenant narrow a subscription, but there are no events; for a route, write them into its `when`",
					e.Name))
			}
			continue
		}
		c.Subscriptions = append(c.Subscriptions, *o.subscription(e.Name, e.Pos))
	}
	return c, nil
}

// known adds what a catalog says about event types.
func known(c *rules.Config, catalog delivery.Catalog) {
	if listed, ok := catalog.(*payload.Catalog); ok {
		c.Shapes = listed
		for _, t := range listed.Types() {
			c.Types = append(c.Types, t.Type)
		}
	}
}

func (r *Route) rule() (rules.Route, error) {
	route := rules.Route{
		Name:      r.Name,
		When:      rules.Expr{Text: r.When, Pos: parsePos(r.WhenPos)},
		Pick:      rules.Expr{Text: r.Pick, Pos: parsePos(r.PickPos)},
		Otherwise: r.Otherwise,
		Stop:      r.Stop,
		Pos:       parsePos(r.Pos),
	}
	for _, t := range r.To {
		route.To = append(route.To, rules.Chain{Primary: t.Endpoint, Backups: t.Backup})
	}
	if s := r.Split; s != nil {
		route.By = rules.Expr{Text: s.By, Pos: parsePos(s.ByPos)}
		for _, share := range s.To {
			route.Split = append(route.Split, rules.Share(share))
		}
		if len(s.To) == 0 {
			return route, errors.New("split names no endpoints")
		}
	}
	switch r.OnError {
	case "":
	case onErrorHold:
		route.OnError = rules.OnErrorHold
	case onErrorSkip:
		route.OnError = rules.OnErrorSkip
	default:
		return route, fmt.Errorf("on_error is hold or skip, not %q", r.OnError)
	}
	return route, nil
}

// parsePos reads "file:line"; what is neither is taken for a file.
func parsePos(pos string) rules.Pos {
	i := strings.LastIndexByte(pos, ':')
	if i < 0 {
		return rules.Pos{File: pos}
	}
	line, err := strconv.Atoi(pos[i+1:])
	if err != nil {
		return rules.Pos{File: pos}
	}
	return rules.Pos{File: pos[:i], Line: line}
}

// loadCatalog reads the list of event types; nil accepts every type.
func (a *App) loadCatalog() (delivery.Catalog, error) {
	if a.Catalog == "" {
		return nil, nil //nolint:nilnil // no catalog is a valid one
	}
	path, err := resolve(a.Catalog)
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	data, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("reading the catalog: %w", err)
	}
	catalog, err := payload.LoadCatalog(data, path)
	if err != nil {
		return nil, err
	}
	return catalog, nil
}

// userAgent adds the version to a product name, as receivers expect (RFC 9110 §10.1.5), unless it has one.
func (a *App) userAgent() string {
	product := cmp.Or(a.UserAgent, "AtoShip-Webhooks")
	if strings.Contains(product, "/") {
		return product
	}
	return product + "/" + version()
}

// version of this module in the running binary, for the User-Agent; "dev" in a build from a checkout.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	const path = "github.com/atoship/caddy-webhooks"
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Path == path && strings.HasPrefix(m.Version, "v") {
			return strings.TrimPrefix(m.Version, "v")
		}
	}
	return "dev"
}
