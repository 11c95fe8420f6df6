package replication

import (
	"errors"
	"sync/atomic"
)

// Counters is what became of the proposals to a Node's shards since it was opened.
type Counters struct {
	// Proposals were handed to Raft, and Busy were not, for too much is waiting.
	Proposals int64
	Busy      int64
	// Dropped were given up by Raft, as when the leader changes, and of TimedOut
	// there is no answer.
	Dropped  int64
	TimedOut int64
}

// Counters returns a snapshot.
func (n *Node) Counters() Counters {
	return Counters{
		Proposals: n.counters.proposals.Load(),
		Busy:      n.counters.busy.Load(),
		Dropped:   n.counters.dropped.Load(),
		TimedOut:  n.counters.timedOut.Load(),
	}
}

type counters struct {
	proposals, busy, dropped, timedOut atomic.Int64
}

// proposed counts what became of handing over a proposal.
func (c *counters) proposed(err error) {
	switch {
	case err == nil:
		c.proposals.Add(1)
	case errors.Is(err, ErrBusy):
		c.busy.Add(1)
	}
}

// settled counts the outcome of a proposal.
func (c *counters) settled(err error) {
	switch {
	case errors.Is(err, ErrDropped):
		c.dropped.Add(1)
	case errors.Is(err, ErrTimeout):
		c.timedOut.Add(1)
	}
}
