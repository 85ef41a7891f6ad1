package crashpoints

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/gate"
	"github.com/atoship/caddy-webhooks/delivery/retry"
	"github.com/atoship/caddy-webhooks/delivery/sign"
)

// kind of an event: where it goes. It is the middle part of the event's id.
type kind string

const (
	plain   kind = "plain"   // to a
	large   kind = "large"   // to a, with a body that fills memtables
	fan     kind = "fan"     // to a, to b with backup c, to d
	backed  kind = "backed"  // to b with backups c and a
	ordered kind = "ordered" // to o with backup c, by key
	both    kind = "both"    // to o by key, and to a
	held    kind = "held"    // to a, and under the second rules also to b
	nowhere kind = "nowhere"
)

var kinds = []kind{plain, large, fan, backed, ordered, both, held, nowhere}

// chains of a kind under the second rules.
var chains = map[kind][][]string{
	plain: {{"a"}}, large: {{"a"}}, fan: {{"a"}, {"b", "c"}, {"d"}}, backed: {{"b", "c", "a"}},
	ordered: {{"o", "c"}}, both: {{"o"}, {"a"}}, held: {{"a"}, {"b"}}, nowhere: nil,
}

func kindOf(id string) kind {
	parts := strings.Split(id, "_")
	if len(parts) != 3 {
		return ""
	}
	return kind(parts[1])
}

// rules route an event by its id; the first cannot decide about held ones.
type rules int

func (r rules) Digest() string { return fmt.Sprint("rules-", int(r)) }

func (r rules) Route(_ context.Context, ev *delivery.Event) (delivery.Decision, error) {
	k := kindOf(ev.ID)
	var d delivery.Decision
	for _, c := range chains[k] {
		if k == held && c[0] == "b" && r == 1 {
			d.Held = []string{"late"}
			continue
		}
		d.Targets = append(d.Targets, delivery.Target{Route: "to-" + c[0], Primary: c[0], Backups: c[1:], OwnBackups: true})
	}
	return d, nil
}

// byKey orders by what stands behind the last underscore of an event's id.
type byKey struct{}

func (byKey) Key(ev *delivery.Event) (string, error) {
	return ev.ID[strings.LastIndexByte(ev.ID, '_')+1:], nil
}

// orderKey is what the delivery of an event with this home must be ordered by.
func orderKey(home, id string) string {
	if home != "o" {
		return ""
	}
	key, _ := byKey{}.Key(&delivery.Event{ID: id})
	return key
}

// mode is how an endpoint behaves.
type mode int

const (
	up mode = iota
	flaky
	failing
	down
	hanging
	busy // 429 with Retry-After
	modes
)

const (
	patience  = 2 * time.Second // an attempt's timeout
	retention = 2 * time.Hour
	expire    = 3 * time.Hour
)

var names = []string{"a", "b", "c", "d", "o"}

// endpoints are all endpoints of the world.
type endpoints struct {
	led  *ledger
	life int
	seed uint64

	mu    sync.Mutex
	modes map[string]mode
}

func newEndpoints(led *ledger, life int, seed uint64) *endpoints {
	return &endpoints{led: led, life: life, seed: seed, modes: map[string]mode{}}
}

func (es *endpoints) set(name string, m mode) {
	es.mu.Lock()
	defer es.mu.Unlock()
	es.modes[name] = m
}

var errDown = errors.New("connection refused")

// RoundTrip plays an endpoint. What it does follows from the seed, the event and the number of the attempt.
func (es *endpoints) RoundTrip(r *http.Request) (*http.Response, error) {
	name := r.URL.Hostname()
	attempt, err := strconv.Atoi(r.Header.Get("X-AtoShip-Attempt"))
	if err != nil {
		panic(err)
	}
	q := request{
		life: es.life, at: time.Now(), endpoint: name,
		event: r.Header.Get("X-AtoShip-Event-Id"), deliveryID: r.Header.Get("X-AtoShip-Delivery"), attempt: attempt,
	}
	n := es.led.request(q)
	h := fnv.New32a()
	_, _ = fmt.Fprint(h, es.seed, name, q.event, attempt)
	chance := h.Sum32() >> 8
	time.Sleep(time.Duration(chance%60) * time.Millisecond)
	es.mu.Lock()
	m := es.modes[name]
	es.mu.Unlock()
	status, header := 200, http.Header{}
	switch {
	case m == hanging:
		<-r.Context().Done()
		es.led.reply(reply{n, 0})
		return nil, r.Context().Err()
	case m == down:
		es.led.reply(reply{n, 0})
		return nil, errDown
	case m == failing, m == flaky && chance/64%2 == 0:
		status = 500
	case m == busy:
		status = 429
		header.Set("Retry-After", "7")
	}
	if r.Context().Err() != nil { // ended by our own stop: the answer is lost on its way
		es.led.reply(reply{n, 0})
		return nil, r.Context().Err()
	}
	es.led.reply(reply{n, status})
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader("ok")), ContentLength: 2}, nil
}

// plan of the world under some rules, without the endpoints in without.
func (es *endpoints) plan(r rules, without ...string) *delivery.Plan {
	p := &delivery.Plan{
		Router: r, Endpoints: map[string]*delivery.Endpoint{},
		HeaderPrefix: delivery.DefaultHeaderPrefix, UserAgent: "test", Dedupe: delivery.DefaultDedupe,
		Expire: expire, Retention: retention, Drain: time.Second, MaxInFlight: 64,
	}
	scheme, _ := sign.Lookup("atoship")
	signer, err := scheme.NewSigner([]sign.Secret{{Value: "a secret for tests only"}}, sign.Options{})
	if err != nil {
		panic(err)
	}
	for _, name := range names {
		if slices.Contains(without, name) {
			continue
		}
		ep := &delivery.Endpoint{
			Name: name, URL: &url.URL{Scheme: "https", Host: name, Path: "/"}, Signer: signer, Transport: es,
			Retry:   retry.Schedule{Delays: []time.Duration{time.Second, 5 * time.Second, 30 * time.Second}},
			Timeout: patience, Concurrency: 4, Breaker: gate.DefaultBreaker(), DisableAfter: delivery.DefaultDisableAfter,
		}
		if name == "o" {
			ep.Order = byKey{}
		}
		p.Endpoints[name] = ep
	}
	return p
}

// event as ingest makes it.
func (p *published) event() *delivery.Event {
	sum := sha256.Sum256([]byte(p.id))
	size := 40
	if p.kind == large {
		size = 4<<10 + int(sum[0])<<6
	}
	data := `"` + strings.Repeat(string('a'+rune(sum[1]%26)), size) + `"`
	head := `{"event":"parcel.moved","timestamp":"2024-01-15T10:30:00Z","data":`
	return &delivery.Event{
		ID: p.id, GivenID: true, Type: "parcel.moved", Environment: "production", Timestamp: "2024-01-15T10:30:00Z",
		Accepted: time.Now().UTC().Truncate(time.Millisecond), ContentType: "application/json", Hash: [16]byte(sum[:]),
		Body: []byte(head + data + "}"), DataStart: uint32(len(head)), DataEnd: uint32(len(head) + len(data)),
	}
}

// send publishes a batch, and writes the answer into the ledger.
func send(e *delivery.Engine, led *ledger, ps []published) error {
	evs := make([]*delivery.Event, len(ps))
	for i := range ps {
		evs[i] = ps[i].event()
		led.publish(ps[i])
	}
	receipts, err := e.Accept(context.Background(), evs)
	switch {
	case errors.Is(err, delivery.ErrUnavailable), errors.Is(err, delivery.ErrStopping):
		return nil
	case err != nil:
		return err
	}
	led.mu.Lock()
	defer led.mu.Unlock()
	for i, ev := range evs {
		a := answered{id: ev.ID, sent: len(led.published), receipt: receipts[i]}
		if !receipts[i].Duplicate {
			a.seq = ev.Seq
		}
		led.answered = append(led.answered, a)
	}
	return nil
}
