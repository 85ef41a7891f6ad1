package caddymodule

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/atoship/caddy-webhooks/delivery/egress"
)

func init() { caddy.RegisterModule((*EgressList)(nil)) }

const (
	// egressListKey is where Caddy's storage keeps since when the list is as it is.
	egressListKey = "webhooks/egress_list.json"

	// egressListAge is how long a copy of the list may be used: short beside the days of notice.
	egressListAge = "public, max-age=300"

	// storageTimeout bounds a request that waits for Caddy's storage, which may be on another machine.
	storageTimeout = 5 * time.Second
)

// EgressList publishes the addresses that deliveries come from, for customers' firewalls. It is made of the same settings
// that bind the sockets: `address` and `upcoming` of every egress profile, or the `address` of its proxies. It needs the app
// `webhooks`.
//
// The list is JSON in the shape of AWS's ip-ranges.json; below a path that ends in `.txt`, or where the client would rather
// have `text/plain`, it is one prefix per line. `syncToken` and `createDate` are the time of the last change: when the list
// was first published as it is, which Caddy's storage remembers, or when an upcoming address came into use.
type EgressList struct {
	list    *egress.List
	storage listStorage
	loaded  time.Time
	log     *zap.Logger

	mu    sync.Mutex
	since time.Time // zero until the first request
}

// listStorage is the part of Caddy's storage that is needed here.
type listStorage interface {
	Load(ctx context.Context, key string) ([]byte, error)
	Store(ctx context.Context, key string, value []byte) error
}

// CaddyModule implements caddy.Module.
func (*EgressList) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.webhooks_egress_list", New: func() caddy.Module { return new(EgressList) }}
}

// Provision takes the list from the app.
func (l *EgressList) Provision(ctx caddy.Context) error {
	app, err := ctx.AppIfConfigured(appID)
	switch {
	case errors.Is(err, caddy.ErrNotConfigured):
		return errors.New("webhooks_egress_list needs the global option webhooks, which says where deliveries come from")
	case err != nil: // the app's own mistakes, told in full
		return err
	}
	l.log = ctx.Logger()
	l.list = app.(*App).egressList(l.log)
	l.storage = ctx.Storage()
	l.loaded = time.Now()
	return nil
}

// egressList is what customers are told of all profiles. What they would not be told gives a warning, as far as an endpoint
// uses it.
func (a *App) egressList(log *zap.Logger) *egress.List {
	var listed []egress.Listed
	used := make(map[string]bool)
	for i := range a.Endpoint {
		if p, err := a.egressNamed(a.Endpoint[i].over(a.Defaults).Egress); err == nil {
			used[p.name] = true
		}
	}
	for name, p := range a.profiles {
		listed = append(listed, p.listed...)
		if p.unlisted != "" && used[name] {
			log.Warn("the list of egress addresses is not complete: deliveries of this profile may come from others",
				zap.String("egress", name), zap.String("reason", p.unlisted))
		}
	}
	return egress.NewList(listed...)
}

// ServeHTTP implements caddyhttp.MiddlewareHandler. It always answers; nothing after it runs.
func (l *EgressList) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return caddyhttp.Error(http.StatusMethodNotAllowed, fmt.Errorf("the list is read with GET, not %s", r.Method))
	}
	now := time.Now()
	since := l.publishedSince(r.Context(), now)
	text, negotiated := wantsText(r)
	h := w.Header()
	if negotiated {
		h.Add("Vary", "Accept")
	}
	var body []byte
	if text {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		body = l.list.Text()
	} else {
		h.Set("Content-Type", "application/json")
		var err error
		if body, err = l.list.JSON(now, since); err != nil {
			return caddyhttp.Error(http.StatusInternalServerError, err)
		}
	}
	tag := sha256.Sum256(body)
	h.Set("Etag", `"`+hex.EncodeToString(tag[:16])+`"`)
	h.Set("Cache-Control", egressListAge)
	http.ServeContent(w, r, "", l.list.Changed(now, since), bytes.NewReader(body))
	return nil
}

// published is what storage keeps: since when the list has been as the digest says.
type published struct {
	Digest string    `json:"digest"`
	Since  time.Time `json:"since"`
}

// publishedSince asks storage since when the list is as it is, at the first request: Provision writes nothing, because
// `caddy validate` must not. If storage fails it is the time of the load.
func (l *EgressList) publishedSince(ctx context.Context, now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.since.IsZero() {
		return l.since
	}
	l.since = l.loaded.Truncate(time.Second)
	// Not the client's to cancel: the answer is kept.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageTimeout)
	defer cancel()
	digest := l.list.Digest()
	var before published
	raw, err := l.storage.Load(ctx, egressListKey)
	if err == nil {
		err = json.Unmarshal(raw, &before)
	}
	switch {
	case err == nil && before.Digest == digest && !before.Since.After(now):
		l.since = before.Since
		return l.since
	case err == nil || errors.Is(err, fs.ErrNotExist):
		raw, err = json.Marshal(published{digest, l.since.UTC()})
		if err == nil {
			err = l.storage.Store(ctx, egressListKey, raw)
		}
	}
	if err != nil {
		l.log.Warn("the list of egress addresses will seem changed after the next load: Caddy's storage does not remember it",
			zap.Error(err))
	}
	return l.since
}

// wantsText tells whether the client gets text instead of JSON, and whether that is by its Accept header.
func wantsText(r *http.Request) (text, negotiated bool) {
	switch path.Ext(r.URL.Path) {
	case ".txt":
		return true, false
	case ".json":
		return false, false
	}
	accept := strings.Join(r.Header.Values("Accept"), ",")
	return acceptance(accept, "text/plain") > acceptance(accept, "application/json"), true
}

// acceptance is how much a client wants a media type, 0 to 1 (RFC 9110, section 12.5.1).
func acceptance(accept, media string) float64 {
	kind, _, _ := strings.Cut(media, "/")
	best, precision := 0.0, 0
	for entry := range strings.SplitSeq(accept, ",") {
		name, params, err := mime.ParseMediaType(entry)
		if err != nil {
			continue
		}
		p := map[string]int{"*/*": 1, kind + "/*": 2, media: 3}[name]
		if p <= precision {
			continue
		}
		precision, best = p, 1
		if q, ok := params["q"]; ok {
			if best, err = strconv.ParseFloat(q, 64); err != nil {
				best = 0
			}
		}
	}
	return best
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*EgressList)(nil)
	_ caddyhttp.MiddlewareHandler = (*EgressList)(nil)
)
