package raftmeta

import "slices"

// shardReplicasMax bounds what moves that are changed again and again pile up.
const shardReplicasMax = 1024

// MoveShard begins to bring the replicas of a shard to other nodes, or changes
// the aim of a move that is under way. New replicas get new ids. The plans make
// it; Shard and NextStep then tell what is to be done in the Raft group.
type MoveShard struct {
	Shard   ShardID
	Version uint64 // Shard.Version
	// Voters is the nodes that are to have the voters, in the order in which they
	// should lead; Observers those that are to have replicas without a vote.
	Voters    []NodeID
	Observers []NodeID
}

func (*MoveShard) header() (Kind, byte, MetadataVersion) { return KindMoveShard, 1, MetadataV1 }

func (c *MoveShard) encode(e *encoder) {
	e.uvarint(uint64(c.Shard))
	e.uvarint(c.Version)
	numbers(e, c.Voters)
	numbers(e, c.Observers)
}

func decodeMoveShard(d *decoder) *MoveShard {
	return &MoveShard{Shard: takeNumber[ShardID](d), Version: d.uvarint(), Voters: takeNumbers[NodeID](d), Observers: takeNumbers[NodeID](d)}
}

func (c *MoveShard) apply(img *Image, _ *Result) *Error {
	s, err := img.versioned(c.Shard, c.Version)
	if err != nil {
		return err
	}
	if err := checkNodes(c.Voters); err != nil {
		return err
	}
	nodes := slices.Concat(c.Voters, c.Observers)
	if err := checkDistinct(nodes); err != nil {
		return err
	}
	for _, node := range nodes {
		if _, err := img.present(node); err != nil {
			return err
		}
	}
	s = s.clone()
	s.aim(c.Voters, c.Observers)
	if len(s.Replicas) > shardReplicasMax {
		return refuse(InvalidRequest, "shard %d has %d replicas that come, stay or go; wait until some are gone", s.ID, len(s.Replicas))
	}
	img.putShard(s)
	return nil
}

// versioned returns the shard if it is as a command knows it.
func (img *Image) versioned(id ShardID, version uint64) (*Shard, *Error) {
	s := img.Shard(id)
	switch {
	case s == nil:
		return nil, refuse(UnknownShard, "shard %d is not known", id)
	case s.Version != version:
		return nil, refuse(Stale, "shard %d was changed meanwhile: it has version %d, not %d", id, s.Version, version)
	}
	return s, nil
}

// aim sets what a move is to end with, and the states of the replicas that
// follow from it.
func (s *Shard) aim(voters, observers []NodeID) {
	if !s.Moving() {
		s.Before = s.Preferred
	}
	s.Preferred = slices.Clone(voters)
	s.Target = slices.Sorted(slices.Values(voters))
	s.Observers = slices.Sorted(slices.Values(observers))
	stays := make(map[NodeID]bool)
	for i, r := range s.Replicas {
		state := r.State.aimed(slices.Contains(voters, r.Node), slices.Contains(observers, r.Node))
		if state.Stays() && stays[r.Node] { // one that stays is enough for a node
			state = ReplicaRemoving
		}
		s.Replicas[i].State = state
		if state.Stays() {
			stays[r.Node] = true
		}
	}
	for _, node := range s.Target {
		if !stays[node] {
			s.add(node, ReplicaAdding)
		}
	}
	for _, node := range s.Observers {
		if !stays[node] {
			s.add(node, ReplicaAddingObserver)
		}
	}
}

// aimed returns the state of a replica once its node is to have a voter, an
// observer or neither. What may be in the group and must not stay is removed
// from it; a voter cannot become an observer.
func (s ReplicaState) aimed(voter, observer bool) ReplicaState {
	switch s {
	case ReplicaVoter:
		if !voter {
			return ReplicaRemoving
		}
	case ReplicaRemoving:
		// It votes still, or it is an observer or about to become one or the other:
		// as a voter that is to be it is promoted if it is not one yet.
		if voter {
			return ReplicaAdding
		}
	case ReplicaObserver, ReplicaAddingObserver:
		switch {
		case voter:
			return ReplicaAdding
		case !observer:
			return ReplicaRemoving
		}
	case ReplicaAdding: // it may have been promoted already
		if !voter {
			return ReplicaRemoving
		}
	}
	return s
}

// AdvanceMove notes how far a replica of a moving shard is. There are three
// notes: ReplicaVoter, after it was promoted in the Raft group; ReplicaLeaving,
// before it is removed from it; and ReplicaGone after that, by which the shard
// forgets the replica.
type AdvanceMove struct {
	Shard   ShardID
	Version uint64 // Shard.Version
	Replica ReplicaID
	State   ReplicaState
}

func (*AdvanceMove) header() (Kind, byte, MetadataVersion) { return KindAdvanceMove, 1, MetadataV1 }

func (c *AdvanceMove) encode(e *encoder) {
	e.uvarint(uint64(c.Shard))
	e.uvarint(c.Version)
	e.uvarint(uint64(c.Replica))
	e.byte(byte(c.State))
}

func decodeAdvanceMove(d *decoder) *AdvanceMove {
	c := &AdvanceMove{Shard: takeNumber[ShardID](d), Version: d.uvarint(), Replica: takeNumber[ReplicaID](d), State: ReplicaState(d.byte())}
	if c.State > ReplicaGone {
		d.fail("state %d of a replica", c.State)
	}
	return c
}

func (c *AdvanceMove) apply(img *Image, _ *Result) *Error {
	s, err := img.moving(c.Shard, c.Version)
	if err != nil {
		return err
	}
	s = s.clone()
	for i, r := range s.Replicas {
		if r.ID == c.Replica {
			if !r.State.advances(c.State) {
				return refuse(InvalidRequest, "replica %d of shard %d is %v and cannot become %v", c.Replica, c.Shard, r.State, c.State)
			}
			if c.State == ReplicaGone {
				s.Replicas = slices.Delete(s.Replicas, i, i+1)
			} else {
				s.Replicas[i].State = c.State
			}
			img.putShard(s)
			return nil
		}
	}
	return refuse(InvalidRequest, "shard %d has no replica %d", c.Shard, c.Replica)
}

// advances reports whether a replica may go from one state to another.
func (s ReplicaState) advances(to ReplicaState) bool {
	switch to {
	case ReplicaVoter:
		return s == ReplicaAdding
	case ReplicaLeaving:
		return s == ReplicaRemoving
	case ReplicaGone:
		return s == ReplicaLeaving || s == ReplicaLost
	}
	return false
}

// moving is versioned for a shard that must be moving.
func (img *Image) moving(id ShardID, version uint64) (*Shard, *Error) {
	s, err := img.versioned(id, version)
	if err == nil && !s.Moving() {
		return nil, refuse(NotMoving, "shard %d is not moving", id)
	}
	return s, err
}

// CompleteMove says that the Raft group is what the move was for: who was to vote
// votes, and who was to go is gone.
type CompleteMove struct {
	Shard   ShardID
	Version uint64 // Shard.Version
}

func (*CompleteMove) header() (Kind, byte, MetadataVersion) { return KindCompleteMove, 1, MetadataV1 }

func (c *CompleteMove) encode(e *encoder) {
	e.uvarint(uint64(c.Shard))
	e.uvarint(c.Version)
}

func (c *CompleteMove) apply(img *Image, _ *Result) *Error {
	s, err := img.moving(c.Shard, c.Version)
	if err != nil {
		return err
	}
	s = s.clone()
	for i, r := range s.Replicas {
		switch r.State {
		case ReplicaAddingObserver:
			s.Replicas[i].State = ReplicaObserver
		case ReplicaVoter, ReplicaObserver:
		default:
			return refuse(InvalidRequest, "the move of shard %d is not complete: replica %d on node %d is %v", s.ID, r.ID, r.Node, r.State)
		}
	}
	s.Factor = len(s.Target)
	s.Target, s.Observers, s.Before = nil, nil, nil
	img.putShard(s)
	return nil
}

// SetPreferredLeaders changes the order in which the nodes of a shard should
// lead.
type SetPreferredLeaders struct {
	Shard     ShardID
	Version   uint64 // Shard.Version
	Preferred []NodeID
}

func (*SetPreferredLeaders) header() (Kind, byte, MetadataVersion) {
	return KindSetPreferredLeaders, 1, MetadataV1
}

func (c *SetPreferredLeaders) encode(e *encoder) {
	e.uvarint(uint64(c.Shard))
	e.uvarint(c.Version)
	numbers(e, c.Preferred)
}

func decodeSetPreferredLeaders(d *decoder) *SetPreferredLeaders {
	return &SetPreferredLeaders{Shard: takeNumber[ShardID](d), Version: d.uvarint(), Preferred: takeNumbers[NodeID](d)}
}

func (c *SetPreferredLeaders) apply(img *Image, _ *Result) *Error {
	s, err := img.versioned(c.Shard, c.Version)
	if err != nil {
		return err
	}
	if !slices.Equal(slices.Sorted(slices.Values(c.Preferred)), slices.Sorted(slices.Values(s.Preferred))) {
		return refuse(InvalidRequest, "shard %d has its voters on nodes %s, and not on %s", s.ID, join10(s.Preferred), join10(c.Preferred))
	}
	if slices.Equal(c.Preferred, s.Preferred) {
		return nil
	}
	s = s.clone()
	s.Preferred = slices.Clone(c.Preferred)
	img.putShard(s)
	return nil
}
