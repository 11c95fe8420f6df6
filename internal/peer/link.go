package peer

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// link is a line of requests to a node with the connection that they take, one at a
// time. It has a goroutine while it has something to send or is connected.
type link struct {
	node *node
	long bool // it has one request at a time

	// slots has a token for each call that is in line, sent or not.
	slots chan struct{}
	wake  chan struct{} // of capacity 1; has something when queue or closed changed

	mu      sync.Mutex
	closed  error   // why; nil while the link may be used
	queue   []*Call // not sent yet, in the order of their starts
	running bool    // the goroutine is there
	// interrupted is what ends the attempt to connect; nil while there is none.
	interrupted context.CancelCauseFunc
	conn        *conn // nil while not connected

	failures int // attempts since the last that led to an answer; the goroutine's
}

func newLink(n *node, maxInFlight int) *link {
	return &link{node: n, slots: make(chan struct{}, maxInFlight), wake: make(chan struct{}, 1)}
}

// load is how many calls are in line.
func (l *link) load() int { return len(l.slots) }

// start puts a call in line. It waits for room until ctx ends.
func (l *link) start(ctx context.Context, c *Call) error {
	c.link = l
	select {
	case l.slots <- struct{}{}:
	default:
		select {
		case l.slots <- struct{}{}:
		case <-ctx.Done():
			return &InterruptedError{Node: l.node.id, API: c.api.key, Err: context.Cause(ctx)}
		case <-l.node.ended:
			l.slots <- struct{}{} // what is in line ends now
		}
	}
	l.mu.Lock()
	if l.closed == nil && !l.running {
		if l.running = l.node.pool.spawn(l.run); !l.running {
			l.closed = ErrClosed
		}
	}
	if err := l.closed; err != nil {
		l.mu.Unlock()
		l.release()
		return &UnreachableError{Node: l.node.id, API: c.api.key, Err: err}
	}
	l.queue = append(l.queue, c)
	l.mu.Unlock()
	l.rouse()
	return nil
}

// rouse lets the goroutine look at what there is.
func (l *link) rouse() {
	select {
	case l.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// release makes room for another call.
func (l *link) release() {
	<-l.slots
	if l.long {
		l.node.giveBack(l)
	}
}

// withdraw takes a call out of the line if it was not sent yet.
func (l *link) withdraw(c *Call) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.queue {
		if l.queue[i] == c {
			l.queue = append(l.queue[:i], l.queue[i+1:]...)
			return true
		}
	}
	return false
}

// interrupt ends the connection, or the attempt to make one.
func (l *link) interrupt(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.interruptLocked(err)
}

func (l *link) interruptLocked(err error) {
	if l.interrupted != nil {
		l.interrupted(err)
	}
	if l.conn != nil {
		l.conn.endLocked(err)
	}
}

// close ends the link: what is in line fails, and all that comes.
func (l *link) close(err error) {
	l.mu.Lock()
	l.closed = err
	l.interruptLocked(err)
	l.mu.Unlock()
	l.rouse()
}

// run sends what is in line until there is nothing and the connection ended.
func (l *link) run() {
	for l.more() {
		if c, err := l.connect(); err != nil {
			l.failQueue(err)
		} else {
			l.serve(c)
		}
	}
}

// more reports whether there is something to send. If not, the goroutine ends.
func (l *link) more() bool {
	l.mu.Lock()
	err := l.closed
	if err == nil && len(l.queue) > 0 {
		l.mu.Unlock()
		return true
	}
	l.running = false
	l.mu.Unlock()
	if err != nil {
		l.failQueue(err) // nothing comes after it
	}
	return false
}

// failQueue ends what waits to be sent.
func (l *link) failQueue(err error) {
	l.mu.Lock()
	queue := l.queue
	l.queue = nil
	l.mu.Unlock()
	addr := l.node.address()
	for _, c := range queue {
		c.unreachable(addr, false, err)
	}
}

// connect makes a connection, after a pause if the one before was of no use. Where
// the address changes meanwhile it begins again.
func (l *link) connect() (*conn, error) {
	for {
		ctx, cancel := context.WithCancelCause(l.node.pool.ctx)
		l.mu.Lock()
		if err := l.closed; err != nil {
			l.mu.Unlock()
			cancel(nil)
			return nil, err
		}
		l.interrupted = cancel
		l.mu.Unlock()

		c, err := l.attempt(ctx)

		l.mu.Lock()
		l.interrupted = nil
		cause := context.Cause(ctx)
		if err == nil && cause == nil {
			l.conn = c
		}
		l.mu.Unlock()
		cancel(nil)
		switch {
		case errors.Is(cause, ErrAddressChanged):
			l.failures = 0
		case cause != nil:
			err = cause
		case err != nil:
			l.failures++
			l.node.pool.cfg.Logger.Debug("peer: connecting failed", "node", l.node.id, "err", err, "failures", l.failures)
		}
		if err == nil && cause == nil {
			return c, nil
		}
		if c != nil {
			_ = c.raw.Close() // made, and not wanted any more
		}
		if !errors.Is(cause, ErrAddressChanged) {
			return nil, err
		}
	}
}

// attempt connects once.
func (l *link) attempt(ctx context.Context) (*conn, error) {
	cfg := &l.node.pool.cfg
	if d := pause(cfg, l.failures); d > 0 {
		timer := cfg.Clock.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C():
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return dial(ctx, l, l.node.address())
}

// pause is how long to wait before an attempt after so many that were of no use.
func pause(cfg *Config, failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	d := cfg.BackoffMax
	if shift := failures - 1; shift < 30 && cfg.BackoffMin<<shift < d {
		d = max(cfg.BackoffMin<<shift, 0)
	}
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// serve sends what is in line over a connection until that ends.
func (l *link) serve(c *conn) {
	read := make(chan struct{})
	go func() {
		defer close(read)
		c.read()
	}()
	c.write()
	_ = c.raw.Close() // the reader learns of it; a second time it fails
	<-read

	l.mu.Lock()
	l.conn = nil
	err, sent, answered := c.err, c.sent, c.answered
	c.sent = nil
	l.mu.Unlock()
	switch {
	case answered, errors.Is(err, ErrAddressChanged), errors.Is(err, ErrDisconnected):
		l.failures = 0
	case !errors.Is(err, errIdle):
		l.failures++
	}
	if len(sent) == 0 {
		return // whatever waits can go over the next
	}
	l.node.pool.cfg.Logger.Debug("peer: connection lost", "node", l.node.id, "addr", c.addr, "unanswered", len(sent), "err", err)
	l.mu.Lock()
	queue := l.queue
	l.queue = nil
	l.mu.Unlock()
	for _, call := range sent {
		call.unreachable(c.addr, true, err)
	}
	for _, call := range queue {
		call.unreachable(c.addr, false, err)
	}
}
