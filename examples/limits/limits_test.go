package limits

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/httpapi/client"
	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

const (
	perSecond = 50
	length    = 20 * time.Second
	backlog   = perSecond*20 + 200 // more than may pass

	// A request is let go a moment before its attempt's time is taken: so long at most, but where others have the processors.
	letGo = 50 * time.Millisecond
)

// By an endpoint's own limit, and by the one of all endpoints together.
func TestNoSecondPassesMoreThanTheLimitAndTheBacklogFlows(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]struct{ global, endpoint string }{
		"of an endpoint": {"", "rate_limit 50/s"},
		"of all":         {"rate_limit 50/s burst 10", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var arrivals []arrival
			receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				arrivals = append(arrivals, arrival{r.Header.Get("X-AtoShip-Delivery"), time.Now()})
			}))
			t.Cleanup(receiver.Close)
			g, admin, ingest := start(t, receiver.URL, limits.global, limits.endpoint)
			publish(t, ingest, backlog)
			// The clock runs from the first arrival on.
			deadline := time.Now().Add(10 * time.Second)
			for began := false; !began; {
				mu.Lock()
				began = len(arrivals) > 0
				mu.Unlock()
				if time.Now().After(deadline) {
					t.Fatalf("nothing arrived\n%s", g.LogTail())
				}
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(length)
			mu.Lock()
			seen := slices.Clone(arrivals)
			mu.Unlock()
			// Requests that take longer than others bunch up on their way, so a window is that much shorter to the receiver.
			late := longestWay(t, admin, seen) + letGo
			most := 0
			for i, j := 0, 0; i < len(seen); i++ {
				for j < len(seen) && seen[j].at.Sub(seen[i].at) < time.Second-late {
					j++
				}
				most = max(most, j-i)
			}
			took := seen[len(seen)-1].at.Sub(seen[0].at)
			t.Logf("%d arrived within %v, at most %d of them in a second less %v", len(seen), took.Round(time.Millisecond), most, late)
			if most > perSecond {
				t.Errorf("%d arrived within a second", most)
			}
			if len(seen) < perSecond*18 { // nine tenths: what a machine that is busy with other things still does
				t.Errorf("%d arrived in %v: the backlog does not flow", len(seen), took)
			}
		})
	}
}

// arrival is a request as the receiver saw it.
type arrival struct {
	delivery string
	at       time.Time
}

// longestWay is how long the slowest of these requests took from its attempt's beginning to the receiver.
func longestWay(t *testing.T, admin string, seen []arrival) (longest time.Duration) {
	t.Helper()
	c, err := client.New("http://"+admin+"/webhooks/", client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	began := map[string]time.Time{}
	for page := (client.Page{Limit: 100}); ; {
		list, err := c.Attempts(t.Context(), client.AttemptFilter{}, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list.Items {
			began[a.Delivery] = a.Started
		}
		if page.Cursor = list.Next; list.Next == "" {
			break
		}
	}
	known := 0
	for _, a := range seen {
		if start, ok := began[a.delivery]; ok { // those of the last moment are not on record yet
			longest, known = max(longest, a.at.Sub(start)), known+1
		}
	}
	if known < len(seen)/2 {
		t.Fatalf("of %d requests %d are on record", len(seen), known)
	}
	return longest
}

func start(t *testing.T, receiver, global, own string) (g *rig.Gateway, admin, ingest string) {
	t.Helper()
	dir := t.TempDir()
	bin, err := rig.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := rig.Ports(2)
	if err != nil {
		t.Fatal(err)
	}
	admin, ingest = fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	config := filepath.Join(dir, "Caddyfile")
	text := fmt.Sprintf(`{
	admin %s
	auto_https off
	skip_install_trust
	webhooks {
		store embedded %s
		%s
		egress {
			allow 127.0.0.1
			ports any
			plain_http
		}
		endpoint limited {
			url %s/
			secret whsec_YSBzZWNyZXQgZm9yIHRoZSBsaW1pdHMnIHRlc3Q=
			events *
			%s
		}
	}
}
http://%s {
	webhooks_ingest /events {
		auth none
	}
	respond 404
}
`, admin, filepath.Join(dir, "store"), global, receiver, own, ingest)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if g, err = rig.Start(bin, config, dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Kill)
	if err := g.Ready(t.Context(), admin, ingest); err != nil {
		t.Fatal(err)
	}
	return g, admin, ingest
}

func publish(t *testing.T, ingest string, n int) {
	t.Helper()
	for n > 0 {
		batch := min(n, 1000)
		n -= batch
		body := "[" + strings.Repeat(`{"event":"label.created","data":{}},`, batch-1) + `{"event":"label.created","data":{}}]`
		status, answer, err := rig.Post(t.Context(), http.DefaultClient, "http://"+ingest+"/events", []byte(body))
		var accepted struct {
			Events []rig.Receipt `json:"events"`
		}
		if err != nil || status != http.StatusAccepted || json.Unmarshal(answer, &accepted) != nil || len(accepted.Events) != batch {
			t.Fatalf("publishing: %d %s (%v)", status, answer, err)
		}
	}
}
