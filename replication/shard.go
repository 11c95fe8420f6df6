package replication

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/client"

	"github.com/leatlog/leat/internal/base"
)

// Shard is what a DataShard and a MetaShard have in common: a replica of a shard
// that runs on this node. Its methods may be called concurrently.
type Shard struct {
	node    *Node
	id      base.ShardID
	replica base.ReplicaID
	session *client.Session // without state: a proposal is not remembered
	user    dragonboat.INodeUser
	backlog backlog
	// passing is how many calls of Transfer are about to make another replica the
	// leader: nothing is proposed meanwhile.
	passing atomic.Int32
}

func newShard(n *Node, c ShardConfig) (*Shard, error) {
	user, err := n.host.GetNodeUser(uint64(c.Shard))
	if err != nil {
		return nil, hostError(err, c.Shard)
	}
	return &Shard{
		node:    n,
		id:      c.Shard,
		replica: c.Replica,
		session: n.host.GetNoOPSession(uint64(c.Shard)),
		user:    user,
		backlog: backlog{limit: int64(n.cfg.MaxUnappliedBytes)},
	}, nil
}

// ID returns the shard's id.
func (s *Shard) ID() base.ShardID { return s.id }

// Replica returns the id of the replica that runs here.
func (s *Shard) Replica() base.ReplicaID { return s.replica }

// Leader returns the leader as known here and its term; ok is false if there is
// none. It may be out of date: only ReadIndex or a proposal tells.
func (s *Shard) Leader() (leader base.ReplicaID, term uint64, ok bool) {
	if s.node.enter() != nil {
		return 0, 0, false
	}
	defer s.node.leave()
	return s.leader()
}

func (s *Shard) leader() (base.ReplicaID, uint64, bool) {
	id, term, ok, err := s.node.host.GetLeaderID(uint64(s.id))
	if err != nil || !ok || id == 0 {
		return 0, term, false
	}
	return base.ReplicaID(id), term, true
}

// IsLeader tells whether this replica is the leader as known here.
func (s *Shard) IsLeader() bool {
	leader, _, ok := s.Leader()
	return ok && leader == s.replica
}

// propose proposes a command, which is not kept. Commands of one goroutine are
// applied in the order of the calls, those that are.
func (s *Shard) propose(cmd []byte) (*pending, error) {
	if limit := s.node.cfg.Transport.cfg.MaxFrameBytes - 1024; len(cmd) > limit {
		return nil, &TooLargeError{What: "command", Size: len(cmd), Limit: limit}
	}
	if err := s.node.enter(); err != nil {
		return nil, err
	}
	defer s.node.leave()
	if leader, _, ok := s.leader(); !ok || leader != s.replica {
		return nil, &NotLeaderError{Shard: s.id, Leader: leader}
	}
	if s.passing.Load() > 0 {
		err := fmt.Errorf("shard %d: the lead is passed on: %w", s.id, ErrDropped)
		s.node.counters.proposed(err)
		return nil, err
	}
	size := int64(len(cmd)) + entryOverheadBytes
	if !s.backlog.reserve(size) {
		s.node.counters.proposed(ErrBusy)
		return nil, fmt.Errorf("shard %d: %w", s.id, ErrBusy)
	}
	rs, err := s.user.Propose(s.session, cmd, s.node.cfg.ProposeTimeout)
	if err != nil {
		s.backlog.settled(size)
		err = fmt.Errorf("propose: %w", hostError(err, s.id))
		s.node.counters.proposed(err)
		return nil, err
	}
	s.node.counters.proposed(nil)
	p := &pending{shard: s, state: rs, bytes: size}
	s.backlog.add(p)
	return p, nil
}

// entryOverheadBytes is about what an entry takes beside its command.
const entryOverheadBytes = 256

// ReadIndex returns once this replica has applied all that was committed when it
// was called: what is then read here is linearizable. It tries again, while there
// is no leader, until ctx ends, at most for ProposeTimeout.
func (s *Shard) ReadIndex(ctx context.Context) error {
	ctx, cancel := s.node.bound(ctx)
	defer cancel()
	// A request that was lost on the way to the leader gets no answer.
	attempt := 2 * time.Duration(s.node.cfg.ElectionTicks) * s.node.cfg.Tick
	for {
		err := s.request(ctx, func(timeout time.Duration) (*dragonboat.RequestState, error) {
			return s.user.ReadIndex(min(timeout, attempt))
		})
		if err == nil || !Retriable(err) || errors.Is(err, ErrShardStopped) || ctx.Err() != nil {
			return err
		}
		if s.node.pause(ctx) != nil {
			return err
		}
	}
}

// request runs one of dragonboat's requests to its end.
func (s *Shard) request(ctx context.Context, begin func(timeout time.Duration) (*dragonboat.RequestState, error)) error {
	if err := s.node.enter(); err != nil {
		return err
	}
	timeout := s.node.cfg.ProposeTimeout
	if d, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(d), s.node.cfg.Tick)
	}
	rs, err := begin(timeout)
	s.node.leave()
	if err != nil {
		return hostError(err, s.id)
	}
	return (&pending{shard: s, state: rs}).wait(ctx)
}

// Transfer makes a voting replica the leader. It returns once this replica knows
// of it. Proposals are refused for a moment, none is lost.
func (s *Shard) Transfer(ctx context.Context, to base.ReplicaID) error {
	ctx, cancel := s.node.bound(ctx)
	defer cancel()
	if s.IsLeader() && to != s.replica {
		s.passing.Add(1)
		defer s.passing.Add(-1)
		s.settleProposals(ctx)
	}
	for {
		if err := s.node.enter(); err != nil {
			return err
		}
		leader, _, ok := s.leader()
		if ok && leader == to {
			s.node.leave()
			return nil
		}
		var err error
		if ok { // asked again, for the request may be lost
			err = s.node.host.RequestLeaderTransfer(uint64(s.id), uint64(to))
		}
		s.node.leave()
		if err != nil {
			if err = hostError(err, s.id); !Retriable(err) {
				return err
			}
		}
		if err := s.node.pause(ctx); err != nil {
			return fmt.Errorf("shard %d: replica %d did not become the leader: %w", s.id, to, err)
		}
	}
}

// transferSettle is how long a follower is given to apply what it has just heard is
// committed.
const transferSettle = 5 * time.Millisecond

// settleProposals lets the followers apply what has been proposed, as far as that is
// quick. dragonboat forgets the call to lead that reaches a follower with something
// committed and not applied, and asks again only after an election timeout, in which
// nothing can be proposed.
func (s *Shard) settleProposals(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*s.node.cfg.Tick)
	defer cancel()
	// The first round comes back behind what was proposed before, the second tells
	// the followers that it is committed. A failure costs time only.
	for range 2 {
		if s.ReadIndex(ctx) != nil {
			return
		}
	}
	t := time.NewTimer(transferSettle)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// CompactLog records a Raft snapshot of what is applied and removes the Raft log
// below it but for a few entries, so that space kept for it is freed. Replicas
// that are further behind get a Raft snapshot of the whole shard. It does nothing
// when a Raft snapshot is being recorded, or nothing was applied since the last.
func (s *Shard) CompactLog(ctx context.Context) error {
	const keep = 64
	err := s.request(ctx, func(timeout time.Duration) (*dragonboat.RequestState, error) {
		return s.node.host.RequestSnapshot(uint64(s.id), dragonboat.SnapshotOption{
			OverrideCompactionOverhead: true,
			CompactionOverhead:         keep,
		}, timeout)
	})
	if errors.Is(err, ErrRejected) {
		return nil
	}
	return err
}
