package embedded

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The format of keys and records stands in a file of its own, beside Pebble's, because it must be read before Pebble may
// rewrite anything: a directory of a newer program is refused as it is.
//
//	format 1  the first
//	format 2  attempts have a timing, fields of the response and a request's head, which has rows of its own (w)
//
// Records say their own version (see codec.go), so a store of format 1 is read as it is: opening it changes this file alone,
// after which an older program refuses it, and retention takes the last old record out in time.
const (
	formatFile    = "FORMAT"
	formatVersion = 2
	formatHead    = "caddy-webhooks embedded store, format "
)

// checkFormat refuses a directory that is not ours to open. It only reads. A directory without a store passes.
func checkFormat(o *Options) error {
	version, err := readFormat(o)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return checkEmpty(o)
	case err != nil:
		return fmt.Errorf("read the format of the store in %s: %w", o.Dir, err)
	case version > formatVersion:
		return fmt.Errorf("the store in %s has format %d, made by a newer program; this one knows formats up to %d. Nothing was changed",
			o.Dir, version, formatVersion)
	}
	return nil
}

// checkEmpty refuses a Pebble directory that has no FORMAT: it belongs to something else.
func checkEmpty(o *Options) error {
	names, err := o.FS.List(o.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look into %s: %w", o.Dir, err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "MANIFEST") {
			return fmt.Errorf("%s holds another program's database (a %s, but no %s file)", o.Dir, name, formatFile)
		}
	}
	return nil
}

func readFormat(o *Options) (version int, err error) {
	f, err := o.FS.Open(o.FS.PathJoin(o.Dir, formatFile))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 256))
	if err != nil {
		return 0, err
	}
	number, ok := strings.CutPrefix(strings.TrimSpace(string(text)), formatHead)
	if version, err = strconv.Atoi(number); !ok || err != nil {
		return 0, fmt.Errorf("%s says %.80q", formatFile, text)
	}
	return version, nil
}

// writeFormat marks a new directory, or an older one as of this format. Power cut before the rename: no store yet, or the older
// one as it was; after: an empty one, or one with nothing of this format in it yet.
func writeFormat(o *Options) error {
	if version, err := readFormat(o); err == nil && version == formatVersion {
		return nil
	}
	name := o.FS.PathJoin(o.Dir, formatFile)
	f, err := o.FS.Create(name+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("write the format of the store: %w", err)
	}
	_, err = fmt.Fprintf(f, "%s%d\n", formatHead, formatVersion)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = o.FS.Rename(name+".new", name)
	}
	if err == nil {
		err = syncDir(o.FS, o.Dir)
	}
	if err != nil {
		return fmt.Errorf("write the format of the store: %w", err)
	}
	return nil
}
