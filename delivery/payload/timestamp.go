package payload

import (
	"errors"
	"time"
)

// maxTimestamp bounds a timestamp, whose fraction RFC 3339 does not: it is
// repeated in every body and every list of events.
const maxTimestamp = 64

// ErrTimestamp is returned by [ParseTimestamp].
var ErrTimestamp = errors.New("a timestamp is RFC 3339, such as 2024-01-15T10:30:00Z or 2024-01-15T10:30:00.123+01:00")

// ParseTimestamp reads the date-time of RFC 3339 section 5.6, strictly: no
// missing offset, no day that its month does not have, no comma in front of
// the fraction (all of which time.Parse or receivers are of two minds about).
// T and Z may be lower case, the fraction has any length up to a total of 64
// bytes, and a leap second (23:59:60 UTC at the end of a month) is the second
// after it. What is past nanoseconds is dropped. Errors are [ErrTimestamp].
func ParseTimestamp(text string) (time.Time, error) {
	t, reason := parseTimestamp(text)
	if reason != "" {
		return time.Time{}, ErrTimestamp
	}
	return t, nil
}

// parseTimestamp returns the reason as text, "" if there is none to complain.
func parseTimestamp(text string) (time.Time, string) {
	fault := ErrTimestamp.Error()
	// 0000-00-00T00:00:00 and at least the Z
	if len(text) < 20 || len(text) > maxTimestamp {
		return time.Time{}, fault
	}
	for i, want := range "0000-00-00T00:00:00" {
		c := text[i]
		if want == '0' && isDigit(c) || want == rune(c) || want == 'T' && c == 't' {
			continue
		}
		return time.Time{}, fault
	}
	number := func(i, n int) (v int) {
		for _, c := range []byte(text[i : i+n]) {
			v = v*10 + int(c-'0')
		}
		return v
	}
	year, month, day := number(0, 4), time.Month(number(5, 2)), number(8, 2)
	hour, minute, second := number(11, 2), number(14, 2), number(17, 2)
	nanos, rest, ok := fraction(text[19:])
	offset, okOffset := zoneOffset(rest)
	if !ok || !okOffset || month < 1 || month > 12 || day < 1 || day > 28 && day > daysIn(year, month) ||
		hour > 23 || minute > 59 || second > 60 {
		return time.Time{}, fault
	}
	zone := time.UTC
	if offset != 0 {
		zone = time.FixedZone("", offset)
	}
	t := time.Date(year, month, day, hour, minute, second, nanos, zone)
	if utc := t.UTC(); second == 60 && (utc.Day() != 1 || utc.Hour() != 0 || utc.Minute() != 0) {
		return time.Time{}, fault
	}
	return t, ""
}

// fraction reads the optional .digits and returns it in nanoseconds.
func fraction(text string) (nanos int, rest string, ok bool) {
	if text[0] != '.' {
		return 0, text, true
	}
	i := 1
	for unit := 100_000_000; i < len(text) && isDigit(text[i]); i++ {
		nanos += unit * int(text[i]-'0')
		unit /= 10
	}
	return nanos, text[i:], i > 1
}

// zoneOffset reads Z or ±hh:mm as seconds east of UTC.
func zoneOffset(text string) (seconds int, ok bool) {
	if text == "Z" || text == "z" {
		return 0, true
	}
	if len(text) != 6 || text[0] != '+' && text[0] != '-' || text[3] != ':' {
		return 0, false
	}
	for _, i := range [...]int{1, 2, 4, 5} {
		if !isDigit(text[i]) {
			return 0, false
		}
	}
	hours := int(text[1]-'0')*10 + int(text[2]-'0')
	minutes := int(text[4]-'0')*10 + int(text[5]-'0')
	seconds = hours*3600 + minutes*60
	if text[0] == '-' {
		seconds = -seconds
	}
	return seconds, hours <= 23 && minutes <= 59
}

func daysIn(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}
