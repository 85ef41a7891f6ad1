package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/atoship/caddy-webhooks/delivery"
)

func (b *bench) put(kind, name, body string, revision uint64) uint64 {
	b.Helper()
	r, err := b.Store.PutDocument(b.Context(), delivery.Document{Kind: kind, Name: name, Body: []byte(body), Revision: revision})
	b.must(err)
	return r
}

// wantDocument reads one back; body "" wants none.
func (b *bench) wantDocument(kind, name, body string, revision uint64) {
	b.Helper()
	d, err := b.Store.Document(b.Context(), kind, name)
	if body == "" {
		if !errors.Is(err, delivery.ErrNotFound) {
			b.Errorf("%s %s: %+v, %v; want none", kind, name, d, err)
		}
		return
	}
	if err != nil || d.Kind != kind || d.Name != name || string(d.Body) != body || d.Revision != revision {
		b.Errorf("%s %s: %+v, %v; want %q at %d", kind, name, d, err, body, revision)
	}
}

// names lists a kind, a few at a time.
func (b *bench) names(kind string) (names []string) {
	b.Helper()
	after := ""
	for range 1000 {
		page, err := b.Store.ListDocuments(b.Context(), kind, after, 2)
		b.must(err)
		if len(page) == 0 {
			return names
		}
		if len(page) > 2 {
			b.Fatalf("a page of %d", len(page))
		}
		for _, d := range page {
			names = append(names, d.Name)
		}
		after = names[len(names)-1]
	}
	b.Fatal("the pages do not end")
	return nil
}

var documentCases = []testCase{
	{"a document is made, read, replaced and removed", func(b *bench) {
		b.wantDocument("endpoint", "one", "", 0)
		r1 := b.put("endpoint", "one", "first", 0)
		b.wantDocument("endpoint", "one", "first", r1)
		r2 := b.put("endpoint", "one", "second", r1)
		b.wantDocument("endpoint", "one", "second", r2)
		b.must(b.Store.DeleteDocument(b.Context(), "endpoint", "one", r2))
		b.wantDocument("endpoint", "one", "", 0)
	}},
	{"a revision grows and is never given again, not to another and not after a delete", func(b *bench) {
		b.attach(nil)
		last := uint64(0)
		for i := range 10 {
			r := b.put("k", "one", "x", 0)
			b.append(event(fmt.Sprint("e", i), to("x")))
			if s := b.put("k", "two", "x", 0); r <= last || s <= r {
				b.Fatalf("revisions %d and %d after %d", r, s, last)
			} else {
				last = s
			}
			b.must(b.Store.DeleteDocument(b.Context(), "k", "one", r))
			b.must(b.Store.DeleteDocument(b.Context(), "k", "two", last))
		}
	}},
	{"a put or delete at another revision changes nothing", func(b *bench) {
		ctx := b.Context()
		old := b.put("k", "one", "first", 0)
		now := b.put("k", "one", "second", old)
		for _, r := range []uint64{0, old, now + 1} {
			if _, err := b.Store.PutDocument(ctx, delivery.Document{Kind: "k", Name: "one", Body: []byte("x"), Revision: r}); !errors.Is(err, delivery.ErrRevision) {
				b.Errorf("put at %d of %d: %v", r, now, err)
			}
			if err := b.Store.DeleteDocument(ctx, "k", "one", r); !errors.Is(err, delivery.ErrRevision) {
				b.Errorf("delete at %d of %d: %v", r, now, err)
			}
		}
		b.wantDocument("k", "one", "second", now)
	}},
	{"what is not there can be neither replaced nor removed", func(b *bench) {
		ctx := b.Context()
		if _, err := b.Store.PutDocument(ctx, delivery.Document{Kind: "k", Name: "one", Revision: 7}); !errors.Is(err, delivery.ErrNotFound) {
			b.Errorf("put: %v", err)
		}
		for _, r := range []uint64{0, 7} {
			if err := b.Store.DeleteDocument(ctx, "k", "one", r); !errors.Is(err, delivery.ErrNotFound) {
				b.Errorf("delete at %d: %v", r, err)
			}
		}
		b.wantDocument("k", "one", "", 0)
	}},
	{"of many who change the same revision one wins", func(b *bench) {
		first := b.put("k", "one", "first", 0)
		var won atomic.Int64
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				var err error
				if i%2 == 0 {
					err = b.Store.DeleteDocument(context.Background(), "k", "one", first)
				} else {
					_, err = b.Store.PutDocument(context.Background(), delivery.Document{Kind: "k", Name: "one", Revision: first})
				}
				switch {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, delivery.ErrRevision) && !errors.Is(err, delivery.ErrNotFound):
					b.Errorf("a loser: %v", err)
				}
			})
		}
		wg.Wait()
		if n := won.Load(); n != 1 {
			b.Errorf("%d won", n)
		}
	}},
	{"documents are listed by kind in the order of their names", func(b *bench) {
		for _, name := range []string{"b", "a", "c", "aa", "é", "B"} {
			b.put("k", name, "x", 0)
			b.put("kk", name+"2", "x", 0)
		}
		if got, want := b.names("k"), []string{"B", "a", "aa", "b", "c", "é"}; !slices.Equal(got, want) {
			b.Errorf("listed %q, want %q", got, want)
		}
		if got := b.names("other"); got != nil {
			b.Errorf("of another kind: %q", got)
		}
	}},
	{"what a document may not be is refused", func(b *bench) {
		long := strings.Repeat("x", delivery.MaxDocumentName+1)
		for _, d := range []delivery.Document{{Name: "n"}, {Kind: "k"}, {Kind: long, Name: "n"}, {Kind: "k", Name: long}, {Kind: "k\x00", Name: "n"}, {Kind: "k", Name: "\x00"}} {
			if _, err := b.Store.PutDocument(b.Context(), d); err == nil {
				b.Errorf("kind %.20q, name %.20q: taken", d.Kind, d.Name)
			}
		}
		large := delivery.Document{Kind: "k", Name: "n", Body: make([]byte, delivery.MaxDocument+1)}
		if _, err := b.Store.PutDocument(b.Context(), large); !errors.Is(err, delivery.ErrTooLarge) {
			b.Errorf("a large one: %v", err)
		}
		b.put("k", "n", string(large.Body[1:]), 0)
	}},
	{"the body is the caller's own, before and after", func(b *bench) {
		body := []byte("mine")
		r, err := b.Store.PutDocument(b.Context(), delivery.Document{Kind: "k", Name: "n", Body: body})
		b.must(err)
		body[0] = 'x'
		d, err := b.Store.Document(b.Context(), "k", "n")
		b.must(err)
		d.Body[1] = 'x'
		page, err := b.Store.ListDocuments(b.Context(), "k", "", 1)
		b.must(err)
		page[0].Body[2] = 'x'
		b.wantDocument("k", "n", "mine", r)
	}},
	{"pruning leaves documents alone", func(b *bench) {
		b.attach(nil)
		b.append(event("one"))
		r := b.put("k", "n", "body", 0)
		b.prune(start.Add(31*day), 0, 1)
		b.wantDocument("k", "n", "body", r)
	}},
}

var documentCrashCases = []testCase{
	{"documents are as they were put and removed", func(b *bench) {
		b.attach(nil)
		old := b.put("k", "kept", "first", 0)
		kept := b.put("k", "kept", "second", old)
		b.must(b.Store.DeleteDocument(b.Context(), "k", "gone", b.put("k", "gone", "x", 0)))
		b.crash()
		b.wantDocument("k", "kept", "second", kept)
		b.wantDocument("k", "gone", "", 0)
		if got := b.names("k"); !slices.Equal(got, []string{"kept"}) {
			b.Errorf("listed %q", got)
		}
	}},
	{"a revision is not given again, though its document is gone", func(b *bench) {
		b.attach(nil)
		r := b.put("k", "n", "x", 0)
		b.must(b.Store.DeleteDocument(b.Context(), "k", "n", r))
		b.crash()
		if again := b.put("k", "n", "x", 0); again <= r {
			b.Errorf("revision %d after %d", again, r)
		}
	}},
}

// changeDocument puts or removes one of a few documents, at the right revision or at a wrong one.
func (w *walk) changeDocument() {
	name := string(rune('a' + w.rng.IntN(5)))
	at := w.docs[name]
	revision, want := at.Revision, error(nil)
	remove := w.rng.IntN(3) == 0
	if w.rng.IntN(4) == 0 {
		revision = at.Revision + 1 + uint64(w.rng.IntN(3))
		want = delivery.ErrRevision
	}
	if at.Revision == 0 && (remove || revision != 0) {
		want = delivery.ErrNotFound
	}
	d := delivery.Document{Kind: "walk", Name: name, Revision: revision, Body: make([]byte, w.rng.IntN(2000))}
	var err error
	if remove {
		err = w.Store.DeleteDocument(w.Context(), d.Kind, d.Name, revision)
	} else {
		d.Revision, err = w.Store.PutDocument(w.Context(), d)
	}
	if !errors.Is(err, want) {
		w.Fatalf("document %s at %d, said %d, removed %v: %v, want %v", name, at.Revision, revision, remove, err, want)
	}
	switch {
	case err != nil:
	case remove:
		delete(w.docs, name)
	default:
		w.docs[name] = d
	}
}

func (w *walk) compareDocuments() {
	got, err := w.Store.ListDocuments(w.Context(), "walk", "", delivery.MaxDocuments)
	w.must(err)
	want := slices.Sorted(maps.Keys(w.docs))
	if !slices.EqualFunc(got, want, func(d delivery.Document, name string) bool {
		return d.Name == name && d.Revision == w.docs[name].Revision && bytes.Equal(d.Body, w.docs[name].Body)
	}) {
		w.Fatalf("documents %v, want %v", got, want)
	}
}
