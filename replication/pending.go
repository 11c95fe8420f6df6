package replication

import (
	"context"
	"fmt"
	"sync"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/statemachine"
)

// pending is a request under way.
type pending struct {
	shard *Shard
	bytes int64 // of a proposal's command, counted by shard.backlog until settled

	mu      sync.Mutex
	waiting bool                     // somebody reads state's channel, which has one result
	state   *dragonboat.RequestState // nil once it is settled
	result  statemachine.Result
	err     error
}

// wait waits for the outcome, which is kept. When ctx ends before, it may be
// called again; it may not be called twice at a time.
func (p *pending) wait(ctx context.Context) error {
	p.mu.Lock()
	if p.state == nil {
		p.mu.Unlock()
		return p.err
	}
	p.waiting = true
	results := p.state.ResultC()
	p.mu.Unlock()

	n := p.shard.node
	select {
	case r := <-results:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.waiting = false
		p.settleLocked(r)
		return p.err
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		p.waiting = false
		return fmt.Errorf("shard %d: %w: %w", p.shard.id, ErrTimeout, ctx.Err())
	case <-n.fault.failed:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.waiting = false
		return n.fault.err()
	}
}

func (p *pending) settleLocked(r dragonboat.RequestResult) {
	p.result = r.GetResult()
	p.err = p.shard.outcome(r)
	if p.bytes > 0 {
		p.shard.node.counters.settled(p.err)
	}
	p.state.Release()
	p.state = nil
	p.shard.backlog.settled(p.bytes)
}

// poll settles what nobody waits for, if it can be, and tells whether it is.
func (p *pending) poll() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == nil {
		return true
	}
	if p.waiting {
		return false
	}
	select {
	case r := <-p.state.ResultC():
		p.settleLocked(r)
		return true
	default:
		return false
	}
}

// outcome returns a result as an error.
func (s *Shard) outcome(r dragonboat.RequestResult) error {
	if err := s.node.fault.err(); err != nil {
		return err // what a failed node answers has no meaning
	}
	switch {
	case r.Completed():
		return nil
	case r.Timeout():
		return fmt.Errorf("shard %d: %w", s.id, ErrTimeout)
	case r.Rejected():
		return fmt.Errorf("shard %d: %w", s.id, ErrRejected)
	case r.Dropped(), r.Aborted():
		return fmt.Errorf("shard %d: %w", s.id, ErrDropped)
	}
	if s.node.isClosing() {
		return ErrClosed
	}
	return fmt.Errorf("shard %d: %w", s.id, ErrShardStopped)
}

func (n *Node) isClosing() bool {
	select {
	case <-n.done:
		return true
	default:
		return false
	}
}

// backlog bounds the memory of a shard's proposals. dragonboat notices late that
// too much is waiting, and counts entries in the queue before that, not bytes.
type backlog struct {
	limit int64

	mu    sync.Mutex
	bytes int64
	queue []*pending // in order; those that are settled go once they are first
}

// reserve counts a command, unless there is too much already.
func (b *backlog) reserve(bytes int64) bool {
	if b.tryReserve(bytes) {
		return true
	}
	// Those whose proposer went away are settled here.
	b.mu.Lock()
	queue := append([]*pending(nil), b.queue...)
	b.mu.Unlock()
	for _, p := range queue {
		p.poll()
	}
	return b.tryReserve(bytes)
}

func (b *backlog) tryReserve(bytes int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes+bytes > b.limit {
		return false
	}
	b.bytes += bytes
	return true
}

func (b *backlog) settled(bytes int64) {
	if bytes > 0 {
		b.mu.Lock()
		b.bytes -= bytes
		b.mu.Unlock()
	}
}

// add keeps a proposal that was reserved until it is settled.
func (b *backlog) add(p *pending) {
	b.mu.Lock()
	b.queue = append(b.queue, p)
	var first *pending
	if len(b.queue) > maxUnpolled {
		first = b.queue[0]
	}
	b.mu.Unlock()
	for first != nil && first.poll() {
		next := (*pending)(nil)
		b.mu.Lock()
		if len(b.queue) > 0 && b.queue[0] == first {
			b.queue[0] = nil
			b.queue = b.queue[1:]
			if len(b.queue) > maxUnpolled {
				next = b.queue[0]
			}
		}
		b.mu.Unlock()
		first = next
	}
}

// maxUnpolled is how many proposals are kept before the settled ones go.
const maxUnpolled = 16
