// Package site runs an example's Caddyfile for its test: on free ports, with the test's receiver where the example's own program
// would be, and nothing else changed.
package site

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

// Site is a running gateway with the receiver's side in front of the test's handler.
type Site struct {
	bin, config, dir string
	ports            []int // of the admin API, ingest, the receiver
	running          *rig.Gateway
	client           *http.Client
	deliveries       map[string]bool // that were published; in the publishing test's goroutine alone
}

// Start runs the Caddyfile in the test's folder with h behind its receiver. The file uses the ports 8080 for ingest, 8443 for the
// receiver and 9000 for the program behind it.
func Start(t *testing.T, h http.Handler) *Site {
	t.Helper()
	upstream := httptest.NewServer(h)
	t.Cleanup(upstream.Close)
	s := &Site{dir: t.TempDir(), client: &http.Client{Timeout: 10 * time.Second}, deliveries: map[string]bool{}}
	var err error
	if s.bin, err = rig.Build(t.Context(), s.dir); err != nil {
		t.Fatal(err)
	}
	if s.ports, err = rig.Ports(3); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := filepath.Abs("../../atoship/events.json")
	if err != nil {
		t.Fatal(err)
	}
	config := string(text)
	for _, change := range [][2]string{
		{"\tskip_install_trust\n", fmt.Sprintf("\tskip_install_trust\n\tadmin 127.0.0.1:%d\n", s.ports[0])},
		{":8080", fmt.Sprintf(":%d", s.ports[1])},
		{":8443", fmt.Sprintf(":%d", s.ports[2])},
		{"ports 8443", fmt.Sprintf("ports %d", s.ports[2])},
		{"127.0.0.1:9000", strings.TrimPrefix(upstream.URL, "http://")},
		{"../../atoship/events.json", catalog},
	} {
		if !strings.Contains(config, change[0]) {
			t.Fatalf("the Caddyfile does not say %q", change[0])
		}
		config = strings.ReplaceAll(config, change[0], change[1])
	}
	s.config = filepath.Join(s.dir, "Caddyfile")
	s.write(t, config)
	s.run(t)
	return s
}

func (s *Site) write(t *testing.T, config string) {
	t.Helper()
	if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *Site) run(t *testing.T) {
	t.Helper()
	running, err := rig.Start(s.bin, s.config, s.dir)
	if err != nil {
		t.Fatal(err)
	}
	s.running = running
	t.Cleanup(func() {
		if err := running.Stop(); err != nil {
			t.Errorf("stopping: %v\n%s", err, running.LogTail())
		}
	})
	err = running.Ready(t.Context(), fmt.Sprintf("127.0.0.1:%d", s.ports[0]), fmt.Sprintf("127.0.0.1:%d", s.ports[1]),
		fmt.Sprintf("https://localhost:%d", s.ports[2]))
	if err != nil {
		t.Fatal(err)
	}
}

// Reload changes the configuration of the running gateway: each old text becomes the new one.
func (s *Site) Reload(t *testing.T, changes ...[2]string) {
	t.Helper()
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	config := string(text)
	for _, c := range changes {
		if !strings.Contains(config, c[0]) {
			t.Fatalf("the configuration does not say %q", c[0])
		}
		config = strings.ReplaceAll(config, c[0], c[1])
	}
	s.write(t, config)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/load", s.ports[0]), strings.NewReader(config))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "text/caddyfile")
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("reloading: %s\n%s", resp.Status, s.running.LogTail())
	}
}

// Publish posts an event, again if it has an id and the connection breaks, and returns the endpoints it goes to.
func (s *Site) Publish(t *testing.T, event map[string]any) (endpoints []string) {
	t.Helper()
	body, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	post := func() (int, []byte, error) {
		return rig.Post(t.Context(), s.client, fmt.Sprintf("http://127.0.0.1:%d/events", s.ports[1]), body)
	}
	status, answer, err := post()
	// A reload closes kept connections, and those that it had not served yet; with an id, sending again is safe.
	_, given := event["id"]
	for tries := 1; given && err != nil && tries < 20; tries++ {
		status, answer, err = post()
	}
	var receipt rig.Receipt
	if err != nil || status != http.StatusAccepted && status != http.StatusOK || json.Unmarshal(answer, &receipt) != nil {
		t.Fatalf("publishing %s: %d %s (%v)", body, status, answer, err)
	}
	for _, d := range receipt.Deliveries {
		endpoints = append(endpoints, d.Endpoint)
		s.deliveries[d.ID] = true
	}
	return endpoints
}

// Delivered waits until everything published was delivered.
func (s *Site) Delivered(t *testing.T) {
	t.Helper()
	for id := range s.deliveries {
		var d rig.Delivery
		Until(t, "delivery "+id+" is delivered", func() bool {
			err := rig.Get(t.Context(), s.client, fmt.Sprintf("http://127.0.0.1:%d/webhooks/deliveries/%s", s.ports[0], id), &d)
			return err == nil && d.State == "delivered"
		}, func() any { return fmt.Sprintf("%+v\n%s", d, s.running.LogTail()) })
	}
}

// Until waits for something that comes about by itself, and shows what there is when it does not.
func Until(t *testing.T, what string, holds func() bool, show func() any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s: %v", what, show())
		}
	}
}
