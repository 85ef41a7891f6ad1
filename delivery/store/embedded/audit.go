package embedded

import (
	"context"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
)

// auditStep is after how many rows an audit looks whether it is still wanted.
const auditStep = 4096

// Audit implements delivery.Audited. All it reads is of one moment, because one iterator reads it: the counts of the home
// lanes, and the keys of what waits, is handed over, or succeeds another (a million take half a second).
func (s *Store) Audit(ctx context.Context) (delivery.Audit, error) {
	c, done, err := s.view(ctx, "audit")
	if err != nil {
		return delivery.Audit{}, err
	}
	defer done()
	it, err := c.scan([]byte{kindCount}, []byte{kindSuccessor + 1})
	if err != nil {
		return delivery.Audit{}, c.readError("audit", err)
	}
	defer it.Close()
	a := delivery.Audit{At: time.Now()}
	if err := s.auditCounts(ctx, it, &a); err != nil {
		return a, c.readError("audit", err)
	}
	for _, kind := range []byte{kindHanded, kindWaiting, kindSuccessor} {
		n, err := auditRows(ctx, it, kind)
		if err != nil {
			return a, c.readError("audit", err)
		}
		a.Found += n
	}
	return a, nil
}

// auditCounts sums what is pending by the counts. A row that cannot be read is worked out anew when the store opens next;
// until then it counts for nothing, which shows.
func (s *Store) auditCounts(ctx context.Context, it *pebble.Iterator, a *delivery.Audit) error {
	for ok := it.SeekGE([]byte{kindCount, 0}); ok && it.Key()[0] == kindCount; ok = it.Next() { // behind the totals
		if err := ctx.Err(); err != nil {
			return err
		}
		val, err := value(it)
		if err != nil {
			return err
		}
		t, err := decodeTally(it.Key(), val)
		if err != nil {
			s.bad.note(s, it.Key(), val, err)
			continue
		}
		a.Pending += t[delivery.Pending]
	}
	return it.Error()
}

func auditRows(ctx context.Context, it *pebble.Iterator, kind byte) (n uint64, err error) {
	for ok := it.SeekGE([]byte{kind}); ok && it.Key()[0] == kind; ok = it.Next() {
		if n++; n%auditStep == 0 && ctx.Err() != nil {
			return n, ctx.Err()
		}
	}
	return n, it.Error()
}

var _ delivery.Audited = (*Store)(nil)
