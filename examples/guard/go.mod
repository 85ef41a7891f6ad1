module github.com/atoship/caddy-webhooks/examples/guard

go 1.26.0

require (
	code.dny.dev/ssrf v0.3.0
	github.com/atoship/caddy-webhooks v0.0.0
)

require (
	golang.org/x/net v0.60.0 // indirect
	golang.org/x/oauth2 v0.37.0 // indirect
	golang.org/x/text v0.42.0 // indirect
)

replace github.com/atoship/caddy-webhooks => ../..
