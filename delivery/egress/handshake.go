package egress

import (
	"context"
	"crypto/tls"
	"net"
	"runtime"
)

// computing is held by the TLS handshakes that compute. A handshake costs some 0.7 ms of processor time, and when a thousand
// attempts time out in one moment, their lanes make a thousand connections in the next: unbounded they would hold up every
// other attempt for 0.4 s on two processors. With half of the processors (at least one) they take as long, and the others
// go on. One bound for the process, since all have the same processors.
var computing = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))

// shake makes a client's TLS handshake in its turn. The caller closes conn if it fails.
func shake(ctx context.Context, conn net.Conn, config *tls.Config) (*tls.Conn, error) {
	turn := &turnConn{Conn: conn}
	secure := tls.Client(turn, config)
	turn.shaking = true
	computing <- struct{}{}
	err := secure.HandshakeContext(ctx)
	<-computing
	turn.shaking = false
	return secure, err //nolint:wrapcheck // the callers say what for
}

// turnConn lets others compute while a handshake waits for the network: a server that never answers must not hold them up.
type turnConn struct {
	net.Conn
	shaking bool // written before and after the handshake, which reads and writes in one goroutine
}

// NetConn is the connection below.
func (c *turnConn) NetConn() net.Conn { return c.Conn }

func (c *turnConn) Read(b []byte) (int, error) {
	if c.shaking {
		<-computing
		defer func() { computing <- struct{}{} }()
	}
	return c.Conn.Read(b)
}

func (c *turnConn) Write(b []byte) (int, error) {
	if c.shaking {
		<-computing
		defer func() { computing <- struct{}{} }()
	}
	return c.Conn.Write(b)
}
