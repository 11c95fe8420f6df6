package peer

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/wire"
)

const (
	// chunkBytes is how much is collected for one write, but for a first request
	// that is larger.
	chunkBytes = 256 << 10
	// chunkBytesKept is up to where the memory of a write is used again.
	chunkBytesKept = 4 << 20
	// readBufferBytes is how much is read at a time of small answers.
	readBufferBytes = 16 << 10
)

// errIdle is why a connection ends that has nothing to do.
var errIdle = errors.New("idle")

// versions are some of an API: from lo to hi, both included.
type versions struct{ lo, hi int16 }

// notServed is for an API that is not there.
var notServed = versions{-1, -1}

// conn is a connection that is ready for requests. Its link's goroutine writes, another
// reads. Answers come in the order of the requests.
type conn struct {
	link   *link
	addr   string
	raw    net.Conn // what ends it
	net    net.Conn // raw, or TLS over it
	in     *bufio.Reader
	served map[int16]versions

	chunk   []byte    // the writer's
	lastUse time.Time // the writer's, by Config.Clock

	dead chan struct{} // closed by endLocked

	// Guarded by link.mu:
	err         error   // why it ended; set once
	sent        []*Call // and not answered, oldest first
	correlation int32   // of the oldest in sent; the others follow
	answered    bool    // at least once
}

// dial makes a connection and asks which versions there are.
func dial(ctx context.Context, l *link, addr string) (*conn, error) {
	cfg := &l.node.pool.cfg
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.ConnectTimeout, ErrConnectTimeout)
	defer cancel()
	raw, err := cfg.Dial(ctx, addr)
	if err != nil {
		return nil, dialError(ctx, "connecting", err)
	}
	c := &conn{link: l, addr: addr, raw: raw, net: raw, dead: make(chan struct{}), lastUse: cfg.Clock.Now()}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	err = c.prepare(ctx)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = raw.Close() // a second time it fails
		return nil, err
	}
	return c, nil
}

// dialError tells why connecting failed: ctx's cause if that is it.
func dialError(ctx context.Context, doing string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// prepare does what comes before the first request. When ctx ends raw is closed.
func (c *conn) prepare(ctx context.Context) error {
	cfg := &c.link.node.pool.cfg
	if cfg.TLS != nil {
		t := cfg.TLS
		if t.ServerName == "" {
			host, _, err := net.SplitHostPort(c.addr)
			if err != nil {
				return err
			}
			t = t.Clone()
			t.ServerName = host
		}
		client := tls.Client(c.raw, t)
		if err := client.HandshakeContext(ctx); err != nil {
			return dialError(ctx, "the TLS handshake", err)
		}
		c.net = client
	}
	c.in = bufio.NewReaderSize(c.net, readBufferBytes)
	if err := c.negotiate(); err != nil {
		return dialError(ctx, "asking which versions are served", err)
	}
	return nil
}

// negotiate asks for the versions that the peer serves, in version 0, in which
// everybody answers. It ends at the latest when raw is closed.
func (c *conn) negotiate() error {
	req := kmsg.NewPtrApiVersionsRequest()
	if _, err := c.net.Write(appendRequest(nil, req, 0, c.link.node.pool.cfg.ClientID)); err != nil {
		return err
	}
	body, err := c.readFrame(0, negotiationBytesMax)
	switch {
	case errors.Is(err, ErrResponseTooLarge): // nobody's limit: this is another protocol
		return fmt.Errorf("%w: %v", ErrMalformed, err)
	case err != nil:
		return c.readError(err)
	}
	answer, err := decode(findAPI(req.Key()), req.GetVersion(), body, c.link.node.pool.decodedMax())
	if err != nil {
		return err
	}
	resp := answer.(*kmsg.ApiVersionsResponse)
	if resp.ErrorCode != 0 {
		return &Error{Code: resp.ErrorCode, API: kmsg.ApiVersions, Node: c.link.node.id, Partition: -1, LeaderEpoch: -1}
	}
	c.served = make(map[int16]versions, len(resp.ApiKeys))
	for _, k := range resp.ApiKeys {
		if k.MinVersion >= 0 && k.MinVersion <= k.MaxVersion {
			c.served[k.ApiKey] = versions{k.MinVersion, k.MaxVersion}
		}
	}
	return c.net.SetReadDeadline(time.Time{}) // of readFrame
}

// endLocked ends the connection: reading and writing fail from now on.
func (c *conn) endLocked(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	close(c.dead)
	_ = c.raw.Close() // what matters is that it is no longer used
}

func (c *conn) end(err error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.endLocked(err)
}

// write sends what comes into line until the connection ends.
func (c *conn) write() {
	cfg := &c.link.node.pool.cfg
	idle := cfg.Clock.NewTimer(cfg.IdleTimeout)
	defer idle.Stop()
	for {
		if c.collect() {
			if err := c.net.SetWriteDeadline(time.Now().Add(cfg.Timeout)); err != nil {
				c.end(err)
				return
			}
			if _, err := c.net.Write(c.chunk); err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) {
					err = fmt.Errorf("%w: the peer does not read", ErrTimeout)
				}
				c.end(err)
				return
			}
			if cap(c.chunk) > chunkBytesKept {
				c.chunk = nil
			}
			continue
		}
		select {
		case <-c.link.wake:
		case <-c.dead:
			return
		case now := <-idle.C():
			idle.Reset(c.idle(now, cfg.IdleTimeout))
		}
	}
}

// idle ends the connection if it had nothing to do for limit, and else returns when
// that may be so.
func (c *conn) idle(now time.Time, limit time.Duration) time.Duration {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	left := limit - now.Sub(c.lastUse)
	if left > 0 {
		return left
	}
	if len(c.sent) == 0 && len(c.link.queue) == 0 {
		c.endLocked(errIdle)
	}
	return limit
}

// collect encodes requests from the line as the next chunk. It reports whether there
// are any.
func (c *conn) collect() bool {
	l := c.link
	c.chunk = c.chunk[:0]
	var refused []*Call
	var why []error
	l.mu.Lock()
	taken := 0
	now := time.Now()
	for c.err == nil && taken < len(l.queue) && len(c.chunk) < chunkBytes {
		call := l.queue[taken]
		l.queue[taken] = nil
		taken++
		served, ok := c.served[int16(call.api.key)]
		if !ok {
			served = notServed
		}
		version, err := call.choose(served)
		if err != nil {
			refused, why = append(refused, call), append(why, err)
			continue
		}
		call.version = version
		call.req.SetVersion(version)
		c.chunk = appendRequest(c.chunk, call.req, c.correlation+int32(len(c.sent)), l.node.pool.cfg.ClientID)
		call.deadline = now.Add(patience(call.api, call.req, l.node.pool.cfg.Timeout))
		call.req = nil // from now on it is the caller's again
		if len(c.sent) == 0 {
			c.await(call.deadline)
		}
		c.sent = append(c.sent, call)
	}
	l.queue = append(l.queue[:0], l.queue[taken:]...)
	l.mu.Unlock()
	for i, call := range refused {
		call.finish(nil, why[i])
	}
	if len(c.chunk) > 0 {
		c.lastUse = l.node.pool.cfg.Clock.Now()
	}
	return len(c.chunk) > 0
}

// await sets until when the next byte of an answer has to be there; zero is for ever.
func (c *conn) await(deadline time.Time) {
	if err := c.net.SetReadDeadline(deadline); err != nil {
		c.endLocked(err)
	}
}

// read takes the answers until the connection ends, and then ends it.
func (c *conn) read() {
	for {
		if err := c.readAnswer(); err != nil {
			c.end(err)
			return
		}
	}
}

// readAnswer takes one answer.
func (c *conn) readAnswer() error {
	if _, err := c.in.Peek(1); err != nil {
		return c.readError(err)
	}
	c.link.mu.Lock()
	if len(c.sent) == 0 {
		c.link.mu.Unlock()
		return fmt.Errorf("%w: bytes that are no answer", ErrMalformed)
	}
	call, correlation := c.sent[0], c.correlation
	c.link.mu.Unlock()

	body, err := c.readFrame(correlation, c.link.node.pool.cfg.MaxResponseBytes)
	if err != nil {
		return c.readError(err)
	}
	resp, err := decode(call.api, call.version, body, c.link.node.pool.decodedMax())
	if err != nil {
		return err
	}
	c.link.mu.Lock()
	c.sent[0] = nil
	c.sent = c.sent[1:]
	c.correlation++
	c.answered = true
	var due time.Time
	if len(c.sent) > 0 {
		// What was answered may have held up the next.
		due = time.Now().Add(c.link.node.pool.cfg.Timeout)
		if next := c.sent[0].deadline; next.After(due) {
			due = next
		}
	}
	c.await(due)
	c.link.mu.Unlock()
	call.finish(resp, nil)
	return nil
}

// readError makes the end of a deadline ErrTimeout.
func (c *conn) readError(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrTimeout
	}
	return err
}

// decode makes what follows the correlation id an answer. Its byte slices lie in b.
func decode(a *api, version int16, b []byte, limit int64) (kmsg.Response, error) {
	var err error
	if a.response.Flexible(version) && a.key != kmsg.ApiVersions { // the header has tagged fields
		if b, err = wire.SkipTags(b); err != nil {
			return nil, fmt.Errorf("the answer to %s version %d: %w", a.key.Name(), version, err)
		}
	}
	if _, err := a.response.Check(version, b, limit); err != nil {
		return nil, fmt.Errorf("the answer to %s version %d: %w", a.key.Name(), version, err)
	}
	resp := kmsg.ResponseForKey(int16(a.key))
	resp.SetVersion(version)
	if err := resp.ReadFrom(b); err != nil {
		return nil, fmt.Errorf("%w: the answer to %s version %d: %w", ErrMalformed, a.key.Name(), version, err)
	}
	return resp, nil
}

// appendRequest appends a frame with a request in the version that it has.
func appendRequest(dst []byte, req kmsg.Request, correlation int32, clientID string) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(req.Key()))
	dst = binary.BigEndian.AppendUint16(dst, uint16(req.GetVersion()))
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlation))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(clientID)))
	dst = append(dst, clientID...)
	if req.IsFlexible() {
		dst = append(dst, 0) // no tagged fields
	}
	dst = req.AppendTo(dst)
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}
