package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/atoship/caddy-webhooks/examples/internal/site"
)

func TestEachEventIsInTheFileOnceOverARestart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "events.ndjson")
	var running sync.RWMutex // a program that ends finishes its requests first
	var current *Log
	openLog := func() {
		running.Lock()
		defer running.Unlock()
		if current != nil {
			_ = current.Close()
		}
		var err error
		if current, err = OpenLog(path); err != nil {
			t.Fatal(err)
		}
	}
	openLog()
	door := &site.Flaky{Receiver: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		running.RLock()
		defer running.RUnlock()
		current.ServeHTTP(w, r)
	})}
	s := site.Start(t, door)
	for i := range 24 {
		s.Publish(t, map[string]any{"id": fmt.Sprint("log-", i), "event": "order.imported", "data": map[string]any{"order_id": fmt.Sprint("ord_", i)}})
		if i == 12 {
			openLog() // the receiver starts anew
		}
	}
	s.Delivered(t)
	lines := map[string]int{}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for scan := bufio.NewScanner(f); scan.Scan(); {
		var line struct {
			ID, Event string
			Data      struct {
				Order string `json:"order_id"`
			}
		}
		if err := json.Unmarshal(scan.Bytes(), &line); err != nil || line.Event != "order.imported" || "log-"+line.Data.Order[len("ord_"):] != line.ID {
			t.Errorf("%s (%v)", scan.Text(), err)
		}
		lines[line.ID]++
	}
	for i := range 24 {
		if n := lines[fmt.Sprint("log-", i)]; n != 1 {
			t.Errorf("event %d stands there %d times", i, n)
		}
	}
	if door.Repeated == 0 {
		t.Error("no event came twice: the test shows nothing")
	}
}
