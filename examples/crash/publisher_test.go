package crash

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

// The load is bounded, so that a run's length depends on its rounds and not on the machine.
const (
	workers   = 4
	perWorker = 60 // events of one worker in one round
)

// publisher is an honest client: it chooses the ids, and what was not acknowledged it sends again, unchanged.
type publisher struct {
	url    string
	client *http.Client

	mu       sync.Mutex // guards all below; written by the workers
	accepted []string   // answered 202, or 200 as a duplicate
	open     []string   // sent, no answer or an error: promised nothing
	known    int        // acknowledged as duplicates: the gateway had kept them
	refused  []string   // answers that no crash explains
}

func newPublisher(url string) *publisher {
	return &publisher{url: url, client: &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: workers},
	}}
}

// load publishes until ctx ends or the round's share is sent, starting with what an earlier round left open.
func (p *publisher) load(ctx context.Context, round int) {
	p.send(ctx, func(ids chan<- string) {
		for n := 0; n < workers*perWorker && ctx.Err() == nil; n++ {
			ids <- fmt.Sprintf("evt_round%d_%d", round, n)
		}
	})
}

// again publishes what was left open until all of it is taken or ctx ends.
func (p *publisher) again(ctx context.Context) {
	for ctx.Err() == nil {
		p.mu.Lock()
		left := len(p.open)
		p.mu.Unlock()
		if left == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
		p.send(ctx, func(chan<- string) {})
	}
}

// send publishes what is open, then more.
func (p *publisher) send(ctx context.Context, more func(ids chan<- string)) {
	p.mu.Lock()
	left := p.open
	p.open = nil
	p.mu.Unlock()

	ids := make(chan string)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for id := range ids {
				p.publish(ctx, id)
			}
		})
	}
	for _, id := range left { // each, even when ctx has ended: publish notes it as open again
		ids <- id
	}
	more(ids)
	close(ids)
	wg.Wait()
	p.client.CloseIdleConnections() // they lead to a process that is about to be gone
}

func (p *publisher) publish(ctx context.Context, id string) {
	body := fmt.Appendf(nil, `{"event":"load.tick","id":%q,"timestamp":"2024-01-15T10:30:00Z","data":{"id":%q}}`, id, id)
	status, answer, err := rig.Post(ctx, p.client, p.url, body)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil, status == http.StatusServiceUnavailable:
		p.open = append(p.open, id)
	case status == http.StatusAccepted:
		p.accepted = append(p.accepted, id)
	case status == http.StatusOK:
		p.accepted = append(p.accepted, id)
		p.known++
	default:
		p.refused = append(p.refused, fmt.Sprintf("%s: %d %s", id, status, answer))
	}
}
