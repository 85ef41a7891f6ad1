package caddymodule

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

// exitTo is a way out to this machine, for an app that is never started.
func exitTo(t *testing.T, a *App, change ...func(*Egress)) *egressProfile {
	t.Helper()
	a.Egress = []Egress{{Allow: []string{"127.0.0.1"}, Ports: []string{"any"}}}
	for _, f := range change {
		f(&a.Egress[0])
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	a.logger = zap.NewNop()
	if err := a.buildEgress(ctx); err != nil {
		t.Fatal(err)
	}
	return a.profiles[defaultEgress]
}

func trusting(t *testing.T, certs ...*x509.Certificate) *EndpointTLS {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	var text []byte
	for _, c := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return &EndpointTLS{TrustPoolRaw: json.RawMessage(`{"module":"file","pem_files":["` + file + `"]}`)}
}

// Reloads keep connections as long as nothing about them changed, and close them when no config has their rules any more.
func TestTransportLivesAsLongAsAConfigUsesItsIdentity(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{}, 16)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			closed <- struct{}{}
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	get := func(a *App, settings *EndpointTLS) *transport {
		t.Helper()
		out, err := a.transport(ctx, exitTo(t, a), settings)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	cleanup := func(a *App) {
		t.Helper()
		if err := a.Cleanup(); err != nil {
			t.Fatal(err)
		}
	}

	before, after, other := new(App), new(App), new(App)
	first := get(before, trusting(t, server.Certificate()))
	resp, err := first.RoundTrip(httptest.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, nil))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()

	if get(after, trusting(t, server.Certificate())) != first {
		t.Error("the same authorities from another file made another transport")
	}
	if get(other, trusting(t)) == first || get(other, &EndpointTLS{ServerName: "x.example"}) == first || get(other, nil) == first {
		t.Error("another identity shares the transport")
	}
	cleanup(other)
	cleanup(before)
	select {
	case <-closed:
		t.Error("the connection was closed although a config uses it")
	default:
	}
	cleanup(after)
	select {
	case <-closed:
	case <-time.After(5 * time.Second):
		t.Error("the connection stays open although no config uses it")
	}
}
