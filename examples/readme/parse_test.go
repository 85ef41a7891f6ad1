package readme_test

import (
	"strings"
	"testing"
)

func TestBlocks(t *testing.T) {
	t.Parallel()
	text := strings.ReplaceAll(`# Title
<!-- run: background until 127.0.0.1:8080 -->
'''sh
serve
'''
Words.
'''sh
ask
'''

'''json
{"id":"…"}
'''
'''text
not output: another block stands between
'''
'''caddyfile
'''
<!-- run: by .ci/run -->
'''sh
go test ./...
'''
`, "'''", "```")
	got, err := blocks(text)
	if err != nil {
		t.Fatal(err)
	}
	want := []block{
		{line: 4, script: "serve\n", background: "127.0.0.1:8080"},
		{line: 8, script: "ask\n", output: "{\"id\":\"…\"}\n"},
		{line: 21, script: "go test ./...\n", by: ".ci/run"},
	}
	if len(got) != len(want) {
		t.Fatalf("%d blocks: %+v", len(got), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("block %d is %+v, want %+v", i, got[i], want[i])
		}
	}
}

func TestBlocksRefusesWhatItWouldMisread(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"a misspelt directive":                      "<!-- run: backgrund until x -->\n```sh\ntrue\n```\n",
		"a directive with text before its commands": "<!-- run: eventually -->\nwords\n```sh\ntrue\n```\n",
		"a block without an end":                    "```sh\ntrue\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := blocks(text); err == nil {
				t.Errorf("accepted: %+v", got)
			}
		})
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, shown, got string
		want             bool
	}{
		{"the same text", "a\nb\n", "a\nb", true},
		{"an ellipsis for a part of a line", `{"id":"evt_…"}`, `{"id":"evt_0199"}`, true},
		{"an ellipsis for lines", "a\n…\nz", "a\nb\nc\nz", true},
		{"blanks at line ends", "a  \nb", "a\nb\n\n", true},
		{"more text after", "a", "ab", false},
		{"more text before", "b", "ab", false},
		{"signs that mean something in patterns", "a.b[c]", "axb[c]", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := matches(c.shown, c.got); got != c.want {
				t.Errorf("matches(%q, %q) = %v", c.shown, c.got, got)
			}
		})
	}
}
