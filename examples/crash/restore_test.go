package crash

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/httpapi/client"
)

// TestABackupIsRestored backs up a gateway under load, by the command, destroys its store, restores it as the reference says, and
// wants everything that was accepted before the backup: what was pending arrives, and the log tells of what had.
func TestABackupIsRestored(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: runs the real gateway for seconds; run without -short")
	}
	t.Parallel()
	f := setup(t)
	gateway := f.start(t)
	if err := gateway.Ready(t.Context(), f.ingest, f.admin); err != nil {
		t.Fatal(err)
	}
	c, err := client.New("http://"+f.admin+"/webhooks/", client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f.publisher.load(t.Context(), 0)
	f.nothingLost(t)
	if _, err := c.PauseEndpoint(t.Context(), "receiver"); err != nil {
		t.Fatal(err)
	}
	f.publisher.load(t.Context(), 1)
	before := len(f.publisher.accepted)

	var wg sync.WaitGroup
	wg.Go(func() { f.publisher.load(t.Context(), 2) })
	backup, store := filepath.Join(f.dir, "backup"), filepath.Join(f.dir, "store")
	out, err := exec.CommandContext(t.Context(), f.bin, "webhooks", "store", "backup", backup, "--address", f.admin).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	wg.Wait()
	gateway.Kill()
	if err := os.RemoveAll(store); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(store, os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}

	gateway = f.start(t)
	if err := gateway.Ready(t.Context(), f.ingest, f.admin); err != nil {
		t.Fatalf("%v\n%s", err, gateway.LogTail())
	}
	f.publisher.accepted = f.publisher.accepted[:before] // the backup may have some of what came later, and promises none
	for {                                                // the API serves a moment after the ingest does
		if _, err := c.ResumeEndpoint(t.Context(), "receiver"); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.nothingLost(t)
	for _, id := range f.publisher.accepted {
		f.logged(t, id, f.receiver.arrivals[id])
	}
	events := 0
	for ev, err := range client.All(func(cursor string) (client.List[client.ListedEvent], error) {
		return c.Events(t.Context(), client.EventFilter{Type: "load.tick"}, client.Page{Cursor: cursor, Limit: 500})
	}) {
		if err != nil {
			t.Fatal(err)
		}
		if events++; ev.Deliveries.Delivered != 1 {
			t.Errorf("%s in the list: %+v", ev.ID, ev.Deliveries)
		}
	}
	if events < before {
		t.Errorf("the log lists %d events, %d were accepted before the backup", events, before)
	}
	if err := gateway.Stop(); err != nil {
		t.Errorf("stopping the gateway: %v\n%s", err, gateway.LogTail())
	}
}
