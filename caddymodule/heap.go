package caddymodule

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// heapRoom is the garbage that may gather before it is collected, however little is alive.
//
// A collection costs what is alive, and by default (GOGC=100) one is due when as much garbage has gathered. Of a gateway
// some 15 MB are alive (the store's cache and memtables are not the collector's), an event leaves 10 kB behind, and so
// 10,000 events a second meant seven collections a second, which was a tenth of the CPU time. With 48 MB of room it is two,
// for 40 MB more memory. Room is added, never taken: when more is alive than this, GOGC is what it was.
const heapRoom = 48 << 20

// heap is the process's, shared by all engines.
var heap = heapTuner{room: heapRoom}

// heapTuner keeps room for garbage as long as anybody needs it, by setting GOGC anew after each collection. An operator who
// sets GOGC in the environment decides alone. GOMEMLIMIT, which Caddy sets in a container, bounds memory as ever: near it
// the collector runs whatever GOGC says.
type heapTuner struct {
	room  uint64
	tuned func() // told after each tuning, for tests

	mu      sync.Mutex
	users   int
	watched bool // a sentinel waits for the next collection
	usual   int  // GOGC before us
	percent int  // GOGC now
}

// hold makes room; release gives it up.
func (h *heapTuner) hold() {
	if os.Getenv("GOGC") != "" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.users++; h.users > 1 {
		return
	}
	h.usual = debug.SetGCPercent(100)
	h.percent = 100
	h.set(h.usual)
	h.tuneLocked()
	h.watchLocked()
}

func (h *heapTuner) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.users == 0 {
		return // GOGC is the operator's
	}
	if h.users--; h.users == 0 {
		h.set(h.usual)
	}
}

// watchLocked has the next collection tune: it finds an object that nobody uses.
func (h *heapTuner) watchLocked() {
	if h.watched {
		return
	}
	h.watched = true
	runtime.AddCleanup(new([16]byte), func(h *heapTuner) { h.collected() }, h)
}

// collected runs after a collection, on a goroutine of the runtime's.
func (h *heapTuner) collected() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watched = false
	if h.users == 0 {
		return
	}
	h.tuneLocked()
	h.watchLocked()
	if h.tuned != nil {
		h.tuned()
	}
}

func (h *heapTuner) tuneLocked() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	if n := live[0].Value; n.Kind() == metrics.KindUint64 {
		h.set(percentFor(n.Uint64(), h.room, h.usual))
	}
}

// set stops the world for some microseconds, so small changes are not worth it.
func (h *heapTuner) set(percent int) {
	if d := percent - h.percent; percent == h.usual || d > h.percent/8 || -d > h.percent/8 {
		h.percent = percent
		debug.SetGCPercent(percent)
	}
}

// leastHeap is the runtime's: with GOGC=100 a smaller heap is not collected.
const leastHeap = 4 << 20

// percentFor is the GOGC that lets as much garbage gather beside the live bytes. The least heap grows with GOGC too, and
// must not become more than the room.
func percentFor(live, room uint64, usual int) int {
	if usual < 0 {
		return usual // off, by the program we are part of
	}
	return max(usual, int(100*room/max(live, leastHeap)))
}
