// Package egress is the way out: an [http.RoundTripper] that dials public
// addresses only, verifies TLS always and bounds what comes back.
//
// What a customer enters as a URL or a header is hostile until shown
// otherwise, and is judged twice:
//
//	at load     CheckURL      the spelling: https, host, port, literal addresses
//	            CheckHeader   names and values that would change what we send
//	at connect  Guard.Check   the very address of each connect(), whatever the
//	                          name, its DNS answers or their age say
//
// Only the second can hold: a name may resolve to another address by the time
// it is dialled (DNS rebinding). The first gives a clear error while the
// person who typed it is looking.
//
// Where requests leave from is a profile's: a [Pool] of source addresses, of
// which each endpoint sticks to one, and [Proxies] in failover order.
//
//	attempt ─► exit      picks source and proxy   pool.go rendezvous.go backoff.go
//	        ─► way       connections of that route alone   transport.go
//	        ─► dialer    resolve, judge, bind, connect or ask for a tunnel   dial.go tunnel.go
//
// An attempt is a [Call]: over a [Transport] with nothing to choose it goes
// straight to the connection, and over anything else it is a round trip.
//
// What fails there on our side is an error whose Outcome is "local" (see
// [SourceError] and [ProxyError]) and is tried by the next source or proxy.
//
// Redirects are not followed at this level, response bodies are not
// decompressed, and proxy settings of the environment are ignored.
package egress
