package embedded

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// errRetired is what a retired Pebble instance gets for what it asks of the disk, where it gets errors at all.
var errRetired = errors.New("this opening of the store was given up")

// gate stands between one Pebble instance and the disk.
//
// Pebble does not survive a disk that fails. It exits the process, or panics, and where it panics while it rotates its
// log even recover does not help: the Go runtime ends the process for a mutex it unlocks twice on the way. And it has no
// way to be stopped: flushes and compactions go on by themselves, and are repeated at once when they fail.
//
// So once it is open Pebble never hears of an error. At the first one that a change of the disk meets, the gate first
// marks the conn as failed, and from then on swallows every change and reports success: Pebble goes on in a void, can be
// closed like any other, and nothing it does reaches the disk. That is safe because a commit is acknowledged only when
// the conn is still unmarked after it.
type gate struct {
	vfs.FS

	use     *use
	witness *witness
	fail    func(error)  // marks the conn, and the gate as void
	opening atomic.Bool  // errors still reach Pebble: Open returns them
	aside   atomic.Value // string: the directory of a backup under way; what fails there is reported, and fails nothing else
	fresh   atomic.Bool  // logs are not used again: they hold what was erased
	void    atomic.Bool
	mu      sync.RWMutex // held for reading during each change, for writing by shut

	fmu   sync.Mutex
	files map[io.Closer]struct{} // open ones; guarded by fmu
}

func newGate(u *use, w *witness, fail func(error)) *gate {
	g := &gate{FS: w.o.FS, use: u, witness: w, fail: fail, files: map[io.Closer]struct{}{}}
	g.opening.Store(true)
	return g
}

// shut waits for the changes under way and lets none through after that.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.void.Store(true)
}

// closeFiles releases the descriptors of an instance that could not be closed.
func (g *gate) closeFiles() {
	g.witness.close()
	g.fmu.Lock()
	defer g.fmu.Unlock()
	for f := range g.files {
		_ = f.Close()
	}
	clear(g.files)
}

// change runs an operation that changes the disk.
func (g *gate) change(op func() error) error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.void.Load() {
		return g.refuse()
	}
	err := op()
	if err != nil && !g.opening.Load() {
		g.fail(err)
		return nil
	}
	return err
}

// refuse answers in the void. An instance that failed to open may have left a flush behind that is repeated for ever: ten
// tries a second are no load.
func (g *gate) refuse() error {
	if !g.opening.Load() {
		return nil
	}
	time.Sleep(100 * time.Millisecond)
	return errRetired
}

// create opens a file for writing; in the void, one that swallows everything. The name is that of a file made new, which the
// witness may want to follow.
func (g *gate) create(name string, open func() (vfs.File, error)) (vfs.File, error) {
	var f vfs.File
	var seen *followed
	err := g.change(func() (err error) {
		if f, err = open(); err == nil {
			seen = g.witness.create(g.PathBase(name))
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case f == nil:
		return &voidFile{}, nil
	}
	return g.track(f, seen), nil
}

// read opens a file or directory. Reading harms nobody, but a directory can be synced.
func (g *gate) read(open func() (vfs.File, error)) (vfs.File, error) {
	f, err := open()
	if err != nil {
		return nil, err
	}
	return g.track(f, nil), nil
}

func (g *gate) track(f vfs.File, seen *followed) vfs.File {
	g.fmu.Lock()
	defer g.fmu.Unlock()
	g.files[f] = struct{}{}
	return &gatedFile{f, g, seen}
}

// Lock does nothing: the store holds the directory's lock itself, over all openings.
func (*gate) Lock(string) (io.Closer, error) { return &voidFile{}, nil }

// isAside tells whether a name belongs to a backup.
func (g *gate) isAside(name string) bool {
	dir, _ := g.aside.Load().(string)
	return dir != "" && (name == dir || strings.HasPrefix(name, dir+"/"))
}

// Create makes what a marker names durable before the marker itself. Pebble creates a manifest and the marker that names it,
// and only then syncs the directory: a file system that writes the names in another order would leave a marker that names
// nothing, and a store that cannot be opened. Markers move once per manifest (128 MiB of edits) and at the first opening.
func (g *gate) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if g.isAside(name) {
		return g.FS.Create(name, c)
	}
	return g.create(name, func() (vfs.File, error) {
		if strings.HasPrefix(g.PathBase(name), "marker.") {
			if err := syncDir(g.FS, g.PathDir(name)); err != nil {
				return nil, err
			}
		}
		return g.FS.Create(name, c)
	})
}

func (g *gate) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return g.create("", func() (vfs.File, error) { return g.FS.OpenReadWrite(name, c, opts...) })
}

func (g *gate) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if g.fresh.Load() {
		if err := g.Remove(from); err != nil {
			return nil, err
		}
		return g.Create(to, c)
	}
	return g.create(to, func() (vfs.File, error) {
		if err := g.witness.keep(); err != nil {
			return nil, err
		}
		return g.FS.ReuseForWrite(from, to, c)
	})
}

// Open opens a file to read. An opening reads only the logs that it needs, so that each is judged here and not before.
func (g *gate) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if base := g.PathBase(name); g.opening.Load() && isLog(base) {
		if err := g.witness.checkLog(base); err != nil {
			return nil, err
		}
	}
	return g.read(func() (vfs.File, error) { return g.FS.Open(name, opts...) })
}

func (g *gate) OpenDir(name string) (vfs.File, error) {
	if g.isAside(name) {
		return g.FS.OpenDir(name)
	}
	return g.read(func() (vfs.File, error) { return g.FS.OpenDir(name) })
}

func (g *gate) Link(from, to string) error {
	if g.isAside(to) {
		return g.FS.Link(from, to)
	}
	return g.change(func() error { return g.FS.Link(from, to) })
}

func (g *gate) Rename(from, to string) error {
	if g.isAside(to) {
		return g.FS.Rename(from, to)
	}
	return g.change(func() error { return g.FS.Rename(from, to) })
}

func (g *gate) MkdirAll(dir string, perm os.FileMode) error {
	if g.isAside(dir) {
		return g.FS.MkdirAll(dir, perm)
	}
	return g.change(func() error { return g.FS.MkdirAll(dir, perm) })
}

// Remove tells the truth: Pebble logs what it cannot remove and goes on, as a file too many is no failure. What an edit of
// the manifest made superfluous goes when SYNCED vouches for the edit.
func (g *gate) Remove(name string) error {
	return g.remove(func() error { return g.FS.Remove(name) })
}

// RemoveAll is like Remove.
func (g *gate) RemoveAll(name string) error {
	return g.remove(func() error { return g.FS.RemoveAll(name) })
}

func (g *gate) remove(op func() error) (err error) {
	if err := g.change(g.witness.keep); err != nil {
		return err
	}
	if void := g.change(func() error { err = op(); return nil }); void != nil {
		return void
	}
	return err
}

// Unwrap lets Pebble find the file system below.
func (g *gate) Unwrap() vfs.FS { return g.FS }

// gatedFile guards the changing half of a file.
type gatedFile struct {
	vfs.File

	g    *gate
	seen *followed // nil for most files
}

func (f *gatedFile) Write(p []byte) (int, error) {
	f.g.use.written.Add(uint64(len(p)))
	err := f.g.change(func() error {
		if f.seen != nil {
			return f.seen.write(f.File, p)
		}
		_, err := f.File.Write(p)
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *gatedFile) WriteAt(p []byte, off int64) (int, error) {
	f.g.use.written.Add(uint64(len(p)))
	err := f.g.change(func() error {
		if f.seen != nil {
			return errors.New("a log is written at its end only") // no sum would hold
		}
		_, err := f.File.WriteAt(p, off)
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *gatedFile) Sync() error { return f.sync(f.File.Sync) }

func (f *gatedFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *gatedFile) sync(sync func() error) error {
	f.g.use.syncs.Add(1)
	if f.seen == nil {
		return f.g.change(sync)
	}
	return f.g.change(func() error { return f.seen.sync(sync) })
}

func (f *gatedFile) SyncTo(length int64) (full bool, err error) {
	err = f.g.change(func() (err error) { full, err = f.File.SyncTo(length); return err })
	return full, err
}

// Preallocate is a hint: not every file system can, and its failure fails nothing.
func (f *gatedFile) Preallocate(off, length int64) (err error) {
	if void := f.g.change(func() error { err = f.File.Preallocate(off, length); return nil }); void != nil {
		return void
	}
	return err
}

// Close is always allowed, once. Nothing depends on its error: what matters was synced before.
func (f *gatedFile) Close() error {
	f.g.fmu.Lock()
	_, open := f.g.files[f.File]
	delete(f.g.files, f.File)
	f.g.fmu.Unlock()
	if !open {
		return nil
	}
	return f.File.Close()
}

// voidFile swallows what is written and has nothing to read.
type voidFile struct {
	vfs.File

	size atomic.Int64
}

func (f *voidFile) Write(p []byte) (int, error) {
	f.size.Add(int64(len(p)))
	return len(p), nil
}

func (*voidFile) WriteAt(p []byte, _ int64) (int, error)  { return len(p), nil }
func (*voidFile) Read([]byte) (int, error)                { return 0, errRetired }
func (*voidFile) ReadAt([]byte, int64) (int, error)       { return 0, errRetired }
func (*voidFile) Preallocate(_, _ int64) error            { return nil }
func (*voidFile) Prefetch(_, _ int64) error               { return nil }
func (*voidFile) Sync() error                             { return nil }
func (*voidFile) SyncData() error                         { return nil }
func (*voidFile) SyncTo(int64) (fullSync bool, err error) { return true, nil }
func (*voidFile) Close() error                            { return nil }
func (*voidFile) Fd() uintptr                             { return vfs.InvalidFd }
func (f *voidFile) Stat() (vfs.FileInfo, error)           { return voidInfo{size: f.size.Load()}, nil }

// voidInfo describes a voidFile.
type voidInfo struct{ size int64 }

func (voidInfo) Name() string           { return "void" }
func (i voidInfo) Size() int64          { return i.size }
func (voidInfo) Mode() os.FileMode      { return 0o600 }
func (voidInfo) ModTime() time.Time     { return time.Time{} }
func (voidInfo) IsDir() bool            { return false }
func (voidInfo) Sys() any               { return nil }
func (voidInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }

var (
	_ vfs.FS   = (*gate)(nil)
	_ vfs.File = (*voidFile)(nil)
)
