// Package observability holds a dashboard, alert rules and a gateway to try them with; README.md tells how.
package observability

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.yaml.in/yaml/v3"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

// secret of the demo, as README.md has it.
const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// binary builds the gateway once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "observability")
	if err != nil {
		return "", err
	}
	return rig.Build(context.Background(), dir)
})

// gateway is the Caddyfile of this folder at work, on ports of its own.
type gateway struct {
	t                      *testing.T
	dir, bin               string
	ingest, admin, receive string
	env                    []string
	process                *rig.Gateway
}

func newGateway(t *testing.T, env ...string) *gateway {
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	ports, err := rig.Ports(3)
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{
		t: t, dir: t.TempDir(), bin: bin,
		ingest: fmt.Sprint("localhost:", ports[0]), admin: fmt.Sprint("localhost:", ports[1]), receive: fmt.Sprint("https://localhost:", ports[2]),
	}
	g.env = append(env, "ORDERS_SECRET="+secret, "RETRY=3s", "ADMIN="+g.admin,
		fmt.Sprint("INGEST_PORT=", ports[0]), fmt.Sprint("RECEIVER_PORT=", ports[2]))
	g.start()
	return g
}

func (g *gateway) start() {
	g.t.Helper()
	p, err := rig.Start(g.bin, "Caddyfile", g.dir, g.env...)
	if err != nil {
		g.t.Fatal(err)
	}
	g.process = p
	g.t.Cleanup(p.Kill)
	if err := p.Ready(g.t.Context(), g.ingest, g.admin, g.receive); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gateway) stop() {
	g.t.Helper()
	if err := g.process.Stop(); err != nil {
		g.t.Fatal(err)
	}
}

// publish sends an event with a traceparent and returns the id of its first delivery.
func (g *gateway) publish(body, traceparent string) string {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, "http://"+g.ingest+"/events", strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if traceparent != "" {
		req.Header.Set("Traceparent", traceparent)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	var receipt rig.Receipt
	if err := json.NewDecoder(res.Body).Decode(&receipt); err != nil || res.StatusCode != http.StatusAccepted {
		g.t.Fatalf("%s, %v", res.Status, err)
	}
	if len(receipt.Deliveries) == 0 {
		return ""
	}
	return receipt.Deliveries[0].ID
}

func (g *gateway) get(url string) string {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		g.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		g.t.Fatalf("%s: %s %v %s", url, res.Status, err, text)
	}
	return string(text)
}

// delivery is what the API shows of one.
type delivery struct {
	State string `json:"state"`
	Event struct {
		TraceParent string `json:"traceparent"`
		TraceID     string `json:"trace_id"`
	} `json:"event"`
	Attempts []struct {
		Endpoint string `json:"endpoint"`
		TraceID  string `json:"trace_id"`
		TraceURL string `json:"trace_url"`
	} `json:"attempts"`
}

// until waits for a delivery to be as it should.
func (g *gateway) until(id string, holds func(*delivery) bool) *delivery {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var d delivery
		err := rig.Get(ctx, http.DefaultClient, "http://"+g.admin+"/webhooks/deliveries/"+id, &d)
		if err == nil && holds(&d) {
			return &d
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			g.t.Fatalf("in vain: %v, %+v\n%s", err, d, g.process.LogTail())
		}
	}
}

// readmeEvent is the event that README.md publishes.
func readmeEvent(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`-d '(\{.*\})'`).FindSubmatch(text)
	if found == nil {
		t.Fatal("README.md publishes nothing")
	}
	return string(found[1])
}

// TestACollectorGetsTheWholeStory: an event fails, the gateway is stopped and started, the retry fails too, and the backup
// takes over.
func TestACollectorGetsTheWholeStory(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		t.Run("over "+protocol, func(t *testing.T) {
			t.Parallel()
			c := new(otlp)
			g := newGateway(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.listen(t, protocol), "OTEL_EXPORTER_OTLP_PROTOCOL="+protocol)
			const callerTrace, callerSpan = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
			sent := g.publish(readmeEvent(t), "00-"+callerTrace+"-"+callerSpan+"-01")
			g.until(sent, func(d *delivery) bool { return len(d.Attempts) == 1 })
			g.stop()
			g.start()
			d := g.until(sent, func(d *delivery) bool { return d.State == "delivered" })
			g.stop() // exports what is left

			servers, publishes := c.named("POST /events"), c.named("publish label.created")
			if len(servers) != 1 || len(publishes) != 1 {
				t.Fatalf("%d requests, %d published", len(servers), len(publishes))
			}
			server, publish := servers[0], publishes[0]
			if id(server.GetTraceId()) != callerTrace || id(server.GetParentSpanId()) != callerSpan || server.GetKind() != trace.Span_SPAN_KIND_SERVER {
				t.Errorf("the request's span: %v", server)
			}
			if id(publish.GetTraceId()) != callerTrace || id(publish.GetParentSpanId()) != id(server.GetSpanId()) || publish.GetKind() != trace.Span_SPAN_KIND_PRODUCER {
				t.Errorf("the span of publishing: %v", publish)
			}
			if d.Event.TraceID != callerTrace || !strings.Contains(d.Event.TraceParent, callerTrace) {
				t.Errorf("the API shows %+v", d.Event)
			}

			delivers := append(c.named("deliver orders"), c.named("deliver orders-dr")...)
			wires := c.named("POST")
			if len(delivers) != 3 || len(wires) != 3 || len(d.Attempts) != 3 {
				t.Fatalf("%d attempts, %d requests, %d on record", len(delivers), len(wires), len(d.Attempts))
			}
			for i, want := range []struct{ endpoint, outcome string }{{"orders", "unavailable"}, {"orders", "unavailable"}, {"orders-dr", ""}} {
				attempt, wire := delivers[i], wires[i]
				links := []string{id(publish.GetTraceId()) + id(publish.GetSpanId())}
				if i > 0 {
					links = append(links, id(delivers[i-1].GetTraceId())+id(delivers[i-1].GetSpanId()))
				}
				checkAttempt(t, i, want.endpoint, want.outcome, attempt, links)
				checkWire(t, i, want.endpoint, want.outcome, attempt, wire)
				shown := d.Attempts[i]
				if shown.TraceID != id(attempt.GetTraceId()) || shown.TraceURL != "http://localhost:16686/trace/"+shown.TraceID {
					t.Errorf("attempt %d: the API shows %+v", i+1, shown)
				}
			}
			if n := c.count(); n != 8 {
				t.Errorf("%d spans in all, want 8", n)
			}
		})
	}
}

func checkAttempt(t *testing.T, i int, endpoint, outcome string, s *trace.Span, links []string) {
	t.Helper()
	if s.GetKind() != trace.Span_SPAN_KIND_CONSUMER || len(s.GetParentSpanId()) != 0 {
		t.Errorf("attempt %d is %v, child of %s", i+1, s.GetKind(), id(s.GetParentSpanId()))
	}
	var got []string
	for _, l := range s.GetLinks() {
		got = append(got, id(l.GetTraceId())+id(l.GetSpanId()))
	}
	if strings.Join(got, " ") != strings.Join(links, " ") {
		t.Errorf("attempt %d links to %v, want %v", i+1, got, links)
	}
	a := attributes(s)
	if a["messaging.system"] != "caddy_webhooks" || a["messaging.operation.name"] != "deliver" || a["messaging.operation.type"] != "process" ||
		a["messaging.destination.name"] != endpoint || a["error.type"] != outcome || a["messaging.message.id"] == "" {
		t.Errorf("attempt %d: %v", i+1, a)
	}
}

func checkWire(t *testing.T, i int, endpoint, outcome string, attempt, s *trace.Span) {
	t.Helper()
	a := attributes(s)
	status, resent, query := "int_value:200", "", ""
	if outcome != "" {
		status, query = "int_value:503", "?token=REDACTED"
	}
	if i > 0 {
		resent = fmt.Sprint("int_value:", i)
	}
	failed := s.GetStatus().GetCode() == trace.Status_STATUS_CODE_ERROR
	if s.GetKind() != trace.Span_SPAN_KIND_CLIENT || id(s.GetParentSpanId()) != id(attempt.GetSpanId()) || id(s.GetTraceId()) != id(attempt.GetTraceId()) ||
		failed != (outcome != "") || a["http.request.method"] != "POST" || a["http.response.status_code"] != status || a["error.type"] != outcome ||
		a["http.request.resend_count"] != resent || a["server.address"] != "localhost" || !strings.HasPrefix(a["url.full"], "https://localhost:") ||
		!strings.HasSuffix(a["url.full"], "/"+endpoint+query) || a["network.peer.address"] == "" {
		t.Errorf("request %d: %v %v %v", i+1, s.GetKind(), s.GetStatus(), a)
	}
	phases := []string{"first_byte"}
	if i == 0 { // later ones may go over a connection that was kept
		phases = append(phases, "connect", "tls")
	}
	for _, phase := range phases {
		if took := a["messaging.caddy_webhooks.timing."+phase+"_ms"]; !strings.HasPrefix(took, "double_value:") {
			t.Errorf("request %d: %s took %q", i+1, phase, took)
		}
	}
}

// TestEveryMetricThatIsNamedExists compares what the dashboard, the rules and the reference name with what a gateway exposes
// to which everything has happened.
func TestEveryMetricThatIsNamedExists(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	id := g.publish(readmeEvent(t), "")
	g.publish(`{"event":"order.packed","data":{"weight":"heavy"}}`, "") // a rule that fails
	g.until(id, func(d *delivery) bool { return d.State == "delivered" })
	page := g.get("http://" + g.ingest + "/metrics")
	g.get("http://" + g.ingest + "/healthz/live")
	if health := g.get("http://" + g.admin + "/webhooks/health"); !strings.Contains(health, `"status":"ready","live":true,"store_writable":true`) {
		t.Errorf("health: %s", health)
	}

	exposed := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (caddy_webhooks_\w+) (\w+)$`).FindAllStringSubmatch(page, -1) {
		exposed[m[1]] = true
		if m[2] == "histogram" {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				exposed[m[1]+suffix] = true
			}
		}
	}
	named := map[string]bool{}
	for _, file := range []string{"dashboard.json", "alerts.yml", "../../caddymodule/README.md"} {
		text, err := os.ReadFile(filepath.FromSlash(file))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, name := range regexp.MustCompile(`caddy_webhooks_\w+`).FindAllString(string(text), -1) {
			if named[name] = true; !exposed[name] {
				t.Errorf("%s names %s, which does not exist", file, name)
			}
			n++
		}
		if n < 10 {
			t.Errorf("%s names %d metrics: is it still what it was?", file, n)
		}
	}
	for name := range exposed {
		base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if !named[name] && !named[base] {
			t.Errorf("%s is nowhere named", name)
		}
	}
	if regexp.MustCompile(`caddy_webhooks_rule_errors_total\{route="heavy"\} 1\n`).FindString(page) == "" || strings.Contains(page, "caddy_webhooks_lost_deliveries 1") {
		t.Errorf("metrics:\n%s", page)
	}
}

func TestTheFilesForOthersAreWellFormed(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"alerts.yml", "prometheus.yml", "compose.yaml", "grafana/datasources.yaml", "grafana/dashboards.yaml"} {
		text, err := os.ReadFile(filepath.FromSlash(file))
		var v map[string]any
		if err == nil {
			err = yaml.Unmarshal(text, &v)
		}
		if err != nil || len(v) == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
	text, err := os.ReadFile("dashboard.json")
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err == nil {
		err = json.Unmarshal(text, &dashboard)
	}
	seen := map[string]bool{}
	for _, p := range dashboard.Panels {
		if seen[strconv.Itoa(p.ID)] || seen[p.Title] || len(p.Targets) == 0 || p.Targets[0].Expr == "" {
			t.Errorf("panel %d %q is twice there, or empty", p.ID, p.Title)
		}
		seen[strconv.Itoa(p.ID)], seen[p.Title] = true, true
	}
	if err != nil || len(seen) == 0 {
		t.Errorf("dashboard.json: %v", err)
	}
}
