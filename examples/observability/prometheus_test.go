package observability

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

// tool finds a program of Prometheus, or skips.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("SKIP: %s is not installed; it is in Debian's package prometheus", name)
	}
	return path
}

// TestPromtoolTakesTheRulesAndEachFiresWhenItShould runs alerts_test.yml, which has the scenarios.
func TestPromtoolTakesTheRulesAndEachFiresWhenItShould(t *testing.T) {
	t.Parallel()
	promtool := tool(t, "promtool")
	for _, args := range [][]string{{"check", "config", "prometheus.yml"}, {"test", "rules", "alerts_test.yml"}} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// rules is alerts.yml as far as the tests read it.
func rules(t *testing.T) map[string]string {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	readYAML(t, "alerts.yml", &file)
	all := map[string]string{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			all[r.Alert] = r.Expr
		}
	}
	return all
}

// scenarios are the tests of alerts_test.yml.
type scenarios struct {
	Tests []struct {
		Name   string
		Series []struct{ Series string } `yaml:"input_series"`
		Alerts []struct {
			Name     string `yaml:"alertname"`
			Expected []any  `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
	}
}

func readYAML(t *testing.T, file string, v any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Clean(file))
	if err == nil {
		err = yaml.Unmarshal(text, v)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func TestEveryAlertHasAScenarioInWhichItFiresAndOneInWhichItDoesNot(t *testing.T) {
	t.Parallel()
	var s scenarios
	readYAML(t, "alerts_test.yml", &s)
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, test := range s.Tests {
		for _, a := range test.Alerts {
			if len(a.Expected) > 0 {
				fires[a.Name] = true
			} else {
				quiet[a.Name] = true
			}
		}
	}
	for name := range rules(t) {
		if !fires[name] || !quiet[name] {
			t.Errorf("%s fires in a scenario: %t, is quiet in one: %t", name, fires[name], quiet[name])
		}
	}
}

// panel is a panel of the dashboard.
type panel struct {
	Title   string
	Targets []struct{ Expr, LegendFormat string }
}

func panels(t *testing.T) []panel {
	t.Helper()
	text, err := os.ReadFile("dashboard.json")
	var d struct{ Panels []panel }
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil || len(d.Panels) == 0 {
		t.Fatalf("dashboard.json: %v", err)
	}
	return d.Panels
}

// asked is an expression of the dashboard as Grafana sends it, with all endpoints chosen.
func asked(expr string) string {
	return strings.NewReplacer("$__rate_interval", "1m", "$endpoint", ".*").Replace(expr)
}

var (
	sample   = regexp.MustCompile(`(?m)^(caddy_webhooks_\w+)(?:\{(.*)\})? \S+$`)
	label    = regexp.MustCompile(`(\w+)="`)
	selector = regexp.MustCompile(`(caddy_webhooks_\w+)(?:\s*\{([^}]*)\})?`)
	matched  = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"`)
	grouped  = regexp.MustCompile(`\b(?:by|on|without)\s*\(([^)]*)\)`)
)

// exposedLabels are the labels of each metric on the page.
func exposedLabels(page string) map[string][]string {
	all := map[string][]string{}
	for _, m := range sample.FindAllStringSubmatch(page, -1) {
		all[m[1]] = slices.AppendSeq(all[m[1]], labelsIn(label, m[2]))
	}
	return all
}

func labelsIn(form *regexp.Regexp, text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, m := range form.FindAllStringSubmatch(text, -1) {
			if !yield(m[1]) {
				return
			}
		}
	}
}

// checkLabels wants the labels that an expression names to be on its metrics. A matcher for a label that does not exist is no
// error to Prometheus: it matches nothing, or everything.
func checkLabels(t *testing.T, where, expr string, exposed map[string][]string) {
	t.Helper()
	var some []string
	for _, m := range selector.FindAllStringSubmatch(expr, -1) {
		labels, known := exposed[m[1]]
		if some = append(some, labels...); !known {
			t.Errorf("%s names %s, which is not there", where, m[1])
		}
		for name := range labelsIn(matched, m[2]) {
			if !slices.Contains(labels, name) {
				t.Errorf("%s asks for a label %s of %s, which has %v", where, name, m[1], labels)
			}
		}
	}
	for _, m := range grouped.FindAllStringSubmatch(expr, -1) {
		for name := range strings.SplitSeq(m[1], ",") {
			if name = strings.TrimSpace(name); !slices.Contains(some, name) {
				t.Errorf("%s groups by %s: there is %v", where, name, some)
			}
		}
	}
}

// server is a real Prometheus that scrapes one gateway.
type server struct{ url string }

func startPrometheus(t *testing.T, target string) *server {
	t.Helper()
	program := tool(t, "prometheus")
	ports, err := rig.Ports(1)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	alerts, err := filepath.Abs("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`
global: {scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}
rule_files: [%s]
scrape_configs:
  - {job_name: caddy-webhooks, static_configs: [{targets: ["%s"]}]}
`, alerts, target)
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", ports[0])
	cmd := exec.CommandContext(t.Context(), program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--log.level=warn")
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if _ = cmd.Wait(); t.Failed() {
			t.Logf("Prometheus wrote:\n%s", log.String())
		}
	})
	if err := rig.WaitListening(t.Context(), address); err != nil {
		t.Fatal(err)
	}
	return &server{"http://" + address}
}

// get asks the HTTP API of Prometheus; an answer that is no success is an error.
func (s *server) get(ctx context.Context, path string, query url.Values, data any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %w", res.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", res.Status, answer.Error)
	}
	return json.Unmarshal(answer.Data, data)
}

// series is what a query found: labels, without the values.
func (s *server) series(ctx context.Context, expr string) (all []map[string]string, err error) {
	var data struct {
		Result []struct{ Metric map[string]string }
	}
	err = s.get(ctx, "/api/v1/query", url.Values{"query": {expr}}, &data)
	for _, r := range data.Result {
		all = append(all, r.Metric)
	}
	return all, err
}

// eventually repeats what a scrape to come will make true, for half a minute.
func eventually(t *testing.T, holds func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := holds(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Error(err)
			return
		}
	}
}

// TestARealPrometheusAnswersWhatTheDashboardAsks lets Prometheus scrape a gateway to which everything has happened, evaluate the
// alerts, and answer every panel.
func TestARealPrometheusAnswersWhatTheDashboardAsks(t *testing.T) {
	t.Parallel()
	tool(t, "prometheus")
	g := newGateway(t)
	p := startPrometheus(t, g.ingest)
	id := g.publish(readmeEvent(t), "")
	g.publish(`{"event":"order.packed","data":{"weight":"heavy"}}`, "") // a rule that fails
	g.until(id, func(d *delivery) bool { return d.State == "delivered" })

	exposed := exposedLabels(g.get("http://" + g.ingest + "/metrics"))
	alerts := rules(t)
	for _, name := range slices.Sorted(maps.Keys(alerts)) {
		checkLabels(t, name, alerts[name], exposed)
	}
	var s scenarios
	readYAML(t, "alerts_test.yml", &s)
	for _, test := range s.Tests {
		for _, one := range test.Series {
			checkLabels(t, "the scenario '"+test.Name+"'", one.Series, exposed)
		}
	}
	onlyWhenSo := regexp.MustCompile(` > 0$`) // what the panel leaves out while it is 0
	for _, panel := range panels(t) {
		for _, target := range panel.Targets {
			checkLabels(t, panel.Title, target.Expr, exposed)
			eventually(t, func(ctx context.Context) error {
				found, err := p.series(ctx, onlyWhenSo.ReplaceAllString(asked(target.Expr), ""))
				if err != nil {
					return fmt.Errorf("%s: %s: %w", panel.Title, target.Expr, err)
				}
				if len(found) == 0 {
					return fmt.Errorf("%s: %s finds nothing", panel.Title, target.Expr)
				}
				for _, m := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(target.LegendFormat, -1) {
					if found[0][m[1]] == "" {
						return fmt.Errorf("%s: there is no %s for the legend in %v", panel.Title, m[1], found[0])
					}
				}
				return nil
			})
		}
	}
	eventually(t, func(ctx context.Context) error {
		var data struct {
			Groups []struct {
				Rules []struct{ Name, State, Health, LastError string }
			}
		}
		if err := p.get(ctx, "/api/v1/rules", nil, &data); err != nil {
			return err
		}
		states := map[string]string{}
		for _, g := range data.Groups {
			for _, r := range g.Rules {
				if states[r.Name] = r.State; r.Health != "ok" {
					return fmt.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError)
				}
			}
		}
		if len(states) != len(alerts) || states["WebhooksRuleErrors"] != "firing" || states["WebhooksStoreUnhealthy"] != "inactive" {
			return fmt.Errorf("alerts: %v", states)
		}
		return nil
	})
}

// TestPromtoolHasNothingToSayAboutTheMetrics lints the page as it is served.
func TestPromtoolHasNothingToSayAboutTheMetrics(t *testing.T) {
	t.Parallel()
	promtool := tool(t, "promtool")
	g := newGateway(t)
	g.until(g.publish(readmeEvent(t), ""), func(d *delivery) bool { return d.State == "delivered" })
	cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(g.get("http://" + g.ingest + "/metrics"))
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "caddy_webhooks_") || err != nil && len(out) == 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
