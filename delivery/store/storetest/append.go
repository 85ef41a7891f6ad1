package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

var appendCases = []testCase{
	{"an accepted event is read back as it was", func(b *bench) {
		b.attach(nil)
		a := event("one", to("orders", "spare"), to("audit"))
		a.Event.Held, a.Event.Test = []string{"r9"}, true
		want := *a.Event
		b.append(a)
		got, err := b.Store.Event(b.Context(), "one", nil)
		b.must(err)
		want.Seq = got.Event.Seq
		if !reflect.DeepEqual(*got.Event, want) {
			b.Errorf("got  %+v\nwant %+v", *got.Event, want)
		}
		if len(got.Deliveries) != 2 || got.Deliveries[1].Chain[0] != "audit" || got.Deliveries[1].Route != "route-1" ||
			!got.Deliveries[0].Due.Equal(start) {
			b.Errorf("got deliveries %+v", got.Deliveries)
		}
	}},
	{"sequence numbers grow in the order of commits", func(b *bench) {
		b.attach(nil)
		var last uint64
		for i := range 5 {
			for _, r := range b.append(event(fmt.Sprint("a", i), to("x")), event(fmt.Sprint("b", i), to("x"))) {
				if seq := r.Deliveries[0].Event.Seq; seq <= last {
					b.Errorf("event %s has seq %d after %d", r.EventID, seq, last)
				} else {
					last = seq
				}
			}
		}
	}},
	{"deliveries get their event, place and a public id of their own", func(b *bench) {
		b.attach(nil)
		a := event("one", to("x"), to("y"))
		r := b.append(a)[0]
		for i, d := range r.Deliveries {
			if d.Event != a.Event || int(d.Ord) != i || len(d.ID) != 30 || d.ID[:4] != "dlv_" {
				b.Errorf("delivery %d: %+v", i, d)
			}
		}
		if r.Deliveries[0].ID == r.Deliveries[1].ID {
			b.Error("two deliveries share an id")
		}
	}},
	{"a known id with the same content gets the first receipt and stores nothing", func(b *bench) {
		b.attach(nil)
		first := b.append(event("one", to("x")))[0]
		again := b.append(event("one", to("other"), to("plan")))[0]
		if !again.Duplicate || first.Duplicate || again.EventID != "one" {
			b.Errorf("first %+v, again %+v", first, again)
		}
		if len(again.Deliveries) != 1 || again.Deliveries[0].ID != first.Deliveries[0].ID {
			b.Errorf("deliveries %+v, want the first receipt's", again.Deliveries)
		}
		if c := b.counts(); c.Events != 1 || c.Pending != 1 {
			b.Errorf("counts %+v", c)
		}
	}},
	{"a known id with other content refuses the whole batch", func(b *bench) {
		b.attach(takeAll)
		b.append(event("one", to("x")))
		other := event("one", to("x"))
		other.Event.Hash[0]++
		_, err := b.Store.Append(b.Context(), []delivery.Accept{event("two", to("x")), other})
		var conflict *delivery.ConflictError
		if !errors.As(err, &conflict) || conflict.Index != 1 || conflict.ID != "one" {
			b.Fatalf("error %v, want a conflict of item 1", err)
		}
		if _, err := b.Store.Event(b.Context(), "two", nil); !errors.Is(err, delivery.ErrNotFound) {
			b.Errorf("the other item: %v, want not found", err)
		}
		if len(b.rec.reserved) != 1 {
			b.Errorf("%d reserves, want only the first event's", len(b.rec.reserved))
		}
	}},
	{"an id that occurs twice in a batch is stored once and flagged", func(b *bench) {
		b.attach(nil)
		r := b.append(event("one", to("x")), event("one", to("x")))
		if r[0].Duplicate || !r[1].Duplicate || r[1].Deliveries[0].ID != r[0].Deliveries[0].ID {
			b.Errorf("receipts %+v", r)
		}
		if c := b.counts(); c.Events != 1 {
			b.Errorf("counts %+v", c)
		}
	}},
	{"an id that occurs twice in a batch with other content refuses it", func(b *bench) {
		b.attach(nil)
		other := event("one", to("x"))
		other.Event.Hash[0]++
		_, err := b.Store.Append(b.Context(), []delivery.Accept{event("one", to("x")), other})
		var conflict *delivery.ConflictError
		if !errors.As(err, &conflict) || conflict.Index != 1 {
			b.Errorf("error %v, want a conflict of item 1", err)
		}
		if c := b.counts(); c.Events != 0 {
			b.Errorf("counts %+v", c)
		}
	}},
	{"the same id of another tenant or source is another event", func(b *bench) {
		b.attach(nil)
		for _, who := range [][2]string{{"acme", "/shop"}, {"acme", "/b2b"}, {"acme/", "shop"}, {"", ""}, {"\x00", "\x00"}} {
			a := event("one", to("x"))
			a.Event.Tenant, a.Event.Source = who[0], who[1]
			if b.append(a)[0].Duplicate {
				b.Errorf("tenant %q source %q is taken for another's", who[0], who[1])
			}
		}
	}},
	{"an id is forgotten after the time to remember it", func(b *bench) {
		b.attach(nil)
		b.append(event("one", to("x")))
		if r := b.append(at(event("one", to("x")), start.Add(72*time.Hour))); !r[0].Duplicate {
			b.Error("within the time: taken as new")
		}
		later := at(event("one", to("x")), start.Add(72*time.Hour+time.Millisecond))
		later.Event.Hash[0]++
		if r := b.append(later); r[0].Duplicate {
			b.Error("after the time: taken as a duplicate")
		}
		got, err := b.Store.Event(b.Context(), "one", nil)
		b.must(err)
		if got.Event.Seq != later.Event.Seq {
			b.Errorf("found event %d, want the newest, %d", got.Event.Seq, later.Event.Seq)
		}
	}},
	{"an id we made is found when a publisher sends it back", func(b *bench) {
		b.attach(nil)
		a := event("made", to("x"))
		a.Event.GivenID = false
		b.append(a)
		if r := b.append(event("made", to("x"))); !r[0].Duplicate {
			b.Error("taken as new")
		}
	}},
	{"of concurrent appends of one id one stores and all others are duplicates of it", func(b *bench) {
		b.attach(nil)
		var mu sync.Mutex
		var wg sync.WaitGroup
		fresh, ids := 0, map[string]bool{}
		for i := range 16 {
			wg.Go(func() {
				batch := []delivery.Accept{event("one", to("x")), event("two", to("x"))}
				if i%2 == 1 { // two batches in opposite order must not wait for each other
					batch[0], batch[1] = batch[1], batch[0]
				}
				rs, err := b.Store.Append(context.Background(), batch)
				if err != nil {
					b.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				for _, r := range rs {
					if !r.Duplicate {
						fresh++
					}
					ids[r.EventID+" "+r.Deliveries[0].ID] = true
				}
			})
		}
		wg.Wait()
		if fresh != 2 || len(ids) != 2 {
			b.Errorf("%d stored, %d different receipts; want 2 and 2", fresh, len(ids))
		}
	}},
	{"more deliveries than a commit may carry are refused", func(b *bench) {
		b.attach(nil)
		chains := make([][]string, delivery.MaxBatch+1)
		for i := range chains {
			chains[i] = to("x")
		}
		_, err := b.Store.Append(b.Context(), []delivery.Accept{event("one", chains...)})
		if !errors.Is(err, delivery.ErrTooLarge) {
			b.Errorf("error %v, want ErrTooLarge", err)
		}
	}},
	{"as many deliveries as a commit may carry are stored at once", func(b *bench) {
		b.attach(nil)
		chains := make([][]string, delivery.MaxBatch)
		for i := range chains {
			chains[i] = to(fmt.Sprint("lane-", i%7))
		}
		b.append(event("one", chains...))
		if c := b.counts(); c.Pending != delivery.MaxBatch {
			b.Errorf("counts %+v", c)
		}
	}},
	{"a context that has ended is answered with its error", func(b *bench) {
		b.attach(nil)
		ctx, cancel := context.WithCancel(b.Context())
		cancel()
		if _, err := b.Store.Append(ctx, []delivery.Accept{event("one", to("x"))}); !errors.Is(err, context.Canceled) {
			b.Errorf("error %v", err)
		}
	}},
}

var handoverCases = []testCase{
	{"what the engine reserves is handed over and does not wait", func(b *bench) {
		b.attach(takeAll)
		b.add("one", "orders")
		if ds := b.claim("orders", start); len(ds) != 0 || len(b.due()) != 0 {
			b.Errorf("%d wait, due %v", len(ds), b.due())
		}
	}},
	{"what the engine does not reserve waits at its first target", func(b *bench) {
		b.attach(nil)
		d := b.add("one", "orders", "spare")
		if ds := b.claim("spare", start); len(ds) != 0 {
			b.Error("it waits at its backup")
		}
		if got := b.claimOne("orders"); got.Key() != d.Key() || got.ID != d.ID {
			b.Errorf("claimed %+v, want %+v", got, d)
		}
	}},
	{"every reserve is followed by one committed, in commit order", func(b *bench) {
		b.attach(func(d *delivery.Delivery) bool { return d.Event.Seq%2 == 0 })
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for j := range 4 {
					_, err := b.Store.Append(context.Background(), []delivery.Accept{event(fmt.Sprint(i, "-", j), to("x"), to("y"))})
					if err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if len(b.rec.reserved) != 64 || len(b.rec.committed) != 64 {
			b.Fatalf("%d reserved, %d committed, want 64", len(b.rec.reserved), len(b.rec.committed))
		}
		for i, c := range b.rec.committed {
			if c.key != b.rec.reserved[i] || c.handed != (c.key.Seq%2 == 0) || c.err != nil {
				b.Errorf("committed %+v after reserve of %+v", c, b.rec.reserved[i])
			}
			if i > 0 && c.key.Seq < b.rec.committed[i-1].key.Seq {
				b.Errorf("event %d after %d", c.key.Seq, b.rec.committed[i-1].key.Seq)
			}
		}
	}},
	{"appended deliveries are not told as queued", func(b *bench) {
		b.attach(nil)
		b.add("one", "orders")
		if q := b.rec.takeQueued(); len(q) != 0 {
			b.Errorf("queued %v", q)
		}
	}},
	{"a second engine is refused", func(b *bench) {
		b.attach(nil)
		if err := b.Store.Attach(&Recorder{}); err == nil {
			b.Error("no error")
		}
	}},
}
