package embedded

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// use counts what all openings of a store wrote.
type use struct {
	written, syncs atomic.Uint64
	commits        [len(delivery.CommitBounds) + 1]atomic.Uint64
	commitTime     atomic.Int64
}

// committed counts a synced commit that took so long.
func (u *use) committed(took time.Duration) {
	i := 0
	for i < len(delivery.CommitBounds) && took > delivery.CommitBounds[i] {
		i++
	}
	u.commits[i].Add(1)
	u.commitTime.Add(int64(took))
}

// Use implements delivery.Measured. The size is Pebble's own account of its tables and logs; 0 while the disk fails.
func (s *Store) Use() delivery.StoreUse {
	u := delivery.StoreUse{Kind: "embedded", Written: s.use.written.Load(), Syncs: s.use.syncs.Load()}
	for i := range u.Commits {
		u.Commits[i] = s.use.commits[i].Load()
	}
	u.CommitTime = time.Duration(s.use.commitTime.Load())
	if c, done, err := s.view(context.Background(), "use"); err == nil {
		u.Size = int64(c.db.Metrics().DiskSpaceUsage()) //nolint:gosec // no disk is larger
		done()
	}
	return u
}

var _ delivery.Measured = (*Store)(nil)
