package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/telemetry"
)

// meters are those of all engines of the process, made once: each config's registry gets the same collector, so that
// counters go on over reloads. They are registered in Provision, because after a failed reload Caddy's metrics page goes on
// with the registry of the config that failed.
var meters = telemetry.NewMetrics()

// registerMetrics adds the metrics to a config's registry; another part of the config may have done so.
func registerMetrics(ctx caddy.Context) error {
	err := ctx.GetMetricsRegistry().Register(meters)
	if _, known := errors.AsType[prometheus.AlreadyRegisteredError](err); err != nil && !known {
		return fmt.Errorf("registering the metrics: %w", err)
	}
	return nil
}

// newTracing is what exports the spans of an engine; nil when the environment asks for none. A mistake there costs the
// traces, not the deliveries.
func newTracing(log *slog.Logger) *telemetry.Tracing {
	version, _ := caddy.Version()
	t, err := telemetry.NewTracing(context.Background(), log,
		semconv.WebEngineName(caddyhttp.ServerHeader), semconv.WebEngineVersion(version))
	if err != nil {
		log.Error("there will be no traces", slog.Any("error", err))
		return nil
	}
	return t
}

// tracer is t as the engine wants it: an interface that is nil when there is none.
func tracer(t *telemetry.Tracing) delivery.Tracer {
	if t == nil {
		return nil
	}
	return t
}

// traceURL checks where people look at a trace. The place of its id is no placeholder of Caddy's.
func (a *App) traceURL() (string, error) {
	if a.TraceURL == "" {
		return "", nil
	}
	parts := strings.Split(a.TraceURL, delivery.TraceIDPlace)
	if len(parts) < 2 {
		return "", fmt.Errorf("%q has no place for %s", a.TraceURL, delivery.TraceIDPlace)
	}
	for i, part := range parts {
		var err error
		if parts[i], err = resolve(part); err != nil {
			return "", err
		}
	}
	u, err := url.Parse(strings.Join(parts, "0af7651916cd43dd8448eb211c80319c"))
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return "", errors.New("want an http or https URL")
	}
	return strings.Join(parts, delivery.TraceIDPlace), nil
}

// joined is a request in the trace that it belongs to, if traces are exported.
func (a *App) joined(r *http.Request) *http.Request {
	l := a.lease.Load()
	if l == nil {
		return r
	}
	return l.shared.tracing.Join(r)
}
