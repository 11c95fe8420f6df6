package kafka

import (
	"context"
	"sync"
)

// budget is an amount of bytes that is shared. Who does not fit waits in line.
type budget struct {
	mu    sync.Mutex
	free  int64
	total int64
	line  []*waiter // oldest first; at most one for each connection's goroutine
}

type waiter struct {
	n     int64
	ready chan struct{} // closed under mu when n was taken
}

// share is the part of a budget that one address may use: no more than addr has, so
// that the others find something.
type share struct{ addr, all *budget }

// try is budget.try.
func (s share) try(n int64) bool {
	n = min(n, s.addr.total)
	if !s.addr.try(n) {
		return false
	}
	if !s.all.try(n) {
		s.addr.release(n)
		return false
	}
	return true
}

// acquire is budget.acquire; who waits for the own address does not stand in the line
// of all.
func (s share) acquire(ctx context.Context, n int64) (int64, error) {
	n, err := s.addr.acquire(ctx, n)
	if err != nil {
		return 0, err
	}
	if _, err := s.all.acquire(ctx, n); err != nil {
		s.addr.release(n)
		return 0, err
	}
	return n, nil
}

func (s share) release(n int64) {
	s.all.release(n)
	s.addr.release(n)
}

// used returns how much is taken.
func (b *budget) used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total - b.free
}

func newBudget(total int64) *budget { return &budget{free: total, total: total} }

// try takes n bytes if they are there and nobody waits for some.
func (b *budget) try(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.line) > 0 || b.free < n {
		return false
	}
	b.free -= n
	return true
}

// acquire takes n bytes, waiting for them; more than there are in all are as many
// as there are in all. It returns what has to be released, or ctx's error.
func (b *budget) acquire(ctx context.Context, n int64) (int64, error) {
	n = min(n, b.total)
	b.mu.Lock()
	if len(b.line) == 0 && b.free >= n {
		b.free -= n
		b.mu.Unlock()
		return n, nil
	}
	w := &waiter{n: n, ready: make(chan struct{})}
	b.line = append(b.line, w)
	b.mu.Unlock()
	select {
	case <-w.ready:
		return n, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.ready: // both happened
		b.free += n
	default:
		for i := range b.line {
			if b.line[i] == w {
				b.line = append(b.line[:i], b.line[i+1:]...)
				break
			}
		}
	}
	b.serveLocked()
	return 0, context.Cause(ctx)
}

func (b *budget) release(n int64) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	b.free += n
	b.serveLocked()
	b.mu.Unlock()
}

// serveLocked lets those in front of the line go that fit.
func (b *budget) serveLocked() {
	n := 0
	for n < len(b.line) && b.line[n].n <= b.free {
		b.free -= b.line[n].n
		close(b.line[n].ready)
		n++
	}
	rest := copy(b.line, b.line[n:])
	clear(b.line[rest:])
	b.line = b.line[:rest]
}
