package egress

import "net/netip"

// Failures before the endpoint had a say. Their texts are for the operator's
// log and hold no credentials. Each names the class of its attempt by
// Outcome, and a stable sub-code by Detail.

// outcomeLocal is the class of failures on our side. They cost the endpoint
// nothing: no step of its schedule, no count of its breaker.
const outcomeLocal = "local"

// SourceError means that a source address of the pool could not be used, or
// that the pool has none to use. The kernel's own choice never takes its
// place: customers let through the published addresses only.
type SourceError struct {
	Addr netip.Addr // that was lost; the zero Addr if there was none to use
	Err  error
}

func (e *SourceError) Error() string {
	if !e.Addr.IsValid() {
		return "source address: " + e.Err.Error()
	}
	return "source address " + e.Addr.String() + ": " + e.Err.Error()
}

// Unwrap returns what failed.
func (e *SourceError) Unwrap() error { return e.Err }

// Outcome returns "local".
func (e *SourceError) Outcome() string { return outcomeLocal }

// Detail returns "source_address".
func (e *SourceError) Detail() string { return "source_address" }

// ProxyError means that a proxy did not do its part: it could not be reached,
// its certificate is wrong, it refused us, or what it said is not HTTP.
type ProxyError struct {
	Proxy string // scheme, host and port
	Err   error

	// named tells that the proxy had been told the destination. What fails
	// then may be about that destination, and must not take the proxy from
	// other endpoints.
	named bool
}

func (e *ProxyError) Error() string {
	if e.Proxy == "" {
		return e.Err.Error()
	}
	return "proxy " + e.Proxy + ": " + e.Err.Error()
}

// Unwrap returns what failed.
func (e *ProxyError) Unwrap() error { return e.Err }

// Outcome returns "local".
func (e *ProxyError) Outcome() string { return outcomeLocal }

// Detail returns "proxy".
func (e *ProxyError) Detail() string { return "proxy" }

// TunnelError means that a proxy said the destination cannot be reached (502,
// 503, 504), or did not answer in time, as it does while it dials in vain. A
// proxy without a network of its own says the same, so the other proxies are
// asked first; only if none of them gets through, it is the endpoint's.
type TunnelError struct {
	Proxy  string // scheme, host and port
	Status int    // of the answer; 0 if there was none in time
	Err    error
}

func (e *TunnelError) Error() string { return "through proxy " + e.Proxy + ": " + e.Err.Error() }

// Unwrap returns what failed.
func (e *TunnelError) Unwrap() error { return e.Err }

// Outcome returns "timeout" where time ran out, else "unreachable": what it
// would be without a proxy.
func (e *TunnelError) Outcome() string {
	if e.Status == 0 || e.Status == 504 {
		return "timeout"
	}
	return "unreachable"
}

// Detail returns "through_proxy".
func (e *TunnelError) Detail() string { return "through_proxy" }
