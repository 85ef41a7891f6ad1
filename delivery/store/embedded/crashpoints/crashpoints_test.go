package crashpoints

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	pointsEnv = "CRASH_POINTS" // at least so many
	seedEnv   = "CRASH_SEED"   // only this history
	lives     = 3
	repeats   = 20 // of one history: the scheduler takes part in it
)

func TestAPowerCutAnywhereLosesNothing(t *testing.T) {
	t.Parallel()
	if seed, ok := number(t, seedEnv); ok {
		for range repeats {
			if points, found := chronicle(t, seed, fault{}); found != "" {
				t.Fatalf("after %d points: %s", points, found)
			}
		}
		return
	}
	goal, ok := number(t, pointsEnv)
	if !ok {
		goal = perRun
	}
	var next, done atomic.Uint64
	t.Run("shards", func(t *testing.T) {
		for shard := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint("shard ", shard), func(t *testing.T) {
				t.Parallel()
				for done.Load() < goal && !t.Failed() {
					seed := next.Add(1)
					points, found := chronicle(t, seed, fault{})
					if done.Add(points); found != "" {
						t.Errorf("%s\n%s=%d repeats it", found, seedEnv, seed)
					}
				}
			})
		}
	})
	t.Logf("%d points of %d histories", done.Load(), next.Load())
}

func number(t *testing.T, name string) (uint64, bool) {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n, true
}

// chronicle lives all lives of a seed and checks every power cut of them, up to the first that something is found about.
func chronicle(t *testing.T, seed uint64, f fault) (points uint64, found string) {
	t.Helper()
	from := point{left: vfs.NewCrashableMem()}
	for n := 1; n <= lives; n++ {
		rng := rand.New(rand.NewPCG(seed, uint64(n))) //nolint:gosec // a seed must repeat a failure
		l := &life{seed: seed, n: n, rng: rng, led: &ledger{history: from.known}, log: &journal{}}
		synctest.Test(t, func(*testing.T) {
			if from.at.IsZero() {
				from.at = time.Now()
			}
			l.run(from, f)
		})
		if l.Failed() {
			return points, fmt.Sprintf("life %d:\n%v; log:\n%s", n, &l.findings, l.log)
		}
		next := int(rng.Float64() * float64(len(l.points)))
		from = l.points[next]
		from.left = from.left.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng}) // a copy: the original is used
		for i := range l.points {
			if i%every > 0 {
				continue
			}
			points++
			v := &verifier{seed: seed, p: &l.points[i], log: &journal{}}
			synctest.Test(t, func(*testing.T) { v.run(f) })
			if v.Failed() {
				return points, fmt.Sprintf("%v\n%v; log:\n%s", v.p, &v.findings, v.log)
			}
			l.points[i] = point{} // its disk may go
		}
	}
	return points, ""
}
