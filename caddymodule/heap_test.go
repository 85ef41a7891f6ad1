package caddymodule

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

func TestRoomForGarbageGrowsAsLessIsAlive(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		live, room uint64
		usual      int
		want       int
	}{
		"a small heap gets all the room":              {live: 16 << 20, room: 64 << 20, usual: 100, want: 400},
		"a heap of the room's size gets the usual":    {live: 64 << 20, room: 64 << 20, usual: 100, want: 100},
		"a larger heap gets the usual":                {live: 256 << 20, room: 64 << 20, usual: 100, want: 100},
		"more than the room stays more":               {live: 64 << 20, room: 64 << 20, usual: 200, want: 200},
		"a tiny heap does not get more than the room": {live: 1 << 10, room: 64 << 20, usual: 100, want: 1600},
		"nor does one never collected":                {live: 0, room: 64 << 20, usual: 100, want: 1600},
		"a collector that is off stays off":           {live: 1 << 20, room: 64 << 20, usual: -1, want: -1},
	} {
		if got := percentFor(c.live, c.room, c.usual); got != c.want {
			t.Errorf("%s: GOGC %d, want %d", name, got, c.want)
		}
	}
}

func gogc() uint64 {
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// Not parallel: GOGC is the process's.
func TestGOGCIsTunedAfterACollectionAndPutBackInTheEnd(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	tuned := make(chan struct{}, 1)
	h := heapTuner{room: 8 << 30, tuned: func() {
		select {
		case tuned <- struct{}{}:
		default:
		}
	}}
	h.hold()
	h.hold()
	for range 2 { // each collection leaves a watch for the next
		runtime.GC()
		<-tuned
	}
	if got := gogc(); got <= 100 {
		t.Errorf("while held: GOGC %d", got)
	}
	h.release()
	if got := gogc(); got <= 100 {
		t.Errorf("while another engine holds it: GOGC %d", got)
	}
	h.release()
	if got := gogc(); got != 100 {
		t.Errorf("after the last release: GOGC %d", got)
	}
}

func TestGOGCInTheEnvironmentIsLeftAlone(t *testing.T) {
	t.Setenv("GOGC", "150")
	before := debug.SetGCPercent(150)
	defer debug.SetGCPercent(before)
	h := heapTuner{room: 8 << 30}
	h.hold()
	if got := gogc(); got != 150 {
		t.Errorf("GOGC %d", got)
	}
	h.release()
	if got := gogc(); got != 150 {
		t.Errorf("after the release: GOGC %d", got)
	}
}
