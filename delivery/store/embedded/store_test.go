package embedded_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/atoship/caddy-webhooks/delivery/store/embedded"
	"github.com/atoship/caddy-webhooks/delivery/store/storetest"
)

const dir = "/data/store"

// openOn opens a store on a file system, small enough that memtables are flushed during a test.
func openOn(t *testing.T, fs vfs.FS) *embedded.Store {
	t.Helper()
	s, err := embedded.Open(context.Background(), embedded.Options{
		Dir: dir, FS: fs, CacheBytes: 4 << 20, MemTableBytes: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// crashable opens a store on a file system that can lose what was not synced.
func crashable(t *testing.T, fs *vfs.MemFS, rng *rand.Rand) storetest.Opened {
	t.Helper()
	return storetest.Opened{
		Store: openOn(t, fs),
		Crash: func(t *testing.T) storetest.Opened {
			t.Helper()
			return crashable(t, powerCut(fs, rng), rng)
		},
	}
}

// powerCut keeps what was synced and anything between nothing and all of the rest.
func powerCut(fs *vfs.MemFS, rng *rand.Rand) *vfs.MemFS {
	return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
}

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Opened {
		return crashable(t, vfs.NewCrashableMem(), rand.New(rand.NewPCG(7, uint64(len(t.Name())))))
	})
}
