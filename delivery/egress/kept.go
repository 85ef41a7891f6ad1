package egress

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
)

// What is kept of an answer's header. Of a failure it is all that may tell why,
// as far as there is room; of a success, which nearly every answer is, only who
// gave it: the application, or the catch-all of a proxy before it. The 700
// bytes of dates and policies that a CDN adds to each would cost half as much
// disk as everything else that a delivery leaves behind.
const (
	maxKept          = 2 << 10
	maxKeptOfSuccess = 256
	maxKeptValue     = 512
)

// Hidden stands where a value, or the rest of one, is not shown. As a line of
// [Call.Fields] it tells that others were left out for want of room.
const Hidden = "…"

// keepFields notes the lines of a plain answer's head that are worth keeping,
// the status line before them.
func (w *wire) keepFields(status int, lines []byte) {
	w.kept = w.kept[:0]
	_, lines, _ = nextLine(lines)
	for len(lines) > 0 {
		line, rest, _ := nextLine(lines)
		name, value, _ := bytes.Cut(line, []byte(":"))
		w.kept = appendField(w.kept, status, name, bytes.Trim(value, " \t"))
		lines = rest
	}
}

// keptOf is the same of an answer that net/http has read, by name.
func keptOf(resp *http.Response) (lines []byte) {
	names := make([]string, 0, len(resp.Header))
	for name := range resp.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range resp.Header[name] {
			lines = appendField(lines, resp.StatusCode, []byte(name), []byte(value))
		}
	}
	return lines
}

// appendField adds "Name: value" to the lines, if it is worth keeping. The
// first one for which there is no room is the end.
func appendField(lines []byte, status int, name, value []byte) []byte {
	most := maxKept
	if status >= 200 && status <= 299 {
		if !tellsWho(name) {
			return lines
		}
		most = maxKeptOfSuccess
	}
	rest := ""
	switch {
	case isCut(lines):
		return lines
	case mayBeSecret(name):
		value, rest = nil, Hidden
	case len(value) > maxKeptValue:
		value, rest = value[:maxKeptValue], Hidden
	}
	if len(lines)+len(name)+len(": ")+len(value)+len(rest)+len("\n"+cut) > most {
		return append(lines, cut...)
	}
	lines = append(append(lines, name...), ": "...)
	for _, c := range value {
		lines = append(lines, max(c, ' ')) // net/http takes control characters
	}
	return append(append(lines, rest...), '\n')
}

const cut = Hidden + "\n"

func isCut(lines []byte) bool {
	before, found := bytes.CutSuffix(lines, []byte(cut))
	return found && (len(before) == 0 || before[len(before)-1] == '\n')
}

// tellsWho tells the fields that say who answered, and under which name that
// one has the request in its own log.
func tellsWho(name []byte) bool {
	switch len(name) {
	case len("Via"):
		return is(name, "Via")
	case len("Server"):
		return is(name, "Server") || is(name, "Cf-Ray")
	case len("Content-Type"):
		if is(name, "Content-Type") {
			return true
		}
	}
	return hasFoldSuffix(name, "-id") || hasFoldSuffix(name, "requestid")
}

func hasFoldSuffix(name []byte, end string) bool {
	return len(name) > len(end) && is(name[len(name)-len(end):], end)
}

// secretWords are what the names of fields have in them whose values may let
// somebody in. A challenge tells only what it wants.
var secretWords = []string{"cookie", "auth", "token", "secret", "session", "password", "passwd", "credential", "apikey", "api-key", "access-key", "private"}

// MayBeSecret tells of a header's field, by its name, that its values may let
// somebody in.
func MayBeSecret(name string) bool { return mayBeSecret([]byte(name)) }

func mayBeSecret(name []byte) bool {
	var room [64]byte
	low := room[:0]
	for _, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		low = append(low, c)
	}
	if string(low) == "www-authenticate" {
		return false
	}
	for _, word := range secretWords {
		if bytes.Contains(low, []byte(word)) {
			return true
		}
	}
	return bytes.HasPrefix(low, []byte("proxy-"))
}

// Fields reads lines as [Call.Fields] has them; left tells that others were
// left out for want of room.
func Fields(lines []byte) (header http.Header, left bool) {
	header = make(http.Header)
	for line := range strings.Lines(string(lines)) {
		name, value, found := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if !found {
			left = true
			continue
		}
		header.Add(name, value)
	}
	return header, left
}

// minHidden is the shortest value looked for in answers: shorter ones are no
// secrets, and words that mean something else.
const minHidden = 8

// hide overwrites what an answer repeats of the request's secrets. Test servers
// that send back what they got do that.
func (c *Call) hide(secrets ...string) {
	for _, secret := range secrets {
		if _, word, found := strings.Cut(secret, " "); found { // after "Bearer"
			c.overwrite(word)
		}
		c.overwrite(secret)
	}
}

func (c *Call) overwrite(secret string) {
	if len(secret) < minHidden {
		return
	}
	for _, text := range [...][]byte{c.Fields, c.Excerpt} {
		for {
			i := bytes.Index(text, []byte(secret))
			if i < 0 {
				break
			}
			text = text[i:]
			for j := range len(secret) {
				text[j] = '*'
			}
		}
	}
}
