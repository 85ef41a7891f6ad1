package crashpoints

import (
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// disk is a file system in memory that tells of each change before it is made, and can be told to fail.
type disk struct {
	mem    *vfs.MemFS
	before func(op string)
	off    atomic.Bool // nobody is told any more
	// So many changes to come fail, or so many syncs: what a failed sync was for may be on disk all the same.
	fails, syncFails atomic.Int64
}

func newDisk(mem *vfs.MemFS, before func(op string)) *disk { return &disk{mem: mem, before: before} }

func (d *disk) fs() vfs.FS { return errorfs.Wrap(d.mem, d) }

func (*disk) String() string { return "power" }

// MaybeError implements errorfs.Injector.
func (d *disk) MaybeError(op errorfs.Op) error {
	name, changes := changing[op.Kind]
	if !changes {
		return nil
	}
	if !d.off.Load() {
		d.before(fmt.Sprintf("%s %s", name, path.Base(op.Path)))
	}
	if due(&d.fails) || strings.HasPrefix(name, "sync") && due(&d.syncFails) {
		return syscall.EIO
	}
	return nil
}

func due(n *atomic.Int64) bool {
	return n.Load() > 0 && n.Add(-1) >= 0
}

// changing are the operations after which a power cut leaves something else than before.
var changing = map[errorfs.OpKind]string{
	errorfs.OpCreate: "create", errorfs.OpLink: "link", errorfs.OpRemove: "remove", errorfs.OpRemoveAll: "remove all of",
	errorfs.OpRename: "rename", errorfs.OpReuseForWrite: "reuse", errorfs.OpMkdirAll: "make directory",
	errorfs.OpFileWrite: "write to", errorfs.OpFileWriteAt: "write into", errorfs.OpFileSync: "sync",
	errorfs.OpFileSyncData: "sync data of", errorfs.OpFileSyncTo: "sync part of",
}

// cut is what a power cut leaves: all that was synced, and of the rest a part.
func cut(mem *vfs.MemFS, rng *rand.Rand) (left *vfs.MemFS, kept int) {
	switch rng.IntN(4) {
	case 0:
		kept = 0
	case 1:
		kept = 100
	default:
		kept = 1 + rng.IntN(99)
	}
	return mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: kept, RNG: rng}), kept
}
