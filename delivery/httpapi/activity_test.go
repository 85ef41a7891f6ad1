package httpapi

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/atoship/caddy-webhooks/delivery"
)

// deadPages answers as many pages of dead letters, each with a cursor but the last.
type deadPages struct {
	delivery.Journal

	pages, each int
	asked       []delivery.DeliveryQuery
}

func (j *deadPages) Deliveries(_ context.Context, q delivery.DeliveryQuery) (page delivery.DeliveryPage, err error) {
	j.asked = append(j.asked, q)
	page.Items = make([]*delivery.Delivery, j.each)
	if len(j.asked) < j.pages {
		page.Next = "on"
	}
	return page, nil
}

func TestDeadLettersAreCountedUpToABound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pages, each, want int
		more              bool
	}{
		"none":                    {1, 0, 0, false},
		"a few":                   {1, 3, 3, false},
		"some, on short pages":    {4, 7, 28, false},
		"exactly as many":         {2, 500, 1000, false},
		"more than anybody reads": {100, 400, 1000, true},
	} {
		j := &deadPages{pages: c.pages, each: c.each}
		var n int
		var more bool
		var err error
		synctest.Test(t, func(t *testing.T) { // where no time passes while it looks
			n, more, err = countDeadLetters(t.Context(), j, "orders")
		})
		if n != c.want || more != c.more || err != nil {
			t.Errorf("%s: %d, more %v (%v)", name, n, more, err)
		}
		for _, q := range j.asked {
			if *q.State != delivery.Exhausted || !q.Latest || q.Endpoint != "orders" || q.Limit != maxLimit {
				t.Errorf("%s: asked %+v", name, q)
			}
		}
	}
}
