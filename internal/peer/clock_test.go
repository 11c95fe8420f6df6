package peer_test

import (
	"slices"
	"sync"
	"time"

	"github.com/leatlog/leat/internal/base"
)

// recordingClock is the system's clock, but for timers of less than a minute: these
// fire at once. It remembers how long they were to be.
type recordingClock struct {
	base.SystemClock
	mu     sync.Mutex
	timers []time.Duration
}

func (c *recordingClock) NewTimer(d time.Duration) base.Timer {
	c.mu.Lock()
	c.timers = append(c.timers, d)
	c.mu.Unlock()
	if d < time.Minute {
		d = 0
	}
	return c.SystemClock.NewTimer(d)
}

// pauses is how long the timers were to be.
func (c *recordingClock) pauses() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.timers)
}
