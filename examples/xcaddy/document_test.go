package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, document string
		want           string // part of the error; empty: accepted
	}{
		{"a pinned version alone is a document", `{"caddy_version":"v2.11.9"}`, ""},
		{"target fields are at the top level", `{"caddy_version":"v2.11.9","os":"linux","arch":"arm64"}`, ""},
		{"a misspelt field is refused", `{"caddy_version":"v2.11.9","pluggins":[]}`, `unknown field "pluggins"`},
		{"a misspelt member of a plugin is refused", `{"plugins":[{"module":"x"}]}`, `unknown field "module"`},
		{"a wrong type is refused", `{"plugins":{}}`, "cannot unmarshal"},
		{"a second document is refused", `{} {}`, "more follows"},
		{"trailing text is refused", `{} x`, "more follows"},
		{"an empty file is refused", ``, "not an xcaddy.Builder document"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := decode(strings.NewReader(c.document))
			switch {
			case c.want == "" && err != nil:
				t.Fatalf("refused: %v", err)
			case c.want != "" && err == nil:
				t.Fatal("accepted")
			case c.want != "" && !strings.Contains(err.Error(), c.want):
				t.Fatalf("error %q does not say %q", err, c.want)
			}
		})
	}
}

func TestTheShippedDocumentNamesTheCheckout(t *testing.T) {
	t.Parallel()
	b, err := load("../../xcaddy.json")
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Replacements) != 1 || string(b.Replacements[0].New) != root {
		t.Fatalf("replacements %+v, want one that leads to %s", b.Replacements, root)
	}
	if len(b.Plugins) != 1 || b.Plugins[0].PackagePath != "github.com/atoship/caddy-webhooks" {
		t.Fatalf("plugins %+v", b.Plugins)
	}
}

func TestRunRefusesSurplusWordsAndUnpinnedCaddy(t *testing.T) {
	t.Parallel()
	if err := run(t.Context(), "../../xcaddy.json", "unused", []string{"build"}); err == nil || !strings.Contains(err.Error(), "surplus") {
		t.Fatalf("surplus word: %v", err)
	}
	if err := run(t.Context(), "testdata/unpinned.json", "unused", nil); err == nil || !strings.Contains(err.Error(), "caddy_version") {
		t.Fatalf("unpinned: %v", err)
	}
}
