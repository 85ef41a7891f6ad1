// Package telemetry shows the gateway to the tools that operators have: spans to OpenTelemetry, metrics to Prometheus.
//
//	tracing.go    one provider of spans for the engine's life, out of the OTEL_* environment
//	spans.go      delivery.Tracer: the spans below
//	metrics.go    delivery.Observer: counters and times of what happens
//	scrape.go     gauges, read from the engine when somebody asks
//
// # Spans
//
// Names and attributes are those of the OpenTelemetry semantic conventions for messaging and HTTP, and, where these have
// none, begin with "messaging.caddy_webhooks.".
//
//	POST /events           SERVER     Caddy's own, of its `tracing` directive
//	└─ publish TYPE        PRODUCER   an event is stored; its context is kept with the event
//
//	deliver ENDPOINT       CONSUMER   one attempt, a trace of its own ──link──► publish TYPE
//	└─ POST                CLIENT     its request                    └─link──► the attempt before it
//
// Attempts are traces of their own because the last of them may come days after the event; an endpoint may want them to
// be children of "publish TYPE" instead (delivery.Endpoint.TraceParent). Both links survive any restart. What decides
// whether an event is recorded is the publisher's sampling, or the environment's sampler where the publisher did not say;
// its attempts are recorded if and only if it is.
//
// An endpoint's URL appears without the values of its query, and no span holds a payload, a header or a secret.
package telemetry
