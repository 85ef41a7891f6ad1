package payload

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// benchEvent is an event of about 400 bytes, written by hand as publishers do.
var benchEvent = []byte(`{"event": "label.created", "timestamp": "2024-01-15T10:30:00Z", "data": {"label_id": "lbl_abc123",` +
	` "tracking_number": "9400111899223", "carrier": "USPS", "service": "Priority Mail", "order_id": "ord_xyz789",` +
	` "weight": 12.5, "pieces": 3, "insured": false, "to": {"name": "Zoë Müller", "street": "12 Main St / Rear", "zip": "94107"},` +
	` "tags": ["fragile", "gift"], "cost": 7.35, "meta": {"a": null, "b": true}}}`)

func BenchmarkStable(b *testing.B) {
	large := []byte(`{"items":[` + strings.TrimSuffix(strings.Repeat(string(benchEvent)+",", 600), ",") + `]}`)
	for _, c := range []struct {
		name string
		doc  []byte
	}{
		{"event of 400 B", benchEvent},
		{"document of 250 KiB", large},
		{"member names out of order", []byte(`{"z":{"b":1,"3":2,"2":3,"1":4},"20":{"x":1},"10":[1,2,3]}`)},
		{"numbers of 17 digits", []byte("[" + strings.TrimSuffix(strings.Repeat("0.30000000000000004,", 20), ",") + "]")},
		{"text beyond ASCII", []byte(`"` + strings.Repeat("東京都千代田区", 20) + `"`)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.doc)))
			b.ReportAllocs()
			dst := make([]byte, 0, 2*len(c.doc))
			for b.Loop() {
				if _, err := AppendStable(dst, c.doc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEnvelope(b *testing.B) {
	e, err := ParseEnvelope(benchEvent, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("ParseEnvelope", func(b *testing.B) {
		b.SetBytes(int64(len(benchEvent)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ParseEnvelope(benchEvent, Options{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ContentHash", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e.ContentHash()
		}
	})
	b.Run("AppendBody", func(b *testing.B) {
		b.ReportAllocs()
		dst := make([]byte, 0, 1024)
		for b.Loop() {
			AppendBody(dst, e.Type, e.Timestamp, e.Data)
		}
	})
}

// The standard library doing less, for scale.
func BenchmarkEncodingJSON(b *testing.B) {
	b.Run("Compact", func(b *testing.B) {
		b.SetBytes(int64(len(benchEvent)))
		b.ReportAllocs()
		var buf bytes.Buffer
		for b.Loop() {
			buf.Reset()
			if err := json.Compact(&buf, benchEvent); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Unmarshal and Marshal", func(b *testing.B) {
		b.SetBytes(int64(len(benchEvent)))
		b.ReportAllocs()
		for b.Loop() {
			var v any
			if err := json.Unmarshal(benchEvent, &v); err != nil {
				b.Fatal(err)
			}
			if _, err := json.Marshal(v); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Hostile shapes, each 256 KiB: the time per byte must stay near the others'.
func BenchmarkHostile(b *testing.B) {
	const size = 256 << 10
	fill := func(open, unit, shut string) []byte {
		return []byte(open + strings.Repeat(unit, (size-len(open)-len(shut))/len(unit)) + shut)
	}
	// counted makes an object whose names count down from n, with a prefix.
	counted := func(prefix string, n int) []byte {
		var b strings.Builder
		for ; b.Len() < size; n-- {
			fmt.Fprintf(&b, `,"%s%d":0`, prefix, n)
		}
		return []byte("{" + b.String()[1:] + "}")
	}
	for name, doc := range map[string][]byte{
		"names":        counted("k", 100_000),
		"indices down": counted("", 100_000),
		"digits":       fill("", "7", ""),
		"escapes":      fill(`"`, `\u0001`, `"`),
		"brackets":     fill("[", "[[[[]]]],", "0]"),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			dst := make([]byte, 0, 2*len(doc))
			for b.Loop() {
				_, _ = AppendStable(dst, doc)
			}
		})
	}
}

func BenchmarkCatalogCheck(b *testing.B) {
	c, err := LoadCatalog([]byte(sampleCatalog), "events.json")
	if err != nil {
		b.Fatal(err)
	}
	data := []byte(`{"label_id":"lbl_abc123","weight":1.5}`)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Check("label.created", data); err != nil {
			b.Fatal(err)
		}
	}
}
