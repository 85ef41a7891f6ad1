package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/httpapi/client"
)

func TestAnAddressMayBeAUnixSocket(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "admin.sock")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"status":"ready","live":true}`)
		if r.URL.Path != "/webhooks/health" {
			t.Errorf("asked for %s", r.URL.Path)
		}
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	c, err := client.New("unix/"+socket+"|/webhooks/", client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if h, err := c.Health(t.Context()); err != nil || !h.Live {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestAddressesThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "localhost:2019", "ftp://a/", "://", "/webhooks/"} {
		if _, err := client.New(address, client.Options{}); err == nil {
			t.Errorf("%q was taken", address)
		}
	}
	if _, err := client.New("unix//run/x", client.Options{HTTP: http.DefaultClient}); err == nil {
		t.Error("a socket and a client that does not know of it were taken")
	}
}

// answering is a client of a server that gives one answer.
func answering(t *testing.T, answer http.HandlerFunc) *client.Client {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	c, err := client.New(server.URL+"/webhooks", client.Options{Token: "t0"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhatIsNoAnswerOfTheAPIIsToldAsSuch(t *testing.T) {
	t.Parallel()
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/stats") {
			_, _ = io.WriteString(w, "<html>") // as Caddy's empty 200, or a proxy's page
			return
		}
		w.Header().Set("Retry-After", "7")
		http.Error(w, "bad gateway", http.StatusBadGateway)
	})
	if _, err := c.Stats(t.Context()); err == nil || !strings.Contains(err.Error(), "the API's address") {
		t.Errorf("a page: %v", err)
	}
	_, err := c.Catalog(t.Context())
	p, ok := errors.AsType[*client.Problem](err)
	if !ok || p.Status != http.StatusBadGateway || p.RetryAfter != 7*time.Second {
		t.Errorf("an error of a proxy: %+v", err)
	}
}

func TestNamesFromOutsideStayInTheirPlace(t *testing.T) {
	t.Parallel()
	var asked string
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.URL.EscapedPath() + " " + r.Header.Get("Authorization")
		_, _ = io.WriteString(w, "{}")
	})
	if _, err := c.PauseEndpoint(t.Context(), "../../load?x=#"); err != nil || asked != "POST /webhooks/endpoints/..%2F..%2Fload%3Fx=%23/pause Bearer t0" {
		t.Errorf("asked %s, %v", asked, err)
	}
}

func TestAStreamIsReadItemByItem(t *testing.T) {
	t.Parallel()
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, ": following\n\nevent: attempted\ndata: {\"endpoint\":\"a\",\"status\":503}\n\n: \n\nevent: missed\ndata: {\"items\":3}\n\n")
		if r.URL.RawQuery != "endpoint=a" {
			t.Errorf("asked %s", r.URL.RawQuery)
		}
	})
	var kinds []string
	for item, err := range c.Stream(t.Context(), client.StreamFilter{Endpoint: "a"}) {
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, item.Kind)
	}
	if got := strings.Join(kinds, " "); got != "attempted missed" {
		t.Errorf("read %s", got)
	}
	refused := answering(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusTooManyRequests) })
	for _, err := range refused.Stream(context.Background(), client.StreamFilter{}) {
		if p, ok := errors.AsType[*client.Problem](err); !ok || p.Status != http.StatusTooManyRequests {
			t.Errorf("a refusal: %v", err)
		}
	}
}
