package observability

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// otlp is a collector: it takes spans as the OTLP specification says, over HTTP or gRPC, and keeps them.
type otlp struct {
	collector.UnimplementedTraceServiceServer

	mu    sync.Mutex
	spans []*trace.Span
}

// Export implements the gRPC service.
func (c *otlp) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range r.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// ServeHTTP takes POST /v1/traces.
func (c *otlp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = z
	}
	data, err := io.ReadAll(body)
	request := new(collector.ExportTraceServiceRequest)
	if err == nil {
		err = proto.Unmarshal(data, request)
	}
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, "want OTLP traces in protobuf", http.StatusBadRequest)
		return
	}
	answer, _ := c.Export(r.Context(), request)
	data, _ = proto.Marshal(answer)
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(data)
}

// listen starts the collector for a protocol by its name in OTEL_EXPORTER_OTLP_PROTOCOL, and returns its endpoint.
func (c *otlp) listen(t *testing.T, protocol string) string {
	t.Helper()
	if protocol != "grpc" {
		s := httptest.NewServer(c)
		t.Cleanup(s.Close)
		return s.URL
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	collector.RegisterTraceServiceServer(s, c)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return "http://" + l.Addr().String()
}

// named are the spans of a name in the order in which they began.
func (c *otlp) named(name string) []*trace.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []*trace.Span
	for _, s := range c.spans {
		if s.GetName() == name {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b *trace.Span) int { return int(a.GetStartTimeUnixNano()) - int(b.GetStartTimeUnixNano()) })
	return found
}

func (c *otlp) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.spans)
}

// attributes of a span, as text.
func attributes(s *trace.Span) map[string]string {
	m := map[string]string{}
	for _, a := range s.GetAttributes() {
		switch v := a.GetValue(); {
		case v.GetStringValue() != "":
			m[a.GetKey()] = v.GetStringValue()
		default:
			m[a.GetKey()] = v.String()
		}
	}
	return m
}

func id(b []byte) string { return hex.EncodeToString(b) }
