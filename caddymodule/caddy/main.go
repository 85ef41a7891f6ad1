// Command caddy is Caddy with its standard modules and the webhook delivery gateway: what xcaddy builds, without xcaddy.
//
//	go run ./caddymodule/caddy run --config Caddyfile.example
package main

import (
	_ "time/tzdata" // log time zones work in images that carry no zone files

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/atoship/caddy-webhooks/caddymodule"
)

func main() { caddycmd.Main() }
