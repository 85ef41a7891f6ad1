// Package atoship_test checks the AtoShip catalog, and runs Caddyfile.example, which uses it, for real.
package atoship_test

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

const example = "../../Caddyfile.example"

// elsewhere is Caddyfile.example on free ports, so that the test runs beside anything; nothing else is changed.
func elsewhere(t *testing.T, ports []int) string {
	t.Helper()
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	config := string(text)
	for _, change := range [][2]string{
		{"\tskip_install_trust\n", fmt.Sprintf("\tskip_install_trust\n\tadmin 127.0.0.1:%d\n", ports[0])},
		{":8080", fmt.Sprintf(":%d", ports[1])},
		{":8443", fmt.Sprintf(":%d", ports[2])},
		{"ports 8443", fmt.Sprintf("ports %d", ports[2])},
		{"./examples/atoship/", here + "/"},
	} {
		if !strings.Contains(config, change[0]) {
			t.Fatalf("%s does not say %q", example, change[0])
		}
		config = strings.ReplaceAll(config, change[0], change[1])
	}
	return config
}

func TestTheExampleDeliversTheGuidesPayload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bin, err := rig.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), bin, "fmt", "--diff", example).CombinedOutput(); err != nil {
		t.Errorf("%s is not as `caddy fmt` would write it: %v\n%s", example, err, out)
	}
	ports, err := rig.Ports(3)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(config, []byte(elsewhere(t, ports)), 0o600); err != nil {
		t.Fatal(err)
	}
	gateway, err := rig.Start(bin, config, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := gateway.Stop(); err != nil {
			t.Errorf("stopping: %v\n%s", err, gateway.LogTail())
		}
	})
	addr := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	if err := gateway.Ready(t.Context(), addr(0), addr(1), fmt.Sprintf("https://localhost:%d", ports[2])); err != nil {
		t.Fatal(err)
	}

	cases := []struct {
		name, body string
		endpoint   string
		backups    int
	}{
		{
			"the guide's payload goes to order management, which has a backup",
			`{"event":"label.created","timestamp":"2024-01-15T10:30:00Z","data":{"label_id":"lbl_abc123",` +
				`"tracking_number":"9400111899223","carrier":"USPS","service":"Priority Mail","order_id":"ord_xyz789"}}`,
			"orders", 1,
		},
		{
			"a parcel in trouble goes to those who look after it",
			`{"event":"shipment.exception","data":{"tracking_number":"9400111899223","reason":"address_issue"}}`,
			"alerts", 0,
		},
		{
			"an event of the sandbox stays there",
			`{"event":"label.created","environment":"sandbox","data":{"label_id":"lbl_abc123"}}`,
			"sandbox", 0,
		},
	}
	client := &http.Client{Timeout: 10 * time.Second}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			status, answer, err := rig.Post(t.Context(), client, "http://"+addr(1)+"/events", []byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			var receipt rig.Receipt
			if err := json.Unmarshal(answer, &receipt); status != http.StatusAccepted || err != nil {
				t.Fatalf("ingest answered %d %s (%v)", status, answer, err)
			}
			if len(receipt.Deliveries) != 1 || receipt.Deliveries[0].Endpoint != c.endpoint || len(receipt.Deliveries[0].Backups) != c.backups {
				t.Fatalf("want one delivery to %s with %d backups: %s", c.endpoint, c.backups, answer)
			}
			delivered(t, client, "http://"+addr(0)+"/webhooks/deliveries/"+receipt.Deliveries[0].ID)
		})
	}
	t.Run("a type that the catalog does not know is refused", func(t *testing.T) {
		status, answer, err := rig.Post(t.Context(), client, "http://"+addr(1)+"/events", []byte(`{"event":"label.lost","data":{}}`))
		if err != nil || status != http.StatusUnprocessableEntity {
			t.Errorf("ingest answered %d %s (%v)", status, answer, err)
		}
	})
	t.Run("a path that nothing serves is not mistaken for an accepted event", func(t *testing.T) {
		status, answer, err := rig.Post(t.Context(), client, "http://"+addr(1)+"/event", []byte(`{}`))
		if err != nil || status != http.StatusNotFound {
			t.Errorf("answered %d %s (%v)", status, answer, err)
		}
	})
}

// delivered waits until the log shows the delivery's attempt: within two seconds, the example's promise.
func delivered(t *testing.T, client *http.Client, url string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Second)
	for {
		var d rig.Delivery
		if err := rig.Get(t.Context(), client, url, &d); err != nil {
			t.Fatal(err)
		}
		if len(d.Attempts) > 0 {
			if d.State != "delivered" || len(d.Attempts) != 1 || d.Attempts[0].Status != http.StatusOK {
				t.Errorf("want one attempt answered 200: %+v", d)
			}
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("no attempt in the log after 2s")
		}
	}
}
