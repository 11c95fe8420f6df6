package replication

import (
	"context"
	"fmt"
	"time"

	"github.com/lni/dragonboat/v4"

	"github.com/leatlog/leat/internal/base"
)

// Membership is who is in a shard.
type Membership struct {
	// Version is what a change of the members is based on: it fails with
	// ErrRejected when there was another since.
	Version uint64
	// Voters and NonVoting are Raft addresses.
	Voters    map[base.ReplicaID]string
	NonVoting map[base.ReplicaID]string
	// Removed are ids that cannot be used again.
	Removed map[base.ReplicaID]bool
}

// Membership returns the members, linearizably.
func (s *Shard) Membership(ctx context.Context) (Membership, error) {
	if err := s.node.enter(); err != nil {
		return Membership{}, err
	}
	defer s.node.leave()
	ctx, cancel := s.node.bound(ctx)
	defer cancel()
	m, err := s.node.host.SyncGetShardMembership(ctx, uint64(s.id))
	if err != nil {
		return Membership{}, hostError(err, s.id)
	}
	out := Membership{
		Version:   m.ConfigChangeID,
		Voters:    make(map[base.ReplicaID]string, len(m.Nodes)),
		NonVoting: make(map[base.ReplicaID]string, len(m.NonVotings)),
		Removed:   make(map[base.ReplicaID]bool, len(m.Removed)),
	}
	for id, addr := range m.Nodes {
		out.Voters[base.ReplicaID(id)] = addr
	}
	for id, addr := range m.NonVotings {
		out.NonVoting[base.ReplicaID(id)] = addr
	}
	for id := range m.Removed {
		out.Removed[base.ReplicaID(id)] = true
	}
	return out, nil
}

// AddReplica adds a voting replica, which is then to be started with Join. It
// counts for majorities at once: AddNonVoting, and Promote when it has caught
// up, keeps the shard available meanwhile. version is Membership's.
func (s *Shard) AddReplica(ctx context.Context, id base.ReplicaID, addr string, version uint64) error {
	return s.change(ctx, "add", id, addr, func(timeout time.Duration) (*dragonboat.RequestState, error) {
		return s.node.host.RequestAddReplica(uint64(s.id), uint64(id), addr, version, timeout)
	})
}

// AddNonVoting adds a replica that gets everything and does not vote, which is
// then to be started with Join and NonVoting. version is Membership's.
func (s *Shard) AddNonVoting(ctx context.Context, id base.ReplicaID, addr string, version uint64) error {
	return s.change(ctx, "add", id, addr, func(timeout time.Duration) (*dragonboat.RequestState, error) {
		return s.node.host.RequestAddNonVoting(uint64(s.id), uint64(id), addr, version, timeout)
	})
}

// Promote gives a non-voting replica its vote. Its address stays. version is
// Membership's.
func (s *Shard) Promote(ctx context.Context, id base.ReplicaID, addr string, version uint64) error {
	return s.AddReplica(ctx, id, addr, version)
}

// RemoveReplica removes a replica, whose id is never used again. version is
// Membership's.
func (s *Shard) RemoveReplica(ctx context.Context, id base.ReplicaID, version uint64) error {
	return s.change(ctx, "remove", id, s.node.Addr(), func(timeout time.Duration) (*dragonboat.RequestState, error) {
		return s.node.host.RequestDeleteReplica(uint64(s.id), uint64(id), version, timeout)
	})
}

func (s *Shard) change(ctx context.Context, what string, id base.ReplicaID, addr string, begin func(time.Duration) (*dragonboat.RequestState, error)) error {
	if id == 0 || !isAddress(addr) {
		return fmt.Errorf("shard %d: replica %d at %q: not an id and host:port", s.id, id, addr)
	}
	if err := s.request(ctx, begin); err != nil {
		return fmt.Errorf("%s replica %d: %w", what, id, err)
	}
	return nil
}
