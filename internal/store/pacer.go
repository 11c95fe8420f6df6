package store

import (
	"context"
	"time"
)

// pacer holds work to a number of bytes a second. It spares the disk, so that
// it goes by the time that really passes and not by the store's clock.
type pacer struct {
	bytesPerSecond int64 // 0: no bound
	next           time.Time
}

// spent waits until what was spent fits the bound, or ctx ends.
func (p *pacer) spent(ctx context.Context, bytes int64) error {
	if p.bytesPerSecond <= 0 || bytes <= 0 {
		return ctx.Err()
	}
	now := time.Now()
	if p.next.Before(now) {
		p.next = now // what was not used is not saved up
	}
	p.next = p.next.Add(time.Duration(float64(bytes) / float64(p.bytesPerSecond) * float64(time.Second)))
	t := time.NewTimer(p.next.Sub(now))
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
