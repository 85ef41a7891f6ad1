package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// stream is a closed loop over keep-alive connections: each sends its next request when the last is answered, and no
// earlier than the pace allows.
type stream struct {
	addr, path  string
	connections int
	batch       int     // events in one request; 1 sends a single object
	size        int     // bytes of one event
	eventType   string  // its type
	kinds       int     // 0: the type as it is; else events are of eventType0, eventType1 … in turn, so many types
	counted     int     // how many of those count; 0: all
	rate        float64 // events per second over all connections; 0: as fast as answers come
	ahead       int     // events sent and not at the receiver yet, at most; 0: any number
	receiver    string  // its control page, where ahead needs it
}

// progress is what a stream has sent.
type progress struct {
	counted atomic.Int64 // events sent that count
	// Where a stream is not to get far ahead: events sent or about to be, and those arrived, as far as is known.
	all, arrived atomic.Int64
}

// run sends until ctx ends and returns how many events that count were answered with a 2xx.
func (s *stream) run(ctx context.Context) (int, error) {
	var sent progress
	if s.ahead > 0 {
		go sent.follow(ctx, s.receiver)
	}
	failed := make(chan error, s.connections)
	var wg sync.WaitGroup
	for i := range s.connections {
		wg.Go(func() {
			if err := s.connection(ctx, i, &sent); err != nil {
				failed <- err
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return 0, err
	default:
		return int(sent.counted.Load()), nil
	}
}

func (s *stream) connection(ctx context.Context, i int, sent *progress) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return fmt.Errorf("connecting to %s: %w", s.addr, err)
	}
	defer conn.Close()
	pace, stop := s.pace(i)
	defer stop()
	in := bufio.NewReaderSize(conn, 16<<10)
	var h head
	var request, body, answer []byte
	for n := i; ctx.Err() == nil; n += s.connections { // with the other connections, every kind has its turn
		if !pace(ctx) || !sent.reserve(ctx, s.batch, s.ahead) {
			return nil
		}
		body = s.body(body[:0], n*s.batch)
		request = fmt.Appendf(request[:0], "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
			s.path, s.addr, len(body))
		if _, err := conn.Write(append(request, body...)); err != nil {
			return fmt.Errorf("sending: %w", err)
		}
		if err := readHead(in, &h); err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
		if answer, err = readBody(in, &h, answer); err != nil {
			return err
		}
		if !bytes.HasPrefix(h.first, []byte("HTTP/1.1 2")) {
			return fmt.Errorf("%s answered %s: %s", s.path, h.first, answer)
		}
		sent.counted.Add(s.counts(n * s.batch))
	}
	return nil
}

// counts tells how many events of a request count, the first of which is the stream's nth.
func (s *stream) counts(n int) (count int64) {
	if s.counted == 0 {
		return int64(s.batch)
	}
	for i := range s.batch {
		if (n+i)%s.kinds < s.counted {
			count++
		}
	}
	return count
}

// follow asks the receiver now and then how many have arrived.
func (p *progress) follow(ctx context.Context, receiver string) {
	var got seen
	for ctx.Err() == nil && ask(ctx, receiver+"/count", &got) == nil {
		p.arrived.Store(int64(got.Count))
		time.Sleep(3 * time.Millisecond)
	}
}

// reserve waits until n more are at most ahead of what has arrived; it is false when ctx ended meanwhile.
func (p *progress) reserve(ctx context.Context, n, ahead int) bool {
	for ahead > 0 && ctx.Err() == nil {
		all := p.all.Load()
		if all == 0 || all+int64(n)-p.arrived.Load() <= int64(ahead) {
			if p.all.CompareAndSwap(all, all+int64(n)) {
				return true
			}
			continue
		}
		time.Sleep(time.Millisecond)
	}
	return ctx.Err() == nil
}

// pace returns a function that waits until connection i may send again, and is false when ctx ended meanwhile. The
// connections take turns evenly: all at once would measure bursts.
func (s *stream) pace(i int) (wait func(context.Context) bool, stop func()) {
	if s.rate <= 0 {
		return func(context.Context) bool { return true }, func() {}
	}
	period := time.Duration(float64(time.Second) * float64(s.connections*s.batch) / s.rate)
	tick := time.NewTicker(period * time.Duration(i+1) / time.Duration(s.connections))
	first := true
	return func(ctx context.Context) bool {
		select {
		case <-tick.C:
			if first {
				first = false
				tick.Reset(period)
			}
			return true
		case <-ctx.Done():
			return false
		}
	}, tick.Stop
}

// body of one request: an event, or an array of them. The first one is the stream's nth.
func (s *stream) body(b []byte, n int) []byte {
	if s.batch == 1 {
		return s.event(b, n)
	}
	b = append(b, '[')
	for i := range s.batch {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.event(b, n+i)
	}
	return append(b, ']')
}

func (s *stream) event(b []byte, n int) []byte {
	start := len(b)
	b = append(b, `{"event":"`...)
	b = append(b, s.eventType...)
	if s.kinds > 0 {
		b = strconv.AppendInt(b, int64(n%s.kinds), 10)
	}
	b = append(b, `","data":{"sent":"`...)
	b = strconv.AppendInt(b, time.Now().UnixNano(), 10)
	b = append(b, `","pad":"`...)
	// Hex digits, no two events the same: bodies that compress to half, as JSON does, and not to nothing.
	for room := s.size - len(`"}}`); len(b)-start < room; {
		digits := fmt.Appendf(nil, "%016x", rand.Uint64()) //nolint:gosec // filler, protects nothing
		b = append(b, digits[:min(len(digits), room-(len(b)-start))]...)
	}
	return append(b, `"}}`...)
}
