package caddymodule

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

var update = flag.Bool("update", false, "write the JSON of the golden Caddyfiles anew")

// Separators in testdata/*.caddyfiletest: a Caddyfile, then the JSON it becomes or a part of the error it gives. One file
// holds one good case, or any number of refused ones.
const (
	caseEnd = "\n==========\n"
	result  = "\n----------\n"
)

// TestCaddyfiles adapts every file in testdata. In the JSON, {DIR} stands for the folder of the Caddyfile.
func TestCaddyfiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files found", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for i, text := range strings.Split(string(raw), caseEnd) {
				input, want, ok := strings.Cut(text, result)
				if !ok {
					t.Fatalf("case %d has no result", i+1)
				}
				input, want = strings.TrimSpace(input)+"\n", strings.TrimSpace(want)
				if want == "" || want[0] == '{' {
					checkAdapted(t, file, input, want)
				} else {
					checkRefused(t, input, want)
				}
			}
		})
	}
}

func checkAdapted(t *testing.T, file, input, want string) {
	t.Helper()
	if warning, different := caddyfile.FormattingDifference("Caddyfile", []byte(input)); different {
		t.Errorf("line %d is not formatted as `caddy fmt` would", warning.Line)
	}
	got, err := adapt(input)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, bytes.ReplaceAll(got, []byte(dir), []byte("{DIR}")), "", "\t"); err != nil {
		t.Fatal(err)
	}
	switch {
	case indented.String() == want:
	case *update:
		if err := os.WriteFile(file, []byte(input+result[1:]+indented.String()+"\n"), 0o644); err != nil { //nolint:gosec // a golden file of ours
			t.Fatal(err)
		}
	default:
		t.Errorf("adapted to\n%s\nwant\n%s", indented.String(), want)
	}
}

func checkRefused(t *testing.T, input, want string) {
	t.Helper()
	got, err := adapt(input)
	switch {
	case err == nil:
		t.Errorf("this was accepted:\n%s\nand became %s", input, got)
	case !strings.Contains(err.Error(), want):
		t.Errorf("error of\n%s\nis       %s\nwant it to contain %s", input, err, want)
	case !strings.Contains(err.Error(), "Caddyfile:"):
		t.Errorf("error names no file and line: %s", err)
	}
}

func adapt(input string) ([]byte, error) {
	b, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), map[string]any{"filename": "Caddyfile"})
	return b, err
}

// TestOptionsOfLaterVersionsAreRefused goes through everything that the documentation describes and this version does not
// have: taking it silently would promise what is not kept.
func TestOptionsOfLaterVersionsAreRefused(t *testing.T) {
	t.Parallel()
	blocks := map[string]string{
		"webhooks": "{\n\twebhooks {\n\t\t%s\n\t}\n}\n",
		"defaults": "{\n\twebhooks {\n\t\tdefaults {\n\t\t\t%s\n\t\t}\n\t}\n}\n",
		"endpoint": "{\n\twebhooks {\n\t\tendpoint a {\n\t\t\turl https://a.example/\n\t\t\t%s\n\t\t}\n\t}\n}\n",
		"route":    "{\n\twebhooks {\n\t\troute a {\n\t\t\t%s\n\t\t}\n\t}\n}\n",
		"verify":   ":80 {\n\twebhooks_verify {\n\t\t%s\n\t}\n}\n",
	}
	endpoint := []string{
		"signature rot13", "signature atoship rot13",
	}
	options := map[string][]string{
		"webhooks": {
			"store postgres {env.DATABASE_URL}",
		},
		"endpoint": endpoint,
		"defaults": endpoint,
		"verify":   {"signature rot13"},
	}
	for block, lines := range options {
		for _, line := range lines {
			input := strings.Replace(blocks[block], "%s", line, 1)
			t.Run(block+" "+line, func(t *testing.T) {
				t.Parallel()
				checkRefused(t, input, "available in this version")
			})
		}
	}
}

func TestMisspeltOptionIsSuggested(t *testing.T) {
	t.Parallel()
	for misspelt, want := range map[string]string{
		"urll": "did you mean 'url'?", "scret": "did you mean 'secret'?", "tiemout": "did you mean 'timeout'?",
		"retrz": "did you mean 'retry'?", "nothing_like_it": "known are backup, backup_after, breaker",
	} {
		checkRefused(t, "{\n\twebhooks {\n\t\tendpoint a {\n\t\t\t"+misspelt+" x\n\t\t}\n\t}\n}\n", want)
	}
}
