package faultnet

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// firstPort is the first of the ports that a Node gives out itself.
const firstPort = 32768

// Node is a machine of a Network. Its Listen and Dial are what a program takes
// for its network.
type Node struct {
	net  *Network
	name string

	// Guarded by net.mu.
	nextPort int
	crashes  int
}

// Process is a program on a Node. Its Listen and Dial are the Node's, until the
// Node crashes: then they fail with net.ErrClosed, also those that wait, so that
// what is left of the program in the test's process reaches nobody.
type Process struct {
	node  *Node
	birth int // the node's crashes before it
}

// Addr is an address of a Network, host:port. Its Network is "tcp", for what
// asks.
type Addr string

var _ net.Addr = Addr("")

// Network returns "tcp".
func (Addr) Network() string { return "tcp" }

// String returns host:port.
func (a Addr) String() string { return string(a) }

// Name returns the node's name, the host part of its addresses.
func (n *Node) Name() string { return n.name }

// Process returns a new program on the node.
func (n *Node) Process() *Process {
	n.net.mu.Lock()
	defer n.net.mu.Unlock()
	return &Process{n, n.crashes}
}

// deadLocked tells whether the program has ended; net.mu is held. A nil Process is
// the Node itself and lives for ever.
func (p *Process) deadLocked() bool { return p != nil && p.birth != p.node.crashes }

// Listen is the Node's.
func (p *Process) Listen(addr string) (net.Listener, error) { return p.node.listen(p, addr) }

// Dial is the Node's.
func (p *Process) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return p.node.dial(ctx, p, addr)
}

// Listen listens on an address whose host is the node's name or empty. Port 0
// takes a free one. An address in use is refused with syscall.EADDRINUSE,
// another node's with syscall.EADDRNOTAVAIL.
func (n *Node) Listen(addr string) (net.Listener, error) { return n.listen(nil, addr) }

func (n *Node) listen(p *Process, addr string) (net.Listener, error) {
	fail := func(err error) (net.Listener, error) {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: Addr(addr), Err: err}
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fail(err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fail(fmt.Errorf("port %q is not a number below 65536", port))
	}
	if host != "" && host != n.name {
		return fail(os.NewSyscallError("bind", syscall.EADDRNOTAVAIL))
	}
	n.net.mu.Lock()
	defer n.net.mu.Unlock()
	if p.deadLocked() {
		return fail(net.ErrClosed)
	}
	own := n.address(int(number))
	if number == 0 {
		for own = n.address(n.takePortLocked()); n.net.listeners[own] != nil; {
			own = n.address(n.takePortLocked())
		}
	}
	if n.net.listeners[own] != nil {
		return fail(os.NewSyscallError("bind", syscall.EADDRINUSE))
	}
	l := &listener{node: n, addr: Addr(own), arrived: make(chan struct{}, 1), closed: make(chan struct{})}
	n.net.listeners[own] = l
	n.net.wakeDialsLocked()
	return l, nil
}

func (n *Node) address(port int) string { return net.JoinHostPort(n.name, strconv.Itoa(port)) }

// takePortLocked returns the next port; net.mu is held.
func (n *Node) takePortLocked() int {
	port := n.nextPort
	if n.nextPort++; n.nextPort > 65535 {
		n.nextPort = firstPort
	}
	return port
}

// Dial connects to an address. It waits while a link either way is cut or the
// listener does not accept, until ctx ends. An address without a listener is
// refused with syscall.ECONNREFUSED, a host that is no Node of the Network with
// a *net.DNSError.
func (n *Node) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return n.dial(ctx, nil, addr)
}

func (n *Node) dial(ctx context.Context, p *Process, addr string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: Addr(addr), Err: err}
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fail(err)
	}
	if host == "" {
		host, addr = n.name, n.name+addr
	}
	for begun := time.Now(); ; {
		if err := ctx.Err(); err != nil {
			return fail(err)
		}
		n.net.mu.Lock()
		if p.deadLocked() {
			n.net.mu.Unlock()
			return fail(net.ErrClosed)
		}
		if n.net.nodes[host] == nil {
			n.net.mu.Unlock()
			return fail(&net.DNSError{Err: "no such host", Name: host, IsNotFound: true})
		}
		changed := n.net.changed
		trip := n.net.conditionsLocked(n.name, host).Latency + n.net.conditionsLocked(host, n.name).Latency
		left := trip - time.Since(begun)
		l := n.net.listeners[addr]
		switch {
		case n.net.isCutLocked(n.name, host) || n.net.isCutLocked(host, n.name):
			left = -1 // nobody answers
		case left > 0:
		case l == nil:
			n.net.mu.Unlock()
			return fail(os.NewSyscallError("connect", syscall.ECONNREFUSED))
		default:
			p := newPair(n, l.node, Addr(n.address(n.takePortLocked())), l.addr)
			if l.push(p.ends[1]) {
				n.net.pairs[p] = struct{}{}
				n.net.mu.Unlock()
				return p.ends[0], nil
			}
			left = -1 // its backlog is full
		}
		n.net.mu.Unlock()
		if err := await(ctx, changed, left); err != nil {
			return fail(err)
		}
	}
}

// await waits for changed, for a time when it is not negative, or for the end of
// ctx, which is its error.
func await(ctx context.Context, changed <-chan struct{}, d time.Duration) error {
	var passed <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		passed = timer.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	case <-passed:
	}
	return nil
}

// Crash closes what the node has open, as a kernel does for a process that was
// killed: listeners are gone, connections break, and a Process of it is of no use
// any more. The node itself may be used on: it is the machine.
func (n *Node) Crash() {
	n.net.mu.Lock()
	n.crashes++
	n.net.wakeDialsLocked()
	var own []*listener
	for _, l := range n.net.listeners {
		if l.node == n {
			own = append(own, l)
		}
	}
	n.net.mu.Unlock()
	for _, l := range own {
		l.shut()
	}
	for _, p := range n.net.snapshot() {
		for _, end := range p.ends {
			if end.node == n {
				end.breakOff()
			}
		}
	}
}

// listener is a net.Listener of a Node.
type listener struct {
	node *Node
	addr Addr
	// arrived has an element when there may be something in waiting.
	arrived chan struct{}
	// closed is closed by the first Close.
	closed chan struct{}

	mu      sync.Mutex
	done    bool
	waiting []*conn // len <= backlog
}

var _ net.Listener = (*listener)(nil)

// push hands over the far end of a connection, unless the backlog is full or the
// listener closed. The Network's lock is held.
func (l *listener) push(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done || len(l.waiting) >= backlog {
		return false
	}
	l.waiting = append(l.waiting, c)
	l.signal()
	return true
}

func (l *listener) signal() {
	select {
	case l.arrived <- struct{}{}:
	default:
	}
}

// Accept waits for a connection, or for Close.
func (l *listener) Accept() (net.Conn, error) {
	for {
		l.mu.Lock()
		if len(l.waiting) > 0 && !l.done {
			c := l.waiting[0]
			l.waiting = slices.Delete(l.waiting, 0, 1)
			if len(l.waiting) > 0 {
				l.signal() // another Accept may wait
			}
			full := len(l.waiting) == backlog-1
			l.mu.Unlock()
			if full {
				l.node.net.mu.Lock()
				l.node.net.wakeDialsLocked()
				l.node.net.mu.Unlock()
			}
			return c, nil
		}
		l.mu.Unlock()
		select {
		case <-l.arrived:
		case <-l.closed:
			return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
		}
	}
}

// Close stops listening. Connections that nobody accepted break. A second Close
// says net.ErrClosed.
func (l *listener) Close() error {
	if !l.shut() {
		return &net.OpError{Op: "close", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
	}
	return nil
}

func (l *listener) shut() bool {
	n := l.node.net
	n.mu.Lock()
	l.mu.Lock()
	if l.done {
		l.mu.Unlock()
		n.mu.Unlock()
		return false
	}
	l.done = true
	close(l.closed)
	waiting := l.waiting
	l.waiting = nil
	l.mu.Unlock()
	delete(n.listeners, string(l.addr))
	n.wakeDialsLocked() // they are refused now
	n.mu.Unlock()
	for _, c := range waiting {
		c.breakOff()
		_ = c.Close() // nobody else will; it was not closed before
	}
	return true
}

// Addr returns the address that is listened on.
func (l *listener) Addr() net.Addr { return l.addr }
