package egress

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// interfaces is a list of interface addresses as net gives it.
func interfaces(addrs ...string) []net.Addr {
	var list []net.Addr
	for _, a := range addrs {
		ip, n, err := net.ParseCIDR(a)
		if err != nil {
			panic(err)
		}
		list = append(list, &net.IPNet{IP: ip, Mask: n.Mask})
	}
	return list
}

func TestOwnListeners(t *testing.T) {
	t.Parallel()
	here := func() ([]net.Addr, error) {
		return append(interfaces("127.0.0.1/8", "198.51.100.7/24", "2001:db8::7/64"), &net.UnixAddr{}), nil
	}
	cases := []struct {
		name      string
		listeners []string
		at        string
		own       bool
	}{
		{"no listeners stand for the whole machine", nil, "198.51.100.7:22", true},
		{"in IPv6 too", nil, "[2001:db8::7]:443", true},
		{"but not for the neighbours", nil, "198.51.100.8:443", false},
		{"an IPv4 wildcard is every address", []string{"0.0.0.0:443"}, "198.51.100.7:443", true},
		{"at its port only", []string{"0.0.0.0:443"}, "198.51.100.7:8443", false},
		{"an IPv6 wildcard is every address, as the kernel has it", []string{"[::]:443"}, "198.51.100.7:443", true},
		{"a wildcard is no address of another machine", []string{"[::]:443"}, "198.51.100.8:443", false},
		{"an address and port are themselves", []string{"203.0.113.10:443"}, "203.0.113.10:443", true},
		{"even if written in mapped form", []string{"[::ffff:203.0.113.10]:443"}, "203.0.113.10:443", true},
		{"and not another port", []string{"203.0.113.10:443"}, "203.0.113.10:8443", false},
		{"nor another address of the machine", []string{"203.0.113.10:443"}, "198.51.100.7:443", false},
		{"an address with port 0 is every port, as of one we send from", []string{"203.0.113.10:0"}, "203.0.113.10:22", true},
		{"a wildcard with port 0 beside another", []string{"[::]:0", "[::]:443"}, "198.51.100.7:22", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var listeners []netip.AddrPort
			for _, l := range c.listeners {
				listeners = append(listeners, netip.MustParseAddrPort(l))
			}
			own, err := ownListeners(listeners, here)
			if err != nil {
				t.Fatal(err)
			}
			if got := own(netip.MustParseAddrPort(c.at)); got != c.own {
				t.Errorf("%s is ours: %v, want %v", c.at, got, c.own)
			}
		})
	}
}

func TestOwnListenersFollowTheInterfaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now, reads, fails := interfaces("198.51.100.7/24"), 0, false
		own, err := ownListeners(nil, func() ([]net.Addr, error) {
			reads++
			if fails {
				return nil, errors.New("no more netlink")
			}
			return now, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		before, after := netip.MustParseAddrPort("198.51.100.7:443"), netip.MustParseAddrPort("198.51.100.8:443")
		for range 100 {
			if !own(before) || own(after) {
				t.Fatal("the first list does not count")
			}
		}
		if reads != 1 {
			t.Errorf("the interfaces were listed %d times within a second, want once", reads)
		}
		now = interfaces("198.51.100.8/24")
		time.Sleep(interfacesAge + time.Millisecond)
		if own(before) || !own(after) {
			t.Error("the second list does not count")
		}
		fails = true
		time.Sleep(interfacesAge + time.Millisecond)
		if own(before) || !own(after) {
			t.Error("the last list does not go on to count")
		}
	})
}

func TestOwnListenersNeedTheInterfaces(t *testing.T) {
	t.Parallel()
	broken := errors.New("no netlink here")
	if _, err := ownListeners(nil, func() ([]net.Addr, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

// A socket of this machine, at an address of one of its real interfaces.
func TestOwnListenersOfThisMachine(t *testing.T) {
	t.Parallel()
	own, err := OwnListeners()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	at := l.Addr().(*net.TCPAddr).AddrPort()
	if !own(at) {
		t.Errorf("%s is not ours", at)
	}
	allowed, err := Rules{Own: own, Allow: []netip.Prefix{netip.PrefixFrom(at.Addr(), 32)}}.Guard()
	if err != nil {
		t.Fatal(err)
	}
	if err := allowed.CheckDial(at); err != nil {
		t.Errorf("an exception does not override the rule: %v", err)
	}
}
