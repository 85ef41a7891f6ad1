package caddymodule

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestMistakesAreFoundWhereTheyAre has a mistake in every kind of place an expression can stand in. The line it is on holds
// the word HERE-n, n being its number.
func TestMistakesAreFoundWhereTheyAre(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"Caddyfile": `
(snippet) {
	route {args[0]} {
		when ` + "`" + `event.type == "a" &&
			event.wrong1 == "HERE-1"` + "`" + `
		to a
	}
}

{
	webhooks {
		endpoint a {
			url https://a.example/
			secret {env.X}
			events *
			when <<EXPR
				data.n == 1 &&
				data.m == 2 &&
					event.wrong2 == "HERE-2"
				EXPR
		}
		endpoint b {
			url https://b.example/
			secret {env.X}
			transform ` + "`{" + `
				"id": event.wrong6, "HERE-6": 1}` + "`" + `
			ordered_by ` + "`event.wrong7 + 'HERE-7'`" + `
		}
		import snippet one
		import routes/*.caddy
		route last {
			pick ` + "`" + `data.a == 1
				? "a"
				: "wrong3 HERE-3"` + "`" + `
			on_error skip
		}
	}
}
`,
		"routes/two.caddy": `
route two {
	when <<END
		lower(event.type) == "x"
			or event.wrong4 == "HERE-4"
		END
	to a
	transform <<END
		{"n": 1,
			"wrong": event.wrong8, "HERE-8": 2}
		END
	split a 1 b 2 by ` + "`event.wrong5 + 'HERE-5'`" + `
}
`,
	}
	dir := t.TempDir()
	want := make(map[int]string)
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(text, "\n") {
			if _, n, ok := strings.Cut(line, "HERE-"); ok {
				want[int(n[0]-'0')] = path + ":" + strconv.Itoa(i+1) + ": "
			}
		}
	}
	_, err := loadOffline(filepath.Join(dir, "Caddyfile"), "")
	if err == nil {
		t.Fatal("accepted")
	}
	for n, place := range want {
		wrong := "wrong" + strconv.Itoa(n)
		found := false
		for line := range strings.Lines(err.Error()) {
			found = found || strings.HasPrefix(line, place) && strings.Contains(line, wrong)
		}
		if !found {
			t.Errorf("%s is not reported at %s:\n%s", wrong, place, err)
		}
	}
	if len(want) != 8 {
		t.Errorf("%d places", len(want))
	}
}

// TestPathsThatNoSchemaKnowsAreFoundWhereTheyAre has one in every place an expression can stand in, as above.
func TestPathsThatNoSchemaKnowsAreFoundWhereTheyAre(t *testing.T) {
	t.Parallel()
	catalog := writeFile(t, "events.json", `{"events":[{"type":"label.created","schema":{"properties":{"carrier":{}},"additionalProperties":false}}]}`)
	path := writeFile(t, "Caddyfile", `{
	webhooks {
		catalog `+catalog+`
		endpoint a {
			url https://a.example/
			secret {env.X}
			events label.created
			when `+"`data.wrong1 == 1`"+`
			ordered_by `+"`data.wrong2`"+`
			transform `+"`{\n\"carrier\": data.wrong3}`"+`
		}
		endpoint b {
			url https://b.example/
			secret {env.X}
		}
		route r {
			when `+"`event.type == 'label.created' and data.wrong4 == 1`"+`
			to b
			split a 1 b 1 by `+"`data.wrong5`"+`
			transform `+"`data.wrong6`"+`
		}
	}
}
`)
	_, err := loadOffline(path, "")
	if err == nil {
		t.Fatal("accepted")
	}
	for wrong, line := range map[string]int{"wrong1": 8, "wrong2": 9, "wrong3": 11, "wrong4": 18, "wrong5": 20, "wrong6": 21} {
		found := false
		for said := range strings.Lines(err.Error()) {
			found = found || strings.HasPrefix(said, path+":"+strconv.Itoa(line)+": ") && strings.Contains(said, "has no data."+wrong)
		}
		if !found {
			t.Errorf("%s is not reported at line %d:\n%s", wrong, line, err)
		}
	}
}
