package storetest

import (
	"maps"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

var laneCases = []testCase{
	{"the state of a lane is what was set last", func(b *bench) {
		b.attach(nil)
		l := b.lease("x")
		got, err := l.State(b.Context())
		b.must(err)
		if got != (delivery.LaneState{}) {
			b.Errorf("at first: %+v", got)
		}
		for _, want := range []delivery.LaneState{
			{URL: "https://a.example/", HoldUntil: start, Disabled: "gone", DisabledAt: start.Add(time.Second), FailingSince: start, Paused: true},
			{URL: "https://b.example/", Seen: true},
			{Paused: true, Seen: true},
			{URL: "https://b.example/"},
		} {
			b.must(l.SetState(b.Context(), want))
			if got, err = l.State(b.Context()); err != nil || got != want {
				b.Errorf("got %+v, %v; want %+v", got, err, want)
			}
		}
		if got, err := b.lease("y").State(b.Context()); err != nil || got != (delivery.LaneState{}) {
			b.Errorf("another lane's: %+v, %v", got, err)
		}
	}},
	{"all states that were set are listed, whoever has a lease", func(b *bench) {
		b.attach(nil)
		b.add("one", "silent")
		if states, err := b.Store.States(b.Context()); err != nil || len(states) > 0 {
			b.Errorf("at first: %v, %v", states, err)
		}
		want := map[string]delivery.LaneState{
			"x":  {URL: "https://a.example/", Disabled: "gone", DisabledAt: start, Seen: true},
			"xx": {Paused: true}, "y": {HoldUntil: start.Add(time.Hour), FailingSince: start},
		}
		for name, state := range want {
			b.must(b.lease(name).SetState(b.Context(), delivery.LaneState{URL: "https://before.example/"}))
			b.must(b.lease(name).SetState(b.Context(), state))
		}
		b.crash()
		states, err := b.Store.States(b.Context())
		if err != nil || !maps.Equal(states, want) {
			b.Errorf("got %v, %v; want %v", states, err, want)
		}
	}},
	{"a released lane can be leased again", func(b *bench) {
		b.attach(nil)
		b.add("one", "x")
		l := b.lease("x")
		b.must(l.Release(b.Context()))
		b.claimOne("x")
	}},
}
