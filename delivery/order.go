package delivery

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"

	"github.com/atoship/caddy-webhooks/rules"
)

// Keyer gives the key that an endpoint's deliveries are ordered by. It is called concurrently, before the publisher is
// answered, and must not keep or change ev. An empty key is no order.
type Keyer interface {
	Key(ev *Event) (string, error)
}

// RuleKeyer computes keys by an expression.
type RuleKeyer struct{ Expr *rules.Key }

// Key implements Keyer.
func (k RuleKeyer) Key(ev *Event) (string, error) {
	key, err := k.Expr.Of(ruleEvent(ev))
	if err != nil {
		return "", fmt.Errorf("evaluating the key: %w", err)
	}
	return key, nil
}

// orderKey is the key of a delivery at home at an endpoint. Keys that are too long for the store are hashed. When the key
// cannot be found out, the delivery goes in no order rather than not at all.
func (e *Engine) orderKey(ep *Endpoint, ev *Event) string {
	if ep == nil || ep.Order == nil {
		return ""
	}
	key, err := ep.Order.Key(ev)
	if err != nil {
		e.hot.Warn("ordered_by failed: the delivery goes in no order", slog.String("event", ev.ID), slog.String("type", ev.Type),
			slog.String("endpoint", ep.Name), slog.Any("error", err))
		return ""
	}
	if len(key) > MaxOrderKey {
		sum := sha256.Sum256([]byte(key))
		return "sha256:" + hex.EncodeToString(sum[:])
	}
	return key
}
