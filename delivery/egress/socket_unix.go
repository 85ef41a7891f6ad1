//go:build unix

package egress

import (
	"net"
	"syscall"
)

// socket looks at a connection's socket without reading from it.
type socket struct {
	raw    syscall.RawConn // nil: there is none to look at
	peek   func(fd uintptr)
	silent *bool
}

func newSocket(conn net.Conn) socket {
	for {
		inner, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = inner.NetConn()
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return socket{}
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return socket{}
	}
	silent := new(bool)
	var b [1]byte
	return socket{raw: raw, silent: silent, peek: func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		*silent = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
	}}
}

// quiet reports that the other side has neither sent anything nor closed. One
// call at a time.
func (s socket) quiet() bool {
	if s.raw == nil {
		return true
	}
	*s.silent = false
	return s.raw.Control(s.peek) == nil && *s.silent // not Read: the last attempt's deadline may have passed
}
