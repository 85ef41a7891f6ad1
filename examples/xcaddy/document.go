package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddyserver/xcaddy"
)

// maxDocument bounds the file we read; a real one has a few hundred bytes.
const maxDocument = 1 << 20

// load reads a Builder document strictly: unknown fields, a second value and trailing bytes are errors.
func load(path string) (xcaddy.Builder, error) {
	file, err := os.Open(path)
	if err != nil {
		return xcaddy.Builder{}, fmt.Errorf("opening the build document: %w", err)
	}
	defer file.Close()

	builder, err := decode(io.LimitReader(file, maxDocument))
	if err != nil {
		return xcaddy.Builder{}, fmt.Errorf("%s: %w", path, err)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return xcaddy.Builder{}, fmt.Errorf("finding the directory of %s: %w", path, err)
	}
	resolve(&builder, dir)
	return builder, nil
}

func decode(r io.Reader) (xcaddy.Builder, error) {
	var builder xcaddy.Builder
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&builder); err != nil {
		return builder, fmt.Errorf("not an xcaddy.Builder document: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return builder, errors.New("not an xcaddy.Builder document: more follows after it")
	}
	return builder, nil
}

// resolve makes the document's relative paths absolute from dir, since xcaddy builds in a temporary folder. As in go.mod,
// a replacement is a path when it starts with a dot or a slash, and a module otherwise.
func resolve(b *xcaddy.Builder, dir string) {
	for i, r := range b.Replacements {
		p := string(r.New)
		if p == "." || p == ".." || strings.HasPrefix(p, "./") || strings.HasPrefix(p, "../") {
			b.Replacements[i].New = xcaddy.ReplacementPath(filepath.Join(dir, p))
		}
	}
	for i, e := range b.EmbedDirs {
		if !filepath.IsAbs(e.Dir) {
			b.EmbedDirs[i].Dir = filepath.Join(dir, e.Dir)
		}
	}
}
