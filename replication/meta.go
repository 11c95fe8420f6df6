package replication

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/statemachine"

	"github.com/leatlog/leat/internal/base"
)

// MetaMachine is a deterministic state machine in memory, made durable by Raft
// snapshots and the Raft log. Apply, Snapshot and Restore are called by one
// goroutine at a time; what else there is to be read of it at the same time is
// the machine's own business.
type MetaMachine interface {
	// Apply applies a command, which it does not keep, and returns its result.
	// Indexes grow, with holes.
	Apply(index base.RaftIndex, command []byte) (result []byte)
	// Snapshot writes the state.
	Snapshot(w io.Writer) error
	// Restore replaces the state by one that Snapshot has written.
	Restore(r io.Reader) error
}

// MetaShard is a Shard of a MetaMachine.
type MetaShard struct{ *Shard }

// StartMeta starts a replica of a shard whose state is a MetaMachine. At a
// restart the machine must be a new one: it gets its state from the last Raft
// snapshot and the log behind it.
func (n *Node) StartMeta(c ShardConfig, m MetaMachine) (*MetaShard, error) {
	host := &metaHost{machine: m, fault: n.fault}
	s, err := n.start(c, func(members map[uint64]dragonboat.Target, rc config.Config) error {
		return n.host.StartReplica(members, c.Join, func(uint64, uint64) statemachine.IStateMachine { return host }, rc)
	})
	if err != nil {
		return nil, err
	}
	return &MetaShard{s}, nil
}

// Propose proposes a command, which is not kept, and returns what the machine's
// Apply returned for it. ErrTimeout and ErrShardStopped leave open whether it is
// applied. Only the leader proposes: a *NotLeaderError says who that is.
func (s *MetaShard) Propose(ctx context.Context, command []byte) ([]byte, error) {
	if len(command) == 0 {
		return nil, errors.New("replication: an empty command")
	}
	p, err := s.propose(command)
	if err != nil {
		return nil, err
	}
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	return p.result.Data, nil
}

// metaHost is a MetaMachine as dragonboat wants it.
type metaHost struct {
	machine MetaMachine
	fault   *fault
}

var _ statemachine.IStateMachine = (*metaHost)(nil)

func (h *metaHost) Update(e statemachine.Entry) (statemachine.Result, error) {
	if h.fault.err() != nil { // the entry may never have been written
		h.fault.wait()
		return statemachine.Result{}, nil
	}
	data := h.machine.Apply(base.RaftIndex(e.Index), e.Cmd)
	return statemachine.Result{Value: e.Index, Data: data}, nil
}

// Lookup has nothing to say: the machine is read directly.
func (h *metaHost) Lookup(any) (any, error) { return nil, nil }

// SaveSnapshot fails the node if it fails, for dragonboat panics.
func (h *metaHost) SaveSnapshot(w io.Writer, _ statemachine.ISnapshotFileCollection, stop <-chan struct{}) error {
	select {
	case <-stop:
		return statemachine.ErrSnapshotStopped
	default:
	}
	if err := h.machine.Snapshot(w); err != nil {
		h.fault.fail(fmt.Errorf("write a Raft snapshot of the metadata: %w", err))
		return statemachine.ErrSnapshotStopped
	}
	return nil
}

func (h *metaHost) RecoverFromSnapshot(r io.Reader, _ []statemachine.SnapshotFile, _ <-chan struct{}) error {
	if err := h.machine.Restore(r); err != nil {
		h.fault.fail(fmt.Errorf("restore the metadata from a Raft snapshot: %w", err))
		h.fault.wait()
		return statemachine.ErrSnapshotStopped
	}
	return nil
}

func (h *metaHost) Close() error { return nil }
