package interop_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// nodeVerifiers are the names that verify.mjs knows: the scheme and the package.
var nodeVerifiers = []string{
	"atoship: @octokit/webhooks-methods",
	"standard: standardwebhooks",
	"standard: svix",
	"standard_ed25519: node:crypto",
	"github: @octokit/webhooks-methods",
	"github: @octokit/webhooks",
	"stripe: stripe",
	"shopify: @shopify/shopify-api",
	"rfc9421 hmac-sha256: http-message-signatures",
	"rfc9421 ed25519: http-message-signatures",
	"rfc9421 ed25519: http-message-sig",
}

// node is a running verify.mjs, asked one request at a time.
type node struct {
	mu  sync.Mutex // guards both ends of the pipe
	in  io.Writer
	out *bufio.Scanner
}

// startNode runs verify.mjs until the test ends.
func startNode(t *testing.T) *node {
	t.Helper()
	cmd := exec.Command("node", "verify.mjs") //nolint:noctx // ended by the cleanup
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting verify.mjs: %v", err)
	}
	t.Cleanup(func() {
		_ = in.Close() // at the end of its input it ends by itself
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	return &node{in: in, out: lines}
}

// verifiers are those of the npm packages.
func (n *node) verifiers() []verifier {
	var list []verifier
	for _, full := range nodeVerifiers {
		scheme, name, _ := strings.Cut(full, ": ")
		list = append(list, verifier{scheme, name + " (npm)", func(t *testing.T, r request, k key) error {
			t.Helper()
			return n.ask(t, full, r, k)
		}})
	}
	return list
}

func (n *node) ask(t *testing.T, name string, r request, k key) error {
	t.Helper()
	header := map[string]string{} // as Node's http gives it: lower case
	for name := range r.header {
		header[strings.ToLower(name)] = r.header.Get(name)
	}
	line, err := json.Marshal(map[string]any{
		"verifier": name, "key": k.text, "keyid": k.id, "label": k.label,
		"method": r.method, "url": r.url, "header": header, "body": r.body,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, err := n.in.Write(append(line, '\n')); err != nil {
		t.Fatalf("asking verify.mjs: %v", err)
	}
	var answer struct {
		Valid bool
		Why   string
	}
	if !n.out.Scan() {
		t.Fatalf("verify.mjs gave no answer: %v", n.out.Err())
	}
	if err := json.Unmarshal(n.out.Bytes(), &answer); err != nil {
		t.Fatalf("verify.mjs answered %q: %v", n.out.Text(), err)
	}
	if answer.Valid {
		return nil
	}
	if answer.Why == "" {
		answer.Why = "not valid"
	}
	return errors.New(answer.Why)
}
