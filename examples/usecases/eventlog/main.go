// Command eventlog writes everything that happens to a file, one JSON object a line, each event once: also over a restart, since
// what is in the file tells what was written.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net/http"
	"os"
	"sync"

	"github.com/atoship/caddy-webhooks/examples/internal/site"
)

// Log is a file of events. Its methods may be used concurrently.
type Log struct {
	mu      sync.Mutex
	file    *os.File
	written map[string]bool
}

// Line is one event in the file.
type Line struct {
	ID string `json:"id"`
	site.Event
}

// OpenLog opens a file, or makes it, and reads which events it has.
func OpenLog(path string) (*Log, error) {
	l := &Log{written: map[string]bool{}}
	err := l.read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l.file, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // the user names the file
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	return l, nil
}

func (l *Log) read(path string) error {
	f, err := os.Open(path) //nolint:gosec // the user names the file
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line Line
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("reading the log: %w", err)
		}
		l.written[line.ID] = true
	}
	return lines.Err()
}

// ServeHTTP writes one webhook down and answers 204 when it is on disk.
func (l *Log) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ev, ok := site.Read(w, r, nil)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.written[ev.ID] {
		if err := l.write(ev); err != nil {
			http.Error(w, "the log cannot be written", http.StatusServiceUnavailable) // so it comes again
			return
		}
		l.written[ev.ID] = true
	}
	w.WriteHeader(http.StatusNoContent)
}

func (l *Log) write(ev site.Event) error {
	text, err := json.Marshal(Line{ev.ID, ev})
	if err != nil {
		return fmt.Errorf("encoding an event: %w", err)
	}
	if _, err := l.file.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("writing the log: %w", err)
	}
	return l.file.Sync()
}

// Close closes the file.
func (l *Log) Close() error { return l.file.Close() }

func main() {
	l, err := OpenLog(cmp.Or(os.Getenv("EVENT_LOG"), "events.ndjson"))
	if err != nil {
		log.Fatal(err)
	}
	site.Serve(l)
}
