package httpapi

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzIngest: whatever comes in, the handler neither panics nor answers with anything but JSON; and it never accepts text
// that the standard library does not take for JSON, unless it came as bytes.
func FuzzIngest(f *testing.F) {
	types := []string{"application/json", "application/x-ndjson", ceJSON, ceBatch, "application/json; charset=utf-8", "text/plain"}
	for i, body := range []string{
		sent, sent + "\n" + sent, `{"specversion":"1.0","id":"a","source":"/s","type":"x","datacontenttype":"text/plain","data":"x"}`,
		`[{"specversion":"1.0","id":"a","source":"/s","type":"x","data_base64":"AA=="}]`, "[" + sent + "]", "\xff",
	} {
		f.Add(uint8(i), body, "")
		f.Add(uint8(i), body, `"a%20\"`)
	}
	f.Fuzz(func(t *testing.T, kind uint8, body, attribute string) {
		e := newFake(t)
		contentType := types[int(kind)%len(types)]
		r := post(contentType, body)
		if attribute != "" {
			for _, name := range []string{"Ce-Specversion", "Ce-Id", "Ce-Source", "Ce-Type"} {
				r.Header.Set(name, strings.Map(func(c rune) rune { return max(c, ' ') }, attribute))
			}
			r.Header.Set("Ce-Specversion", "1.0")
		}
		status, _, answer := do(e.ingest(), r)
		if !json.Valid([]byte(answer)) {
			t.Fatalf("%d with %q", status, answer)
		}
		if status >= 500 || (status < 300) != (len(e.taken) > 0) {
			t.Fatalf("%d with %d events: %s", status, len(e.taken), answer)
		}
		if status >= 300 || contentType == "text/plain" {
			return
		}
		lines := []string{body}
		if contentType == "application/x-ndjson" && attribute == "" {
			lines = strings.Split(body, "\n")
		}
		for _, line := range lines {
			binaryWithoutBody := attribute != "" && line == ""
			if !json.Valid([]byte(line)) && strings.TrimSpace(line) != "" && !binaryWithoutBody && !isRaw(e) {
				t.Fatalf("accepted %q", line)
			}
		}
		for _, ev := range e.taken {
			if ev.DataEnd > 0 && (!json.Valid(ev.Body) || !json.Valid(ev.Data())) || !validID(ev.ID) || ev.Environment == "" {
				t.Fatalf("event %s", summary(ev))
			}
		}
	})
}

// isRaw tells whether the one event taken is sent byte for byte: then its body need not be JSON.
func isRaw(e *fakeEngine) bool { return len(e.taken) == 1 && e.taken[0].DataEnd == 0 }
