package interop_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

// verdict says under one secret which verifiers accepted a request.
type verdict struct{ Guide, Standard, Octokit bool }

var all = verdict{Guide: true, Standard: true, Octokit: true}

// report is one line of receiver.mjs: a request it saw.
type report struct {
	Port     int                `json:"port"` // first line only
	Path     string             `json:"path"`
	EventID  string             `json:"event_id"`
	Headers  map[string]string  `json:"headers"`
	Body     string             `json:"body"` // base64
	Stable   bool               `json:"stable"`
	Verdicts map[string]verdict `json:"verdicts"`
	Valid    bool               `json:"valid"`

	// Of what was only recorded.
	Method     string   `json:"method"`
	URL        string   `json:"url"`
	RawHeaders []string `json:"raw_headers"` // name, value, name, value …
}

func (r report) body(t *testing.T) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// receiver is the running Node process. Its reports are kept by event id until a test asks for them.
type receiver struct {
	port int

	mu      sync.Mutex // guards what follows; written by the goroutine that reads the process
	reports map[string]report
	waiting map[string]chan report
}

// startReceiver runs receiver.mjs with the secrets until the test ends.
func startReceiver(t *testing.T, cert rig.Certificate, secrets map[string]string) *receiver {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secrets.json")
	text, err := json.Marshal(secrets)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "receiver.mjs", cert.CertFile, cert.KeyFile, file) //nolint:noctx // ended by the cleanup
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting the Node receiver: %v", err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 4<<20) // a report carries a whole body
	read := make(chan struct{})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-read // the pipe is empty before Wait closes it
		_ = cmd.Wait()
	})

	r := &receiver{reports: map[string]report{}, waiting: map[string]chan report{}}
	var first report
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &first) != nil || first.Port == 0 {
		close(read)
		t.Fatalf("the Node receiver did not start: %q %v", lines.Text(), lines.Err())
	}
	r.port = first.Port
	go func() {
		defer close(read)
		for lines.Scan() {
			var seen report
			if err := json.Unmarshal(lines.Bytes(), &seen); err != nil {
				fmt.Fprintf(os.Stderr, "not a report: %v: %s\n", err, lines.Text())
				continue
			}
			r.keep(seen)
		}
	}()
	return r
}

func (r *receiver) keep(seen report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := seen.Path + " " + seen.EventID
	r.reports[key] = seen
	if c, ok := r.waiting[key]; ok {
		delete(r.waiting, key)
		c <- seen
	}
}

// wait for the request that carried an event to a path.
func (r *receiver) wait(t *testing.T, path, eventID string) report {
	t.Helper()
	key := path + " " + eventID
	r.mu.Lock()
	if seen, ok := r.reports[key]; ok {
		r.mu.Unlock()
		return seen
	}
	arrived := make(chan report, 1)
	r.waiting[key] = arrived
	r.mu.Unlock()
	select {
	case seen := <-arrived:
		return seen
	case <-time.After(15 * time.Second):
		t.Fatalf("event %s did not reach /hooks/%s within 15s", eventID, path)
		return report{}
	}
}
