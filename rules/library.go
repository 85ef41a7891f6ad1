package rules

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// cidr reports whether the address is in one of the prefixes. IPv4 in IPv6
// form (::ffff:192.0.2.1) counts as IPv4; a zone is ignored.
func cidr(_ *machine, a []any) (any, error) {
	s, err := textOrMissing(a[0])
	if s == nil {
		return nil, err
	}
	ip, err := netip.ParseAddr(*s)
	if err != nil {
		return nil, &safeError{msg: "this is not an IP address"}
	}
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(a[1].([]netip.Prefix), func(p netip.Prefix) bool { return p.Contains(ip) }), nil
}

// satisfies compares versions as SemVer 2.0.0 orders them. Short forms (1.2)
// and a leading v are understood. Pre-releases satisfy only constraints that
// name one.
func satisfies(m *machine, a []any) (any, error) {
	s, err := textOrMissing(a[0])
	if s == nil {
		return nil, err
	}
	if len(*s) > maxVersion {
		return nil, &safeError{msg: "this is not a version"}
	}
	if err := m.grow(versionRoom); err != nil {
		return nil, err
	}
	v, err := semver.NewVersion(*s)
	if err != nil {
		return nil, &safeError{msg: "this is not a version"}
	}
	return a[1].(*semver.Constraints).Check(v), nil
}

// bucket maps a string or an integer (in decimal) to 0..n-1: the first 8 bytes
// of its SHA-256, big endian, modulo n. The same everywhere and for ever.
func bucket(m *machine, a []any) (any, error) {
	n, ok := a[1].(int)
	if !ok {
		return nil, wrongType("int", a[1])
	}
	if n < 1 {
		return nil, &safeError{msg: "hash needs a number of buckets of at least 1"}
	}
	s, ok := hashable(a[0])
	if !ok {
		if a[0] == nil {
			return nil, nil
		}
		return nil, wrongType("string or int", a[0])
	}
	if err := m.charge(size(s, bytesPerStep)); err != nil {
		return nil, err
	}
	if err := m.grow(len(s)); err != nil {
		return nil, err
	}
	return int(hashOf(s) % uint64(n)), nil
}

// hashable is the text by which a value is hashed: strings as they are,
// integers in decimal.
func hashable(v any) (string, bool) {
	switch x := v.(type) {
	case string:
		return x, true
	case int:
		return strconv.Itoa(x), true
	}
	return "", false
}

// trim is expr's. Its time is the text's length times the cutset's.
func trim(m *machine, a []any) (any, error) {
	s, err := texts(a)
	if err != nil {
		return nil, err
	}
	if len(s) == 1 {
		return strings.TrimSpace(s[0]), m.charge(len(s[0]) / bytesPerStep)
	}
	if err := m.charge(len(s[0]) * (1 + len(s[1])/4) / bytesPerStep); err != nil {
		return nil, err
	}
	return strings.Trim(s[0], s[1]), nil
}

// replace is expr's. It can multiply the length of one text by that of another.
func replace(m *machine, a []any) (any, error) {
	s, err := texts(a[:3])
	if err != nil {
		return nil, err
	}
	n := -1
	if len(a) == 4 {
		var ok bool
		if n, ok = a[3].(int); !ok {
			return nil, wrongType("int", a[3])
		}
	}
	made := len(s[0]) + strings.Count(s[0], s[1])*len(s[2])
	if err := m.charge(made / bytesPerStep); err != nil {
		return nil, err
	}
	if err := m.grow(made); err != nil {
		return nil, err
	}
	return strings.Replace(s[0], s[1], s[2], n), nil
}

// splitText is expr's split and splitAfter. It can make a text of every byte.
func splitText(m *machine, a []any) (any, error) {
	s, err := texts(a[:2])
	if err != nil {
		return nil, err
	}
	n := -1
	if len(a) == 4 {
		var ok bool
		if n, ok = a[3].(int); !ok {
			return nil, wrongType("int", a[3])
		}
	}
	if err := m.charge(len(s[0]) / bytesPerPiece); err != nil {
		return nil, err
	}
	pieces := strings.Count(s[0], s[1]) + 1
	if n >= 0 {
		pieces = min(pieces, n)
	}
	if err := m.grow(pieces * valueRoom); err != nil {
		return nil, err
	}
	if a[2].(bool) {
		return strings.SplitAfterN(s[0], s[1], n), nil
	}
	return strings.SplitN(s[0], s[1], n), nil
}

// join is expr's. A list can hold the same text many times.
func join(m *machine, a []any) (any, error) {
	var list []string
	switch l := a[0].(type) {
	case []string:
		list = l
	case []any:
		var err error
		if list, err = texts(l); err != nil {
			return nil, err
		}
	default:
		return nil, wrongType("array", a[0])
	}
	glue, err := texts(a[1:])
	if err != nil {
		return nil, err
	}
	sep := strings.Join(glue, "")
	total := len(list) * (len(sep) + bytesPerStep)
	for _, s := range list {
		total += len(s)
	}
	if err := m.charge(total / bytesPerStep); err != nil {
		return nil, err
	}
	if err := m.grow(total); err != nil {
		return nil, err
	}
	return strings.Join(list, sep), nil
}

// texts returns values as the strings they must be.
func texts(values []any) ([]string, error) {
	out := make([]string, len(values))
	for i, v := range values {
		s, ok := v.(string)
		if !ok {
			return nil, wrongType("string", v)
		}
		out[i] = s
	}
	return out, nil
}

// sortedKeys returns the keys of an object in order, as values.
func sortedKeys(m *machine, v any) ([]any, map[string]any, error) {
	object, ok := v.(map[string]any)
	if !ok {
		return nil, nil, wrongType("object", v)
	}
	if err := m.charge(4 * len(object)); err != nil {
		return nil, nil, err
	}
	if err := m.grow(3 * valueRoom * len(object)); err != nil {
		return nil, nil, err
	}
	keys := make([]any, 0, len(object))
	for _, k := range slices.Sorted(maps.Keys(object)) {
		keys = append(keys, k)
	}
	return keys, object, nil
}
