// Package rules_test runs the commands of `caddy webhooks routes` on the Caddyfile and the tests beside it.
package rules_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

// caddy runs the real binary here, and returns what it prints and its exit status.
func caddy(t *testing.T, args ...string) (string, int) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), binary, append([]string{"webhooks"}, args...)...).CombinedOutput()
	if err != nil {
		if _, exited := err.(*exec.ExitError); !exited { //nolint:errorlint // Run gives it bare
			t.Fatal(err)
		}
		return string(out), err.(*exec.ExitError).ExitCode() //nolint:errorlint // as above
	}
	return string(out), 0
}

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "rules")
	if err == nil {
		binary, err = rig.Build(context.Background(), dir)
	}
	if err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func TestTheCommands(t *testing.T) {
	t.Parallel()
	report := filepath.Join(t.TempDir(), "report.xml")
	for name, tt := range map[string]struct {
		args   []string
		status int
		want   []string
	}{
		"explain says who gets an event": {
			args: []string{"routes", "explain", "--event", `{"event":"shipment.exception","data":{"carrier":"USPS"}}`},
			want: []string{"✓ by-carrier  (Caddyfile:34)", `= ["orders","orders-dr"]`, "-> orders, then orders-dr (by-carrier)\n-> audit (endpoint:audit)\n"},
		},
		"the tests hold": {
			args: []string{"routes", "test", "--coverage", "--min", "80", "--junit", report, "tests.yaml"},
			want: []string{"coverage: ", "8 passed, 0 failed\n"},
		},
		"lint finds nothing": {args: []string{"routes", "lint"}, want: []string{"nothing found\n"}},
		"diff shows what the next version changes": {
			args: []string{"routes", "diff", "--config", "Caddyfile", "--config", "Caddyfile.next", "--events", "@sample.ndjson"},
			want: []string{
				"line 2: order.imported, evt_order", "  + orders, then orders-dr (orders)\n  - orders-new (canary)\n",
				"line 3: shipment.exception, evt_late", "  ~ audit (by-carrier) => audit (rest)\n", "2 of 4 events change their route\n",
			},
		},
		"a command that does not exist fails": {
			args: []string{"routes", "tests"}, status: 1, want: []string{"did you mean test?"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, status := caddy(t, tt.args...)
			if status != tt.status {
				t.Errorf("exit status %d, want %d", status, tt.status)
			}
			for _, w := range tt.want {
				if !strings.Contains(out, w) {
					t.Errorf("%q is not in\n%s", w, out)
				}
			}
		})
	}
}

func TestATestThatFailsExplainsItself(t *testing.T) {
	t.Parallel()
	tests := filepath.Join(t.TempDir(), "tests.yaml")
	text := "- name: exceptions go to orders\n  event: {event: shipment.exception, data: {carrier: DHL}}\n  expect: [{endpoint: orders, route: by-carrier}]\n"
	if err := os.WriteFile(tests, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, status := caddy(t, "routes", "test", tests)
	if status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	for _, w := range []string{
		"FAILED exceptions go to orders  (" + tests + ":1)", "orders does not get the event", "audit gets the event, from by-carrier",
		`= "audit"`, `data.carrier is "DHL"`, "0 passed, 1 failed", "1 of 1 tests failed",
	} {
		if !strings.Contains(out, w) {
			t.Errorf("%q is not in\n%s", w, out)
		}
	}
	if strings.Contains(out, "labels") {
		t.Errorf("rules that have nothing to do with it are explained:\n%s", out)
	}
}
