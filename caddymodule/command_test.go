package caddymodule

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// runCommand runs `caddy webhooks` with arguments and returns what it prints.
func runCommand(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	spec := caddycmd.Commands()[appID]
	cmd := &cobra.Command{Use: spec.Name, Long: spec.Long, SilenceUsage: true, SilenceErrors: true}
	spec.CobraFunc(cmd)
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetArgs(args)
	err := cmd.Execute()
	return out.String(), err
}

// writeFile puts a file into a folder of its own and returns its name.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// routedCaddyfile needs secrets and a store that are not there, which the routes commands must not care about.
const routedCaddyfile = `{
	webhooks {
		store embedded /nonexistent/webhooks
		environment production sandbox
		endpoint orders {
			url https://orders.example.com/hooks
			secret {env.NOT_SET}
			backup orders-dr
		}
		endpoint orders-dr {
			url https://dr.example.com/hooks
			secret {file./nonexistent}
		}
		endpoint audit {
			url https://audit.example.com/in
			secret {env.NOT_SET}
			events label.*
		}
		route labels {
			when ` + "`event.type startsWith \"label.\" && event.environment == \"production\"`" + `
			to orders
		}
		route rest {
			otherwise
			to audit
		}
	}
}
`

func TestCommandThatIsNoneFails(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		`webhooks has no command "rotues"; did you mean routes?`:          {"rotues"},
		`webhooks routes has no command "explian"; did you mean explain?`: {"routes", "explian"},
		`webhooks has no command "something"`:                             {"something", "else"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := runCommand(t, "", args...); err == nil || err.Error() != name {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestCommandsShowTheirHelp(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"routes":           {},
		"explain":          {"routes"},
		"caddy webhooks r": {"routes", "explain", "--help"},
	} {
		out, err := runCommand(t, "", args...)
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

func TestRoutesExplain(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "Caddyfile", routedCaddyfile)
	const event = `{"event":"label.created","data":{}}`
	for name, tt := range map[string]struct {
		stdin string
		args  []string
		want  []string
	}{
		"an event on the command line": {
			args: []string{"--event", event},
			want: []string{
				"event label.created, production\n3 of 3 rules could apply",
				"✓ labels  (" + file + ":19)\n  ✓ all of\n  ├─ ✓ event.type startsWith \"label.\"",
				"✓ endpoint:audit", "- rest  (" + file + ":23): another rule matched",
				"-> orders, then orders-dr (labels)\n-> audit (endpoint:audit)\n",
			},
		},
		"an event from standard input": {
			stdin: `{"event":"label.created","environment":"sandbox","data":{}}`,
			args:  []string{"--event", "-", "--route", "labels"},
			want:  []string{"✗ labels", `✗ event.environment == "production"`, `is "sandbox"`},
		},
		"an event from a file, as JSON": {
			args: []string{"--json", "--event", "@" + writeFile(t, "event.json", event)},
			want: []string{`"eligible": 3`, `"candidates": 2`, `"outcome": "true"`, `"value": "label.created"`, `"route": "labels"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := runCommand(t, tt.stdin, append([]string{"routes", "explain", "--config", file}, tt.args...)...)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range tt.want {
				if !strings.Contains(out, w) {
					t.Errorf("%q is not in\n%s", w, out)
				}
			}
			if strings.Contains(name, "JSON") && !json.Valid([]byte(out)) {
				t.Errorf("this is not JSON: %s", out)
			}
		})
	}
}

func TestRoutesExplainTellsOfATypeThatIngestWouldRefuse(t *testing.T) {
	t.Parallel()
	catalog := writeFile(t, "events.json", `{"events":[{"type":"label.created"}]}`)
	file := writeFile(t, "Caddyfile", strings.Replace(routedCaddyfile, "environment production sandbox", "environment production sandbox\n\t\tcatalog "+catalog, 1))
	for typ, want := range map[string]string{
		"label.craeted":        "note: ingest would refuse this event, as there is no event type label.craeted in the catalog; did you mean label.created?",
		"label.created":        "",
		"webhooks.dead_letter": "",
	} {
		out, err := runCommand(t, "", "routes", "explain", "--config", file, "--event", `{"event":"`+typ+`","data":{}}`)
		if err != nil || !strings.Contains(out, want) || want == "" && strings.Contains(out, "note: ") {
			t.Errorf("%s: %v\n%s", typ, err, out)
		}
	}
}

func TestRoutesExplainRefuses(t *testing.T) {
	t.Parallel()
	good := writeFile(t, "Caddyfile", routedCaddyfile)
	bad := writeFile(t, "Caddyfile", strings.Replace(routedCaddyfile, "event.type starts", "event.tpye starts", 1))
	const event = `{"event":"label.created","data":{}}`
	for want, args := range map[string][]string{
		`there is no rule "label"; did you mean labels?`:        {"--config", good, "--event", event, "--route", "label"},
		":20: route \"labels\", when: unknown field event.tpye": {"--config", bad, "--event", event},
		"reading the configuration: open nowhere":               {"--config", "nowhere", "--event", event},
		"has no webhooks app":                                   {"--config", writeFile(t, "Caddyfile", ":80\n"), "--event", event},
		"there is no config adapter \"toml\"":                   {"--config", good, "--adapter", "toml", "--event", event},
		"the event: ":                                           {"--config", good, "--event", `{"event":"label.created"}`},
		`required flag(s) "event" not set`:                      {"--config", good},
		"reading an argument: open nothing":                     {"--config", good, "--event", "@nothing"},
		"routes by the module \"other\"":                        {"--config", writeFile(t, "c.json", `{"apps":{"webhooks":{"router":{"module":"other"}}}}`), "--event", event},
		"reading the webhooks app of":                           {"--config", writeFile(t, "c.json", `{"apps":{"webhooks":{"rotue":[]}}}`), "--event", event},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			if _, err := runCommand(t, "", append([]string{"routes", "explain"}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestRoutesLintAndDiff(t *testing.T) {
	t.Parallel()
	clean := writeFile(t, "Caddyfile", routedCaddyfile)
	catalog := writeFile(t, "events.json", `{"events":[{"type":"label.created","schema":{"properties":{"carrier":{}}}},{"type":"order.paid"}]}`)
	odd := writeFile(t, "Caddyfile", strings.NewReplacer(
		"environment production sandbox", "environment production sandbox\n\t\tcatalog "+catalog,
		"route rest {", "route again {\n\t\t\twhen `event.type == \"label.created\" && event.environment == \"production\"`\n\t\t\tto orders\n\t\t}\n"+
			"\t\troute typo {\n\t\t\twhen `event.type == \"label.craeted\"`\n\t\t\tto audit\n\t\t}\n\t\troute rest {",
	).Replace(routedCaddyfile))
	if out, err := runCommand(t, "", "routes", "lint", "--config", clean); err != nil || out != "nothing found\n" {
		t.Errorf("%v\n%s", err, out)
	}
	out, err := runCommand(t, "", "routes", "lint", "--config", odd)
	if err == nil || err.Error() != "2 rules should be looked at" {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{
		odd + ":24: again: labels (" + odd + ":20) sends every event that this one matches to the same endpoints [shadowed]",
		odd + ":29: typo: there is no event type label.craeted in the catalog [unknown_type]\n    did you mean label.created?",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	unknown := writeFile(t, "Caddyfile", strings.Replace(routedCaddyfile, "environment production sandbox", "catalog "+catalog, 1))
	text, err := os.ReadFile(unknown)
	if err != nil {
		t.Fatal(err)
	}
	unknown = writeFile(t, "Caddyfile", strings.Replace(string(text), `event.type startsWith "label."`, `data.carier == "x" && event.type startsWith "label."`, 1))
	if _, err := runCommand(t, "", "routes", "lint", "--config", unknown); err == nil ||
		!strings.Contains(err.Error(), `:20: route "labels", when: the schema of label.created has no data.carier; did you mean data.carrier?`) {
		t.Errorf("got %v", err)
	}

	changed := writeFile(t, "Caddyfile", strings.Replace(routedCaddyfile, `"production"`+"`", `"sandbox"`+"`", 1))
	const events = `{"event":"label.created","id":"evt_1","data":{}}

{"event":"price.changed","data":{}}
`
	out, err = runCommand(t, events, "routes", "diff", "--config", clean, "--config", changed, "--events", "-")
	if want := "line 1: label.created, evt_1, production\n  - orders, then orders-dr (labels)\n\n1 of 2 events change their route\n"; err != nil || out != want {
		t.Errorf("%v\n%s", err, out)
	}
	for want, args := range map[string][]string{
		"two configurations are compared":         {"--config", clean, "--events", "-"},
		"line 1 of the events: ":                  {"--config", clean, "--config", changed, "--events", "{}"},
		`required flag(s) "events" not set`:       {"--config", clean, "--config", changed},
		"reading the configuration: open nowhere": {"--config", clean, "--config", "nowhere", "--events", "-"},
	} {
		if _, err := runCommand(t, "", append([]string{"routes", "diff"}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
