package replication

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatlog/leat/internal/base"
)

// timeouts are a Transport's; tests have shorter ones.
type timeouts struct {
	// dial bounds connecting and both handshakes, on either side.
	dial time.Duration
	// idle closes an accepted connection over which nothing came; the dialling
	// side gives its own up earlier.
	idle time.Duration
	// frame bounds how long a frame may take, with a second more for each MiB
	// of it.
	frame time.Duration
}

func (t *timeouts) of(bytes int64) time.Duration {
	return t.frame + time.Duration(bytes>>20)*time.Second
}

const (
	// acceptPause is the wait after a failed accept, as when the process has
	// no file descriptors left.
	acceptPause = 50 * time.Millisecond
	// readBufferBytes is a connection's buffer for small frames.
	readBufferBytes = 32 << 10
)

// Transport carries a node's Raft messages, Raft snapshots and calls to and from
// its peers, all over one port. It works before there is a Node, for calls.
// Its methods may be called concurrently.
type Transport struct {
	cfg       TransportConfig
	timeouts  timeouts
	logger    *slog.Logger
	clusterID atomic.Pointer[string]
	addr      atomic.Pointer[string] // RaftAddr, once it is known
	sealed    atomic.Bool
	raft      atomic.Pointer[raftTransport] // nil while there is no Node
	limiter   *limiter
	transfers transfers
	calls     chan struct{} // holds a token for each call under way

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // the accept loop and a goroutine for each connection

	mu          sync.Mutex
	listener    net.Listener
	conns       map[*conn]struct{} // all, accepted and dialled
	accepted    int
	handshaking int // of the accepted
	closed      bool
}

// NewTransport returns a Transport that does not listen yet.
func NewTransport(c TransportConfig) (*Transport, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	t := &Transport{
		cfg:       c,
		timeouts:  timeouts{dial: 5 * time.Second, idle: 5 * time.Minute, frame: 10 * time.Second},
		logger:    c.Logger,
		limiter:   newLimiter(c.Clock, c.SnapshotBytesPerSecond),
		transfers: transfers{clock: c.Clock},
		calls:     make(chan struct{}, maxCalls),
		conns:     make(map[*conn]struct{}),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.clusterID.Store(&c.ClusterID)
	t.addr.Store(&c.RaftAddr)
	return t, nil
}

// Listen starts to accept connections. It is called once; an address in use is
// an error that names it.
func (t *Transport) Listen() error {
	if t.cfg.TLS != nil { // a configuration that can never work is told here
		if _, err := serverTLS(t.cfg.TLS); err != nil {
			return fmt.Errorf("replication: %w", err)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return ErrClosed
	}
	if t.listener != nil {
		return fmt.Errorf("replication: already listening on %s", t.listener.Addr())
	}
	l, err := t.cfg.Network.Listen(t.cfg.ListenAddr)
	if err != nil {
		return fmt.Errorf("replication: listen on %s: %w", t.cfg.ListenAddr, err)
	}
	if t.cfg.RaftAddr == "" {
		addr := l.Addr().String()
		t.addr.Store(&addr)
	}
	t.listener = l
	t.wg.Add(1)
	go t.accept(l)
	return nil
}

// Addr returns the address under which the peers reach this node; empty before
// Listen if none was configured.
func (t *Transport) Addr() string { return *t.addr.Load() }

// NodeID returns the node id that was configured.
func (t *Transport) NodeID() base.NodeID { return t.cfg.NodeID }

// ClusterID returns the cluster id, empty while it is not known.
func (t *Transport) ClusterID() string { return *t.clusterID.Load() }

// SetClusterID tells the cluster id once it is known. It cannot be changed.
func (t *Transport) SetClusterID(id string) error {
	if id == "" || len(id) > maxClusterIDBytes {
		return &TooLargeError{What: "ClusterID", Size: len(id), Limit: maxClusterIDBytes}
	}
	none := t.clusterID.Load()
	if *none == id {
		return nil
	}
	if *none != "" || !t.clusterID.CompareAndSwap(none, &id) {
		return fmt.Errorf("replication: node %d belongs to cluster %q, not to %q", t.cfg.NodeID, t.ClusterID(), id)
	}
	return nil
}

// Transfers returns the Raft snapshots that are on their way to and from this
// node, and the last 64 that ended, oldest first.
func (t *Transport) Transfers() []Transfer { return t.transfers.snapshot() }

// TransferredBytes returns how many bytes of Raft snapshots were sent and received since
// the Transport was made, also by transfers that failed.
func (t *Transport) TransferredBytes() (sent, received int64) { return t.transfers.bytes() }

func (t *Transport) self() Peer {
	return Peer{Node: t.cfg.NodeID, ClusterID: t.ClusterID(), Addr: t.Addr()}
}

// Close closes the listener and all connections and waits for what they run,
// also for CallHandlers, whose context ends. It is idempotent.
func (t *Transport) Close() error {
	t.mu.Lock()
	first := !t.closed
	t.closed = true
	l := t.listener
	t.mu.Unlock()
	t.cancel()
	var err error
	if first && l != nil {
		if err = l.Close(); errors.Is(err, net.ErrClosed) {
			err = nil
		}
	}
	t.closeConns(func(*conn) bool { return true })
	t.wg.Wait()
	return err
}

// seal cuts the node off: nothing more leaves or enters. It is for a node that
// can keep nothing any more, and must not seem to.
func (t *Transport) seal() {
	t.sealed.Store(true)
	t.closeConns(func(c *conn) bool { return c.purpose != purposeCalls })
}

func (t *Transport) closeConns(which func(*conn) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		if which(c) {
			c.raw.Close()
		}
	}
}

func (t *Transport) accept(l net.Listener) {
	defer t.wg.Done()
	for {
		raw, err := l.Accept()
		if err != nil {
			if t.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			t.logger.Warn("accepting a peer's connection failed", "addr", t.Addr(), "err", err)
			timer := t.cfg.Clock.NewTimer(acceptPause)
			select {
			case <-timer.C():
			case <-t.ctx.Done():
				timer.Stop()
				return
			}
			continue
		}
		c := &conn{t: t, raw: raw, accepted: true}
		if !t.track(c) {
			raw.Close()
			continue
		}
		go func() {
			defer t.untrack(c)
			if err := c.serve(); err != nil && !isEnd(err) {
				t.logger.Info("a peer's connection ended", "remote", raw.RemoteAddr().String(), "node", c.peer.Node, "err", err)
			}
		}()
	}
}

// isEnd tells the errors that end every connection some day.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, ErrClosed)
}

// track adds a connection and a goroutine, unless there are too many.
func (t *Transport) track(c *conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	if c.accepted {
		if t.accepted == t.cfg.MaxConnections || t.handshaking >= t.cfg.MaxConnections/4 {
			return false
		}
		t.accepted++
		t.handshaking++
		c.handshaking = true
	}
	t.conns[c] = struct{}{}
	t.wg.Add(1)
	return true
}

func (t *Transport) untrack(c *conn) {
	c.raw.Close()
	t.mu.Lock()
	delete(t.conns, c)
	if c.accepted {
		t.accepted--
	}
	if c.handshaking {
		t.handshaking--
	}
	t.mu.Unlock()
	t.wg.Done()
}

// greeted ends a connection's handshake. It fails if the transport has been
// sealed meanwhile, which closes what it finds by its purpose.
func (t *Transport) greeted(c *conn, p purpose) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.handshaking {
		c.handshaking = false
		t.handshaking--
	}
	c.purpose = p
	if p != purposeCalls && t.sealed.Load() {
		return ErrClosed
	}
	return nil
}

// conn is a connection to a peer. Its reading and its writing side belong to one
// goroutine each.
type conn struct {
	t        *Transport
	raw      net.Conn // what is closed to end it
	accepted bool
	peer     Peer

	c net.Conn      // raw, or TLS over it
	r *bufio.Reader // reads c
	w *bufio.Writer // writes c; nil when c is TCP, which takes all parts at once

	bufs net.Buffers // scratch of send

	handshaking bool    // guarded by t.mu
	purpose     purpose // set once, guarded by t.mu
}

// secure sets up reading and writing, with TLS if that is configured.
func (c *conn) secure(ctx context.Context, config func() (*tls.Config, error), wrap func(net.Conn, *tls.Config) *tls.Conn) error {
	c.c = c.raw
	if c.t.cfg.TLS != nil {
		conf, err := config()
		if err != nil {
			return err
		}
		tc := wrap(c.raw, conf)
		if err := tc.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("TLS handshake: %w", err)
		}
		c.c = tc
	}
	c.r = bufio.NewReaderSize(c.c, readBufferBytes)
	if _, ok := c.c.(*net.TCPConn); !ok {
		c.w = bufio.NewWriterSize(c.c, readBufferBytes)
	}
	return nil
}

// send writes one frame, within its time.
func (c *conn) send(t frameType, parts ...[]byte) error {
	var size int64
	for _, p := range parts {
		size += int64(len(p))
	}
	if err := c.c.SetWriteDeadline(time.Now().Add(c.t.timeouts.of(size))); err != nil {
		return err
	}
	if c.w == nil {
		return writeFrame(c.c, t, &c.bufs, parts...)
	}
	if err := writeFrame(c.w, t, &c.bufs, parts...); err != nil {
		return err
	}
	return c.w.Flush()
}

// receive reads one frame, which may be long in coming but not in arriving.
func (c *conn) receive(t frameType, idle time.Duration) ([]byte, error) {
	if err := c.c.SetReadDeadline(time.Now().Add(idle)); err != nil {
		return nil, err
	}
	h, err := readFrameHeader(c.r)
	if err != nil {
		return nil, err
	}
	if err := h.check(t, c.t.cfg.MaxFrameBytes); err != nil {
		return nil, err
	}
	if int64(c.r.Buffered()) < h.size {
		if err := c.c.SetReadDeadline(time.Now().Add(c.t.timeouts.of(h.size))); err != nil {
			return nil, err
		}
	}
	return h.readBody(c.r)
}

// dial connects and greets a peer. The connection is tracked; the caller runs
// untrack once.
func (t *Transport) dial(ctx context.Context, addr string, p purpose) (*conn, error) {
	if t.sealed.Load() && p != purposeCalls {
		return nil, ErrClosed
	}
	if !isAddress(addr) {
		return nil, fmt.Errorf("replication: the peer's address %q is not host:port", addr)
	}
	if t.cfg.TLS == nil && !t.cfg.Insecure && !isLoopback(addr) {
		return nil, fmt.Errorf("replication: %s: %w", addr, ErrInsecure)
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeouts.dial)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	raw, err := t.cfg.Network.Dial(ctx, addr)
	if err != nil {
		if t.ctx.Err() != nil {
			return nil, ErrClosed
		}
		return nil, err
	}
	c := &conn{t: t, raw: raw}
	if !t.track(c) {
		raw.Close()
		return nil, ErrClosed
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	err = c.greet(ctx, addr, p)
	if !stop() && err == nil { // it was closed just now
		err = ctx.Err()
	}
	if err == nil {
		err = t.greeted(c, p)
	}
	if err != nil {
		if t.ctx.Err() != nil {
			err = ErrClosed
		} else if ctx.Err() != nil {
			err = errors.Join(ctx.Err(), err)
		}
		t.untrack(c)
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return c, nil
}

func (c *conn) greet(ctx context.Context, addr string, p purpose) error {
	err := c.secure(ctx, func() (*tls.Config, error) { return clientTLS(c.t.cfg.TLS, addr) }, tls.Client)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(c.c, preamble); err != nil {
		return err
	}
	h := hello{purpose: p, peer: c.t.self()}
	if err := c.send(frameHello, h.append(nil)); err != nil {
		return err
	}
	if err := readPreamble(c.r); err != nil {
		return err
	}
	body, err := readFrame(c.r, frameWelcome, maxHelloBytes)
	if err != nil {
		return err
	}
	c.peer, err = decodeWelcome(body, addr)
	if err != nil {
		return err
	}
	if !c.t.sameCluster(p, c.t.ClusterID(), c.peer.ClusterID) {
		return fmt.Errorf("node %d belongs to cluster %q, this one to %q", c.peer.Node, c.peer.ClusterID, c.t.ClusterID())
	}
	return nil
}

// serve runs an accepted connection until it ends.
func (c *conn) serve() error {
	h, err := c.welcome()
	if err != nil {
		return err
	}
	if err := c.t.greeted(c, h.purpose); err != nil {
		return err
	}
	switch h.purpose {
	case purposeMessages:
		return c.serveMessages()
	case purposeSnapshot:
		return c.serveSnapshots()
	default:
		return c.serveCalls()
	}
}

// welcome is the accepting side of the handshake.
func (c *conn) welcome() (hello, error) {
	ctx, cancel := context.WithTimeout(c.t.ctx, c.t.timeouts.dial)
	defer cancel()
	if err := c.raw.SetDeadline(time.Now().Add(c.t.timeouts.dial)); err != nil {
		return hello{}, err
	}
	if err := c.secure(ctx, func() (*tls.Config, error) { return serverTLS(c.t.cfg.TLS) }, tls.Server); err != nil {
		return hello{}, err
	}
	if err := readPreamble(c.r); err != nil {
		return hello{}, err
	}
	body, err := readFrame(c.r, frameHello, maxHelloBytes)
	if err != nil {
		return hello{}, err
	}
	h, refused, err := decodeHello(body)
	if err != nil {
		return hello{}, err
	}
	c.peer = h.peer
	if refused == nil {
		refused = c.t.admit(&h)
	}
	if _, err := io.WriteString(c.c, preamble); err != nil {
		return hello{}, err
	}
	if err := c.send(frameWelcome, appendWelcome(nil, refused, c.t.self())); err != nil {
		return hello{}, err
	}
	if refused != nil {
		return hello{}, fmt.Errorf("refused node %d at %s: %s: %s", h.peer.Node, h.peer.Addr, refused.Reason, refused.Detail)
	}
	return h, nil
}
