package embedded

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Pebble takes a file that ends too early for one that was being written when the power went. For its manifest, the log of
// which tables there are, it then removes every table that it has not read of; for its newest log of commits, what was
// accepted last is gone. Neither the files nor their names tell damage from a power cut. So the store says elsewhere how much
// of a manifest and of each log is certainly on disk, with a checksum, and an opening wants that much to be there.
//
// A statement is about the beginning of a file that is only ever written at its end, and under a name that is never given
// again. So once it is true it stays true for as long as the file is there, and an old statement can only say too little.
// There are two, of one form, and the longer extent of each file counts:
//
//	SYNCED      Made anew, whole or not at all, before anything is removed on account of what the manifest says, when the
//	            marker moves to another manifest, and at the end. Which manifest is in force goes by this one alone.
//	SYNCED.now  Written over after each sync of a log or manifest, without a sync of its own, which would cost as much as the
//	            commit: a killed process leaves it exact, a power cut leaves one that says less, or none.
//
// What stands behind the statements may be torn or damaged, and costs nothing: no answer was given for it, and nothing was
// removed on account of it.
const (
	syncedFile = "SYNCED"
	nowFile    = "SYNCED.now"
	nowBytes   = 512 // one sector: written whole or not at all
	syncedHead = "caddy-webhooks embedded store, certainly on disk:\n"
	syncedLine = "%s %d bytes, CRC-32C %x\n" // for reading; line writes it
)

// extent is the beginning of a file.
type extent struct {
	name string // MANIFEST-000001, 000002.log; "" for none
	size int64
	sum  uint32 // CRC-32C
}

func (e *extent) add(p []byte) {
	e.size += int64(len(p))
	e.sum = crc32.Update(e.sum, castagnoli, p)
}

// statement says what is certainly on disk: of a manifest, and of the newest logs in order of their numbers.
type statement struct {
	manifest extent
	logs     []extent
}

// newestLogs bounds the logs of a statement: three memtables may wait to be flushed, and older logs are done with.
const newestLogs = 6

// text of a statement, with a checksum of its own.
func (s *statement) text(buf []byte) []byte {
	buf = append(buf, syncedHead...)
	if s.manifest.name != "" {
		buf = s.manifest.line(buf)
	}
	for i := range s.logs {
		buf = s.logs[i].line(buf)
	}
	sum := crc32.Checksum(buf, castagnoli)
	return append(appendHex(append(buf, "end "...), sum), '\n')
}

// line is written at every commit, and so without the help of fmt, which allocates.
func (e *extent) line(buf []byte) []byte {
	buf = append(append(buf, e.name...), ' ')
	buf = append(strconv.AppendInt(buf, e.size, 10), " bytes, CRC-32C "...)
	return append(appendHex(buf, e.sum), '\n')
}

func appendHex(buf []byte, sum uint32) []byte {
	return hex.AppendEncode(buf, binary.BigEndian.AppendUint32(nil, sum))
}

var errNoStatement = errors.New("it is not what was written there")

func parseStatement(text string) (s statement, err error) {
	body, ok := strings.CutPrefix(text, syncedHead)
	if !ok {
		return statement{}, errNoStatement
	}
	for line := range strings.Lines(body) {
		var e extent
		if n, _ := fmt.Sscanf(line, syncedLine, &e.name, &e.size, &e.sum); n != 3 {
			break
		}
		if isManifest(e.name) {
			s.manifest = e
		} else {
			s.logs = append(s.logs, e)
		}
	}
	if whole := string(s.text(nil)); strings.TrimRight(text, "\n") != strings.TrimRight(whole, "\n") {
		return statement{}, errNoStatement
	}
	return s, nil
}

func isManifest(base string) bool { return strings.HasPrefix(base, "MANIFEST-") }

func isLog(base string) bool { return strings.HasSuffix(base, ".log") }

// compareNames compares names of one kind by their numbers, which have at least six digits.
func compareNames(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }

// readStatement reads SYNCED or SYNCED.now. One that is missing or damaged says nothing: the files may be as good as ever.
func readStatement(o *Options, name string) (statement, error) {
	f, err := o.FS.Open(o.FS.PathJoin(o.Dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return statement{}, nil
	}
	if err != nil {
		return statement{}, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return statement{}, fmt.Errorf("read %s: %w", o.FS.PathJoin(o.Dir, name), err)
	}
	if len(strings.Trim(string(text), "\x00")) == 0 && name == nowFile {
		return statement{}, nil // made, and not on disk when the power went
	}
	s, err := parseStatement(string(text))
	if err != nil {
		o.Logger.Warn("a file of the store is corrupt and will be written anew; until then less is known of what must be on disk",
			"dir", o.Dir, "file", name)
	}
	return s, nil
}

// writeStatement makes SYNCED. Power cut before the rename: it says less than it could, and nothing was removed yet.
func writeStatement(fsys vfs.FS, dir string, s *statement) error {
	name := fsys.PathJoin(dir, syncedFile)
	f, err := fsys.Create(name+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(s.text(nil))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = fsys.Rename(name+".new", name)
	}
	if err == nil {
		err = syncDir(fsys, dir)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// refusal to open a store that would lose what it accepted.
type refusal struct{ why string }

func (r *refusal) Error() string { return r.why }

func refuse(o *Options, name, what, otherwise string) error {
	return &refusal{fmt.Sprintf("the store is damaged: %s %s. Opening it would lose accepted events, so no file was changed: "+
		"put the file back as it was, or restore the directory from a backup%s", o.FS.PathJoin(o.Dir, name), what, otherwise)}
}

// check wants the beginning of a file to be as it was stated.
func (e *extent) check(o *Options, otherwise string) error {
	f, err := o.FS.Open(o.FS.PathJoin(o.Dir, e.name))
	if errors.Is(err, fs.ErrNotExist) {
		return refuse(o, e.name, fmt.Sprintf("is missing, and had %d bytes", e.size), otherwise)
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	have := extent{name: e.name}
	if err := have.read(io.LimitReader(fromStart(f), e.size)); err != nil {
		return fmt.Errorf("read %s: %w", o.FS.PathJoin(o.Dir, e.name), err)
	}
	switch {
	case have.size < e.size:
		return refuse(o, e.name, fmt.Sprintf("ends after %d bytes, and had %d", have.size, e.size), otherwise)
	case have.sum != e.sum:
		return refuse(o, e.name, fmt.Sprintf("has changed in its first %d bytes", e.size), "")
	}
	return nil
}

// read adds all that r holds.
func (e *extent) read(r io.Reader) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		e.add(buf[:n])
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

func fromStart(f vfs.File) io.Reader { return io.NewSectionReader(f, 0, 1<<62) }

// requirements of an opening: of each file the longest extent that was stated.
type requirements struct {
	inForce string // the manifest that the marker must name, or a newer one
	files   map[string]extent
}

func readRequirements(o *Options) (requirements, error) {
	r := requirements{files: map[string]extent{}}
	for _, name := range []string{syncedFile, nowFile} {
		s, err := readStatement(o, name)
		if err != nil {
			return r, err
		}
		if name == syncedFile {
			r.inForce = s.manifest.name
		}
		if r.inForce == "" { // without SYNCED its companion is no witness: whoever removed it wants that
			break
		}
		for _, e := range append(slices.Clip(s.logs), s.manifest) {
			if e.size > r.files[e.name].size {
				r.files[e.name] = e
			}
		}
	}
	return r, nil
}
