package replication

import (
	"sync"
	"time"

	"github.com/leatlog/leat/internal/base"
)

// limiter spreads bytes over time: bytesPerSecond of them, after at most burst
// at once. It may be used by several goroutines at once, which take turns.
type limiter struct {
	clock          base.Clock
	bytesPerSecond int64 // 0: no limit
	burst          time.Duration

	mu   sync.Mutex
	next time.Time // when what was let through so far is paid for
}

func newLimiter(clock base.Clock, bytesPerSecond int64) *limiter {
	return &limiter{clock: clock, bytesPerSecond: bytesPerSecond, burst: 100 * time.Millisecond}
}

// wait waits until n bytes may go. It returns false when stop was closed first.
func (l *limiter) wait(n int, stop <-chan struct{}) bool {
	if l.bytesPerSecond == 0 {
		return true
	}
	l.mu.Lock()
	now := l.clock.Now()
	if earliest := now.Add(-l.burst); l.next.Before(earliest) {
		l.next = earliest
	}
	at := l.next
	l.next = at.Add(time.Duration(float64(n) / float64(l.bytesPerSecond) * float64(time.Second)))
	l.mu.Unlock()
	d := at.Sub(now)
	if d <= 0 {
		return true
	}
	timer := l.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
		return true
	case <-stop:
		return false
	}
}
