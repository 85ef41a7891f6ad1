package caddymodule

// Egress is a way out of the gateway: from which addresses deliveries leave, which they may reach, and on which ports. By
// default they leave from the address that the operating system chooses, for public addresses on port 443 over https.
type Egress struct {
	// The profile's name, by which endpoints ask for it: 1 to 64 of `A-Z a-z 0-9 _ -`, not starting with `ep_`.
	// Default: `default`, the profile of endpoints that name none.
	Name string `json:"name,omitempty"`

	// Where the profile stands in the Caddyfile it was adapted from, as `file:line`; errors at load name it.
	// Default: none.
	Pos string `json:"pos,omitempty"`

	// The addresses of this machine that deliveries leave from; with `proxy`, the connections to the proxies. Each endpoint
	// sticks to one per address family, and moves to another of the list while the machine has lost its own. Where none is
	// left, or none of the destination's family, the attempt is a local fault, which costs the endpoint nothing.
	// Placeholders like `{env.X}` are replaced at load. Default: the operating system chooses.
	Address []string `json:"address,omitempty"`

	// Addresses that join `address` on a day to come. They are in the list for customers at once, and are never bound
	// before. Default: none.
	Upcoming []EgressUpcoming `json:"upcoming,omitempty"`

	// The proxies to send through, in failover order: an attempt goes through the first that makes a tunnel. Default: none.
	Proxy []EgressProxy `json:"proxy,omitempty"`

	// Addresses (`127.0.0.1`) and networks (`10.1.0.0/16`) that deliveries may reach although they are not public. They
	// are compared with the address that is dialed, after name resolution. Default: none.
	Allow []string `json:"allow,omitempty"`

	// Public addresses and networks that deliveries may not reach, whatever `allow` says: the address that a router in front
	// translates to this machine's, for instance. Default: none.
	Deny []string `json:"deny,omitempty"`

	// IPv6 networks of length 96 under which this network reaches IPv4 (RFC 6052), such as `64:ff9b::/96`. An address in one
	// is judged as the IPv4 address that it ends in. Default: none; such addresses are refused.
	NAT64 []string `json:"nat64,omitempty"`

	// Ports that endpoints may use, or the one word `any`. Default: `443`.
	Ports []string `json:"ports,omitempty"`

	// Permit `http://` for endpoints whose address is inside `allow`. Default: `false`.
	PlainHTTP bool `json:"plain_http,omitempty"`
}

// EgressUpcoming is a source address that is announced and not yet in use.
type EgressUpcoming struct {
	// The address. Required.
	Address string `json:"address"`

	// The day it joins, as `2026-12-24`; the day begins at midnight UTC. Less than 7 days ahead gives a warning: customers
	// need time to let it in. Required.
	NotBefore string `json:"not_before"`
}

// EgressProxy is an HTTP proxy that makes tunnels (CONNECT). It is told the address that the gateway resolved and judged,
// never a name. A proxy that fails costs an endpoint nothing; only if every proxy that could be asked says that it cannot
// reach the destination (502, 503, 504, or no answer in time), the attempt counts as a failure of the endpoint.
type EgressProxy struct {
	// `https://host:port` or `http://host:port`. The port's default is that of the scheme. It may be a private address.
	// Placeholders like `{env.X}` are replaced at load. Required.
	URL string `json:"url"`

	// User and password, sent to this proxy alone. Default: none.
	BasicAuth *ProxyAuth `json:"basic_auth,omitempty"`

	// The addresses from which the proxy reaches endpoints, for the list for customers. Default: none; the proxy is not
	// in the list.
	Address []string `json:"address,omitempty"`

	// How an https proxy is verified, and how we identify ourselves to it. Default: the system's authorities, no client
	// certificate.
	TLS *EndpointTLS `json:"tls,omitempty"`
}

// ProxyAuth is what a proxy asks for (RFC 7617).
type ProxyAuth struct {
	// The user, without a colon. Placeholders like `{env.X}` and `{file.X}` are replaced at load. Required.
	User string `json:"user"`

	// The password, as `{env.NAME}` or `{file./path}`; a literal one works and is warned about. Required.
	Password string `json:"password"`
}
