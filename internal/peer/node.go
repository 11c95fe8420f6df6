package peer

import (
	"context"
	"sync"

	"github.com/leatlog/leat/internal/base"
)

// node is a peer with its links.
type node struct {
	pool    *Pool
	id      base.NodeID
	ordered []*link
	short   []*link
	ended   chan struct{} // closed by close

	// slots has a token for each long request that is under way.
	slots chan struct{}

	mu        sync.Mutex // taken before that of a link
	closed    error      // why; nil while the node is there
	addr      string
	long      []*link // all there are
	free      []*link // those of long that have no request; the last was used last
	abandoned []*link // those of long whose request nobody waits for, oldest first
}

func newNode(p *Pool, id base.NodeID, addr string) *node {
	n := &node{pool: p, id: id, addr: addr, ended: make(chan struct{}), slots: make(chan struct{}, p.cfg.LongConnsPerPeer)}
	for range p.cfg.ConnsPerPeer {
		n.ordered = append(n.ordered, newLink(n, p.cfg.MaxInFlight))
		n.short = append(n.short, newLink(n, p.cfg.MaxInFlight))
	}
	return n
}

func (n *node) address() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.addr
}

// interrupt ends what is under way.
func (n *node) interrupt(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.linksLocked() {
		l.interrupt(err)
	}
}

// linksLocked returns all there are.
func (n *node) linksLocked() []*link {
	links := append([]*link(nil), n.ordered...)
	links = append(links, n.short...)
	return append(links, n.long...)
}

func (n *node) setAddress(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.addr == addr {
		return
	}
	n.addr = addr
	for _, l := range n.linksLocked() {
		l.interrupt(ErrAddressChanged)
	}
}

// close makes all that is under way fail, and all that comes.
func (n *node) close(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed != nil {
		return
	}
	n.closed = err
	close(n.ended)
	for _, l := range n.linksLocked() {
		l.close(err)
	}
}

// start puts a call in line on one of the links.
func (n *node) start(ctx context.Context, c *Call) error {
	switch c.api.class {
	case classOrdered:
		return n.ordered[orderKey(c.req)%uint64(len(n.ordered))].start(ctx, c)
	case classShort:
		return n.leastLoaded().start(ctx, c)
	}
	l, err := n.takeLong(ctx, c)
	if err != nil {
		return err
	}
	return l.start(ctx, c)
}

// leastLoaded returns the first of the links that are least in use, so that no more
// connections are made than there are requests at a time.
func (n *node) leastLoaded() *link {
	best, load := n.short[0], n.short[0].load()
	for _, l := range n.short[1:] {
		if load == 0 {
			break
		}
		if more := l.load(); more < load {
			best, load = l, more
		}
	}
	return best
}

// takeLong returns a link that nobody else uses. Where there are as many as there may
// be, it takes the place of a request that nobody waits for, or waits.
func (n *node) takeLong(ctx context.Context, c *Call) (*link, error) {
	select {
	case n.slots <- struct{}{}:
	default:
		n.interruptAbandoned()
		select {
		case n.slots <- struct{}{}:
		case <-ctx.Done():
			return nil, &InterruptedError{Node: n.id, API: c.api.key, Err: context.Cause(ctx)}
		case <-n.ended:
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed != nil {
		return nil, &UnreachableError{Node: n.id, Addr: n.addr, API: c.api.key, Err: n.closed}
	}
	if last := len(n.free) - 1; last >= 0 {
		l := n.free[last]
		n.free[last] = nil
		n.free = n.free[:last]
		return l, nil
	}
	l := newLink(n, 1)
	l.long = true
	n.long = append(n.long, l)
	return l, nil
}

// giveBack makes a long link free once its request has ended.
func (n *node) giveBack(l *link) {
	n.mu.Lock()
	for i := range n.abandoned {
		if n.abandoned[i] == l {
			n.abandoned = append(n.abandoned[:i], n.abandoned[i+1:]...)
			break
		}
	}
	n.free = append(n.free, l)
	n.mu.Unlock()
	<-n.slots
}

// abandon notes that nobody waits for the request of a long link, which has not
// ended as far as the caller knows.
func (n *node) abandon(l *link, c *Call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-c.done: // it is free, or has the next
	default:
		n.abandoned = append(n.abandoned, l)
	}
}

// interruptAbandoned ends the oldest request that nobody waits for.
func (n *node) interruptAbandoned() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.abandoned) == 0 {
		return
	}
	l := n.abandoned[0]
	n.abandoned = append(n.abandoned[:0], n.abandoned[1:]...)
	l.interrupt(errAbandoned)
}
