package site

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"
)

// maxBody bounds what one webhook may say: the gateway's own limit for an event.
const maxBody = 256 << 10

// Event is a webhook as a receiver reads it.
type Event struct {
	ID        string          // of the X-AtoShip-Event-Id header: the same however often the event comes
	Type      string          `json:"event"`
	Timestamp time.Time       `json:"timestamp"`
	Data      json.RawMessage `json:"data"`
}

// Read reads a webhook, and its data into data. It answers 400 to what is none.
func Read(w http.ResponseWriter, r *http.Request, data any) (ev Event, ok bool) {
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&ev)
	if err == nil && data != nil {
		err = json.Unmarshal(ev.Data, data)
	}
	if ev.ID = r.Header.Get("X-AtoShip-Event-Id"); err != nil || ev.ID == "" {
		http.Error(w, "not a webhook that is understood here", http.StatusBadRequest)
		return ev, false
	}
	return ev, true
}

// Serve runs a receiver where the Caddyfiles of the examples expect one, or at RECEIVER_LISTEN, and says what came.
func Serve(h http.Handler) {
	addr := cmp.Or(os.Getenv("RECEIVER_LISTEN"), "127.0.0.1:9000")
	server := &http.Server{Addr: addr, ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		fmt.Println(r.URL.Path, r.Header.Get("X-AtoShip-Event"), r.Header.Get("X-AtoShip-Event-Id"), "attempt", r.Header.Get("X-AtoShip-Attempt"))
	})}
	fmt.Println("waiting for webhooks at", addr)
	log.Fatal(server.ListenAndServe())
}
