// Package caddywebhooks adds a webhook delivery gateway to Caddy: importing it registers the app `webhooks`, the
// directives `webhooks_ingest` and `webhooks_verify`, and the admin routes under /webhooks/.
//
// It exists so that a build needs to know the module's path only:
//
//	xcaddy build --with github.com/atoship/caddy-webhooks
//
// and, from a checkout,
//
//	xcaddy build --with github.com/atoship/caddy-webhooks@v0.0.0=.
//
// The code is in three folders: caddymodule speaks Caddy, delivery is the engine, rules decides who wants an event.
package caddywebhooks

import _ "github.com/atoship/caddy-webhooks/caddymodule" // registers everything
