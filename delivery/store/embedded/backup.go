package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2"
)

// Backup implements delivery.BackedUp. The tables, which never change, are linked where the file system can, else copied; so
// on the same disk it takes moments, whatever the size. The format's file comes last, synced after all others: without it the
// directory is none of ours to open.
func (s *Store) Backup(ctx context.Context, dir string) error {
	c, done, err := s.view(ctx, "backup")
	if err != nil {
		return err
	}
	defer done()
	if !s.backups.TryLock() {
		return errors.New("a backup is under way")
	}
	defer s.backups.Unlock()
	if _, err := s.o.FS.Stat(dir); err == nil {
		return fmt.Errorf("%s: %w", dir, fs.ErrExist)
	}
	c.gate.aside.Store(dir)
	defer c.gate.aside.Store("")
	if err := c.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return err
	}
	if err := c.err(); err != nil { // it may have gone on in the void
		_ = s.o.FS.RemoveAll(dir)
		return c.readError("backup", err)
	}
	copied := &Options{Dir: dir, FS: s.o.FS}
	if err := stateCopy(copied); err != nil {
		return err
	}
	return writeFormat(copied)
}
