// Package interop_test sends events through the real gateway to a real HTTPS receiver in Node. It checks the default
// signatures by the customer guide's snippet as printed, by standardwebhooks and by @octokit/webhooks-methods, and every
// scheme by the packages that receivers use for it, in Node and in Go: each must take the request, and none under another
// key or with a byte changed. The folder is a module of its own so that they never come near the gateway's.
//
//	npm ci && go test .
package interop_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

// Secrets of the receiver; `wrong` is one that the gateway does not use.
var secrets = map[string]string{
	"main":  "whsec_aW50ZXJvcCBtYWluIHNlY3JldCAwMDAwMDAwMDAwMDE=",
	"old":   "whsec_aW50ZXJvcCBvbGQgc2VjcmV0ICAwMDAwMDAwMDAwMDI=",
	"new":   "whsec_aW50ZXJvcCBuZXcgc2VjcmV0ICAwMDAwMDAwMDAwMDM=",
	"wrong": "whsec_aW50ZXJvcCB3cm9uZyBzZWNyZXQwMDAwMDAwMDAwMDQ=",
}

const caddyfile = `{
	admin 127.0.0.1:%[1]d
	auto_https off
	skip_install_trust
	webhooks {
		store embedded %[3]s/store
		egress {
			allow 127.0.0.1
			ports any
		}
		endpoint main {
			url https://127.0.0.1:%[4]d/hooks/main
			secret %[5]s
			events *
			environment production
			tls {
				trust_pool file %[8]s
			}
		}
		endpoint wrong {
			url https://127.0.0.1:%[4]d/hooks/wrong
			secret %[5]s
			events *
			environment wrong
			tls {
				trust_pool file %[8]s
			}
		}
		endpoint rotating {
			url https://127.0.0.1:%[4]d/hooks/new
			secret %[6]s
			secret %[7]s until %[9]s
			events *
			environment rotation
			tls {
				trust_pool file %[8]s
			}
		}
%[10]s	}
}
http://127.0.0.1:%[2]d {
	webhooks_ingest /events {
		auth none
	}
	respond 404
}
`

// fixture is what every case works with: the gateway, and the receiver behind it.
type fixture struct {
	receiver      *receiver
	ingest, admin string
	client        *http.Client
}

// needReceivers skips a test where what receivers use is not installed.
func needReceivers(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"node", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIP: the receivers' verifiers need Node 20 or newer and OpenSSL 3, and there is no %s here", tool)
		}
	}
	if _, err := os.Stat("node_modules/express"); err != nil {
		t.Skip("SKIP: the receivers' verifiers are not installed: run npm ci in examples/interop")
	}
}

// buildGateway compiles the gateway unless GATEWAY_BINARY names a ready one. It builds from the top of the checkout: this
// module knows nothing of the gateway's dependencies.
func buildGateway(t *testing.T, dir string) string {
	t.Helper()
	if ready := os.Getenv("GATEWAY_BINARY"); ready != "" {
		return ready
	}
	bin := filepath.Join(dir, "gateway-binary")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-C", "../..", "-o", bin, "./caddymodule/caddy").CombinedOutput()
	if err != nil {
		t.Fatalf("building the gateway: %v\n%s", err, out)
	}
	return bin
}

func setup(t *testing.T) *fixture {
	t.Helper()
	needReceivers(t)
	dir := t.TempDir()
	bin := buildGateway(t, dir)
	cert, err := rig.NewCertificate(dir)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := rig.Ports(2)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{
		receiver: startReceiver(t, cert, secrets),
		admin:    fmt.Sprintf("http://127.0.0.1:%d/webhooks", ports[0]),
		ingest:   fmt.Sprintf("http://127.0.0.1:%d/events", ports[1]),
		client:   &http.Client{Timeout: 30 * time.Second},
	}
	config := filepath.Join(dir, "Caddyfile")
	until := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	text := fmt.Sprintf(caddyfile, ports[0], ports[1], dir, f.receiver.port,
		secrets["main"], secrets["new"], secrets["old"], cert.CertFile, until,
		schemeEndpoints(f.receiver.port, cert.CertFile, until))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	gateway, err := rig.Start(bin, config, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := gateway.Stop(); err != nil {
			t.Errorf("stopping the gateway: %v\n%s", err, gateway.LogTail())
		}
	})
	if err := gateway.Ready(t.Context(), fmt.Sprintf("127.0.0.1:%d", ports[1])); err != nil {
		t.Fatal(err)
	}
	return f
}

// stamp is the guide's timestamp; with a given one the whole body is known beforehand.
const stamp = "2024-01-15T10:30:00Z"

func message(eventType, environment, data string) []byte {
	return fmt.Appendf(nil, `{"event":%q,"environment":%q,"timestamp":%q,"data":%s}`, eventType, environment, stamp, data)
}

// publish one event, which must be accepted.
func (f *fixture) publish(t *testing.T, eventType, environment, data string) rig.Receipt {
	t.Helper()
	status, answer, err := rig.Post(t.Context(), f.client, f.ingest, message(eventType, environment, data))
	if err != nil {
		t.Fatal(err)
	}
	var receipt rig.Receipt
	if err := json.Unmarshal(answer, &receipt); status != http.StatusAccepted || err != nil {
		t.Fatalf("ingest answered %d %s (%v)", status, answer, err)
	}
	if len(receipt.Deliveries) != 1 {
		t.Fatalf("want one delivery: %s", answer)
	}
	return receipt
}

// verified waits for the event at /hooks/main and checks that all three verifiers took it, and the body it came with.
func (f *fixture) verified(t *testing.T, eventID, eventType, stringified string) {
	t.Helper()
	seen := f.receiver.wait(t, "main", eventID)
	if got := seen.Verdicts["main"]; got != all {
		t.Errorf("verdicts %+v for %s", got, seen.body(t))
	}
	if got := seen.Verdicts["wrong"]; got != (verdict{}) {
		t.Errorf("a secret that the gateway does not have was accepted: %+v", got)
	}
	if !seen.Stable {
		t.Errorf("JSON.stringify(JSON.parse(body)) is not the body: %s", seen.body(t))
	}
	want := fmt.Sprintf(`{"event":%q,"timestamp":%q,"data":%s}`, eventType, stamp, stringified)
	if got := seen.body(t); got != want {
		t.Errorf("body differs\n got %s\nwant %s", got, want)
	}
	if got := seen.Headers["x-atoship-event"]; got != eventType {
		t.Errorf("X-AtoShip-Event is %q, want %q", got, eventType)
	}
}

func TestReceiversVerifyWhatTheGatewaySends(t *testing.T) {
	t.Parallel()
	f := setup(t)
	t.Run("the guide's events", f.testCatalog)
	t.Run("payloads that JavaScript prints in its own way", f.testCorpus)
	t.Run("payloads that JavaScript would change are refused", f.testRefused)
	t.Run("a receiver with another secret refuses", f.testWrongSecret)
	t.Run("during a rotation both secrets verify", f.testRotation)
	t.Run("every scheme", f.testSchemes)
}

func (f *fixture) testCatalog(t *testing.T) {
	text, err := os.ReadFile("../atoship/events.json")
	if err != nil {
		t.Fatal(err)
	}
	var catalog struct {
		Events []struct {
			Type    string          `json:"type"`
			Example json.RawMessage `json:"example"`
		} `json:"events"`
	}
	if err := json.Unmarshal(text, &catalog); err != nil {
		t.Fatal(err)
	}
	if len(catalog.Events) != 8 {
		t.Fatalf("the guide has 8 events, the catalog %d", len(catalog.Events))
	}
	examples := make([]string, len(catalog.Events))
	for i, event := range catalog.Events {
		examples[i] = string(event.Example)
	}
	want := stringify(t, examples)
	for i, event := range catalog.Events {
		t.Run(event.Type, func(t *testing.T) {
			f.verified(t, f.publish(t, event.Type, "production", examples[i]).ID, event.Type, want[i])
		})
	}
}

func (f *fixture) testCorpus(t *testing.T) {
	texts := make([]string, len(accepted))
	for i, c := range accepted {
		texts[i] = c.data
	}
	want := stringify(t, texts)
	for i, c := range accepted {
		t.Run(c.name, func(t *testing.T) {
			f.verified(t, f.publish(t, "corpus.case", "production", c.data).ID, "corpus.case", want[i])
		})
	}
}

func (f *fixture) testRefused(t *testing.T) {
	for _, c := range refused {
		t.Run(c.name, func(t *testing.T) {
			status, answer, err := rig.Post(t.Context(), f.client, f.ingest, message("corpus.case", "production", c.data))
			if err != nil {
				t.Fatal(err)
			}
			if status != http.StatusBadRequest && status != http.StatusUnprocessableEntity {
				t.Errorf("ingest answered %d %s", status, answer)
			}
		})
	}
}

func (f *fixture) testWrongSecret(t *testing.T) {
	receipt := f.publish(t, "label.created", "wrong", `{"label_id":"lbl_abc123"}`)
	seen := f.receiver.wait(t, "wrong", receipt.ID)
	if seen.Valid || seen.Verdicts["wrong"] != (verdict{}) {
		t.Errorf("accepted under a secret that did not sign: %+v", seen.Verdicts["wrong"])
	}
	if seen.Verdicts["main"] != all {
		t.Errorf("not accepted under the secret that did sign: %+v", seen.Verdicts["main"])
	}
	logged := f.attempted(t, receipt.Deliveries[0].ID)
	if logged.State != "pending" || len(logged.Attempts) != 1 || logged.Attempts[0].Status != http.StatusUnauthorized {
		t.Errorf("the log has %+v, want one attempt answered 401 and more to come", logged)
	}
}

func (f *fixture) testRotation(t *testing.T) {
	receipt := f.publish(t, "label.created", "rotation", `{"label_id":"lbl_abc123"}`)
	seen := f.receiver.wait(t, "new", receipt.ID)
	if got := seen.Verdicts["new"]; got != all {
		t.Errorf("under the new secret %+v, want all three", got)
	}
	// X-AtoShip-Signature has room for one value, the newest; webhook-signature carries both.
	if got := seen.Verdicts["old"]; got != (verdict{Standard: true}) {
		t.Errorf("under the old secret %+v, want standard alone", got)
	}
	if logged := f.attempted(t, receipt.Deliveries[0].ID); logged.State != "delivered" {
		t.Errorf("the log has %+v", logged)
	}
}

// attempted waits until the log shows the delivery's first attempt: it is written within 50 ms of the answer.
func (f *fixture) attempted(t *testing.T, id string) rig.Delivery {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for {
		var d rig.Delivery
		if err := rig.Get(t.Context(), f.client, f.admin+"/deliveries/"+id, &d); err != nil {
			t.Fatal(err)
		}
		if len(d.Attempts) > 0 {
			return d
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no attempt of %s in the log after 10s", id)
		}
	}
}

// stringify asks Node for JSON.stringify(JSON.parse(text)) of each text.
func stringify(t *testing.T, texts []string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", "stringify.mjs")
	cmd.Stdin = strings.NewReader(strings.Join(texts, "\x00"))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("asking Node: %v", err)
	}
	answers := strings.Split(string(out), "\x00")
	if len(answers) != len(texts) {
		t.Fatalf("Node gave %d answers for %d texts", len(answers), len(texts))
	}
	return answers
}
