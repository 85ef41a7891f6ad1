package crashpoints

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/store/embedded"
)

// point is a power cut: what it left of the disk, and what the world knew at that moment.
type point struct {
	life, n int
	op      string // the operation that did not come any more
	kept    int    // percent of what was not synced
	at      time.Time
	left    *vfs.MemFS
	known   history
	orderly bool // the gateway had stopped, and said so
}

func (p *point) String() string {
	return fmt.Sprintf("life %d, point %d: before %s, with %d %% of what was not synced", p.life, p.n, p.op, p.kept)
}

// life is one process of the gateway.
type life struct {
	findings

	seed uint64
	n    int
	rng  *rand.Rand
	led  *ledger
	disk *disk
	es   *endpoints
	e    *delivery.Engine
	log  *journal
	wg   sync.WaitGroup

	count   int // events published
	rules   rules
	points  []point // guarded by led.mu
	orderly bool
}

func (l *life) String() string { return fmt.Sprintf("life %d; log:\n%s", l.n, l.log) }

// journal keeps the last of a log.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.b.Len() > 1<<20 {
		j.b.Reset()
	}
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

const dir = "/data/store"

// open opens store and engine on a disk. Memtables are small, so that flushes and compactions come within a life.
func open(fs vfs.FS, log *journal, f fault) (*delivery.Engine, error) {
	logger := slog.New(slog.NewTextHandler(log, nil))
	s, err := embedded.Open(context.Background(), embedded.Options{
		Dir: dir, FS: fs, CacheBytes: 1 << 20, MemTableBytes: 64 << 10, Logger: logger,
	})
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	e, err := delivery.Open(context.Background(), delivery.Config{Store: f.wrapStore(s), Logger: logger})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the engine: %w", err), s.Close())
	}
	return e, nil
}

// sleepUntil lets virtual time pass: each bubble begins at the same moment.
func sleepUntil(at time.Time) { time.Sleep(time.Until(at)) }

// run lives the life in the present bubble and collects its power cuts.
func (l *life) run(from point, f fault) {
	sleepUntil(from.at.Add(time.Duration(l.rng.IntN(5000)) * time.Millisecond))
	l.es = newEndpoints(l.led, l.n, l.seed)
	l.disk = newDisk(from.left, l.cut)
	e, err := open(f.wrapDisk(l.disk.fs()), l.log, f)
	if err != nil {
		l.Errorf("life %d does not begin: %v", l.n, err)
		return
	}
	l.e = e
	l.reload()
	l.sendAgain()
	for range 18 + l.rng.IntN(14) {
		l.step()
		time.Sleep(l.pause())
	}
	if l.rng.IntN(3) == 0 {
		l.end(context.Background())
		return
	}
	l.disk.off.Store(true) // the plug is pulled; what comes now nobody will see
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = l.e.Shutdown(ctx)
	l.wg.Wait()
}

// end stops in order, and takes a last power cut afterwards.
func (l *life) end(ctx context.Context) {
	l.wg.Wait()
	healthy := l.e.Healthy() && l.disk.fails.Load() <= 0 && l.disk.syncFails.Load() <= 0
	err := l.e.Shutdown(ctx)
	l.orderly = err == nil && healthy
	if err != nil {
		l.Errorf("life %d: shutdown: %v", l.n, err)
	}
	l.cut("nothing: it had stopped")
	l.disk.off.Store(true)
}

// cut takes a copy of the disk as a power cut would leave it. Nobody in the world learns anything meanwhile.
func (l *life) cut(op string) {
	l.led.mu.Lock()
	defer l.led.mu.Unlock()
	n := len(l.points)
	rng := rand.New(rand.NewPCG(l.seed, uint64(l.n)<<32|uint64(n))) //nolint:gosec // a seed must repeat a failure
	left, kept := cut(l.disk.mem, rng)
	l.points = append(l.points, point{
		life: l.n, n: n, op: op, kept: kept, at: time.Now(), left: left, known: l.led.snapshot(), orderly: l.orderly,
	})
}

// pause between two steps: mostly within one commit's time, sometimes past retries and breakers.
func (l *life) pause() time.Duration {
	most := []time.Duration{0, time.Millisecond, 30 * time.Millisecond, 100 * time.Millisecond, time.Second, 40 * time.Second}
	return time.Duration(l.rng.Int64N(int64(most[l.rng.IntN(len(most))]) + 1))
}

func (l *life) step() {
	switch n := l.rng.IntN(100); {
	case n < 39:
		l.publish(1 + l.rng.IntN(1+l.rng.IntN(5)))
	case n < 43:
		l.again()
	case n < 45:
		l.replay()
	case n < 50:
		l.sendAgain()
	case n < 54:
		l.repeat()
	case n < 72:
		l.es.set(names[l.rng.IntN(len(names))], mode(l.rng.IntN(int(modes))))
	case n < 76:
		l.es.set(names[l.rng.IntN(len(names))], up)
	case n < 84:
		l.operate()
	case n < 89:
		l.cancel()
	case n < 95:
		l.reload()
	case n < 96:
		l.disk.fails.Store(1 + l.rng.Int64N(3))
	case n < 97:
		l.disk.syncFails.Store(1 + l.rng.Int64N(3))
	default:
		l.wg.Wait()
		l.sendAgain()
		l.wg.Wait()
		time.Sleep(time.Duration(1+l.rng.IntN(6)) * time.Hour)
	}
}

// publish sends n new events in one batch, and does not wait for the answer.
func (l *life) publish(n int) {
	ps := make([]published, n)
	for i := range ps {
		k := kinds[l.rng.IntN(len(kinds))]
		if l.rng.IntN(3) == 0 {
			k = ordered
		}
		l.count++
		ps[i] = published{id: fmt.Sprintf("%d-%d_%s_k%d", l.n, l.count, k, l.rng.IntN(2)), kind: k, at: time.Now()}
	}
	l.send(ps)
}

func (l *life) send(ps []published) {
	l.wg.Go(func() {
		if err := send(l.e, l.led, ps); err != nil {
			l.Errorf("life %d: publishing: %v", l.n, err)
		}
	})
}

// sendAgain does what publishers without an answer do.
func (l *life) sendAgain() {
	l.wg.Wait()
	for _, p := range l.led.now().unanswered() {
		l.send([]published{p})
	}
}

// repeat sends an event again that was accepted, as a publisher does whose connection broke.
func (l *life) repeat() {
	h := l.led.now()
	if len(h.published) == 0 {
		return
	}
	if p := h.published[l.rng.IntN(len(h.published))]; time.Since(p.at) < retention/2 {
		l.send([]published{p})
	}
}

func (l *life) operate() {
	name := names[l.rng.IntN(len(names))]
	what, do := "pause", l.e.Pause
	if l.rng.IntN(3) > 0 {
		what, do = "resume", l.e.Resume
	}
	l.led.order(order{what: what, target: name})
	if err := do(context.Background(), name); err == nil {
		l.led.order(order{what: what, target: name, done: true})
	}
}

// cancel cancels a delivery, or all of an endpoint.
func (l *life) cancel() {
	h := l.led.now()
	if len(h.answered) == 0 {
		return
	}
	if l.rng.IntN(4) == 0 {
		name := names[l.rng.IntN(len(names))]
		l.led.order(order{what: "cancel all", target: name})
		_, _ = l.e.CancelEndpoint(context.Background(), name)
		return
	}
	ds := h.answered[l.rng.IntN(len(h.answered))].receipt.Deliveries
	if len(ds) == 0 {
		return
	}
	id := ds[l.rng.IntN(len(ds))].ID
	l.led.order(order{what: "cancel", target: id})
	if state, err := l.e.Journal().Cancel(context.Background(), id); err == nil {
		l.led.order(order{what: "cancel", target: id, done: true, state: state})
	}
}

// reload puts other rules in force, with or without one of the endpoints.
func (l *life) reload() {
	l.rules = rules(1 + l.rng.IntN(2))
	var without []string
	if l.rng.IntN(4) == 0 {
		without = []string{"d"}
	}
	if err := l.e.Apply(l.es.plan(l.rules, without...)); err != nil && !errors.Is(err, delivery.ErrUnavailable) {
		l.Errorf("life %d: reload: %v", l.n, err)
	}
}
