package embedded

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// witness follows what one Pebble instance writes to its manifests and logs, and states what is on disk; synced.go says what
// for. Its methods may be called concurrently. All that it changes it changes below the gate, which calls it.
type witness struct {
	o        *Options
	required requirements

	mu     sync.Mutex
	made   *followed   // the manifest made last
	now    statement   // what is synced
	logs   []*followed // whose synced extents now.logs has, in the same order
	file   vfs.File    // SYNCED.now; nil before the first sync
	silent bool        // it cannot be written; SYNCED alone counts then
	buf    []byte

	refused error // guarded by mu: the opening under way came across a log that is not as stated

	keeping sync.Mutex
	kept    statement // what SYNCED says
}

// followed is a file on its way to the disk. Pebble writes a file from one goroutine at a time.
type followed struct {
	w *witness

	mu      sync.Mutex
	written extent

	synced extent // guarded by w.mu
}

// newWitness reads what must be on disk and refuses a store whose manifest is not. A refused one is not changed.
func newWitness(o *Options) (*witness, error) {
	required, err := readRequirements(o)
	if err != nil {
		return nil, err
	}
	w := &witness{o: o, required: required}
	for name, e := range required.files { // until they are read and done with, a kill leaves them as much needed
		if isLog(name) {
			w.logs = append(w.logs, &followed{w: w, written: e, synced: e})
		}
	}
	slices.SortFunc(w.logs, func(a, b *followed) int { return compareNames(a.synced.name, b.synced.name) })
	for _, f := range w.logs {
		w.now.logs = append(w.now.logs, f.synced)
	}
	desc, err := pebble.Peek(o.Dir, o.FS)
	if err != nil {
		return nil, fmt.Errorf("look for the manifest of the store in %s: %w", o.Dir, err)
	}
	inForce := required.inForce
	if !desc.Exists {
		if inForce != "" {
			return nil, refuse(o, inForce, "is not in force: no file marker.manifest names it", "")
		}
		return w, nil
	}
	name := o.FS.PathBase(desc.ManifestFilename)
	if inForce != "" && compareNames(name, inForce) < 0 {
		return nil, refuse(o, inForce, "is not in force: the file marker.manifest names the older "+name, "")
	}
	if e, ok := required.files[name]; ok {
		if err := e.check(o, ""); err != nil {
			return nil, err
		}
	}
	w.now.manifest, err = syncedWhole(o, name)
	return w, err
}

// syncedWhole syncs a manifest that another process wrote, which may have been killed before it did: Pebble will act on it.
func syncedWhole(o *Options, name string) (extent, error) {
	f, err := o.FS.Open(o.FS.PathJoin(o.Dir, name))
	if err != nil {
		return extent{}, fmt.Errorf("open the store's manifest: %w", err)
	}
	e := extent{name: name}
	if err = errors.Join(e.read(fromStart(f)), f.Close()); err != nil {
		return extent{}, fmt.Errorf("read %s: %w", o.FS.PathJoin(o.Dir, name), err)
	}
	f, err = o.FS.OpenReadWrite(o.FS.PathJoin(o.Dir, name), vfs.WriteCategoryUnspecified) // Windows syncs no file opened to read
	if err != nil {
		return extent{}, fmt.Errorf("open the store's manifest: %w", err)
	}
	return e, errors.Join(f.Sync(), f.Close())
}

// checkLog refuses a log that is about to be read and is not as stated. Logs that nobody needs any more are not read.
func (w *witness) checkLog(base string) error {
	e, ok := w.required.files[base]
	if !ok {
		return nil
	}
	err := e.check(w.o, ". To open the store without what is missing, which loses the events accepted last, remove "+
		w.o.FS.PathJoin(w.o.Dir, syncedFile))
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.refused = err
	}
	return err
}

// refusal is why a log was refused, in our own words: Pebble wraps them.
func (w *witness) refusal() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refused
}

// create notes that a file was made. It follows manifests and logs, and learns from the marker which manifest is in force.
func (w *witness) create(base string) *followed {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case isManifest(base):
		w.made = &followed{w: w, written: extent{name: base}, synced: extent{name: base}}
		return w.made
	case isLog(base):
		return &followed{w: w, written: extent{name: base}, synced: extent{name: base}}
	case w.made != nil && strings.HasPrefix(base, "marker.manifest.") && strings.HasSuffix(base, "."+w.made.synced.name):
		w.now.manifest = w.made.synced
	}
	return nil
}

// write writes to a followed file. The sum is made first: MemFS scribbles over what it was given when races are looked for.
func (f *followed) write(file vfs.File, p []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	longer := f.written
	longer.add(p)
	if _, err := file.Write(p); err != nil {
		return err
	}
	f.written = longer
	return nil
}

// sync runs a sync of a followed file and states what it certainly reached.
func (f *followed) sync(sync func() error) error {
	f.mu.Lock()
	reached := f.written
	f.mu.Unlock()
	if err := sync(); err != nil {
		return err
	}
	f.w.reached(f, reached)
	return nil
}

func (w *witness) reached(f *followed, e extent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.size <= f.synced.size {
		return
	}
	f.synced = e
	switch i := slices.Index(w.logs, f); {
	case i >= 0:
		w.now.logs[i] = e
	case isLog(e.name):
		w.logs, w.now.logs = append(w.logs, f), append(w.now.logs, e)
		if len(w.logs) > newestLogs {
			w.logs, w.now.logs = w.logs[1:], w.now.logs[1:]
		}
	case e.name == w.now.manifest.name:
		w.now.manifest = e
	default: // a manifest that is not yet in force
		return
	}
	w.sayNowLocked()
}

// sayNowLocked writes SYNCED.now over. It fails nobody: an older one says less.
func (w *witness) sayNowLocked() {
	if w.silent {
		return
	}
	if w.file == nil {
		f, err := w.o.FS.OpenReadWrite(w.o.FS.PathJoin(w.o.Dir, nowFile), vfs.WriteCategoryUnspecified)
		if err != nil {
			w.silent = true
			return
		}
		w.file = f
	}
	w.buf = w.now.text(w.buf[:0])
	for len(w.buf) < nowBytes {
		w.buf = append(w.buf, '\n')
	}
	if _, err := w.file.WriteAt(w.buf, 0); err != nil {
		w.silent = true
	}
}

// keep brings SYNCED up to date before something is removed on account of the manifest.
func (w *witness) keep() error {
	return w.state(func(now *statement) bool { return now.manifest != w.kept.manifest })
}

// finish states all, at the end of an opening.
func (w *witness) finish() error {
	return w.state(func(now *statement) bool {
		return now.manifest != w.kept.manifest || !slices.Equal(now.logs, w.kept.logs)
	})
}

func (w *witness) state(isNews func(now *statement) bool) error {
	w.keeping.Lock()
	defer w.keeping.Unlock()
	w.mu.Lock()
	now := statement{manifest: w.now.manifest, logs: slices.Clone(w.now.logs)}
	w.mu.Unlock()
	if now.manifest.name == "" || !isNews(&now) {
		return nil
	}
	if now.manifest.name != w.kept.manifest.name { // the marker must not come to disk later than SYNCED
		if err := syncDir(w.o.FS, w.o.Dir); err != nil {
			return err
		}
	}
	if err := writeStatement(w.o.FS, w.o.Dir, &now); err != nil {
		return err
	}
	w.kept = now
	return nil
}

// close releases SYNCED.now.
func (w *witness) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silent = true
	if w.file != nil {
		_ = w.file.Close()
		w.file = nil
	}
}

// stateCopy states all of a backup that was just made and synced, so that damage to it shows when it is restored.
func stateCopy(o *Options) error {
	names, err := o.FS.List(o.Dir)
	if err != nil {
		return err
	}
	slices.SortFunc(names, compareNames)
	var s statement
	for _, name := range names {
		if !isManifest(name) && !isLog(name) {
			continue
		}
		e, err := syncedWhole(o, name)
		if err != nil {
			return err
		}
		if isManifest(name) {
			s.manifest = e
		} else {
			s.logs = append(s.logs, e)
		}
	}
	return writeStatement(o.FS, o.Dir, &s)
}
