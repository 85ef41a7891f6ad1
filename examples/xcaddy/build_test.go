package main

import (
	"debug/buildinfo"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/xcaddy"
)

const plugin = "github.com/atoship/caddy-webhooks"

// TestTheDocumentDecidesTheBinary builds three times. Each build compiles Caddy at its version, so it is a matter of
// minutes on a cold cache: XCADDY_BUILD=1 asks for it, as .ci/run does.
func TestTheDocumentDecidesTheBinary(t *testing.T) {
	if os.Getenv("XCADDY_BUILD") == "" {
		t.Skip("SKIP: set XCADDY_BUILD=1 to build Caddy from xcaddy.json (minutes)")
	}
	shipped, err := load("../../xcaddy.json")
	if err != nil {
		t.Fatal(err)
	}

	t.Run("as shipped it is Caddy at that version with our module in it", func(t *testing.T) {
		bin := build(t, shipped)
		if got := moduleVersion(t, bin, "github.com/caddyserver/caddy/v2"); got != shipped.CaddyVersion {
			t.Errorf("Caddy is %s, the document says %s", got, shipped.CaddyVersion)
		}
		if got := moduleVersion(t, bin, plugin); got != shipped.Plugins[0].Version {
			t.Errorf("the plugin is %q, the document says %s", got, shipped.Plugins[0].Version)
		}
		if !strings.Contains(listModules(t, bin), "http.handlers.webhooks_ingest") {
			t.Error("the binary does not list http.handlers.webhooks_ingest")
		}
	})
	t.Run("another plugin version gives another binary", func(t *testing.T) {
		changed := shipped
		changed.Plugins = []xcaddy.Dependency{{PackagePath: plugin, Version: "v0.0.1"}}
		if got := moduleVersion(t, build(t, changed), plugin); got != "v0.0.1" {
			t.Errorf("the plugin is %q, the document says v0.0.1", got)
		}
	})
	t.Run("another Caddy version and no plugin give another binary", func(t *testing.T) {
		bin := build(t, xcaddy.Builder{CaddyVersion: "v2.11.8"})
		if got := moduleVersion(t, bin, "github.com/caddyserver/caddy/v2"); got != "v2.11.8" {
			t.Errorf("Caddy is %s, the document says v2.11.8", got)
		}
		if strings.Contains(listModules(t, bin), "webhooks_ingest") {
			t.Error("a plugin that the document does not name is in the binary")
		}
	})
}

// build writes the document to a file and builds from that file, as a user would.
func build(t *testing.T, b xcaddy.Builder) string {
	t.Helper()
	document, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config, bin := filepath.Join(dir, "xcaddy.json"), filepath.Join(dir, "caddy")
	if err := os.WriteFile(config, document, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), config, bin, nil); err != nil {
		t.Fatal(err)
	}
	return bin
}

// moduleVersion of a module linked into bin, from its build information; empty when it is not there.
func moduleVersion(t *testing.T, bin, module string) string {
	t.Helper()
	info, err := buildinfo.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range info.Deps {
		if dep.Path == module {
			return dep.Version
		}
	}
	return ""
}

func listModules(t *testing.T, bin string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), bin, "list-modules").CombinedOutput()
	if err != nil {
		t.Fatalf("%s list-modules: %v\n%s", bin, err, out)
	}
	return string(out)
}
