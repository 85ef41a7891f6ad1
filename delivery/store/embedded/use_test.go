package embedded_test

import (
	"testing"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/store/embedded"
)

func TestUseCountsWhatWentToTheDisk(t *testing.T) {
	t.Parallel()
	s, err := embedded.Open(t.Context(), embedded.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	before := s.Use()
	lane, err := s.Lease(t.Context(), "a")
	if err == nil {
		err = lane.SetState(t.Context(), delivery.LaneState{URL: "https://a.example/", Seen: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	after := s.Use()
	if after.Kind != "embedded" || after.Syncs <= before.Syncs || after.Written <= before.Written || after.Size <= 0 {
		t.Errorf("%+v after one durable change, %+v before", after, before)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if closed := s.Use(); closed.Size != 0 || closed.Syncs < after.Syncs {
		t.Errorf("closed: %+v", closed)
	}
}
