package replication

import (
	"context"
	"net"
	"time"
)

// Network is how a Transport listens and dials; tests bring one that can be cut
// and slowed. Implementations may be called from several goroutines at once.
type Network interface {
	// Listen listens on an address as net.Listen does.
	Listen(addr string) (net.Listener, error)
	// Dial connects to an address, until ctx ends.
	Dial(ctx context.Context, addr string) (net.Conn, error)
}

// TCP is the Network of the operating system.
type TCP struct{}

var _ Network = TCP{}

// keepAlive finds peers that went away without a word.
const keepAlive = 10 * time.Second

// Listen listens on a TCP address.
func (TCP) Listen(addr string) (net.Listener, error) {
	c := net.ListenConfig{KeepAlive: keepAlive}
	return c.Listen(context.Background(), "tcp", addr)
}

// Dial connects to a TCP address.
func (TCP) Dial(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{KeepAlive: keepAlive}
	return d.DialContext(ctx, "tcp", addr)
}

// isLoopback tells whether an address, host:port, is one of this machine alone.
// A name other than localhost is not: what it resolves to may change.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// isAddress tells whether an address has the form host:port and a length that
// fits a handshake.
func isAddress(addr string) bool {
	if len(addr) > maxAddressBytes {
		return false
	}
	host, port, err := net.SplitHostPort(addr)
	return err == nil && host != "" && port != ""
}
