package caddymodule

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"

	"github.com/atoship/caddy-webhooks/delivery/sign"
)

const signerNamespace = "webhooks.signers"

func init() {
	caddy.RegisterModule((*AtoShipSigner)(nil))
	caddy.RegisterModule((*StandardSigner)(nil))
}

// Signer is what modules in the namespace webhooks.signers implement: a signature scheme. One module value is loaded per
// endpoint that uses the scheme.
type Signer = sign.Scheme

// AtoShipSigner signs the body with HMAC-SHA256 into `X-AtoShip-Signature: sha256=<hex>`. It signs no time: receivers that
// must refuse replays use the scheme `standard` or remember event ids.
type AtoShipSigner struct {
	sign.Scheme `json:"-"`
}

// CaddyModule implements caddy.Module.
func (*AtoShipSigner) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: signerNamespace + ".atoship", New: func() caddy.Module { return new(AtoShipSigner) }}
}

// Provision implements caddy.Provisioner.
func (s *AtoShipSigner) Provision(caddy.Context) error { return builtIn("atoship", &s.Scheme) }

// StandardSigner signs id, time and body with HMAC-SHA256 as Standard Webhooks 1.0 (v1) describes, once per live secret.
type StandardSigner struct {
	sign.Scheme `json:"-"`
}

// CaddyModule implements caddy.Module.
func (*StandardSigner) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: signerNamespace + ".standard", New: func() caddy.Module { return new(StandardSigner) }}
}

// Provision implements caddy.Provisioner.
func (s *StandardSigner) Provision(caddy.Context) error { return builtIn("standard", &s.Scheme) }

// builtIn finds the scheme of this name in the sign package.
func builtIn(name string, dst *sign.Scheme) error {
	scheme, ok := sign.Lookup(name)
	if !ok {
		return fmt.Errorf("signature scheme %s is not built in", name)
	}
	*dst = scheme
	return nil
}

// Interface guards.
var (
	_ Signer = (*AtoShipSigner)(nil)
	_ Signer = (*StandardSigner)(nil)
)
