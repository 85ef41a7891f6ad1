// Package sign proves to a receiver that a request came from us: it computes
// the signature headers of an attempt and, on the receiving side, checks them.
//
// A [Scheme] is one published way of doing that, one file each:
//
//	atoship           X-AtoShip-Signature: sha256=<hex>       HMAC-SHA256 of the body
//	standard          webhook-id, webhook-timestamp,          HMAC-SHA256 of id.timestamp.body
//	                  webhook-signature: v1,<base64> …
//	standard_ed25519  the same, v1a,<base64> …                Ed25519 of id.timestamp.body
//	github            X-Hub-Signature-256: sha256=<hex>       HMAC-SHA256 of the body
//	stripe            Stripe-Signature: t=…,v1=<hex>,…        HMAC-SHA256 of timestamp.body
//	shopify           X-Shopify-Hmac-Sha256: <base64>         HMAC-SHA256 of the body
//	rfc9421           Content-Digest, Signature-Input,        HMAC-SHA256 or Ed25519 of method,
//	                  Signature                               URL, id, digest and type of the body
//
// A [Signer] is prepared once per endpoint by [New], because setting up an
// HMAC key costs more than signing a small body with it, and is then used by
// every attempt. Each attempt signs anew: the timestamp is part of what is
// signed.
//
// Keys: a secret is shared with the receiver, or it is an Ed25519 key, whsk_
// here and whpk_ there, see [Form]. An endpoint may have both kinds; each
// scheme takes its own.
//
// Rotation: an endpoint has several secrets, newest first, each with an
// optional end. The schemes whose header holds one value (atoship, github,
// shopify) sign with the newest that is live; the others sign with all that
// are live, so that a receiver may change its secret at any moment of the
// overlap.
//
// Nothing in this package puts a secret into an error, a log or any printed
// or encoded form of its types.
package sign
