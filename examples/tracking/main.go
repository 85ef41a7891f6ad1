// Command tracking is a receiver that follows packages on their way, for the Caddyfile beside it: each package's updates
// reach it in the order in which they were published, though every one may fail and be tried again, on a backup too.
//
//	go run ./examples/tracking
//	go run ./caddymodule/caddy run --config examples/tracking/Caddyfile
//
// It listens where the Caddyfile's receiver hands verified webhooks on, and prints what they changed.
package main

import (
	"cmp"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	addr := cmp.Or(os.Getenv("TRACKING_LISTEN"), "127.0.0.1:9000")
	server := &http.Server{Addr: addr, Handler: printed(NewBoard()), ReadHeaderTimeout: 10 * time.Second}
	fmt.Println("waiting for tracking updates at", addr)
	log.Fatal(server.ListenAndServe())
}

// printed says of each request how it was answered.
func printed(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := &status{ResponseWriter: w}
		h.ServeHTTP(answer, r)
		fmt.Printf("%s %s, attempt %s: %d\n", r.URL.Path, r.Header.Get("X-AtoShip-Event"), r.Header.Get("X-AtoShip-Attempt"), answer.code)
	})
}

// status remembers the status of an answer.
type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}
