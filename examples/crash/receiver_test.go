package crash

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

// arrival is one request as the receiver saw it.
type arrival struct {
	delivery string
	attempt  int
	life     int // which life of the gateway sent it, from 1
}

// receiver is an HTTPS server that answers 200 at once and remembers everything.
type receiver struct {
	addr string
	away atomic.Bool // it answers 503 and remembers nothing

	broken503, limited atomic.Int64 // requests to /broken, which answers 503, and to /limited

	mu       sync.Mutex // guards all below; written by request handlers
	life     int
	open     int // connections
	arrivals map[string][]arrival
	broken   []string // requests without the headers that every attempt carries
}

func startReceiver(t *testing.T, cert rig.Certificate) *receiver {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{addr: ln.Addr().String(), arrivals: map[string][]arrival{}}
	server := &http.Server{
		Handler:           r,
		ReadHeaderTimeout: 10 * time.Second,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{cert.TLS}, MinVersion: tls.VersionTLS12},
		ConnState:         r.count,
		ErrorLog:          log.New(io.Discard, "", 0), // killed clients are the point here
	}
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(ln, "", "") }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the receiver ended: %v", err)
		}
	})
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if r.away.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	switch req.URL.Path {
	case "/broken":
		r.broken503.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case "/limited":
		r.limited.Add(1)
		return
	}
	attempt, err := strconv.Atoi(req.Header.Get("X-AtoShip-Attempt"))
	id, delivery := req.Header.Get("X-AtoShip-Event-Id"), req.Header.Get("X-AtoShip-Delivery")
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil || id == "" || delivery == "" {
		if len(r.broken) < 10 { // enough to see what is wrong
			r.broken = append(r.broken, req.RemoteAddr)
		}
		return
	}
	r.arrivals[id] = append(r.arrivals[id], arrival{delivery: delivery, attempt: attempt, life: r.life})
}

func (r *receiver) count(_ net.Conn, state http.ConnState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch state {
	case http.StateNew:
		r.open++
	case http.StateClosed, http.StateHijacked:
		r.open--
	case http.StateActive, http.StateIdle:
	}
}

// nextLife is called between two lives of the gateway. It first lets the requests of the dead one run out, so that none
// is taken for a request of its successor: connections are accepted in order, so ours comes after all of its.
func (r *receiver) nextLife(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := rig.WaitListening(ctx, r.addr); err != nil {
		return err
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		r.mu.Lock()
		if r.open == 0 {
			r.life++
			r.mu.Unlock()
			return nil
		}
		r.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("connections of a killed gateway are still open after 10s")
		}
	}
}

// missing counts the ids that have not arrived, and names one.
func (r *receiver) missing(ids []string) (n int, example string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		if len(r.arrivals[id]) == 0 {
			n, example = n+1, id
		}
	}
	return n, example
}

// repeats lists, for each life of the gateway, how many arrivals in it were of events that an earlier life had already
// brought; unexplained are events that arrived twice in one life.
func (r *receiver) repeats() (perLife map[int]int, unexplained []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	perLife = map[int]int{}
	for id, list := range r.arrivals {
		for i, a := range list[1:] {
			perLife[a.life]++
			if a.life == list[i].life {
				unexplained = append(unexplained, id)
			}
		}
	}
	return perLife, unexplained
}
