package leat

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/leatlog/leat/internal/base"
)

const (
	leaderBackoffMin = 10 * time.Millisecond
	leaderBackoffMax = 250 * time.Millisecond
)

// backoff is the time between attempts, which doubles from min to max, and varies by
// a quarter so that many do not come at once.
type backoff struct {
	clock    base.Clock
	min, max time.Duration
	next     time.Duration
}

func newBackoff(clock base.Clock, min, max time.Duration) *backoff {
	return &backoff{clock: clock, min: min, max: max, next: min}
}

// first reports whether no time has been waited since the start or a reset.
func (b *backoff) first() bool { return b.next == b.min }

func (b *backoff) reset() { b.next = b.min }

// wait waits for the next attempt: for its time, or until early is closed. It returns
// ctx's error if that ends first.
func (b *backoff) wait(ctx context.Context, early <-chan struct{}) error {
	d := b.next
	b.next = min(2*b.next, b.max)
	d += time.Duration(rand.Int64N(int64(d)/2+1)) - d/4
	t := b.clock.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C():
	case <-early:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}
