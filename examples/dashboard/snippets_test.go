package dashboard_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

// received is a delivery as a receiver in any language gets it.
type received struct {
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// program runs a snippet: file is what it is put into, around what is put around it, and it exits 0 if the signature holds. It
// finds request.json, with the headers' names in lower case, beside it.
type program struct{ file, around, command string }

var programs = map[string]program{
	"Node.js": {"verify.cjs", `%s
const r = JSON.parse(require("fs").readFileSync("request.json"));
process.exit(verify(r.headers, Buffer.from(r.body)) ? 0 : 3);`, "node verify.cjs"},
	"Go": {"main.go", `package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

%s

func main() {
	var r struct {
		Headers map[string]string
		Body    string
	}
	text, _ := os.ReadFile("request.json")
	if err := json.Unmarshal(text, &r); err != nil {
		panic(err)
	}
	h := http.Header{}
	for name, value := range r.Headers {
		h.Set(name, value)
	}
	if !verify(h, []byte(r.Body)) {
		os.Exit(3)
	}
}
`, "go run main.go"},
	"Python": {"verify.py", `%s

import json, sys
r = json.load(open("request.json"))
sys.exit(0 if verify(r["headers"], r["body"].encode()) else 3)
`, "python3 verify.py"},
	"PHP": {"verify.php", `%s
$r = json_decode(file_get_contents('request.json'), true);
exit(verify($r['headers'], $r['body']) ? 0 : 3);
`, "php verify.php"},
	"Ruby": {"verify.rb", `%s
require "json"
r = JSON.parse(File.read("request.json"))
exit(verify(r["headers"], r["body"]) ? 0 : 3)
`, "ruby verify.rb"},
	"Node.js, X-AtoShip-Signature": {"guide.cjs", `const r = JSON.parse(require("fs").readFileSync("request.json"));
const req = { headers: r.headers, body: JSON.parse(r.body) };
%s
process.exit(valid ? 0 : 3);`, "node guide.cjs"},
}

const snippetSecret = "whsec_ZGFzaGJvYXJkIHNlY3JldCAwMDAwMDAwMDAwMDAwMDE="

func TestEverySnippetVerifiesARealDeliveryAndRefusesAChangedOne(t *testing.T) {
	t.Parallel()
	needTools(t, "node", "go", "python3", "php", "ruby")
	got := make(chan received, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		d := received{map[string]string{}, string(body)}
		for name := range r.Header {
			d.Headers[strings.ToLower(name)] = r.Header.Get(name)
		}
		got <- d
	}))
	t.Cleanup(receiver.Close)
	site := startGateway(t, receiver.URL, receiver.URL, "http://localhost:1")
	status, answer, err := rig.Post(t.Context(), http.DefaultClient, site+"/events", []byte(`{"event":"order.canceled","data":{"order_id":"ö1001","canceled_by":"buyer","2":1.50}}`))
	if err != nil || status != http.StatusAccepted {
		t.Fatalf("publishing: %d %s (%v)", status, answer, err)
	}
	delivered := <-got
	for name, code := range snippets(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, ok := programs[name]
			if !ok {
				t.Fatal("nobody knows how to run it")
			}
			if out, err := p.run(t, code, delivered); err != nil {
				t.Errorf("the delivery is refused: %v\n%s", err, out)
			}
			changed := delivered
			changed.Body = strings.Replace(delivered.Body, "1001", "9001", 1)
			if out, err := p.run(t, code, changed); err == nil || !strings.Contains(err.Error(), "exit status") {
				t.Errorf("a changed delivery is taken, or the program failed: %v\n%s", err, out)
			}
		})
	}
}

func needTools(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIP: the snippets need %s, of which there is no %s here", strings.Join(tools, ", "), tool)
		}
	}
}

// snippets are those of the dashboard.
func snippets(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "node", "snippets.mjs", snippetSecret).Output()
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]string
	if err := json.Unmarshal(out, &all); err != nil || len(all) != len(programs) {
		t.Fatalf("%d snippets, %d are known (%v)", len(all), len(programs), err)
	}
	return all
}

func (p program) run(t *testing.T, code string, d received) ([]byte, error) {
	t.Helper()
	dir := t.TempDir()
	request, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{p.file: fmt.Sprintf(p.around, code), "request.json": string(request)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	words := strings.Fields(p.command)
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...) //nolint:gosec // one of the programs above
	cmd.Dir = dir
	return cmd.CombinedOutput()
}
