package delivery_test

import (
	"go/build"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

const modulePath = "github.com/atoship/caddy-webhooks"

// leaves of the import graph: they import nothing of this module, so that each can be read, tested and reused alone.
var leaves = []string{
	"rules", "delivery/gate", "delivery/retry", "delivery/sign", "delivery/payload", "delivery/egress",
}

// allowed tells whether importer may import imported, both folders of this module. Arrows point to what may be imported:
//
//	caddymodule -> httpapi, dashboard, telemetry, store/* -> delivery -> leaves
func allowed(importer, imported string) bool {
	switch {
	case importer == "." || within(importer, "caddymodule") || within(importer, "examples"):
		return true // the outermost layer
	case isLeaf(importer):
		return importer == imported
	case importer == "delivery":
		return isLeaf(imported)
	default: // around the engine: stores, httpapi, dashboard, telemetry
		return isLeaf(imported) || imported == "delivery" || within(imported, importer) || within(importer, imported) ||
			within(importer, "delivery/store") && within(imported, "delivery/store") ||
			within(importer, "delivery/dashboard") && within(imported, "delivery/httpapi")
	}
}

func isLeaf(pkg string) bool {
	for _, l := range leaves {
		if within(pkg, l) {
			return true
		}
	}
	return false
}

func within(pkg, parent string) bool { return pkg == parent || strings.HasPrefix(pkg, parent+"/") }

// importsOf lists what the packages of the module import, by folder. Test files are left out: a test may stand on any
// layer it wants to try.
func importsOf(t *testing.T) map[string][]string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string][]string)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules") {
			return filepath.SkipDir
		}
		pkg, err := build.ImportDir(path, 0)
		if _, none := err.(*build.NoGoError); none { //nolint:errorlint // returned bare
			return nil
		} else if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		found[filepath.ToSlash(rel)] = pkg.Imports
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestImportsPointInwards(t *testing.T) {
	t.Parallel()
	packages := importsOf(t)
	for _, leaf := range leaves {
		if packages[leaf] == nil {
			t.Errorf("%s has no imports at all or is gone: is the list of leaves still right?", leaf)
		}
	}
	for importer, imports := range packages {
		for _, path := range imports {
			imported, ours := strings.CutPrefix(path, modulePath+"/")
			if ours && !allowed(importer, imported) {
				t.Errorf("%s imports %s, which is not further in", importer, imported)
			}
		}
	}
}

func TestOnlyTheCaddyModuleImportsCaddy(t *testing.T) {
	t.Parallel()
	for importer, imports := range importsOf(t) {
		if importer == "." || within(importer, "caddymodule") || within(importer, "examples") {
			continue
		}
		for _, path := range imports {
			if strings.HasPrefix(path, "github.com/caddyserver/") {
				t.Errorf("%s imports %s", importer, path)
			}
		}
	}
}
