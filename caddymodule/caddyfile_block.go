package caddymodule

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

// words says what a block may contain. Each option's function starts at the option's name and takes the words after it;
// words left over are an error, and so is a second use unless the option is in repeat.
type words struct {
	// block is how errors call the block: "webhooks", "endpoint orders".
	block string
	// options are read by their functions.
	options map[string]func(d *caddyfile.Dispenser) error
	// repeat names the options that may be given more than once.
	repeat []string
	// later names options that the documentation knows and this version does not have. Taking them silently would promise
	// what is not kept.
	later []string
}

// parse reads the block that opens after d's current token; having none is fine.
func (w words) parse(d *caddyfile.Dispenser) error {
	seen := make(map[string]int)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		if name == "{" && !d.Token().Quoted() {
			return d.Errf("%s: this option takes no block", w.block)
		}
		parse, ok := w.options[name]
		switch line, again := seen[name]; {
		case !ok && slices.Contains(w.later, name):
			return d.Errf("%s: option '%s' is not available in this version", w.block, name)
		case !ok:
			return d.Errf("%s: unknown option '%s'%s", w.block, name, w.suggest(name))
		case again && !slices.Contains(w.repeat, name):
			return d.Errf("%s: option '%s' is given twice, first in line %d", w.block, name, line)
		}
		seen[name] = d.Line()
		if err := parse(d); err != nil {
			return err
		}
		if d.NextArg() {
			return d.Errf("%s: surplus word '%s' after option '%s'", w.block, d.Val(), name)
		}
	}
	return nil
}

// suggest names the option that was probably meant, or all there are.
func (w words) suggest(name string) string {
	known := slices.Sorted(maps.Keys(w.options))
	if len(known) == 0 {
		return "; it has none"
	}
	for _, k := range known {
		if near(name, k) {
			return "; did you mean '" + k + "'?"
		}
	}
	return "; known are " + strings.Join(known, ", ")
}

// near tells whether a and b differ by one letter more, less, changed or swapped.
func near(a, b string) bool {
	if len(a) < len(b) {
		a, b = b, a
	}
	i := 0
	for i < len(b) && a[i] == b[i] {
		i++
	}
	switch len(a) - len(b) {
	case 1:
		return a[i+1:] == b[i:]
	case 0:
		return i == len(a) || a[i+1:] == b[i+1:] ||
			i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
	}
	return false
}

// newName reads the name of an endpoint or a route. first says where that name was given before, "" if nowhere.
func newName(d *caddyfile.Dispenser, what string, dst *string, first func(name string) string) error {
	if err := one(d, dst); err != nil {
		return err
	}
	if err := checkName(what, *dst); err != nil {
		return d.WrapErr(err)
	}
	if pos := first(*dst); pos != "" {
		return d.Errf("%s %s exists already, see %s", what, *dst, pos)
	}
	return nil
}

// The functions below read what follows an option's name. In their errors d.Val() is the option or the last word read.

// one reads exactly one word.
func one(d *caddyfile.Dispenser, dst *string) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	*dst = d.Val()
	if *dst == "" {
		return d.Err("an empty word is not allowed here")
	}
	return nil
}

// some reads one or more words.
func some(d *caddyfile.Dispenser, dst *[]string) error {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.ArgErr()
	}
	if slices.Contains(args, "") {
		return d.Err("an empty word is not allowed here")
	}
	*dst = append(*dst, args...)
	return nil
}

// bare takes no words.
func bare(_ *caddyfile.Dispenser, dst *bool) error {
	*dst = true
	return nil
}

// duration reads a positive duration like 30s, 5m, 24h or 30d.
func duration(d *caddyfile.Dispenser, dst *caddy.Duration) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	v, err := parseDuration(d.Val())
	if err != nil {
		return d.WrapErr(err)
	}
	*dst = v
	return nil
}

func parseDuration(s string) (caddy.Duration, error) {
	v, err := caddy.ParseDuration(s)
	if err != nil || v <= 0 {
		return 0, fmt.Errorf("'%s' is not a positive duration like 30s, 5m, 24h or 30d", s)
	}
	return caddy.Duration(v), nil
}

// number reads a whole number from low to high.
func number(d *caddyfile.Dispenser, dst *int, low, high int) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	n, err := strconv.Atoi(d.Val())
	if err != nil || n < low || n > high {
		return d.Errf("'%s' is not a whole number from %d to %d", d.Val(), low, high)
	}
	*dst = n
	return nil
}

// size reads a number of bytes like 256KiB.
func size(d *caddyfile.Dispenser, dst *int64) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	n, err := humanize.ParseBytes(d.Val())
	if err != nil || n == 0 || n > 1<<40 {
		return d.Errf("'%s' is not a size like 256KiB or 1MB", d.Val())
	}
	*dst = int64(n)
	return nil
}

// expression reads one backtick or heredoc token, and where its text begins. Quoted or bare text is refused: Caddy would
// take backslashes out of the one and split the other at spaces, and both would compile to something else than was meant.
func expression(d *caddyfile.Dispenser, text, pos *string) error {
	if !d.NextArg() {
		return d.Err("an expression is needed here, as one token in backticks or a heredoc")
	}
	token := d.Token()
	line := token.Line
	switch raw := d.ValRaw(); {
	case !token.Quoted():
		return d.Errf("an expression is one token in backticks or a heredoc, '%s' is neither", token.Text)
	case raw == token.Text: // a heredoc: its text begins on the line after <<MARKER
		line++
	case raw[0] != '`':
		return d.Err("an expression is one token in backticks or a heredoc, not in double quotes")
	}
	if strings.TrimSpace(token.Text) == "" {
		return d.Err("the expression is empty")
	}
	if d.NextArg() {
		return d.Errf("an expression is one token in backticks or a heredoc, but more follows it: '%s'", d.Val())
	}
	*text, *pos = token.Text, token.File+":"+strconv.Itoa(line)
	return nil
}

// instant reads a time in RFC 3339.
func instant(d *caddyfile.Dispenser, dst *time.Time) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	t, err := time.Parse(time.RFC3339, d.Val())
	if err != nil {
		return d.Errf("'%s' is not a time in RFC 3339 like 2026-12-24T00:00:00Z", d.Val())
	}
	*dst = t
	return nil
}

// position is where d's current token stands.
func position(d *caddyfile.Dispenser) string { return d.File() + ":" + strconv.Itoa(d.Line()) }

// besideFile resolves a relative path against the folder of the Caddyfile that d's current token is in. It must happen
// here: the server that loads the JSON may run in another folder. What starts with a placeholder is left alone.
func besideFile(d *caddyfile.Dispenser, path string) (string, error) {
	if filepath.IsAbs(path) || strings.HasPrefix(path, "{") {
		return path, nil
	}
	abs, err := filepath.Abs(filepath.Join(filepath.Dir(d.File()), path))
	if err != nil {
		return "", d.Errf("resolving the path %s: %w", path, err)
	}
	return abs, nil
}

// onePath reads one path.
func onePath(d *caddyfile.Dispenser, dst *string) error {
	var path string
	if err := one(d, &path); err != nil {
		return err
	}
	abs, err := besideFile(d, path)
	*dst = abs
	return err
}

// secretText reads one secret. A relative {file.…} is resolved like every path.
func secretText(d *caddyfile.Dispenser, dst *string) error {
	if err := one(d, dst); err != nil {
		return err
	}
	name, ok := strings.CutPrefix(*dst, "{file.")
	if name, closed := strings.CutSuffix(name, "}"); ok && closed {
		abs, err := besideFile(d, name)
		*dst = "{file." + abs + "}"
		return err
	}
	return nil
}
