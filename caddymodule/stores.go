package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/store/embedded"
)

const storeNamespace = "webhooks.stores"

func init() { caddy.RegisterModule((*EmbeddedStore)(nil)) }

// Store is what modules in the namespace webhooks.stores implement. Provisioning one must not open, lock or dial
// anything: `caddy validate` does it beside a running server.
type Store interface {
	// Identity names the place that is opened. Configs with equal identities share one engine, which is how it outlives
	// a reload; so every setting that makes it another place must be in it, and no other.
	Identity() string
	// Open opens the store; it is called once per identity, by the first config that starts. The store must not keep ctx,
	// and must use logger, which outlives the config.
	Open(ctx context.Context, logger *slog.Logger) (delivery.Store, error)
}

// EmbeddedStore keeps everything in one directory of this machine; no service has to run for it. Only one process may use
// the directory at a time.
type EmbeddedStore struct {
	// The directory; it is made when it does not exist. Placeholders like `{env.X}` are replaced at load. Default:
	// `webhooks` in Caddy's data directory.
	Path string `json:"path,omitempty"`

	dir string
}

// CaddyModule implements caddy.Module.
func (*EmbeddedStore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: storeNamespace + ".embedded", New: func() caddy.Module { return new(EmbeddedStore) }}
}

// Provision finds out where the directory is, and makes and locks nothing.
func (s *EmbeddedStore) Provision(caddy.Context) error {
	path, err := resolve(s.Path)
	if err != nil {
		return fmt.Errorf("path: %w", err)
	}
	if path == "" {
		path = filepath.Join(caddy.AppDataDir(), "webhooks")
	}
	if s.dir, err = realPath(path); err != nil {
		return fmt.Errorf("path %s: %w", path, err)
	}
	info, err := os.Stat(s.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("path: %w", err)
	case !info.IsDir():
		return fmt.Errorf("path %s is not a directory", s.dir)
	}
	return nil
}

// Identity implements Store.
func (s *EmbeddedStore) Identity() string { return "embedded:" + s.dir }

// Open implements Store.
func (s *EmbeddedStore) Open(ctx context.Context, logger *slog.Logger) (delivery.Store, error) {
	return embedded.Open(ctx, embedded.Options{Dir: s.dir, Logger: logger})
}

// UnmarshalCaddyfile reads `embedded [<path>]`.
func (s *EmbeddedStore) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if d.CountRemainingArgs() > 0 {
		if err := onePath(d, &s.Path); err != nil {
			return err
		}
	}
	if d.NextArg() {
		return d.Errf("store embedded: surplus word '%s'", d.Val())
	}
	return words{block: "store embedded"}.parse(d)
}

// realPath makes path absolute and free of symbolic links, as far as it exists: two names of one directory must be one
// identity, or a reload would open it twice.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	for rest := ""; ; {
		found, err := filepath.EvalSymlinks(path)
		if err == nil {
			return filepath.Join(found, rest), nil
		}
		parent := filepath.Dir(path)
		if !errors.Is(err, fs.ErrNotExist) || parent == path {
			return "", err
		}
		path, rest = parent, filepath.Join(filepath.Base(path), rest)
	}
}

// loadStore loads the configured store module, or the embedded one.
func (a *App) loadStore(ctx caddy.Context) (Store, error) {
	return load[Store](ctx, a, "StoreRaw", a.StoreRaw == nil, storeNamespace+".embedded")
}

// load loads the guest module in a field of host, or the named one with its defaults when the field is empty, as a T.
func load[T any](ctx caddy.Context, host any, field string, empty bool, fallback string) (T, error) {
	var (
		m   any
		err error
	)
	if empty {
		m, err = ctx.LoadModuleByID(fallback, nil)
	} else {
		m, err = ctx.LoadModule(host, field)
	}
	if err != nil {
		return *new(T), err
	}
	return guestAs[T](m)
}

// guestAs checks that a guest module is what its namespace asks for.
func guestAs[T any](m any) (T, error) {
	t, ok := m.(T)
	if !ok {
		return t, fmt.Errorf("module %s (%T) does not implement %T, which its namespace asks for", caddy.GetModuleID(m), m, new(T))
	}
	return t, nil
}

// Interface guards.
var (
	_ Store                 = (*EmbeddedStore)(nil)
	_ caddy.Provisioner     = (*EmbeddedStore)(nil)
	_ caddyfile.Unmarshaler = (*EmbeddedStore)(nil)
)
