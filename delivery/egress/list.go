package egress

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Listed is an address that customers should let in.
type Listed struct {
	Profile string
	Source
}

// List is what we tell customers about our addresses, in the shape of AWS's
// ip-ranges.json:
//
//	{"syncToken":"1763900000","createDate":"2025-11-23-12-13-20",
//	 "prefixes":[{"ip_prefix":"203.0.113.10/32","profile":"default","status":"active"}],
//	 "ipv6_prefixes":[{"ipv6_prefix":"2001:db8::1/128","profile":"eu","status":"upcoming","not_before":"2026-12-24"}]}
//
// An address that comes into use at a given time is listed from the start as
// upcoming, and as active from that time on. A List never changes.
type List struct {
	entries []Listed
}

// NewList makes a list. The order of the entries does not matter, and one
// given twice is listed once, as of the earlier time.
func NewList(entries ...Listed) *List {
	l := &List{slices.Clone(entries)}
	slices.SortFunc(l.entries, func(a, b Listed) int {
		if c := strings.Compare(a.Profile, b.Profile); c != 0 {
			return c
		}
		if c := a.Addr.Compare(b.Addr); c != 0 {
			return c
		}
		return a.From.Compare(b.From)
	})
	l.entries = slices.CompactFunc(l.entries, func(a, b Listed) bool { return a.Profile == b.Profile && a.Addr == b.Addr })
	return l
}

// Digest stands for what the list says, whatever the time: two lists that say
// the same have the same.
func (l *List) Digest() string {
	var text []byte
	for _, e := range l.entries {
		text = fmt.Appendf(text, "%s %s %d\n", e.Profile, e.Addr, e.From.Unix())
	}
	digest := sha256.Sum256(text)
	return hex.EncodeToString(digest[:])
}

// Changed is when the list last changed as seen at now: at since, when it was
// first published with these entries, or when the latest of them came into
// use after that.
func (l *List) Changed(now, since time.Time) time.Time {
	for _, e := range l.entries {
		if e.From.After(since) && !e.From.After(now) {
			since = e.From
		}
	}
	return since
}

type ipRanges struct {
	SyncToken  string    `json:"syncToken"`
	CreateDate string    `json:"createDate"`
	Prefixes   []ipRange `json:"prefixes"`
	Prefixes6  []ipRange `json:"ipv6_prefixes"`
}

type ipRange struct {
	Prefix    string `json:"ip_prefix,omitempty"`
	Prefix6   string `json:"ipv6_prefix,omitempty"`
	Profile   string `json:"profile"`
	Status    string `json:"status"`
	NotBefore string `json:"not_before,omitempty"`
}

// JSON is the list at now. Its syncToken and createDate are [List.Changed],
// so that they stay the same as long as the rest does.
func (l *List) JSON(now, since time.Time) ([]byte, error) {
	changed := l.Changed(now, since).UTC()
	out := ipRanges{
		SyncToken:  strconv.FormatInt(changed.Unix(), 10),
		CreateDate: changed.Format("2006-01-02-15-04-05"),
		Prefixes:   []ipRange{}, Prefixes6: []ipRange{}, // never null
	}
	for _, e := range l.entries {
		r := ipRange{Profile: e.Profile, Status: "active"}
		if now.Before(e.From) {
			r.Status, r.NotBefore = "upcoming", e.From.UTC().Format(time.DateOnly)
		}
		if e.Addr.Is4() {
			r.Prefix = e.prefix()
			out.Prefixes = append(out.Prefixes, r)
		} else {
			r.Prefix6 = e.prefix()
			out.Prefixes6 = append(out.Prefixes6, r)
		}
	}
	body, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("writing the list of egress addresses: %w", err)
	}
	return append(body, '\n'), nil
}

// Text is one prefix per line, IPv4 first, each once and those to come
// included: what a firewall reads.
func (l *List) Text() []byte {
	addrs := make([]netip.Addr, len(l.entries))
	for i, e := range l.entries {
		addrs[i] = e.Addr
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	var text []byte
	for _, a := range slices.Compact(addrs) {
		text = append(text, Source{Addr: a}.prefix()...)
		text = append(text, '\n')
	}
	return text
}

// prefix is the address as a prefix of full length.
func (s Source) prefix() string { return netip.PrefixFrom(s.Addr, s.Addr.BitLen()).String() }
