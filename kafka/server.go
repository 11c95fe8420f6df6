package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync"
	"time"

	"github.com/leatlog/leat/internal/recordbatch"
)

// ErrInsecure is returned for a listener that others than this machine can reach,
// without TLS and without Options.Insecure.
var ErrInsecure = errors.New("kafka: the listener is not on a loopback address: use TLS, or say explicitly that it is to be insecure")

// Options say how a listener is served. Zero values are the defaults.
type Options struct {
	// TLS makes every connection use it; nil is plain TCP.
	TLS *tls.Config
	// Insecure allows plain TCP on an address other than loopback. Whoever can
	// connect can read, write and delete everything.
	Insecure bool
	// Advertised is the host:port that clients are told to connect to
	// (advertised.listeners). Empty: the listener's own address, or if that is not
	// one address, the one that the client reached.
	Advertised string
	// Limits bound what clients can use.
	Limits Limits
	// Logger receives diagnostics; nil means none.
	Logger *slog.Logger
	// Meter counts; nil means one of this listener's own.
	Meter *Meter
}

// Server serves the connections of one listener.
type Server struct {
	backend Backend
	self    int32 // the node's id
	opts    Options
	limits  Limits
	host    string // advertised; empty: ask the connection
	port    int32

	meter    *Meter
	requests *budget // what frames and their decoded form take
	sessions *sessions
	answers  *budget // what answers take that are not read yet
	// unpack has a Decompressor for each batch that is validated at a time. Each
	// keeps its buffer, of recordbatch.DefaultMaxDecompressedBytes at most.
	unpack chan *recordbatch.Decompressor

	buffers sync.Pool       // of readers
	memory  lender          // for what is read from disk to be sent
	labels  context.Context // for profiles
	ctx     context.Context // of all connections
	cancel  context.CancelCauseFunc
	wg      sync.WaitGroup // connections

	mu      sync.Mutex
	closing bool
	ln      net.Listener
	conns   map[*conn]struct{}
	perAddr map[string]*addrState
}

// addrState is what the connections from one address share.
type addrState struct {
	conns             int // guarded by Server.mu
	requests, answers *budget
}

// errServerClosed is why the requests of a server that is closed end.
var errServerClosed = errors.New("kafka: the listener is closed")

// NewServer returns a server that has not begun. The error is a *LimitError or
// about the address to advertise.
func NewServer(b Backend, o Options) (*Server, error) {
	if o.Meter == nil {
		o.Meter = new(Meter)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{backend: b, self: b.NodeID(), meter: o.Meter, opts: o, limits: o.Limits.withDefaults(),
		conns: make(map[*conn]struct{}), perAddr: make(map[string]*addrState)}
	if err := s.limits.validate(); err != nil {
		return nil, err
	}
	if o.Advertised != "" {
		var err error
		if s.host, s.port, err = splitAddr(o.Advertised); err != nil {
			return nil, fmt.Errorf("kafka: the address to advertise: %w", err)
		}
		if s.host == "" || s.port == 0 {
			return nil, fmt.Errorf("kafka: the address to advertise must have a host and a port, %q has not", o.Advertised)
		}
	}
	s.requests, s.answers = newBudget(s.limits.MemoryBytes), newBudget(s.limits.MemoryBytes)
	s.sessions = newSessions(b.Clock(), &s.limits)
	s.buffers.New = func() any { return new([readBufferBytes]byte) }
	n := runtime.GOMAXPROCS(0)
	s.unpack = make(chan *recordbatch.Decompressor, n)
	for range n {
		s.unpack <- recordbatch.NewDecompressor(0)
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s, nil
}

func splitAddr(addr string) (host string, port int32, err error) {
	h, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(p, 10, 16)
	return h, int32(n), err
}

// Serve accepts connections until ctx ends or Close is called, and returns nil when
// all of them have ended; or the error of the listener, which it closes in any case.
// It may be called once.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	switch err := s.begin(ln); {
	case errors.Is(err, errServerClosed):
		return ln.Close()
	case err != nil:
		return errors.Join(err, ln.Close())
	}
	stop := context.AfterFunc(ctx, s.stop)
	defer stop()
	err := s.accept(ln)
	s.stop()
	s.wg.Wait()
	return err
}

// Close ends what Serve does; Serve returns when all has ended.
func (s *Server) Close() { s.stop() }

// begin checks the listener and remembers it.
func (s *Server) begin(ln net.Listener) error {
	if s.opts.TLS == nil && !s.opts.Insecure && !isLoopback(ln.Addr()) {
		return fmt.Errorf("%w (%s)", ErrInsecure, ln.Addr())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return errServerClosed
	}
	if s.ln != nil {
		return errors.New("kafka: Serve was called before")
	}
	s.ln = ln
	s.labels = pprof.WithLabels(context.Background(), pprof.Labels("leat", "kafka connection", "listener", ln.Addr().String()))
	if s.host == "" {
		if a, ok := ln.Addr().(*net.TCPAddr); ok && !a.IP.IsUnspecified() {
			s.host, s.port = a.IP.String(), int32(a.Port)
		}
	}
	return nil
}

// isLoopback reports whether only this machine can reach an address.
func isLoopback(a net.Addr) bool {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}

// stop makes everything end and does not wait for it.
func (s *Server) stop() {
	s.mu.Lock()
	s.closing = true
	ln := s.ln
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	s.cancel(errServerClosed)
	if ln != nil {
		_ = ln.Close() // a second time it fails, and accept tells of the first
	}
	for _, c := range conns {
		c.close(ClosedListener)
	}
}

// accept runs until the listener is closed.
func (s *Server) accept(ln net.Listener) error {
	pause := time.Duration(0)
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			s.start(nc)
			continue
		case s.ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("kafka: accepting connections: %w", err)
		}
		// Too few descriptors, say: those who have connections go on.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.opts.Logger.Warn("kafka: accepting a connection failed", "err", err, "retry_in", pause)
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-s.ctx.Done():
			t.Stop()
			return nil
		}
	}
}

// start runs a connection, unless there are too many.
func (s *Server) start(nc net.Conn) {
	host := nc.RemoteAddr().String()
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	c := newConn(s, nc, host)
	s.meter.accepted.Add(1)
	s.mu.Lock()
	a := s.perAddr[host]
	full, why := "", ClosedLimit
	switch {
	case s.closing:
		full, why = "closing", ClosedListener
	case len(s.conns) >= s.limits.Connections:
		full = "Limits.Connections"
	case a != nil && a.conns >= s.limits.ConnectionsPerAddr:
		full = "Limits.ConnectionsPerAddr"
	default:
		if a == nil {
			a = &addrState{requests: newBudget(s.limits.MemoryBytesPerAddr), answers: newBudget(s.limits.MemoryBytesPerAddr)}
			s.perAddr[host] = a
		}
		a.conns++
		c.requests, c.answers = share{a.requests, s.requests}, share{a.answers, s.answers}
		s.conns[c] = struct{}{}
		s.wg.Add(1)
	}
	s.mu.Unlock()
	if full != "" {
		s.opts.Logger.Debug("kafka: connection refused", "client", host, "limit", full)
		c.close(why)
		return
	}
	go func() {
		defer s.wg.Done()
		pprof.SetGoroutineLabels(s.labels) // its writer and its appends inherit them
		c.run()
		s.mu.Lock()
		delete(s.conns, c)
		if a.conns--; a.conns == 0 {
			delete(s.perAddr, host)
		}
		s.mu.Unlock()
	}()
}
