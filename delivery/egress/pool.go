package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	// maxSources bounds a pool: each address has its own connections.
	maxSources = 64

	// sureFor is how long an address that was there is taken to be there. A
	// kept connection whose address has gone hangs until the attempt times
	// out, so it must be seen soon; asking costs some 10 µs.
	sureFor = time.Second

	// lostFor is how long a lost address is left alone, so that one which
	// comes and goes does not take its endpoints with it each time.
	lostFor = 30 * time.Second
)

// Source is one address that deliveries leave from.
type Source struct {
	Addr netip.Addr
	// From is the moment before which the address is never bound: it is
	// announced, so that customers can let it in. Zero: in use at once.
	From time.Time
}

// Pool is the source addresses of a profile. Each endpoint sticks to one per
// address family, and moves within the pool only: if the machine loses its
// address, to the next in an order of its own, and back when it returns. It
// is safe for concurrent use, and its members never change: those to come are
// in it from the start and join by the clock.
type Pool struct {
	news
	sources []*source
	probe   func(netip.Addr) error // reports whether the machine has it

	mu sync.Mutex // guards what changes in sources
}

type source struct {
	Source
	joined  bool      // its time has come, and it was told
	lost    bool      // the machine did not have it when last asked
	checked time.Time // when it was last asked
}

// NewPool makes a pool. An address that cannot be a source, or is given
// twice, is an error; one the machine does not have now is none.
func NewPool(sources ...Source) (*Pool, error) {
	if len(sources) == 0 || len(sources) > maxSources {
		return nil, fmt.Errorf("%d source addresses: a pool has 1 to %d", len(sources), maxSources)
	}
	p := &Pool{probe: machineHas}
	now := time.Now()
	for _, s := range sources {
		s.Addr = s.Addr.Unmap()
		switch a := s.Addr; {
		case !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			return nil, fmt.Errorf("%s cannot be a source address", a)
		case a.Zone() != "":
			return nil, fmt.Errorf("%s: an address with a zone means one link, which no endpoint is on", a)
		case p.index(a) >= 0:
			return nil, fmt.Errorf("source address %s is given twice", a)
		}
		p.sources = append(p.sources, &source{Source: s, joined: !now.Before(s.From)})
	}
	return p, nil
}

// machineHas binds a UDP socket for a moment, which needs no right and no
// packet.
func machineHas(a netip.Addr) error {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
	if err != nil {
		return err
	}
	return c.Close()
}

// wsaAddrNotAvail is EADDRNOTAVAIL on Windows, which package syscall numbers
// otherwise.
const wsaAddrNotAvail = syscall.Errno(10049)

// isGone tells the kernel's answer for an address that it does not have from
// other troubles with a socket.
func isGone(err error) bool {
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, wsaAddrNotAvail)
}

// sourcePair is what an endpoint sticks to: an address for each family of
// destinations. The zero Addr means that there is none to use.
type sourcePair struct{ four, six netip.Addr }

func (s sourcePair) of(destination netip.Addr) netip.Addr {
	if destination.Is4() {
		return s.four
	}
	return s.six
}

// pick returns the first usable address of each family in the given order.
func (p *Pool) pick(order []int, now time.Time) (sourcePair, error) {
	var pair sourcePair
	for _, i := range order {
		s := p.sources[i]
		place := &pair.six
		if s.Addr.Is4() {
			place = &pair.four
		}
		if !place.IsValid() && p.usable(s, now) {
			*place = s.Addr
		}
	}
	if pair == (sourcePair{}) {
		return pair, &SourceError{Err: errors.New("the machine has none of the pool's addresses")}
	}
	return pair, nil
}

// usable tells whether an address may be bound and is there. Once in a while
// it asks the machine; meanwhile others go by what was known.
func (p *Pool) usable(s *source, now time.Time) bool {
	if now.Before(s.From) {
		return false
	}
	p.mu.Lock()
	age := sureFor
	if s.lost {
		age = lostFor
	}
	if s.joined && now.Sub(s.checked) < age {
		defer p.mu.Unlock()
		return !s.lost
	}
	joins := !s.joined
	s.joined, s.checked = true, now
	p.mu.Unlock()
	if joins {
		p.changed(Change{Kind: SourceJoined, Addr: s.Addr})
	}
	return !p.learn(s, p.probe(s.Addr), now)
}

// learn takes in what the machine said about an address: nil, that it has
// gone, or something that says neither. It returns whether it is lost now.
func (p *Pool) learn(s *source, err error, now time.Time) bool {
	gone := isGone(err)
	p.mu.Lock()
	before := s.lost
	if err == nil || gone {
		s.lost, s.checked = gone, now
	}
	lost := s.lost
	p.mu.Unlock()
	switch {
	case lost && !before:
		p.changed(Change{Kind: SourceLost, Addr: s.Addr, Err: err})
	case before && !lost:
		p.changed(Change{Kind: SourceBack, Addr: s.Addr})
	}
	return lost
}

// gone asks the machine whether it has lost an address, now.
func (p *Pool) gone(a netip.Addr) bool {
	i := p.index(a)
	return i >= 0 && p.learn(p.sources[i], p.probe(a), time.Now())
}

func (p *Pool) index(a netip.Addr) int {
	return slices.IndexFunc(p.sources, func(s *source) bool { return s.Addr == a })
}

// families counts the members by family.
func (p *Pool) families() (four, six int) {
	for _, s := range p.sources {
		if s.Addr.Is4() {
			four++
		}
	}
	return four, len(p.sources) - four
}

// SourceState is an address and how it is.
type SourceState struct {
	Source
	// Lost: the machine did not have it when last asked.
	Lost bool
}

// Sources returns all members in the order of the configuration, those to
// come included.
func (p *Pool) Sources() []SourceState {
	p.mu.Lock()
	defer p.mu.Unlock()
	states := make([]SourceState, len(p.sources))
	for i, s := range p.sources {
		states[i] = SourceState{Source: s.Source, Lost: s.lost}
	}
	return states
}
