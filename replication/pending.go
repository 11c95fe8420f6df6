package replication

import (
	"context"
	"fmt"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/statemachine"
)

// Pending is a proposal under way. It belongs to one goroutine.
type Pending struct {
	shard  *Shard
	state  *dragonboat.RequestState // nil once the outcome is known
	result statemachine.Result
	err    error
}

// wait waits for the outcome, which is kept. When ctx ends before, it may be
// called again.
func (p *Pending) wait(ctx context.Context) error {
	if p.state == nil {
		return p.err
	}
	n := p.shard.node
	select {
	case r := <-p.state.ResultC():
		p.settle(r)
	case <-ctx.Done():
		return fmt.Errorf("shard %d: %w: %w", p.shard.id, ErrTimeout, ctx.Err())
	case <-n.fault.failed:
		p.state, p.err = nil, n.fault.err()
	}
	return p.err
}

func (p *Pending) settle(r dragonboat.RequestResult) {
	p.result = r.GetResult()
	p.err = p.shard.outcome(r)
	p.state.Release()
	p.state = nil
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
	case r.Dropped():
		return fmt.Errorf("shard %d: %w", s.id, ErrDropped)
	case r.Aborted():
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
