package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
)

// Errors of keeping a store.
var (
	// ErrUnsupported: the store cannot do this.
	ErrUnsupported = errors.New("this store cannot do that")
	// ErrPending: deliveries of the event are pending, and their cancelling was not asked for.
	ErrPending = errors.New("deliveries are pending")
	// ErrErased: the event's payload was erased, so that there is nothing to send.
	ErrErased = errors.New("payload was erased")
)

// BackedUp is a store that can be copied while it works. Backup writes what was committed before it began into a directory
// that must not exist yet, on the machine the gateway runs on. A store opened there goes on where the copy was made: what was
// pending is delivered, what was in hand is shown as unknown and tried again. A copy that was cut short cannot be opened.
type BackedUp interface {
	Backup(ctx context.Context, dir string) error
}

// Backup copies the store. Errors: ErrUnsupported, ErrUnavailable, fs.ErrExist, or what the disk says.
func (e *Engine) Backup(ctx context.Context, dir string) error {
	store, ok := e.store.(BackedUp)
	if !ok {
		return ErrUnsupported
	}
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("directory %q is not an absolute path", dir)
	}
	if err := store.Backup(ctx, dir); err != nil {
		return fmt.Errorf("backing up to %s: %w", dir, err)
	}
	e.log.Info("the store was backed up", slog.String("directory", dir))
	return nil
}

// Erasure is what Journal.Erase did.
type Erasure struct {
	// Erased events have no payload any more; Pending ones were left as they are, since deliveries of them are pending.
	Erased, Pending int
	// Cancelled counts the deliveries that were cancelled for it.
	Cancelled int
	// Next goes on where a call ended that had done enough; empty at the end.
	Next string
}

// EraseEvent erases the payload of one event: its body, the ordering keys taken from it, and what endpoints answered. The rows
// stay: who got what, and when. Pending deliveries are cancelled if cancel says so; else ErrPending, and nothing is changed. An
// attempt that is under way ends as it will. On return nothing can read the payload, and the files of the store do not hold it
// any more; backups made before do. The tenant narrows the id as for Journal.Event. Errors: ErrNotFound, ErrPending,
// ErrUnavailable, or the context's.
func (e *Engine) EraseEvent(ctx context.Context, id string, tenant *string, cancel bool) (Erasure, error) {
	rec, err := e.store.Event(ctx, id, tenant)
	if err != nil {
		return Erasure{}, err
	}
	x, err := e.store.Erase(ctx, []uint64{rec.Event.Seq}, cancel)
	if err == nil && x.Pending > 0 {
		err = ErrPending
	}
	if err == nil {
		err = e.scrub(ctx, rec.Event.Seq, rec.Event.Seq)
	}
	if err != nil {
		return x, fmt.Errorf("erasing event %s: %w", id, err)
	}
	e.log.Info("an operator erased the payload of an event", slog.String("event", id))
	return x, nil
}

const (
	// erasePage is how many events one commit of an erasure rewrites, eraseEvents how many a call goes through: some seconds.
	erasePage   = 100
	eraseEvents = 20_000
)

// EraseTenant erases the payloads of all events of a tenant, oldest first: up to some ten thousand per call, from where the
// call before left off (Next). Events with pending deliveries are left as they are, and counted, unless cancel is set.
func (e *Engine) EraseTenant(ctx context.Context, tenant string, cancel bool, from string) (total Erasure, err error) {
	q := EventQuery{Tenant: &tenant, Oldest: true, Limit: erasePage, Cursor: from}
	var first, last uint64
	for seen := 0; ; {
		page, err := e.store.Events(ctx, q)
		if err != nil {
			return total, err
		}
		var seqs []uint64
		for _, rec := range page.Items {
			if !rec.Event.Erased {
				seqs = append(seqs, rec.Event.Seq)
				if last = rec.Event.Seq; first == 0 {
					first = last
				}
			}
		}
		x, err := e.store.Erase(ctx, seqs, cancel)
		total.Erased, total.Pending, total.Cancelled = total.Erased+x.Erased, total.Pending+x.Pending, total.Cancelled+x.Cancelled
		if err != nil {
			return total, fmt.Errorf("erasing tenant %s: %w", tenant, err)
		}
		q.Cursor, total.Next = page.Next, page.Next
		if seen += erasePage; page.Next == "" || seen >= eraseEvents {
			break
		}
	}
	if total.Erased > 0 {
		e.log.Info("an operator erased payloads of a tenant", slog.String("tenant", tenant), slog.Int("events", total.Erased))
		return total, e.scrub(ctx, first, last)
	}
	return total, nil
}

// Scrubbed is a store whose files hold what was overwritten until they are rewritten. Scrub rewrites them where Erase was: at
// the events of these sequence numbers, both included.
type Scrubbed interface {
	Scrub(ctx context.Context, from, to uint64) error
}

func (e *Engine) scrub(ctx context.Context, from, to uint64) error {
	if s, ok := e.store.(Scrubbed); ok {
		return s.Scrub(ctx, from, to)
	}
	return nil
}
