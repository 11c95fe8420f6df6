package kafka

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// pieceBytes is how much of a frame is read, or of an answer written, within
	// one Limits.RequestTimeout.
	pieceBytes = 256 << 10
	// frameBytesFirst is how much memory a frame gets before any of it is there; it
	// grows frameGrowth times whenever it is full.
	frameBytesFirst = 64 << 10
	frameGrowth     = 16
)

// conn is one connection. Its reader handles requests one after the other, but for
// appends, of which several may be under way; answers are sent in order, by who has
// the first that is ready.
type conn struct {
	server *Server
	raw    net.Conn // what close closes
	net    net.Conn // raw, or TLS over it
	in     *reader
	client Client

	requests, answers share // of the server's memory

	ctx    context.Context
	cancel context.CancelFunc
	once   sync.Once

	sessions []*fetchSession // guarded by Server.sessions.mu

	slots chan struct{}  // one for each answer that is not written
	wg    sync.WaitGroup // appends, and what writes their answers

	less chan struct{} // of capacity 1: appending has become less

	mu        sync.Mutex
	line      []*answer // in the order of their requests
	writing   bool      // somebody writes the one before the first
	appending int       // bytes of the requests whose appends are under way
}

// answer is what is sent, in its turn.
type answer struct {
	pending atomic.Bool // build must not be called yet; who changes it calls flush
	build   func() net.Buffers
	held    int64  // of conn.answers, released when it is written
	done    func() // nil, or called then: what build returned is not used any more

	api    *apiMeter // nil: it is not counted
	begun  time.Time // when the request was read
	failed bool      // set by build at the latest
}

func newConn(s *Server, nc net.Conn, host string) *conn {
	c := &conn{server: s, raw: nc, net: nc, client: Client{Host: host}}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	return c
}

// close makes the connection end; it does not wait. The first reason counts.
func (c *conn) close(why Reason) {
	c.once.Do(func() {
		c.server.meter.closed[why].Add(1)
		c.cancel()
		_ = c.raw.Close() // its reader and writer learn of it
	})
}

// run serves the connection until it ends.
func (c *conn) run() {
	if err := c.handshake(); err != nil {
		c.close(ClosedTLS)
		c.server.opts.Logger.Debug("kafka: TLS handshake failed", "client", c.client.Host, "err", err)
		return
	}
	c.in = newReader(c.net, &c.server.buffers)
	defer c.in.close()
	c.slots = make(chan struct{}, c.server.limits.InFlight)
	c.less = make(chan struct{}, 1)
	err := c.read()
	if err != nil {
		if !errors.Is(err, io.EOF) && c.ctx.Err() == nil {
			c.server.opts.Logger.Debug("kafka: connection closed", "client", c.client.Host, "client_id", c.client.ID, "err", err)
		}
		if !errors.Is(err, io.EOF) {
			c.close(c.reason(err))
		}
	}
	// A client that sent its last request, and said so, still gets its answers.
	c.wg.Wait()
	c.close(ClosedByClient)
	c.server.sessions.drop(c)
}

// errPanic is a handler's, errNoMemory a budget's, and errIdle a client's that has sent
// nothing for long.
var (
	errPanic    = errors.New("kafka: a request panicked")
	errNoMemory = errors.New("no memory within Limits.RequestTimeout (Limits.MemoryBytes, Limits.MemoryBytesPerAddr)")
	errIdle     = errors.New("no request came in time (Limits.IdleTimeout)")
)

// reason tells why reading ended.
func (c *conn) reason(err error) Reason {
	var timeout net.Error
	switch {
	case errors.Is(err, errMalformed):
		return ClosedMalformed
	case errors.Is(err, errPanic):
		return ClosedByOurFailure
	case c.server.ctx.Err() != nil:
		return ClosedListener
	case errors.Is(err, errNoMemory):
		return ClosedNoMemory
	case errors.Is(err, errIdle):
		return ClosedIdle
	case errors.As(err, &timeout) && timeout.Timeout():
		return ClosedSlow
	}
	return ClosedNetwork
}

func (c *conn) handshake() error {
	if c.server.opts.TLS == nil {
		return nil
	}
	t := tls.Server(c.raw, c.server.opts.TLS)
	ctx, cancel := context.WithTimeout(c.ctx, c.server.limits.RequestTimeout)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	c.net = t
	return nil
}

// read handles requests until the connection ends or does what it must not.
func (c *conn) read() (err error) {
	defer func() {
		if r := recover(); r != nil {
			c.server.opts.Logger.Error("kafka: a request panicked", "client", c.client.Host, "panic", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errPanic, r)
		}
	}()
	wait := c.server.limits.RequestTimeout // the first request is due sooner
	for {
		frame, held, err := c.readFrame(wait)
		if err != nil {
			c.requests.release(held)
			return err
		}
		wait = c.server.limits.IdleTimeout
		if err := c.handle(frame, held); err != nil {
			return err
		}
	}
}

// readFrame reads the next request. It returns what it holds of the server's memory
// for requests, also with an error.
func (c *conn) readFrame(wait time.Duration) (frame []byte, held int64, err error) {
	if err := c.net.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return nil, 0, err
	}
	if err := c.in.wait(); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = errIdle
		}
		return nil, 0, err
	}
	if err := c.net.SetReadDeadline(time.Now().Add(c.server.limits.RequestTimeout)); err != nil {
		return nil, 0, err
	}
	var size [4]byte
	if err := c.in.full(size[:]); err != nil {
		return nil, 0, cutShort(err)
	}
	n := int64(int32(binary.BigEndian.Uint32(size[:])))
	if n < 8 || n > int64(c.server.limits.RequestBytes) {
		return nil, 0, fmt.Errorf("%w: a frame of %d bytes, they are from 8 to %d (Limits.RequestBytes)", errMalformed, n, c.server.limits.RequestBytes)
	}
	// In all, a frame may not be slower than a piece each second.
	end := time.Now().Add(c.server.limits.RequestTimeout + time.Duration(n/pieceBytes)*time.Second)
	capacity := min(n, frameBytesFirst)
	if held, err = c.acquire(c.requests, capacity); err != nil {
		return nil, 0, err
	}
	begin := loan{from: &c.server.memory} // of the frame, while it is not known whether the rest comes
	defer begin.release()
	if capacity < n {
		frame = begin.alloc(int(capacity))[:0:capacity]
	} else {
		frame = make([]byte, 0, n)
	}
	for int64(len(frame)) < n {
		if len(frame) == cap(frame) {
			capacity = min(n, frameGrowth*int64(cap(frame)))
			more, err := c.acquire(c.requests, capacity-int64(cap(frame)))
			if err != nil {
				return nil, held, err
			}
			held += more
			if capacity < n {
				frame = append(begin.alloc(int(capacity))[:0:capacity], frame...)
			} else {
				frame = append(make([]byte, 0, n), frame...)
			}
		}
		piece := frame[len(frame):min(cap(frame), len(frame)+pieceBytes)]
		due := time.Now().Add(c.server.limits.RequestTimeout)
		if due.After(end) {
			due = end
		}
		if err := c.net.SetReadDeadline(due); err != nil {
			return nil, held, err
		}
		if err := c.in.full(piece); err != nil {
			return nil, held, cutShort(err)
		}
		frame = frame[:len(frame)+len(piece)]
	}
	c.in.release() // the request may take long
	c.server.meter.bytesIn.Add(4 + n)
	return frame, held, nil
}

// cutShort makes the end within a frame an error that is none between frames.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// acquire waits for memory, for as long as a client may take for its part.
func (c *conn) acquire(b share, n int64) (int64, error) {
	n = min(n, b.addr.total)
	if b.try(n) {
		return n, nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.server.limits.RequestTimeout)
	defer cancel()
	got, err := b.acquire(ctx, n)
	if err != nil {
		return 0, fmt.Errorf("%w: %d bytes: %w", errNoMemory, n, err)
	}
	return got, nil
}

// handle answers one request. It releases held, perhaps later. An error ends the
// connection.
func (c *conn) handle(frame []byte, held int64) (err error) {
	release := true
	defer func() {
		if release {
			c.requests.release(held)
		}
	}()
	begun := time.Now()
	r, err := parseRequest(frame)
	if err != nil {
		return err
	}
	if c.client.ID != string(r.clientID) {
		c.client.ID = string(r.clientID)
	}
	if r.api == nil || !r.api.served(c.server.backend) {
		return fmt.Errorf("%w: API key %d is not served", errMalformed, r.key)
	}
	r.begun = begun
	if !r.supported {
		if r.api.key == kmsg.ApiVersions {
			r.version = 0 // in which every client can read what is there
			return c.send(&r, &answer{failed: true, build: func() net.Buffers { return net.Buffers{r.encode(unsupportedVersions())} }})
		}
		return fmt.Errorf("%w: %s has versions %d to %d here, not %d", errMalformed, r.api.key.Name(), r.api.min, r.api.max, r.version)
	}
	if r.elements > 0 {
		more, err := c.acquire(c.requests, int64(r.elements)*elementBytes)
		if err != nil {
			return err
		}
		held += more
	}
	req, err := r.decode()
	if err != nil {
		return err
	}
	switch req := req.(type) {
	case *kmsg.ProduceRequest:
		release = false
		return c.produce(&r, req, frame, held)
	case *kmsg.FetchRequest:
		return c.fetch(&r, req)
	}
	resp := r.api.handle(c.ctx, c, req)
	if c.ctx.Err() != nil {
		return c.ctx.Err() // the answer would tell of that, and not of the request
	}
	bad := failed(r.api.key, resp)
	encoded := r.encode(resp)
	kept, err := c.acquire(c.answers, int64(len(encoded)))
	if err != nil {
		return err
	}
	return c.send(&r, &answer{build: func() net.Buffers { return net.Buffers{encoded} }, held: kept, failed: bad})
}

// send puts an answer in line, and writes what is ready of the line. It waits while too
// many are not written.
func (c *conn) send(r *request, a *answer) error {
	a.api, a.begun = &c.server.meter.apis[r.api.key], r.begun
	select {
	case c.slots <- struct{}{}:
	case <-c.ctx.Done():
		c.release(a)
		return c.ctx.Err()
	}
	c.mu.Lock()
	c.line = append(c.line, a)
	c.mu.Unlock()
	c.flush()
	return nil
}

// flush writes the answers at the front of the line that are ready, unless somebody
// does: who writes looks again before it goes, so nothing that became ready meanwhile
// stays. There is no goroutine that waits for answers: most connections are idle.
func (c *conn) flush() {
	for {
		c.mu.Lock()
		if c.writing || len(c.line) == 0 || c.line[0].pending.Load() {
			c.mu.Unlock()
			return
		}
		a := c.line[0]
		c.line[0] = nil
		if c.line = c.line[1:]; len(c.line) == 0 {
			c.line = nil // an idle connection keeps no memory for it
		}
		c.writing = true
		c.mu.Unlock()
		c.write(a)
		<-c.slots
		c.mu.Lock()
		c.writing = false
		c.mu.Unlock()
	}
}

// write writes one answer; after an error the connection ends and the rest is dropped.
func (c *conn) write(a *answer) {
	defer c.release(a)
	if c.ctx.Err() != nil {
		return
	}
	if bufs := a.build(); bufs == nil {
		c.close(ClosedUnsaid) // nothing can be said, and the client has to learn that it failed
	} else if err := c.writeBuffers(bufs); err != nil {
		why := ClosedNetwork
		if errors.Is(err, os.ErrDeadlineExceeded) {
			why = ClosedSlow
		}
		c.close(why)
	}
	a.api.observe(time.Since(a.begun), a.failed)
}

// release gives back what an answer held, which is written or will not be.
func (c *conn) release(a *answer) {
	if a.done != nil {
		a.done()
	}
	c.answers.release(a.held)
}

// writeBuffers writes in pieces, each of which the client has to read in time.
func (c *conn) writeBuffers(bufs net.Buffers) error {
	for len(bufs) > 0 {
		n, size := 0, 0
		for n < len(bufs) && (n == 0 || size+len(bufs[n]) <= pieceBytes) {
			size += len(bufs[n])
			n++
		}
		piece := bufs[:n:n]
		bufs = bufs[n:]
		if size > pieceBytes { // one large one
			rest := piece[0][pieceBytes:]
			piece = net.Buffers{piece[0][:pieceBytes]}
			bufs = append(net.Buffers{rest}, bufs...)
		}
		if err := c.net.SetWriteDeadline(time.Now().Add(c.server.limits.RequestTimeout)); err != nil {
			return err
		}
		n64, err := piece.WriteTo(c.net)
		c.server.meter.bytesOut.Add(n64)
		if err != nil {
			return err
		}
	}
	return nil
}

// advertised returns where the client is to connect to.
func (c *conn) advertised() (host string, port int32) {
	if c.server.host != "" {
		return c.server.host, c.server.port
	}
	if a, ok := c.net.LocalAddr().(*net.TCPAddr); ok {
		return a.IP.String(), int32(a.Port)
	}
	return "localhost", 0
}
