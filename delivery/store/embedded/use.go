package embedded

import (
	"context"
	"sync/atomic"

	"github.com/atoship/caddy-webhooks/delivery"
)

// use counts what all openings of a store wrote.
type use struct{ written, syncs atomic.Uint64 }

// Use implements delivery.Measured. The size is Pebble's own account of its tables and logs; 0 while the disk fails.
func (s *Store) Use() delivery.StoreUse {
	u := delivery.StoreUse{Kind: "embedded", Written: s.use.written.Load(), Syncs: s.use.syncs.Load()}
	if c, done, err := s.view(context.Background(), "use"); err == nil {
		u.Size = int64(c.db.Metrics().DiskSpaceUsage()) //nolint:gosec // no disk is larger
		done()
	}
	return u
}

var _ delivery.Measured = (*Store)(nil)
