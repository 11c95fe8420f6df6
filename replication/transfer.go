package replication

import (
	"slices"
	"sync"
	"time"

	"github.com/leatlog/leat/internal/base"
)

// Transfer is a Raft snapshot on its way between two nodes: the whole of a
// shard's replica.
type Transfer struct {
	Shard base.ShardID
	// Replica is the one that is built.
	Replica base.ReplicaID
	// Index is the Raft index that the snapshot is of.
	Index base.RaftIndex
	// Incoming tells whether this node is the receiver.
	Incoming bool
	// Peer is the other node's Raft address.
	Peer string
	// Bytes is how many have gone over the connection.
	Bytes   int64
	Started time.Time
	Updated time.Time
	State   TransferState
}

// TransferState is how far a Transfer is.
type TransferState uint8

// The states of a Transfer.
const (
	TransferRunning TransferState = iota
	TransferDone
	// TransferFailed: it is begun anew, as another Transfer, while the replica
	// needs it.
	TransferFailed
)

func (s TransferState) String() string {
	switch s {
	case TransferRunning:
		return "running"
	case TransferDone:
		return "done"
	}
	return "failed"
}

// maxTransfers is how many transfers that ended are remembered.
const maxTransfers = 64

// transfers keeps what goes on and the last that ended.
type transfers struct {
	clock base.Clock

	mu   sync.Mutex
	list []*Transfer // in order of their beginning; the running ones and at most maxTransfers more
	// sent and received are the bytes of all there ever were.
	sent, received int64
}

func (s *transfers) begin(t Transfer) *Transfer {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Started = s.clock.Now()
	t.Updated = t.Started
	s.list = append(s.list, &t)
	ended := 0
	for _, t := range s.list {
		if t.State != TransferRunning {
			ended++
		}
	}
	s.list = slices.DeleteFunc(s.list, func(t *Transfer) bool {
		if t.State == TransferRunning || ended <= maxTransfers {
			return false
		}
		ended--
		return true
	})
	return &t
}

func (s *transfers) add(t *Transfer, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.Incoming {
		s.received += int64(bytes)
	} else {
		s.sent += int64(bytes)
	}
	t.Bytes += int64(bytes)
	t.Updated = s.clock.Now()
}

// end settles a transfer, unless it is already.
func (s *transfers) end(t *Transfer, state TransferState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.State == TransferRunning {
		t.State = state
		t.Updated = s.clock.Now()
	}
}

func (s *transfers) snapshot() []Transfer {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Transfer, len(s.list))
	for i, t := range s.list {
		out[i] = *t
	}
	return out
}

func (s *transfers) bytes() (sent, received int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent, s.received
}
