// Package sign proves to a receiver that a request came from us: it computes
// the signature headers of an attempt and, on the receiving side, checks them.
//
// A [Scheme] is one published way of doing that, one file each:
//
//	atoship     X-AtoShip-Signature: sha256=<hex>          HMAC-SHA256 of the body
//	standard    webhook-id, webhook-timestamp,             HMAC-SHA256 of id.timestamp.body
//	            webhook-signature: v1,<base64> …
//
// A [Signer] is prepared once per endpoint, because setting up an HMAC key
// costs more than signing a small body with it, and is then used by every
// attempt. Each attempt signs anew: the timestamp is part of what is signed.
//
// Rotation: an endpoint has several secrets, newest first, each with an
// optional end. atoship, whose header holds one value, signs with the newest
// that is live; standard signs with all that are live, so that a receiver
// may change its secret at any moment of the overlap.
//
// Nothing in this package puts a secret into an error, a log or any printed
// or encoded form of its types.
package sign
