package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"
)

// traced is a subject of the tracing case.
type traced struct {
	name  string
	ratio string // of sampled events; "": none is asked for
	bin   string // "": the one that is measured
}

// traced are gateways that export no traces, one event's in a hundred, and all; and another binary that exports none, if
// there is one.
func (o options) traced() []traced {
	kinds := []traced{{name: "off"}, {name: "one_percent", ratio: "0.01"}, {name: "all", ratio: "1"}}
	if o.against != "" {
		kinds = append(kinds, traced{name: "against", bin: o.against})
	}
	return kinds
}

// collect takes spans over OTLP/HTTP in this process, whose CPU time is nobody's figure.
func collect(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/x-protobuf") // an empty answer is a complete one
}

func startCollector(ctx context.Context) (endpoint string, err error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("starting the collector: %w", err)
	}
	s := &http.Server{Handler: http.HandlerFunc(collect), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.Serve(l) }()
	context.AfterFunc(ctx, func() { _ = s.Close() })
	return "http://" + l.Addr().String(), nil
}

// tracingSubjects are gateways alike but for what they trace.
func (o options) tracingSubjects(ctx context.Context, f *field) ([]*subject, error) {
	endpoint, err := startCollector(ctx)
	if err != nil {
		return nil, err
	}
	endpoints, err := o.endpoints(f)
	if err != nil {
		return nil, err
	}
	var measured []*subject
	for _, kind := range o.traced() {
		env := []string{"OTEL_TRACES_EXPORTER=none"} // whatever the user's own environment says
		if kind.ratio != "" {
			env = []string{
				"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_ENDPOINT=" + endpoint,
				"OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=" + kind.ratio,
			}
		}
		gateway, addr, err := launch(ctx, cmp.Or(kind.bin, f.bin), f.dir, kind.name, func(addr, dir string) string {
			return gatewayConfig("off", addr, filepath.Join(dir, "store"), endpoints)
		}, env...)
		if err != nil {
			return measured, err
		}
		measured = append(measured, &subject{name: kind.name, gateway: gateway, fanout: o.Endpoints, load: stream{
			addr: addr, path: "/events", connections: o.Connections, batch: o.Batch, size: o.Size, eventType: "bench.tick", rate: o.Rate,
		}})
	}
	return measured, nil
}
