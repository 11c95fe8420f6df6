package peer

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
)

// Pool sends requests to peers. All methods may be called concurrently.
type Pool struct {
	cfg    Config
	ctx    context.Context // of all connections
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup // links; Add under mu while not closed

	mu     sync.Mutex
	closed bool
	nodes  map[base.NodeID]*node
}

// New returns a Pool without peers. It connects when there is a request. The error is
// a *ConfigError.
func New(cfg Config) (*Pool, error) {
	p := &Pool{cfg: cfg.withDefaults(), nodes: make(map[base.NodeID]*node)}
	if err := p.cfg.validate(); err != nil {
		return nil, err
	}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	return p, nil
}

// Close makes every request that is under way fail with ErrClosed, and later ones
// too, and returns when all connections are closed and all goroutines have ended. A
// second call waits for the same.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	nodes := slices.Collect(maps.Values(p.nodes))
	clear(p.nodes)
	p.mu.Unlock()
	p.cancel(ErrClosed)
	for _, n := range nodes {
		n.close(ErrClosed)
	}
	p.wg.Wait()
}

// SetAddress says where a node is reached, as host:port. Where that is news,
// connections to the former address are closed, and the requests on them fail with
// ErrAddressChanged; those that wait for a connection go to the new one. The error
// is about the arguments, or ErrClosed.
func (p *Pool) SetAddress(id base.NodeID, addr string) error {
	if id == 0 || id > math.MaxInt32 {
		return fmt.Errorf("%w: a node id is from 1 to %d, not %d", ErrInvalidRequest, math.MaxInt32, id)
	}
	if host, port, err := net.SplitHostPort(addr); err != nil {
		return fmt.Errorf("%w: the address of node %d: %w", ErrInvalidRequest, id, err)
	} else if host == "" || port == "" {
		return fmt.Errorf("%w: the address of node %d, %q, must have a host and a port", ErrInvalidRequest, id, addr)
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return ErrClosed
	}
	n := p.nodes[id]
	if n == nil {
		p.nodes[id] = newNode(p, id, addr)
		p.mu.Unlock()
		return nil
	}
	p.mu.Unlock()
	n.setAddress(addr)
	return nil
}

// Remove forgets a node. Its connections are closed, and the requests on them fail
// with ErrNoAddress, as later ones do.
func (p *Pool) Remove(id base.NodeID) {
	p.mu.Lock()
	n := p.nodes[id]
	delete(p.nodes, id)
	p.mu.Unlock()
	if n != nil {
		n.close(ErrNoAddress)
	}
}

// Disconnect closes the connections to a node and ends attempts to make one: all
// requests to it that are under way fail with ErrDisconnected. It is for a node that
// is known to be gone by other means, which otherwise shows when Config.Timeout is
// over. Later requests connect again.
func (p *Pool) Disconnect(id base.NodeID) {
	p.mu.Lock()
	n := p.nodes[id]
	p.mu.Unlock()
	if n != nil {
		n.interrupt(ErrDisconnected)
	}
}

// Do sends a request and returns the answer: Start and Wait. It sets the version of
// req, to the highest that both sides have: what older versions say in other fields
// has to be said in the newest. Topics are named by id or by name, all in the same
// way. Error codes in the answer are the caller's to read; the methods that are named
// after an API make errors of them.
func (p *Pool) Do(ctx context.Context, id base.NodeID, req kmsg.Request) (kmsg.Response, error) {
	c, err := p.Start(ctx, id, req)
	if err != nil {
		return nil, err
	}
	return c.Wait(ctx)
}

// Forward is Do in the version that req has: for a request that came from a client and
// means what it means in its own version. If the peer does not serve that version, the
// error is a *VersionError.
func (p *Pool) Forward(ctx context.Context, id base.NodeID, req kmsg.Request) (kmsg.Response, error) {
	c, err := p.start(ctx, id, req, true)
	if err != nil {
		return nil, err
	}
	return c.Wait(ctx)
}

// Start puts a request in line and returns without waiting for its answer. It waits
// while too many are in line (Config.MaxInFlight), for a connection where there are
// too many that wait at the peer (Config.LongConnsPerPeer), until ctx ends.
//
// Produces to one partition, the first that the request names, are sent in the order
// of their Starts, as long as all have the topic's id or none. A connection that breaks fails all that is in line on it if any
// of that was sent; so a request never follows one that was in line before it and
// failed, unless it was started later.
//
// req and what it refers to must not be changed until Wait returned.
//
// The error is an *UnreachableError without Sent if no address of the node is known,
// an *InterruptedError, ErrUnknownAPI or ErrClosed.
func (p *Pool) Start(ctx context.Context, id base.NodeID, req kmsg.Request) (*Call, error) {
	return p.start(ctx, id, req, false)
}

func (p *Pool) start(ctx context.Context, id base.NodeID, req kmsg.Request, pinned bool) (*Call, error) {
	if req == nil {
		return nil, fmt.Errorf("%w: nil", ErrInvalidRequest)
	}
	a := findAPI(req.Key())
	if a == nil {
		return nil, fmt.Errorf("%w: %s", ErrUnknownAPI, kmsg.NameForKey(req.Key()))
	}
	c := &Call{api: a, req: req, allowed: a.versions(req), done: make(chan struct{})}
	if pinned {
		v := req.GetVersion()
		if v < a.min || v > a.max {
			return nil, fmt.Errorf("%w: %s has versions %d to %d here, not %d", ErrInvalidRequest, a.key.Name(), a.min, a.max, v)
		}
		c.allowed = versions{v, v}
	} else if c.allowed.lo > c.allowed.hi {
		return nil, fmt.Errorf("%w: of the topics of a %s some have only names and some only ids", ErrInvalidRequest, a.key.Name())
	}
	p.mu.Lock()
	n, closed := p.nodes[id], p.closed
	p.mu.Unlock()
	switch {
	case closed:
		return nil, ErrClosed
	case n == nil:
		return nil, &UnreachableError{Node: id, API: a.key, Err: ErrNoAddress}
	}
	if err := context.Cause(ctx); err != nil {
		return nil, &InterruptedError{Node: id, API: a.key, Err: err}
	}
	if err := n.start(ctx, c); err != nil {
		return nil, err
	}
	return c, nil
}

// spawn runs a link's goroutine; false if the pool is closed.
func (p *Pool) spawn(run func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.wg.Go(run)
	return true
}
