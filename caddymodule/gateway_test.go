package caddymodule

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// Tests that use a gateway run a real Caddy in this process. There is one Caddy per process, so they are not parallel.

const testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// testFailing is an app whose Start fails when it is configured to: another module that spoils a reload.
type testFailing struct {
	Fail bool `json:"fail,omitempty"`
}

func (*testFailing) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "webhooks_test_failing", New: func() caddy.Module { return new(testFailing) }}
}

func (f *testFailing) Start() error {
	if f.Fail {
		return errors.New("this app never starts")
	}
	return nil
}
func (*testFailing) Stop() error { return nil }

func init() { caddy.RegisterModule((*testFailing)(nil)) }

// received is a request that reached the receiver.
type received struct {
	path, body string
	header     http.Header
}

// gateway is a running Caddy with an ingest route, and an https receiver that it may deliver to.
type gateway struct {
	t        *testing.T
	dir      string
	address  string        // of ingest
	url      string        // of the receiver, which answers 500 at /fail
	received chan received // what reached it
	client   *http.Client
	events   int // published by works
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	t.Setenv("TEST_WEBHOOKS_SECRET", testSecret)
	g := &gateway{
		t: t, dir: t.TempDir(), address: freeAddress(t),
		received: make(chan received, 10_000),
		client:   &http.Client{Transport: unserved{&http.Transport{DisableKeepAlives: true}}, Timeout: 10 * time.Second},
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/fail" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		g.received <- received{r.URL.Path, string(body), r.Header.Clone()}
	}))
	t.Cleanup(server.Close)
	g.url = server.URL
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(g.dir, "ca.pem"), ca, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return g
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// caddyfile is a config with everything in g.dir. app and site are lines for the app and for the site.
func (g *gateway) caddyfile(app, site string) string {
	return strings.NewReplacer("ADDRESS", g.address, "URL", g.url, "DIR", g.dir).Replace(`{
	admin off
	persist_config off
	storage file_system DIR/caddy
	auto_https off
	grace_period 1s
	webhooks {
		egress {
			allow 127.0.0.1
			ports any
			plain_http
		}
		defaults {
			tls {
				trust_pool file DIR/ca.pem
			}
		}
		` + app + `
	}
}
http://ADDRESS {
	webhooks_ingest /events {
		auth none
	}
	` + site + `
	respond 404
}
`)
}

// one endpoint that gets everything, and a store.
const everything = `
		store embedded DIR/state
		endpoint all {
			url URL/all
			secret {env.TEST_WEBHOOKS_SECRET}
			events *
		}`

// load runs a config; failing makes another app of the same config fail in Start.
func (g *gateway) load(config string, failing bool) error {
	g.t.Helper()
	adapted, err := adapt(config)
	if err != nil {
		g.t.Fatal(err)
	}
	return caddy.Load(withFailingApp(g.t, adapted, failing), true)
}

func (g *gateway) mustLoad(config string) {
	g.t.Helper()
	if err := g.load(config, false); err != nil {
		g.t.Fatal(err)
	}
}

func withFailingApp(t *testing.T, config []byte, fail bool) []byte {
	t.Helper()
	var c struct {
		Admin   json.RawMessage            `json:"admin,omitempty"`
		Storage json.RawMessage            `json:"storage,omitempty"`
		Apps    map[string]json.RawMessage `json:"apps"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		t.Fatal(err)
	}
	c.Apps["webhooks_test_failing"] = fmt.Appendf(nil, `{"fail":%t}`, fail)
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// unserved sends a request again that nobody has served. A reload closes the old listener, and with it connections that it
// had not served: Caddy's way on Linux. It closes idle connections too, and so none is kept here.
type unserved struct{ http.RoundTripper }

func (u unserved) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	for range 20 {
		again := req.Clone(req.Context())
		if req.GetBody != nil {
			if again.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
		if resp, err = u.RoundTripper.RoundTrip(again); err == nil {
			return resp, nil
		}
	}
	return nil, err
}

// post sends an event with an id of its own and returns the status and the answer.
func (g *gateway) post(body string) (status int, answer string, err error) {
	resp, err := g.client.Post("http://"+g.address+"/events", "application/json", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func (g *gateway) publish(body string) (status int, answer string) {
	g.t.Helper()
	status, answer, err := g.post(body)
	if err != nil {
		g.t.Fatal(err)
	}
	return status, answer
}

// next waits for a delivery.
func (g *gateway) next() received {
	g.t.Helper()
	select {
	case r := <-g.received:
		return r
	case <-time.After(10 * time.Second):
		g.t.Fatal("nothing was delivered within 10 s")
		return received{}
	}
}

// works checks that an event goes in and comes out, sent by the plan with this user agent.
func (g *gateway) works(userAgent string) {
	g.t.Helper()
	id := "evt_works_" + strconv.Itoa(g.events)
	g.events++
	if status, answer := g.publish(`{"id":"` + id + `","event":"label.created","data":{}}`); status != http.StatusAccepted && status != http.StatusOK {
		g.t.Fatalf("publishing was answered %d %s", status, answer)
	}
	r := g.next()
	if got := r.header.Get("X-AtoShip-Event-Id"); got != id {
		g.t.Fatalf("delivered %s, want %s", got, id)
	}
	if got := r.header.Get("User-Agent"); got != userAgent+"/dev" {
		g.t.Errorf("delivered as %q, want the plan of %q in force", got, userAgent)
	}
}
