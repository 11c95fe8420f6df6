package coordinator

import (
	"sync"
	"time"

	"github.com/leatlog/leat/internal/base"
)

// fakeClock is a clock that stands until it is advanced. It is for tests that
// cannot live in a synctest bubble.
type fakeClock struct {
	mu     sync.Mutex
	passed time.Duration
	timers []*fakeTimer
}

var _ base.Clock = (*fakeClock)(nil)

func (c *fakeClock) nowLocked() time.Time { return time.Unix(1_700_000_000, 0).Add(c.passed) }

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nowLocked()
}

func (c *fakeClock) NewTimer(d time.Duration) base.Timer {
	t := &fakeTimer{clock: c, c: make(chan time.Time, 1)}
	c.mu.Lock()
	c.timers = append(c.timers, t)
	c.mu.Unlock()
	t.Reset(d)
	return t
}

func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passed += d
	for _, t := range c.timers {
		t.fireLocked()
	}
}

type fakeTimer struct {
	clock  *fakeClock
	c      chan time.Time
	at     time.Time
	active bool
}

func (t *fakeTimer) C() <-chan time.Time { return t.c }

func (t *fakeTimer) fireLocked() {
	if now := t.clock.nowLocked(); t.active && !t.at.After(now) {
		t.active = false
		t.c <- now
	}
}

func (t *fakeTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	return t.stopLocked()
}

func (t *fakeTimer) stopLocked() bool {
	was := t.active
	t.active = false
	select {
	case <-t.c:
	default:
	}
	return was
}

func (t *fakeTimer) Reset(d time.Duration) bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	was := t.stopLocked()
	t.at, t.active = t.clock.nowLocked().Add(d), true
	t.fireLocked()
	return was
}
