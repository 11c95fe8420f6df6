package faultnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pair is a connection: its two ends and what is under way between them.
type pair struct {
	net  *Network
	ends [2]*conn // the dialer's, the listener's

	// mu guards all below and the ends' fields.
	mu sync.Mutex
	// changed is closed and replaced when an end that waits should look again.
	changed chan struct{}
	waiting int // ends' calls that wait for changed
}

// conn is one end of a connection.
type conn struct {
	pair          *pair
	peer          *conn
	node          *Node
	local, remote Addr

	// Guarded by pair.mu.
	in            stream // what the peer wrote
	closed        bool   // by Close
	broken        bool   // by a fault, and this end knows
	wroteAll      bool   // by CloseWrite or Close
	readDeadline  time.Time
	writeDeadline time.Time
}

var _ net.Conn = (*conn)(nil)

// stream is one direction of a connection. What has arrived is the prefix of
// pieces whose time has come, while the link is not cut.
type stream struct {
	pieces []piece
	bytes  int // in pieces, at most bufferBytes
	ended  bool
	// endsAt is when the end arrives, after all pieces, once ended.
	endsAt time.Time
	// refused tells that this end broke off, so that the reader's connection is
	// broken from refusedAt on, whatever is under way.
	refused   bool
	refusedAt time.Time
	lastAt    time.Time // no piece arrives before this: bytes do not overtake
}

type piece struct {
	data      []byte
	arrivesAt time.Time // the zero time: at once
}

func newPair(from, to *Node, local, remote Addr) *pair {
	p := &pair{net: from.net, changed: make(chan struct{})}
	a := &conn{pair: p, node: from, local: local, remote: remote}
	b := &conn{pair: p, node: to, local: remote, remote: local}
	a.peer, b.peer = b, a
	p.ends = [2]*conn{a, b}
	return p
}

func (p *pair) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wakeLocked()
}

func (p *pair) wakeLocked() {
	if p.waiting > 0 {
		close(p.changed)
		p.changed = make(chan struct{})
	}
}

// waitLocked gives mu up until something changed or until a time that is not
// zero has come.
func (p *pair) waitLocked(until time.Time) {
	p.waiting++
	changed := p.changed
	p.mu.Unlock()
	if until.IsZero() {
		<-changed
	} else {
		timer := time.NewTimer(time.Until(until))
		select {
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
	p.mu.Lock()
	p.waiting--
}

func (c *conn) errorOf(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// hears tells whether what the peer sends can arrive.
func (c *conn) hears() bool { return !c.pair.net.cut(c.peer.node.name, c.node.name) }

// noticeLocked lets the end know that its peer broke off, once that has arrived.
// When it has not but will, it returns the time to look again.
func (c *conn) noticeLocked(hears bool) (again time.Time) {
	if c.broken || !c.in.refused || !hears {
		return time.Time{}
	}
	if !arrived(c.in.refusedAt) {
		return c.in.refusedAt
	}
	c.broken = true
	c.in.pieces, c.in.bytes = nil, 0
	return time.Time{}
}

func arrived(at time.Time) bool { return at.IsZero() || !time.Now().Before(at) }

func expired(deadline time.Time) bool { return !deadline.IsZero() && arrived(deadline) }

// earlier returns the earlier of two times, of which the zero ones do not count.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// Read reads what has arrived, at least a byte, or waits for it.
func (c *conn) Read(b []byte) (int, error) {
	p := c.pair
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		hears := c.hears()
		again := c.noticeLocked(hears)
		switch {
		case c.closed:
			return 0, c.errorOf("read", net.ErrClosed)
		case c.broken:
			return 0, c.errorOf("read", os.NewSyscallError("read", syscall.ECONNRESET))
		case expired(c.readDeadline):
			return 0, c.errorOf("read", os.ErrDeadlineExceeded)
		case len(b) == 0:
			return 0, nil
		}
		if hears {
			if n := c.takeLocked(b); n > 0 {
				p.wakeLocked() // there is room to write
				return n, nil
			}
			switch {
			case len(c.in.pieces) > 0:
				again = earlier(again, c.in.pieces[0].arrivesAt)
			case c.in.ended && arrived(c.in.endsAt):
				return 0, io.EOF
			case c.in.ended:
				again = earlier(again, c.in.endsAt)
			}
		}
		p.waitLocked(earlier(again, c.readDeadline))
	}
}

// takeLocked moves what has arrived into b.
func (c *conn) takeLocked(b []byte) int {
	n := 0
	for n < len(b) && len(c.in.pieces) > 0 && arrived(c.in.pieces[0].arrivesAt) {
		first := &c.in.pieces[0]
		k := copy(b[n:], first.data)
		n += k
		if first.data = first.data[k:]; len(first.data) == 0 {
			*first = piece{}
			c.in.pieces = c.in.pieces[1:]
		}
	}
	c.in.bytes -= n
	return n
}

// Write hands bytes to the link, and waits while the buffer is full.
func (c *conn) Write(b []byte) (int, error) {
	p, out := c.pair, &c.peer.in
	p.mu.Lock()
	defer p.mu.Unlock()
	written := 0
	for {
		hears := c.hears()
		again := c.noticeLocked(hears)
		switch {
		case c.closed:
			return written, c.errorOf("write", net.ErrClosed)
		case c.broken:
			return written, c.errorOf("write", os.NewSyscallError("write", syscall.ECONNRESET))
		case expired(c.writeDeadline):
			return written, c.errorOf("write", os.ErrDeadlineExceeded)
		case c.wroteAll, c.peer.closed && hears && c.reaches():
			return written, c.errorOf("write", os.NewSyscallError("write", syscall.EPIPE))
		case written == len(b):
			return written, nil
		}
		for out.bytes < bufferBytes && written < len(b) {
			n := min(len(b)-written, pieceBytes, bufferBytes-out.bytes)
			at, broken := p.net.send(c.node.name, c.peer.node.name, n)
			if broken {
				c.broken = true
				c.refuseLocked()
				p.wakeLocked()
				return written, c.errorOf("write", os.NewSyscallError("write", syscall.ECONNRESET))
			}
			out.push(b[written:written+n], at)
			written += n
			p.wakeLocked()
		}
		if written == len(b) {
			return written, nil
		}
		p.waitLocked(earlier(again, c.writeDeadline))
	}
}

// reaches tells whether what this end sends can arrive.
func (c *conn) reaches() bool { return c.peer.hears() }

// push adds a copy of data that arrives at a time, not before what was pushed.
func (s *stream) push(data []byte, at time.Time) {
	s.bytes += len(data)
	at = s.notBefore(at)
	if n := len(s.pieces); n > 0 && s.pieces[n-1].arrivesAt.Equal(at) && len(s.pieces[n-1].data)+len(data) <= pieceBytes {
		s.pieces[n-1].data = append(s.pieces[n-1].data, data...)
		return
	}
	s.pieces = append(s.pieces, piece{append(make([]byte, 0, len(data)), data...), at})
}

// notBefore returns when something arrives that was sent last and would arrive
// at a time by itself.
func (s *stream) notBefore(at time.Time) time.Time {
	if at.Before(s.lastAt) {
		return s.lastAt
	}
	s.lastAt = at
	return at
}

// CloseWrite ends what the peer can read. Reading goes on.
func (c *conn) CloseWrite() error {
	p := c.pair
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case c.closed:
		return c.errorOf("close", net.ErrClosed)
	case c.wroteAll:
		return nil
	}
	c.endLocked()
	p.wakeLocked()
	return nil
}

func (c *conn) endLocked() {
	c.wroteAll = true
	at, _ := c.pair.net.send(c.node.name, c.peer.node.name, 0)
	c.peer.in.ended, c.peer.in.endsAt = true, c.peer.in.notBefore(at)
}

// refuseLocked tells the peer that the connection is broken. What was written and
// has not arrived is lost.
func (c *conn) refuseLocked() {
	if c.peer.in.refused {
		return
	}
	c.peer.in.refused = true
	c.peer.in.refusedAt, _ = c.pair.net.send(c.node.name, c.peer.node.name, 0)
}

// Close ends both directions. What was written still arrives, unless the peer
// sent something that was not read: then the connection breaks, as TCP's does.
func (c *conn) Close() error {
	p := c.pair
	p.mu.Lock()
	if c.closed {
		p.mu.Unlock()
		return c.errorOf("close", net.ErrClosed)
	}
	c.closed = true
	switch {
	case c.broken:
	case c.in.bytes > 0:
		c.refuseLocked()
	case !c.wroteAll:
		c.endLocked()
	}
	c.in.pieces = nil // in.bytes stays: nobody makes room any more
	gone := c.peer.closed
	p.wakeLocked()
	p.mu.Unlock()
	if gone {
		p.net.mu.Lock()
		delete(p.net.pairs, p)
		p.net.mu.Unlock()
	}
	return nil
}

// breakOff breaks the connection at this end, for instance because its process
// is gone. The peer learns it when the link lets it.
func (c *conn) breakOff() {
	p := c.pair
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.closed || c.broken {
		return
	}
	c.broken = true
	c.in.pieces, c.in.bytes = nil, 0
	c.refuseLocked()
	p.wakeLocked()
}

// breakBoth breaks the connection for both ends, each as soon as it can hear.
func (p *pair) breakBoth() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.ends {
		c.in.refused, c.in.refusedAt = true, time.Time{}
	}
	p.wakeLocked()
}

// LocalAddr returns this end's address.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the peer's address.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(t time.Time) error {
	return c.set(func() { c.readDeadline, c.writeDeadline = t, t })
}

// SetReadDeadline sets until when Read waits; the zero time: for good.
func (c *conn) SetReadDeadline(t time.Time) error { return c.set(func() { c.readDeadline = t }) }

// SetWriteDeadline sets until when Write waits; the zero time: for good.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.set(func() { c.writeDeadline = t }) }

func (c *conn) set(f func()) error {
	c.pair.mu.Lock()
	defer c.pair.mu.Unlock()
	if c.closed {
		return c.errorOf("set", net.ErrClosed)
	}
	f()
	c.pair.wakeLocked()
	return nil
}
