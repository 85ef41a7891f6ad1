package bombs

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

// Attempts at each receiver, 16 of them at once.
const attempts = 200

// flat is how much more memory the gateway may take at its most. 112 attempts are under way at once, of which each may hold
// 64 KiB of a header, once more as what is read out of it, and what a connection over TLS takes; the store takes 32 MiB in any
// case. Unpacked, the bombs are two terabytes.
const flat = 128 << 20

// bomb is a receiver's answer, and what the log is to say of it. A 2xx counts although its body is cut off: the receiver has
// the event, and sending it again would bring the same bomb.
type bomb struct {
	name, outcome string
	write         func(w io.Writer) error
}

func bombs() []bomb {
	zeros := packedZeros()
	return []bomb{
		{"a gigabyte in the body", "delivered", announced("200 OK", 1<<30, bytes.Repeat([]byte("a"), 64<<10))},
		{"a gigabyte of regret", "server_error", announced("500 Sorry", 1<<30, bytes.Repeat([]byte("a"), 64<<10))},
		{"ten gigabytes of zeros, packed", "delivered", announced("200 OK\r\nContent-Encoding: gzip", int64(len(zeros)), zeros)},
		{"chunks without end", "delivered", endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1000\r\n"+strings.Repeat("a", 4096)+"\r\n")},
		{"1.6 MB of headers", "response_too_large", func(w io.Writer) error {
			header := "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Bomb: "+strings.Repeat("a", 990)+"\r\n", 1600)
			_, err := io.WriteString(w, header+"Content-Length: 0\r\n\r\n")
			return err
		}},
		{"a line without end", "response_too_large", endless("HTTP/1.1 200 ", strings.Repeat("a", 4096))},
		{"a flood of 1xx", "response_too_large", endless("", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")},
	}
}

// packedZeros is 10 MB that a client which unpacks answers makes ten gigabytes of.
func packedZeros() []byte {
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		panic(err)
	}
	_, _ = z.Write(make([]byte, 10<<20))
	_ = z.Close()
	return bytes.Repeat(packed.Bytes(), 1000) // gzip members follow one another
}

func announced(status string, size int64, piece []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		if _, err := fmt.Fprintf(w, "HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n", status, size); err != nil {
			return err
		}
		for ; size > 0; size -= int64(len(piece)) {
			if _, err := w.Write(piece[:min(int64(len(piece)), size)]); err != nil {
				return err
			}
		}
		return nil
	}
}

func endless(start, piece string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, start)
		for err == nil {
			_, err = io.WriteString(w, piece)
		}
		return err
	}
}

// receiver answers every request with its bomb and counts what it could get rid of.
type receiver struct {
	bomb

	addr string
	took atomic.Int64
}

func listen(t *testing.T, b bomb, cert tls.Certificate) *receiver {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	r := &receiver{bomb: b, addr: ln.Addr().String()}
	secure := tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	go func() {
		for {
			conn, err := secure.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				go r.serve(conn)
			}
		}
	}()
	return r
}

func (r *receiver) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, req.Body)
	_ = r.write(counter{conn, &r.took})
}

type counter struct {
	io.Writer

	n *atomic.Int64
}

func (c counter) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.n.Add(int64(n))
	return n, err
}

func TestAnswersThatAreBombsTakeNoMemoryAndHaveTheirClass(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("a process tells of its memory in /proc")
	}
	dir := t.TempDir()
	bin, err := rig.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := rig.NewCertificate(dir)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := rig.Ports(2)
	if err != nil {
		t.Fatal(err)
	}
	admin, ingest := fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	var receivers []*receiver
	for _, b := range bombs() {
		receivers = append(receivers, listen(t, b, cert.TLS))
	}
	config := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(config, []byte(caddyfile(admin, ingest, dir, cert.CertFile, receivers)), 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := rig.Start(bin, config, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Kill)
	if err := g.Ready(t.Context(), admin, ingest); err != nil {
		t.Fatal(err)
	}

	client := &http.Client{Timeout: 30 * time.Second}
	warm := publish(t, client, ingest, 10)
	settled(t, client, admin, warm, receivers)
	_, before, err := g.Memory()
	if err != nil {
		t.Fatal(err)
	}
	events := publish(t, client, ingest, attempts)
	settled(t, client, admin, events, receivers)
	_, after, err := g.Memory()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("memory at its most: %d MB before, %d MB after %d attempts at each of %d bombs", before>>20, after>>20, attempts, len(receivers))
	if after-before > flat {
		t.Errorf("the bombs took %d MB", (after-before)>>20)
	}
	for _, r := range receivers {
		each := r.took.Load() / (attempts + 10)
		t.Logf("%s: %d KiB of it went out per attempt", r.name, each>>10)
		if each > 16<<20 { // what lies in the sockets' buffers of both sides, at most
			t.Errorf("%s: %d MiB of it were taken per attempt", r.name, each>>20)
		}
	}
}

func caddyfile(admin, ingest, dir, trust string, receivers []*receiver) string {
	var endpoints strings.Builder
	for i, r := range receivers {
		fmt.Fprintf(&endpoints, `
		endpoint bomb%d {
			url https://%s/
			secret whsec_YSBzZWNyZXQgZm9yIHRoZSBib21icycgdGVzdA==
			events *
			retry off
			breaker off
			tls {
				trust_pool file %s
			}
		}`, i, r.addr, trust)
	}
	return fmt.Sprintf(`{
	admin %s
	auto_https off
	skip_install_trust
	webhooks {
		store embedded %s
		egress {
			allow 127.0.0.1
			ports any
		}%s
	}
}
http://%s {
	webhooks_ingest /events {
		auth none
	}
	respond 404
}
`, admin, filepath.Join(dir, "store"), endpoints.String(), ingest)
}

// publish posts a batch, of which each event goes to every receiver.
func publish(t *testing.T, client *http.Client, ingest string, n int) []rig.Receipt {
	t.Helper()
	batch := "[" + strings.Repeat(`{"event":"label.created","data":{}},`, n-1) + `{"event":"label.created","data":{}}]`
	status, answer, err := rig.Post(t.Context(), client, "http://"+ingest+"/events", []byte(batch))
	var accepted struct {
		Events []rig.Receipt `json:"events"`
	}
	if err != nil || status != http.StatusAccepted || json.Unmarshal(answer, &accepted) != nil {
		t.Fatalf("publishing: %d %s (%v)", status, answer, err)
	}
	return accepted.Events
}

// settled waits for all deliveries of the events and holds the log against what each receiver's is to say.
func settled(t *testing.T, client *http.Client, admin string, events []rig.Receipt, receivers []*receiver) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(2 * time.Minute)
	for _, e := range events {
		if len(e.Deliveries) != len(receivers) {
			t.Fatalf("%d deliveries", len(e.Deliveries))
		}
		for _, planned := range e.Deliveries {
			var d rig.Delivery
			for d.State == "" || d.State == "pending" {
				if err := rig.Get(t.Context(), client, "http://"+admin+"/webhooks/deliveries/"+planned.ID, &d); err != nil {
					t.Fatal(err)
				}
				if d.State == "pending" {
					if time.Now().After(deadline) {
						t.Fatalf("a delivery to %s is pending still", planned.Endpoint)
					}
					<-tick.C
				}
			}
			var i int
			if _, err := fmt.Sscanf(planned.Endpoint, "bomb%d", &i); err != nil {
				t.Fatal(err)
			}
			if len(d.Attempts) != 1 || d.Attempts[0].Outcome != receivers[i].outcome {
				t.Fatalf("%s: %s after %+v, want one attempt of class %s", receivers[i].name, d.State, d.Attempts, receivers[i].outcome)
			}
		}
	}
}
