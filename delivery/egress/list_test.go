package egress

import (
	"net/netip"
	"testing"
	"time"
)

func day(t *testing.T, text string) time.Time {
	t.Helper()
	d, err := time.Parse(time.DateOnly, text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func listed(profile, addr string, from time.Time) Listed {
	return Listed{profile, Source{Addr: netip.MustParseAddr(addr), From: from}}
}

func TestListOverTime(t *testing.T) {
	t.Parallel()
	comes := day(t, "2026-12-24")
	since := time.Unix(1763900000, 0)
	l := NewList(
		listed("eu", "2001:db8::1", time.Time{}),
		listed("default", "203.0.113.12", comes),
		listed("default", "203.0.113.10", time.Time{}),
		listed("default", "203.0.113.10", comes), // at once, says another
	)
	const six = `"ipv6_prefixes":[{"ipv6_prefix":"2001:db8::1/128","profile":"eu","status":"active"}]}` + "\n"
	for name, c := range map[string]struct {
		now  time.Time
		want string
	}{
		"before the day of an announced address": {comes.Add(-time.Second), `{"syncToken":"1763900000","createDate":"2025-11-23-12-13-20","prefixes":[` +
			`{"ip_prefix":"203.0.113.10/32","profile":"default","status":"active"},` +
			`{"ip_prefix":"203.0.113.12/32","profile":"default","status":"upcoming","not_before":"2026-12-24"}],` + six},
		"on its day, which is when the list changed": {comes.Add(time.Hour), `{"syncToken":"1798070400","createDate":"2026-12-24-00-00-00","prefixes":[` +
			`{"ip_prefix":"203.0.113.10/32","profile":"default","status":"active"},` +
			`{"ip_prefix":"203.0.113.12/32","profile":"default","status":"active"}],` + six},
	} {
		got, err := l.JSON(c.now, since)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, c.want)
		}
	}
	if got := string(l.Text()); got != "203.0.113.10/32\n203.0.113.12/32\n2001:db8::1/128\n" {
		t.Errorf("text is %q", got)
	}
	const empty = `{"syncToken":"1763900000","createDate":"2025-11-23-12-13-20","prefixes":[],"ipv6_prefixes":[]}` + "\n"
	if got, err := NewList().JSON(since, since); err != nil || string(got) != empty {
		t.Errorf("%v, an empty list is %s", err, got)
	}
}

func TestListsThatSayTheSameHaveOneDigest(t *testing.T) {
	t.Parallel()
	a, b := listed("p", "192.0.2.1", time.Time{}), listed("p", "192.0.2.2", time.Time{})
	if NewList(a, b).Digest() != NewList(b, a, b).Digest() {
		t.Error("the order changes the digest")
	}
	later := b
	later.From = day(t, "2026-12-24")
	for what, other := range map[string]*List{
		"fewer addresses": NewList(a),
		"another day":     NewList(a, later),
		"another profile": NewList(a, listed("q", "192.0.2.2", time.Time{})),
	} {
		if other.Digest() == NewList(a, b).Digest() {
			t.Errorf("%s does not change the digest", what)
		}
	}
}
