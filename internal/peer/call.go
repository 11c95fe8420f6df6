package peer

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Call is a request that was started. Its answer comes whether or not somebody waits.
type Call struct {
	api      *api
	req      kmsg.Request // nil once it is sent
	allowed  versions     // that it may be sent in
	version  int16        // the one that it was sent in
	link     *link
	deadline time.Time // of the answer; set when it is sent

	done chan struct{} // closed by finish
	resp kmsg.Response // set before done is closed, as err
	err  error
}

// Done returns a channel that is closed when the answer is there or will not come.
func (c *Call) Done() <-chan struct{} { return c.done }

// Wait returns the answer. Its byte slices are the caller's; they lie in one block
// with the rest of the answer. If ctx ends before, a request that was not sent yet
// never will be; one that was goes on, on a connection that others use on. The error
// is an *UnreachableError, an *InterruptedError or a *VersionError.
func (c *Call) Wait(ctx context.Context) (kmsg.Response, error) {
	select {
	case <-c.done:
		return c.resp, c.err
	default:
	}
	select {
	case <-c.done:
		return c.resp, c.err
	case <-ctx.Done():
	}
	e := &InterruptedError{Node: c.link.node.id, API: c.api.key, Err: context.Cause(ctx)}
	if c.link.withdraw(c) {
		c.finish(nil, e)
		return nil, e
	}
	select {
	case <-c.done:
		return c.resp, c.err
	default:
	}
	if c.link.long {
		c.link.node.abandon(c.link, c)
	}
	e.Sent = true
	return nil, e
}

// finish ends a call that is no longer in line, once. No lock may be held.
func (c *Call) finish(resp kmsg.Response, err error) {
	c.resp, c.err = resp, err
	close(c.done)
	c.link.release()
}

// unreachable ends a call that has no answer because of the connection.
func (c *Call) unreachable(addr string, sent bool, err error) {
	c.finish(nil, &UnreachableError{Node: c.link.node.id, Addr: addr, API: c.api.key, Sent: sent, Err: err})
}

// choose returns the version to send a call in to a peer that serves those of its API.
func (c *Call) choose(served versions) (int16, error) {
	if lo, hi := max(c.allowed.lo, served.lo), min(c.allowed.hi, served.hi); lo <= hi {
		return hi, nil
	}
	return 0, &VersionError{Node: c.link.node.id, API: c.api.key, Min: c.allowed.lo, Max: c.allowed.hi, PeerMin: served.lo, PeerMax: served.hi}
}
