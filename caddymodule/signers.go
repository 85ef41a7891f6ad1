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
	caddy.RegisterModule((*StandardEd25519Signer)(nil))
	caddy.RegisterModule((*GitHubSigner)(nil))
	caddy.RegisterModule((*StripeSigner)(nil))
	caddy.RegisterModule((*ShopifySigner)(nil))
	caddy.RegisterModule((*RFC9421Signer)(nil))
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

// StandardEd25519Signer signs id, time and body with Ed25519 as Standard Webhooks 1.0 (v1a) describes, once per live secret
// that starts with `whsk_`. Beside `standard` both put their signatures into the one `webhook-signature` header. Receivers
// get the public key, `whpk_…`, and cannot sign what they can verify.
type StandardEd25519Signer struct {
	sign.Scheme `json:"-"`
}

// CaddyModule implements caddy.Module.
func (*StandardEd25519Signer) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: signerNamespace + ".standard_ed25519", New: func() caddy.Module { return new(StandardEd25519Signer) }}
}

// Provision implements caddy.Provisioner.
func (s *StandardEd25519Signer) Provision(caddy.Context) error {
	return builtIn("standard_ed25519", &s.Scheme)
}

// GitHubSigner signs the body as GitHub does: `X-Hub-Signature-256: sha256=<hex>`, with the event id in `X-GitHub-Delivery`
// and the event type in `X-GitHub-Event` unless the endpoint sets that header itself. It signs no time.
type GitHubSigner struct {
	sign.Scheme `json:"-"`
}

// CaddyModule implements caddy.Module.
func (*GitHubSigner) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: signerNamespace + ".github", New: func() caddy.Module { return new(GitHubSigner) }}
}

// Provision implements caddy.Provisioner.
func (s *GitHubSigner) Provision(caddy.Context) error { return builtIn("github", &s.Scheme) }

// StripeSigner signs time and body as Stripe does: `Stripe-Signature: t=<seconds>,v1=<hex>`, one `v1` per live secret. The
// key is the secret string as it stands, a `whsec_` included. It does not sign the event id.
type StripeSigner struct {
	sign.Scheme `json:"-"`
}

// CaddyModule implements caddy.Module.
func (*StripeSigner) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: signerNamespace + ".stripe", New: func() caddy.Module { return new(StripeSigner) }}
}

// Provision implements caddy.Provisioner.
func (s *StripeSigner) Provision(caddy.Context) error { return builtIn("stripe", &s.Scheme) }

// ShopifySigner signs the body as Shopify does: `X-Shopify-Hmac-Sha256: <base64>`, with the event id in
// `X-Shopify-Webhook-Id` and the event type in `X-Shopify-Topic` unless the endpoint sets that header itself. Receivers that
// use Shopify's own library also need `X-Shopify-Shop-Domain` and `X-Shopify-API-Version`, given by the endpoint's `header`.
// It signs no time.
type ShopifySigner struct {
	sign.Scheme `json:"-"`
}

// CaddyModule implements caddy.Module.
func (*ShopifySigner) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: signerNamespace + ".shopify", New: func() caddy.Module { return new(ShopifySigner) }}
}

// Provision implements caddy.Provisioner.
func (s *ShopifySigner) Provision(caddy.Context) error { return builtIn("shopify", &s.Scheme) }

// RFC9421Signer signs method, host, path, query, content type, event id and a digest of the body (`Content-Digest`) as HTTP
// Message Signatures (RFC 9421) describe, with one label, `sig1` and so on, per live secret: `hmac-sha256`, or `ed25519` for a
// secret that starts with `whsk_`. Receivers should accept signatures for 300 seconds after `created`: the defaults of many
// libraries are shorter.
type RFC9421Signer struct {
	sign.Scheme `json:"-"`
}

// CaddyModule implements caddy.Module.
func (*RFC9421Signer) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: signerNamespace + ".rfc9421", New: func() caddy.Module { return new(RFC9421Signer) }}
}

// Provision implements caddy.Provisioner.
func (s *RFC9421Signer) Provision(caddy.Context) error { return builtIn("rfc9421", &s.Scheme) }

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
	_ Signer = (*StandardEd25519Signer)(nil)
	_ Signer = (*GitHubSigner)(nil)
	_ Signer = (*StripeSigner)(nil)
	_ Signer = (*ShopifySigner)(nil)
	_ Signer = (*RFC9421Signer)(nil)
)
