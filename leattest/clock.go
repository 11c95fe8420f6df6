package leattest

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/leatlog/leat/internal/base"
)

// Clock is a clock for tests. It stands still but for Advance and Jump. Its
// methods may be called from several goroutines at once.
type Clock struct {
	mu      sync.Mutex
	wall    time.Time
	elapsed time.Duration // sum of all Advances; what timers are measured by
	created uint64        // timers armed so far, which orders those of one instant
	pending []*timer      // sorted by at, then seq; each of them armed
	waiters []waiter      // of BlockUntil
}

var _ base.Clock = (*Clock)(nil)

type waiter struct {
	n    int
	done chan struct{} // closed by whoever arms the n-th timer, under mu
}

// NewClock returns a clock that shows start.
func NewClock(start time.Time) *Clock {
	return &Clock{wall: start.Round(0)}
}

// Now returns what the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall
}

// NewTimer returns a timer that fires when the clock has advanced by d, and at
// once when d is not positive.
func (c *Clock) NewTimer(d time.Duration) base.Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &timer{clock: c, c: make(chan time.Time, 1)}
	c.armLocked(t, d)
	return t
}

// Advance moves the clock forward and fires the timers that are due, each with
// the time it was due at: the earlier first, and among those of one instant the
// one that was set first. It does not wait for what the timers wake. A timer
// that is set meanwhile counts from the new time. A d that is not positive does
// nothing.
func (c *Clock) Advance(d time.Duration) {
	if d <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.elapsed
	start := c.wall
	c.elapsed += d
	c.wall = c.wall.Add(d)
	due := 0
	for ; due < len(c.pending) && c.pending[due].at <= c.elapsed; due++ {
		t := c.pending[due]
		t.c <- start.Add(t.at - before)
	}
	c.pending = slices.Delete(c.pending, 0, due)
}

// Jump sets the clock forward, or back when d is negative, as an operator or a
// time server does: Now changes by d, and timers neither fire nor change how
// long they have left.
func (c *Clock) Jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = c.wall.Add(d)
}

// Pending returns how many timers are waiting to fire.
func (c *Clock) Pending() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.pending)
}

// BlockUntil waits until at least n timers are waiting to fire. It returns
// ctx's error when ctx ends before.
func (c *Clock) BlockUntil(ctx context.Context, n int) error {
	c.mu.Lock()
	if len(c.pending) >= n {
		c.mu.Unlock()
		return nil
	}
	w := waiter{n: n, done: make(chan struct{})}
	c.waiters = append(c.waiters, w)
	c.mu.Unlock()

	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiters = slices.DeleteFunc(c.waiters, func(other waiter) bool { return other.done == w.done })
	return ctx.Err()
}

// armLocked makes t, which is not pending and whose channel is empty, fire d
// from now.
func (c *Clock) armLocked(t *timer, d time.Duration) {
	if d <= 0 {
		t.c <- c.wall
		return
	}
	t.at = c.elapsed + d
	if t.at < c.elapsed { // beyond the end of time: never
		t.at = 1<<63 - 1
	}
	c.created++
	t.seq = c.created
	i, _ := slices.BinarySearchFunc(c.pending, t, compareTimers)
	c.pending = slices.Insert(c.pending, i, t)
	c.waiters = slices.DeleteFunc(c.waiters, func(w waiter) bool {
		if len(c.pending) < w.n {
			return false
		}
		close(w.done)
		return true
	})
}

// disarmLocked makes sure that t is not pending and its channel is empty. It
// reports whether that took anything away.
func (c *Clock) disarmLocked(t *timer) bool {
	select {
	case <-t.c:
		return true
	default:
	}
	i, found := slices.BinarySearchFunc(c.pending, t, compareTimers)
	if found {
		c.pending = slices.Delete(c.pending, i, i+1)
	}
	return found
}

// timer is a timer of a Clock. It is in its clock's pending list, or its
// channel holds the time it fired at, or neither; never both.
type timer struct {
	clock *Clock
	c     chan time.Time // never closed

	at  time.Duration // guarded by clock.mu, as seq is; on the scale of Clock.elapsed
	seq uint64
}

var _ base.Timer = (*timer)(nil)

func compareTimers(a, b *timer) int {
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.seq, b.seq))
}

func (t *timer) C() <-chan time.Time { return t.c }

func (t *timer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	return t.clock.disarmLocked(t)
}

func (t *timer) Reset(d time.Duration) bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	running := t.clock.disarmLocked(t)
	t.clock.armLocked(t, d)
	return running
}
