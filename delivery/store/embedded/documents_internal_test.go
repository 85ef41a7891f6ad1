package embedded

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/atoship/caddy-webhooks/delivery"
)

func TestOfTwoChangesInOneCommitTheSecondSeesTheFirst(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Options{Dir: "store", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	ops := make([]*documentOp, 4)
	for i := range ops {
		ops[i] = &documentOp{call: newCall(), d: delivery.Document{Kind: "k", Name: "n", Body: []byte{byte(i)}}}
	}
	ops[2].remove = true
	if err := s.Close(); err != nil { // the committer has ended: the commit below is ours alone
		t.Fatal(err)
	}
	cache := pebble.NewCache(1 << 20)
	defer cache.Unref()
	c, err := connect(&s.o, cache, &s.use, &s.damages)
	if err != nil {
		t.Fatal(err)
	}
	s.conn = c
	defer func() { _ = c.close() }()
	ops[2].d.Revision = s.seq + 1
	s.commitGroup(group{ops: []op{ops[0], ops[1], ops[2], ops[3]}})
	for i, want := range []error{nil, delivery.ErrRevision, nil, nil} {
		if err := ops[i].err; !errors.Is(err, want) {
			t.Errorf("change %d: %v, want %v", i, err, want)
		}
	}
	d, err := getRow(c, documentKey("k", "n"), decodeDocument)
	if err != nil || d.Body[0] != 3 || d.Revision != s.seq {
		t.Errorf("%+v, %v", d, err)
	}
}
