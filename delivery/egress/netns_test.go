//go:build linux

package egress

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Two network namespaces with a link between them: a gateway with a pool of
// addresses beside one that the kernel would rather use, and a receiver that
// notes who called. It needs root; where it cannot run it says so.
//
//	sender 10.99.0.10 (the kernel's), pool .11 .12 .13  ── veth ──  receiver 10.99.0.1
//	       fd99::10                   pool ::11 ::12                fd99::1

// roleVariable tells a copy of this test binary, started in one of the
// namespaces, what it is.
const roleVariable = "EGRESS_TEST_NETNS_ROLE"

// ready is the receiver's line once it listens.
const ready = "the receiver is ready"

var (
	senderPool   = []string{"10.99.0.11", "10.99.0.12", "10.99.0.13", "fd99::11", "fd99::12"}
	receiverURLs = []string{"http://10.99.0.1:8080", "http://[fd99::1]:8080"}
)

func TestPoolInNetworkNamespaces(t *testing.T) {
	switch os.Getenv(roleVariable) {
	case "receiver":
		receive(t)
		return
	case "sender":
		sendThroughPool(t)
		return
	}
	t.Parallel()
	sender, receiver := makeNamespaces(t)
	r := inNamespace(t.Context(), receiver, "receiver")
	out, err := r.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Process.Kill(); _ = r.Wait() })
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != ready {
	}
	if lines.Text() != ready {
		t.Fatalf("the receiver ended: %v", lines.Err())
	}
	text, err := inNamespace(t.Context(), sender, "sender").CombinedOutput()
	if err != nil {
		t.Errorf("the sender: %v", err)
	}
	t.Logf("the sender said:\n%s", text)
}

func inNamespace(ctx context.Context, namespace, role string) *exec.Cmd {
	c := exec.CommandContext(ctx, "ip", "netns", "exec", namespace, os.Args[0], "-test.run=^TestPoolInNetworkNamespaces$", "-test.timeout=60s", "-test.v") //nolint:gosec // this program once more
	c.Env = append(os.Environ(), roleVariable+"="+role)
	return c
}

func makeNamespaces(t *testing.T) (sender, receiver string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: network namespaces need root; run as root to prove source addresses on a real link")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("SKIPPED: network namespaces need the program ip (Debian: iproute2)")
	}
	sender, receiver = fmt.Sprintf("egress-s-%d", os.Getpid()), fmt.Sprintf("egress-r-%d", os.Getpid())
	for _, name := range []string{sender, receiver} {
		if text, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
			t.Skipf("SKIPPED: this machine does not permit network namespaces: %v %s", err, text)
		}
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
	}
	ip := func(args string) {
		t.Helper()
		if text, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v %s", args, err, text)
		}
	}
	ip("-n " + sender + " link add out type veth peer name in netns " + receiver)
	for namespace, addrs := range map[string][]string{
		sender:   append([]string{"10.99.0.10", "fd99::10"}, senderPool...),
		receiver: {"10.99.0.1", "fd99::1"},
	} {
		link := map[string]string{sender: "out", receiver: "in"}[namespace]
		ip("-n " + namespace + " link set lo up") // package net takes a machine without ::1 for one without IPv6
		ip("-n " + namespace + " link set " + link + " up")
		for _, a := range addrs {
			ip("-n " + namespace + " addr add " + onLink(a) + " dev " + link)
		}
	}
	return sender, receiver
}

// onLink is an address with its network, as ip takes it; IPv6 without waiting
// for somebody who has it already.
func onLink(a string) string {
	if strings.Contains(a, ":") {
		return a + "/64 nodad"
	}
	return a + "/24"
}

// receive is the receiver's process: it notes callers by path, and tells them.
func receive(t *testing.T) {
	var mu sync.Mutex
	callers := make(map[string][]string)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /callers", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		_ = json.NewEncoder(w).Encode(callers)
	})
	mux.HandleFunc("POST /", func(_ http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		mu.Lock()
		defer mu.Unlock()
		if before := callers[r.URL.Path]; len(before) == 0 || before[len(before)-1] != host {
			callers[r.URL.Path] = append(before, host)
		}
	})
	l, err := net.Listen("tcp", "[::]:8080")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(ready)
	_ = http.Serve(l, mux) //nolint:gosec // until the test kills it
}

// link is the sender's side.
type link struct {
	*testing.T
	pool  *Pool
	tr    *Transport
	local int // attempts that ended as our own fault
}

// sendThroughPool is the sender's process, and the test.
func sendThroughPool(t *testing.T) {
	p := pool(t, senderPool...)
	guard := NewGuard(netip.MustParsePrefix("10.99.0.0/24"), netip.MustParsePrefix("fd99::/64"))
	l := &link{T: t, pool: p, tr: transport(t, Profile{Guard: guard, PlainHTTP: true, Sources: p}, nil)}

	homes := make(map[string]string) // path → the address its deliveries leave from
	for _, n := range l.endpoints() {
		pair := picked(t, p, n)
		homes["/4/"+n], homes["/6/"+n] = pair.four.String(), pair.six.String()
	}
	for range 5 {
		l.sendAll()
	}
	l.tr.CloseIdleConnections()
	l.sendAll()
	for path, from := range l.callers() {
		if !slices.Equal(from, []string{homes[path]}) {
			t.Errorf("%s came from %v, want %s only", path, from, homes[path])
		}
	}
	if l.local != 0 {
		t.Errorf("%d attempts were our fault on a machine with all its addresses", l.local)
	}

	// Connections from it are kept, and hang from now on.
	gone := []string{homes["/4/e0"], homes["/6/e0"]}
	for _, a := range gone {
		l.ip("addr", "del", a)
	}
	for n, end := 0, time.Now().Add(2*sureFor); n < 3 || time.Now().Before(end); n++ { // those that hang take a round each
		l.sendAll()
	}
	moved := 0
	for path, from := range l.callers() {
		if !slices.Contains(gone, homes[path]) {
			if len(from) != 1 {
				t.Errorf("%s came from %v although its address is there", path, from)
			}
			continue
		}
		moved++
		if len(from) != 2 || slices.Contains(gone, from[1]) || !slices.Contains(senderPool, from[1]) {
			t.Errorf("%s came from %v, want it moved within the pool once", path, from)
		}
	}
	t.Logf("%d endpoints moved, %d attempts were our fault meanwhile", moved, l.local)

	for _, a := range gone {
		l.ip("addr", "add", a)
	}
	p.mu.Lock()
	for _, s := range p.sources {
		s.checked = time.Now().Add(-lostFor) // as if we had waited
	}
	p.mu.Unlock()
	l.local = 0
	for range 5 { // attempts that begin while the first one looks still use the other address
		l.sendAll()
	}
	for path, from := range l.callers() {
		if from[len(from)-1] != homes[path] {
			t.Errorf("%s came from %v, want it back at %s", path, from, homes[path])
		}
	}
	if l.local != 0 {
		t.Errorf("%d attempts were our fault although all addresses are back", l.local)
	}
}

func (l *link) endpoints() []string {
	names := make([]string, 12)
	for i := range names {
		names[i] = fmt.Sprint("e", i)
	}
	return names
}

// sendAll sends for every endpoint over both families at once. Attempts may
// fail by our own fault and no other.
func (l *link) sendAll() {
	l.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, name := range l.endpoints() {
		for i, url := range receiverURLs {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(l.Context(), 2*time.Second)
				defer cancel()
				req := delivery(l.T, fmt.Sprintf("%s/%d/%s", url, 4+2*i, name)).WithContext(ctx)
				_, err := sendBy(l.T, l.tr.For(name), req)
				if _, ours := errors.AsType[*SourceError](err); ours {
					mu.Lock()
					l.local++
					mu.Unlock()
				} else if err != nil {
					l.Errorf("%s: %v", req.URL, err)
				}
			})
		}
	}
	wg.Wait()
}

// callers asks the receiver, from the address that the kernel chooses.
func (l *link) callers() map[string][]string {
	l.Helper()
	resp, err := http.Get(receiverURLs[0] + "/callers")
	if err != nil {
		l.Fatal(err)
	}
	defer resp.Body.Close()
	callers := make(map[string][]string)
	if err := json.NewDecoder(resp.Body).Decode(&callers); err != nil {
		l.Fatal(err)
	}
	if len(callers) != 2*len(l.endpoints()) {
		l.Fatalf("the receiver knows %d paths", len(callers))
	}
	return callers
}

func (l *link) ip(object, verb, a string) {
	l.Helper()
	args := append([]string{object, verb}, strings.Fields(strings.TrimSuffix(onLink(a), map[string]string{"del": " nodad"}[verb]))...)
	if text, err := exec.Command("ip", append(args, "dev", "out")...).CombinedOutput(); err != nil {
		l.Fatalf("ip %v: %v %s", args, err, text)
	}
}
