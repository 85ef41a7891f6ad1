package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func pool(t *testing.T, addrs ...string) *Pool {
	t.Helper()
	sources := make([]Source, len(addrs))
	for i, a := range addrs {
		sources[i].Addr = netip.MustParseAddr(a)
	}
	p, err := NewPool(sources...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// machine is one whose addresses come and go.
type machine struct {
	mu    sync.Mutex
	lost  map[string]bool
	asked []string
	news  []string
}

// of makes the pool believe in this machine.
func (m *machine) of(p *Pool) *Pool {
	p.probe = func(a netip.Addr) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.asked = append(m.asked, a.String())
		if m.lost[a.String()] {
			return &net.OpError{Op: "listen", Err: syscall.EADDRNOTAVAIL}
		}
		return nil
	}
	p.OnChange(func(c Change) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.news = append(m.news, string(c.Kind)+" "+c.Addr.String())
	})
	return p
}

// lose leaves the machine without these addresses and with all others.
func (m *machine) lose(addrs ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost = make(map[string]bool)
	for _, a := range addrs {
		m.lost[a] = true
	}
}

func (m *machine) told(t *testing.T, want ...string) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Equal(m.news, want) {
		t.Errorf("told %q, want %q", m.news, want)
	}
	m.news = nil
}

func picked(t *testing.T, p *Pool, endpoint string) sourcePair {
	t.Helper()
	pair, err := p.pick(p.order(endpoint), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func TestEndpointsStickToOneAddressPerFamily(t *testing.T) {
	t.Parallel()
	p := new(machine).of(pool(t, "192.0.2.1", "2001:db8::1", "192.0.2.2", "192.0.2.3", "2001:db8::2"))
	used := make(map[sourcePair]int)
	for i := range 600 {
		name := fmt.Sprint("endpoint-", i)
		pair := picked(t, p, name)
		if !pair.four.Is4() || !pair.six.Is6() {
			t.Fatalf("%s has %v", name, pair)
		}
		if again := picked(t, p, name); again != pair {
			t.Fatalf("%s moved from %v to %v", name, pair, again)
		}
		used[pair]++
	}
	for pair, n := range used {
		if n < 60 || n > 140 { // 100 each if spread evenly
			t.Errorf("%d of 600 endpoints have %v", n, pair)
		}
	}
	if len(used) != 6 {
		t.Errorf("%d pairs are used, want all 6", len(used))
	}
}

// The choice is the same on every machine and in every release: customers have
// seen it.
func TestChoiceIsFixed(t *testing.T) {
	t.Parallel()
	p := pool(t, "203.0.113.10", "203.0.113.11", "203.0.113.12")
	for name, want := range map[string]string{"orders": "203.0.113.11", "audit": "203.0.113.11", "labels": "203.0.113.10"} {
		if got := p.sources[p.order(name)[0]].Addr.String(); got != want {
			t.Errorf("%s leaves from %s, want %s", name, got, want)
		}
	}
}

func TestFewEndpointsMoveWhenAnAddressJoins(t *testing.T) {
	t.Parallel()
	before := pool(t, "192.0.2.1", "192.0.2.2", "192.0.2.3")
	after := pool(t, "192.0.2.3", "192.0.2.4", "192.0.2.1", "192.0.2.2") // their order does not matter
	moved := 0
	for i := range 1000 {
		name := fmt.Sprint("endpoint-", i)
		a, b := before.sources[before.order(name)[0]].Addr, after.sources[after.order(name)[0]].Addr
		if a != b {
			moved++
			if b != netip.MustParseAddr("192.0.2.4") {
				t.Fatalf("%s moved from %v to %v, which is not the new one", name, a, b)
			}
		}
	}
	if moved < 180 || moved > 320 { // a fourth
		t.Errorf("%d of 1000 moved", moved)
	}
}

func TestLostAddressIsReplacedWithinThePoolAndComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := new(machine)
		p := m.of(pool(t, "192.0.2.1", "192.0.2.2", "192.0.2.3"))
		home := picked(t, p, "orders").four.String()

		m.lose(home)
		time.Sleep(sureFor)
		next := picked(t, p, "orders").four.String()
		if next == home {
			t.Fatal("the lost address is still in use")
		}
		m.told(t, "source_lost "+home)
		m.lose(home, next)
		if !p.gone(netip.MustParseAddr(next)) { // as after a bind that failed
			t.Error("it is not seen as gone")
		}
		if last := picked(t, p, "orders").four.String(); last == home || last == next {
			t.Fatalf("went to %s, which is lost", last)
		}
		m.told(t, "source_lost "+next)
		for _, s := range p.Sources() {
			if a := s.Addr.String(); s.Lost != (a == home || a == next) {
				t.Errorf("%s is shown as lost: %t", a, s.Lost)
			}
		}

		m.lose()
		time.Sleep(lostFor - sureFor)
		if got := picked(t, p, "orders").four.String(); got == home {
			t.Error("it was asked for too soon")
		}
		time.Sleep(sureFor)
		if got := picked(t, p, "orders").four.String(); got != home {
			t.Errorf("leaves from %s, want %s again", got, home)
		}
		m.told(t, "source_back "+home)
	})
}

func TestPoolWithoutAnyAddressLeftIsALocalFault(t *testing.T) {
	t.Parallel()
	m := new(machine)
	p := m.of(pool(t, "192.0.2.1", "2001:db8::1"))
	m.lose("192.0.2.1", "2001:db8::1")
	_, err := p.pick(p.order("orders"), time.Now())
	fault, ok := errors.AsType[*SourceError](err)
	if !ok || fault.Outcome() != "local" || fault.Detail() != "source_address" {
		t.Errorf("error %v", err)
	}
}

func TestMachineIsAskedOnceInAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := new(machine)
		p := m.of(pool(t, "192.0.2.1"))
		for want := 1; want <= 2; want++ {
			for range 1000 {
				picked(t, p, "orders")
			}
			if len(m.asked) != want {
				t.Errorf("asked %d times, want %d", len(m.asked), want)
			}
			time.Sleep(sureFor)
		}
	})
}

// A machine out of descriptors says nothing about its addresses.
func TestOtherTroubleLosesNoAddress(t *testing.T) {
	t.Parallel()
	p := pool(t, "192.0.2.1")
	p.probe = func(netip.Addr) error { return syscall.EMFILE }
	if got := picked(t, p, "orders").four.String(); got != "192.0.2.1" {
		t.Errorf("leaves from %s", got)
	}
}

func TestUpcomingAddressJoinsOnItsDay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // the bubble's clock starts at 2000-01-01
		comes := time.Date(2000, 1, 9, 0, 0, 0, 0, time.UTC)
		const added = "192.0.2.2"
		p, err := NewPool(Source{Addr: netip.MustParseAddr("192.0.2.1")}, Source{Addr: netip.MustParseAddr(added), From: comes})
		if err != nil {
			t.Fatal(err)
		}
		m := new(machine)
		m.of(p)
		orders := make([][]int, 100) // as endpoints keep them from the start
		for i := range orders {
			orders[i] = p.order(fmt.Sprint("endpoint-", i))
		}
		users := func() (n int) {
			for _, o := range orders {
				pair, err := p.pick(o, time.Now())
				if err != nil {
					t.Fatal(err)
				}
				if pair.four.String() == added {
					n++
				}
			}
			return n
		}
		for time.Until(comes) > time.Hour {
			if n := users(); n != 0 {
				t.Fatalf("%d endpoints use it on %v", n, time.Now())
			}
			time.Sleep(time.Hour)
		}
		time.Sleep(time.Until(comes) - time.Nanosecond)
		if n := users(); n != 0 || slices.Contains(m.asked, added) {
			t.Fatalf("%d endpoints use it before its day, or the machine was asked for it", n)
		}
		m.told(t)
		time.Sleep(time.Nanosecond)
		if n := users(); n < 30 || n > 70 {
			t.Errorf("%d of 100 endpoints use it on its day", n)
		}
		m.told(t, "source_joined "+added)
	})
}

func TestPoolRefusesWhatCannotBeASource(t *testing.T) {
	t.Parallel()
	many := make([]Source, maxSources+1)
	for i := range many {
		many[i].Addr = netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
	}
	given := func(addrs ...string) (sources []Source) {
		for _, a := range addrs {
			sources = append(sources, Source{Addr: netip.MustParseAddr(a)})
		}
		return sources
	}
	for what, sources := range map[string][]Source{
		"none":                     nil,
		"too many":                 many,
		"no address":               {{}},
		"any IPv4 address":         given("0.0.0.0"), // the kernel would choose
		"any IPv6 address":         given("::"),
		"multicast":                given("224.0.0.1"),
		"broadcast":                given("255.255.255.255"),
		"a zone":                   given("fe80::1%lo"),
		"one twice":                given("192.0.2.1", "192.0.2.1"),
		"one twice, once as IPv6":  given("192.0.2.1", "::ffff:192.0.2.1"),
		"one twice, once upcoming": {{Addr: netip.MustParseAddr("192.0.2.1")}, {netip.MustParseAddr("192.0.2.1"), time.Unix(1<<40, 0)}},
	} {
		if _, err := NewPool(sources...); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}
