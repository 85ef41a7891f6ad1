package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A table of Pebble's that is damaged (a flipped bit in a block of 4 KiB, a lost file) cannot be read past the damage, and
// Pebble has no way to leave it out: whoever came across it would stop there for ever. So the store is given up as if the
// disk had failed, and before it is used again the damage is mended:
//
//  1. The file is kept aside, under corrupt/ in the store's directory, for someone with a hex editor.
//  2. The keys between the last one that can be read before the damage and the first behind it are cut out of the store, and
//     what other tables have of them is put back, in one step. Damage to what belongs to a table as a whole (its index, its
//     footer) takes all that only this table has.
//  3. Events and transitions say all the rest: what was cut out of the other kinds is made anew from them (rebuild.go).
//  4. The operator is told the file, the range, and what is lost: the events and transitions in it, if any.
//
// An event that is lost is lost; a transition that is lost may repeat an attempt. Nothing else stops or goes missing.

// keptAside is where damaged files go, below the store's directory.
const keptAside = "corrupt"

// damages is what Pebble found damaged since the store was opened.
type damages struct {
	mu     sync.Mutex
	found  map[string]pebble.DataCorruptionInfo // by file and range: to be mended
	beyond map[string]bool                      // could not be mended: only reported
}

func damageKey(i *pebble.DataCorruptionInfo) string {
	return fmt.Sprintf("%s %x %x", i.Path, i.Bounds.Start, i.Bounds.End.Key)
}

// note tells whether the damage is news that could be mended.
func (d *damages) note(i pebble.DataCorruptionInfo) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := damageKey(&i)
	if d.beyond[key] {
		return false
	}
	if d.found == nil {
		d.found, d.beyond = map[string]pebble.DataCorruptionInfo{}, map[string]bool{}
	}
	d.found[key] = i
	return true
}

// take takes what is to be mended. Should it be found again, mending it did not help.
func (d *damages) take() []pebble.DataCorruptionInfo {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key := range d.found {
		d.beyond[key] = true
	}
	all := slices.Collect(maps.Values(d.found))
	clear(d.found)
	return all
}

func (d *damages) any() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.found) > 0
}

// damaged is called by Pebble, on any goroutine, before whoever read there gets the error.
func (c *conn) damaged(i pebble.DataCorruptionInfo, o *Options) {
	if c.err() != nil { // the void is no evidence
		return
	}
	if !c.damages.note(i) {
		if c.mending.Load() {
			return
		}
		c.corruptOnce.Do(func() {
			o.Logger.Error("a file of the store is corrupt and could not be mended; what it held cannot be read",
				"dir", o.Dir, "file", i.Path, "error", i.Details)
		})
		return
	}
	if !c.mending.Load() {
		c.fail(fmt.Errorf("%s is corrupt: %w", i.Path, i.Details))
	}
}

// hole is a range of keys that was cut out.
type hole struct {
	file     string
	aside    string // where the file is kept
	from, to []byte // [from, to)
}

func (h *hole) hits(kind byte) bool {
	return bytes.Compare(h.from, []byte{kind + 1}) < 0 && bytes.Compare(h.to, []byte{kind}) > 0
}

// mend cuts out all damage and makes anew what can be. Nobody else uses the conn yet. Power cut: the same damage is found
// again, or the file MENDING says that what was cut out is still to be made anew; either way it starts over.
func (s *Store) mend(c *conn) error {
	defer c.mending.Store(false)
	if !c.damages.any() && !s.unmended() {
		return nil
	}
	if err := s.markUnmended(); err != nil {
		return err
	}
	m := &mender{s: s, c: c}
	for range 100 { // each round may come across more
		for _, d := range c.damages.take() {
			if err := m.cutOut(&d); err != nil {
				return fmt.Errorf("mend %s: %w", d.Path, err)
			}
		}
		err := m.rebuild()
		if err != nil && !c.damages.any() {
			return fmt.Errorf("mend: %w", err)
		}
		if !c.damages.any() {
			break
		}
	}
	m.report()
	return s.unmarkUnmended()
}

// The mark says that something was cut out and not yet made anew.
func (s *Store) unmendedName() string { return s.o.FS.PathJoin(s.o.Dir, "MENDING") }

func (s *Store) unmended() bool {
	_, err := s.o.FS.Stat(s.unmendedName())
	return err == nil
}

func (s *Store) markUnmended() error {
	f, err := s.o.FS.Create(s.unmendedName(), vfs.WriteCategoryUnspecified)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close(), syncDir(s.o.FS, s.o.Dir))
	}
	return err
}

func (s *Store) unmarkUnmended() error {
	return errors.Join(s.o.FS.Remove(s.unmendedName()), syncDir(s.o.FS, s.o.Dir))
}

// mender mends one opening of the store.
type mender struct {
	s     *Store
	c     *conn
	holes []hole
	made  int // rows made anew
}

// cutOut removes the damaged range of one table.
func (m *mender) cutOut(d *pebble.DataCorruptionInfo) error {
	h := hole{file: d.Path, from: d.Bounds.Start, to: append(slices.Clone(d.Bounds.End.Key), 0)}
	aside, err := m.keepAside(d.Path)
	if err != nil {
		m.s.o.Logger.Warn("a corrupt file could not be kept aside", "file", d.Path, "error", err)
	}
	h.aside = aside
	first, last, whole := m.readable(&h)
	if whole { // what is damaged belongs to all of it, such as its filter
		if err = m.replace(&h); err == nil {
			h.to = h.from
			m.holes = append(m.holes, h)
		}
		return err
	}
	narrow := h
	if first != nil {
		narrow.from = first
	}
	if last != nil && bytes.Compare(narrow.from, last) < 0 {
		narrow.to = last
	}
	if err = m.replace(&narrow); err != nil { // the edges cannot be read after all
		narrow = h
		err = m.replace(&narrow)
	}
	if err == nil {
		m.holes = append(m.holes, narrow)
	}
	return err
}

// replace cuts a range out of the whole store and puts back, in one step, what can be read of it table by table: the tables
// above and below the damaged one have rows of their own there.
func (m *mender) replace(h *hole) error {
	rows, err := m.rescue(h)
	if err != nil {
		return err
	}
	span := pebble.KeyRange{Start: h.from, End: h.to}
	if len(rows) == 0 {
		return m.c.db.Excise(context.Background(), span)
	}
	name := m.s.o.FS.PathJoin(m.s.o.Dir, "mended.tmp")
	f, err := m.c.gate.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), sstable.WriterOptions{TableFormat: sstable.TableFormatPebblev4})
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		if err == nil {
			err = w.Set([]byte(key), rows[key].val)
		}
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	_, err = m.c.db.IngestAndExcise(context.Background(), []string{name}, nil, nil, span)
	return err
}

// rescued is the newest version of a row.
type rescued struct {
	seq uint64
	val []byte // nil: deleted
}

// rescue reads the range of a hole table by table. What was deleted by the damaged block only comes back; the rebuilding
// knows.
func (m *mender) rescue(h *hole) (map[string]rescued, error) {
	if err := m.c.db.Flush(); err != nil {
		return nil, err
	}
	levels, err := m.c.db.SSTables(pebble.WithKeyRangeFilter(h.from, h.to))
	if err != nil {
		return nil, err
	}
	rows := map[string]rescued{}
	for _, tables := range levels {
		for i := range tables {
			t := &tables[i]
			part := hole{
				file: m.s.o.FS.PathJoin(m.s.o.Dir, t.BackingSSTNum.String()+".sst"),
				from: h.from, to: h.to,
			}
			if bytes.Compare(t.Smallest.UserKey, part.from) > 0 {
				part.from = t.Smallest.UserKey
			}
			if end := append(slices.Clone(t.Largest.UserKey), 0); bytes.Compare(end, part.to) < 0 {
				part.to = end
			}
			m.read(&part, func(_ bool, key []byte, seq uint64, val []byte) {
				if have, ok := rows[string(key)]; !ok || have.seq < seq {
					rows[string(key)] = rescued{seq, val}
				}
			})
		}
	}
	maps.DeleteFunc(rows, func(_ string, r rescued) bool { return r.val == nil })
	return rows, nil
}

// readable finds the last key of a table that can be read from its beginning, and the first that can be read from its end;
// nil where there is none. Whole: all of them can.
func (m *mender) readable(h *hole) (first, last []byte, whole bool) {
	whole = m.read(h, func(back bool, key []byte, _ uint64, _ []byte) {
		if back {
			last = append(last[:0], key...)
		} else {
			first = append(first[:0], key...)
		}
	})
	return first, last, whole
}

// read reads what it can of a range of a table: from its beginning and, when that does not reach the end, from there back.
// A row's value is nil where it says that the row is deleted.
func (m *mender) read(h *hole, row func(back bool, key []byte, seq uint64, val []byte)) (whole bool) {
	f, err := m.c.gate.Open(h.file)
	if err != nil {
		return false
	}
	file, err := sstable.NewSimpleReadable(f)
	if err != nil {
		_ = f.Close()
		return false
	}
	r, err := sstable.NewReader(context.Background(), file, m.c.opts.MakeReaderOptions())
	if err != nil {
		_ = file.Close()
		return false
	}
	defer r.Close() //nolint:errcheck // it was only read
	it, err := r.NewIter(sstable.NoTransforms, h.from, h.to, sstable.AssertNoBlobHandles)
	if err != nil {
		return false
	}
	defer it.Close() //nolint:errcheck // as above
	for kv := it.SeekGE(h.from, 0); kv != nil; kv = it.Next() {
		row(false, kv.K.UserKey, uint64(kv.SeqNum()), setValue(kv))
	}
	if it.Error() == nil {
		return true
	}
	for kv := it.SeekLT(h.to, 0); kv != nil; kv = it.Prev() {
		row(true, kv.K.UserKey, uint64(kv.SeqNum()), setValue(kv))
	}
	return false
}

// setValue is what a row was set to; nil when it was deleted.
func setValue(kv interface {
	Kind() pebble.InternalKeyKind
	Value(buf []byte) ([]byte, bool, error)
},
) []byte {
	if k := kv.Kind(); k != pebble.InternalKeyKindSet && k != pebble.InternalKeyKindSetWithDelete {
		return nil
	}
	val, _, err := kv.Value(nil)
	if err != nil {
		return nil
	}
	return append([]byte{}, val...)
}

// keepAside links or copies a file to where it outlives its deletion.
func (m *mender) keepAside(file string) (string, error) {
	fs := m.s.o.FS
	dir := fs.PathJoin(m.s.o.Dir, keptAside)
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	to := fs.PathJoin(dir, fs.PathBase(file))
	if _, err := fs.Stat(to); err == nil {
		return to, nil
	}
	if err := vfs.LinkOrCopy(fs, file, to); err != nil {
		return "", err
	}
	return to, errors.Join(syncDir(fs, dir), syncDir(fs, m.s.o.Dir))
}

// report tells the operator.
func (m *mender) report() {
	for i := range m.holes {
		h := &m.holes[i]
		lost := "nothing: what was in it is made anew"
		switch {
		case h.hits(kindEvent):
			lost = "the events in this range"
		case h.hits(kindTransition):
			lost = "transitions in this range: attempts may be repeated"
		case h.hits(kindLane), h.hits(kindDocument), h.hits(kindMeta), h.hits(kindCancelled):
			lost = "what operators set in this range"
		}
		m.s.o.Logger.Error("a file of the store is corrupt: the damaged range is cut out, the rest goes on",
			"dir", m.s.o.Dir, "file", h.file, "kept_as", h.aside, "from", describe(h.from), "to", describe(h.to), "lost", lost,
			"rows_made_anew", m.made)
	}
}
