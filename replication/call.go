package replication

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// CallHandler answers a call of a peer. It may run several times at once; ctx
// ends when the caller's time is over or the Transport closes. body is the
// handler's own, and what it returns is not changed until it was sent. A
// *CallError reaches the caller with its code, any other error with its text.
type CallHandler func(ctx context.Context, from Peer, kind uint8, body []byte) ([]byte, error)

// CallError is an error that a CallHandler returns for the caller to branch on.
type CallError struct {
	Code    uint16
	Message string
}

func (e *CallError) Error() string { return e.Message }

const (
	// maxCalls bounds the calls that a node makes at once; more wait.
	maxCalls = 64
	// callTimeout is the time of a call whose context has no deadline, and of
	// any at most.
	callTimeout = time.Minute
	// maxErrorBytes bounds the text of an error that is sent.
	maxErrorBytes = 4096
)

// A call's body is its kind u8, the time it has in milliseconds u32, and the
// caller's bytes. A reply's is its status u8 (0: fine), and the handler's bytes,
// or the error's code u16 and text.

// Call sends a request to the node at an address and returns its answer. It
// blocks until then, at most a minute. The errors are a *RemoteError for what
// the peer's handler returned, a *RefusedError, those of the network, or ctx's;
// when the connection ended after the request was sent it matches ErrTimeout,
// for the request may have been served.
func (t *Transport) Call(ctx context.Context, addr string, kind uint8, body []byte) ([]byte, error) {
	const head = 5
	if len(body)+head > t.cfg.MaxFrameBytes {
		return nil, &TooLargeError{What: "call", Size: len(body), Limit: t.cfg.MaxFrameBytes - head}
	}
	select {
	case t.calls <- struct{}{}:
		defer func() { <-t.calls }()
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-t.ctx.Done():
		return nil, ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c, err := t.dial(ctx, addr, purposeCalls)
	if err != nil {
		return nil, err
	}
	defer t.untrack(c)
	stop := context.AfterFunc(ctx, func() { c.raw.Close() })
	defer stop()

	deadline, _ := ctx.Deadline()
	h := binary.BigEndian.AppendUint32([]byte{kind}, uint32(min(max(time.Until(deadline).Milliseconds(), 1), math.MaxUint32)))
	err = c.send(frameCall, h, body)
	var reply []byte
	if err == nil {
		reply, err = c.receive(frameReply, callTimeout)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		} else if t.ctx.Err() != nil {
			err = ErrClosed
		}
		return nil, fmt.Errorf("call of %s: %w: %w", addr, ErrTimeout, err)
	}
	d := decoder{buf: reply}
	if status := d.uint8(); d.err == nil && status == 0 {
		return d.buf, nil
	}
	remote := &RemoteError{Addr: addr, Code: d.uint16()}
	if d.err != nil {
		return nil, d.err
	}
	remote.Message = string(d.buf)
	return nil, remote
}

// serveCalls answers one call after the other.
func (c *conn) serveCalls() error {
	for {
		body, err := c.receive(frameCall, c.t.timeouts.idle)
		if err != nil {
			return err
		}
		d := decoder{buf: body}
		kind := d.uint8()
		timeout := time.Duration(d.uint32()) * time.Millisecond
		if d.err != nil {
			return d.err
		}
		answer, err := c.answer(kind, min(timeout, callTimeout), d.buf)
		if err == nil && len(answer) >= c.t.cfg.MaxFrameBytes {
			err = &TooLargeError{What: "reply", Size: len(answer), Limit: c.t.cfg.MaxFrameBytes - 1}
		}
		if err == nil {
			err = c.send(frameReply, []byte{0}, answer)
		} else {
			var code uint16
			if e := (*CallError)(nil); errors.As(err, &e) {
				code = e.Code
			}
			text := err.Error()
			err = c.send(frameReply, binary.BigEndian.AppendUint16([]byte{1}, code), []byte(text[:min(len(text), maxErrorBytes)]))
		}
		if err != nil {
			return err
		}
	}
}

func (c *conn) answer(kind uint8, timeout time.Duration, body []byte) ([]byte, error) {
	if c.t.cfg.Call == nil {
		return nil, errors.New("this node takes no calls")
	}
	ctx, cancel := context.WithTimeout(c.t.ctx, timeout)
	defer cancel()
	return c.t.cfg.Call(ctx, c.peer, kind, body)
}
