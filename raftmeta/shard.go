package raftmeta

import (
	"fmt"
	"slices"
)

// A Shard is a Raft group that replicates a set of partitions, or the metadata.
// It is the unit of replication, leadership and movement: to Kafka's clients, the
// replicas and the leader of a partition are its shard's. It is immutable.
type Shard struct {
	ID   ShardID
	Kind ShardKind
	// Topic is whose partitions a dedicated shard takes.
	Topic TopicID
	// Factor is the replication factor of the partitions it takes. A move to
	// another factor changes it when it completes.
	Factor int

	// Initial is the nodes that started the group, whose replica ids are 1, 2, ...
	// in this order. A replica with a higher id joins. It never changes.
	Initial []NodeID
	// Replicas is all that belong to the group or are coming or going, by id.
	Replicas []Replica
	// Preferred is the nodes of the voters, in a move of those to be, in the order
	// in which they should lead.
	Preferred []NodeID
	// Target is the nodes that are to have the voters, and Observers those that are
	// to have the replicas without a vote, both sorted and both nil unless the
	// shard is moving.
	Target    []NodeID
	Observers []NodeID
	// Before is what Preferred was before the move, nil unless the shard is moving:
	// a move that is cancelled goes back there.
	Before []NodeID
	// NextReplica is the id of the next replica: ids are never used again.
	NextReplica ReplicaID

	// Partitions is how many partitions the shard has.
	Partitions int
	// Version grows with every change but that of Partitions: a command names the
	// version that it was decided on.
	Version uint64
}

// ShardKind is what a shard is for.
type ShardKind uint8

// The kinds of shards. The numbers are stored.
const (
	ShardMetadata  ShardKind = iota // the metadata itself
	ShardShared                     // partitions of any topic with its replication factor
	ShardDedicated                  // partitions of one topic (leat.dedicated.shards)
	shardKinds
)

// String returns the kind in lower case.
func (k ShardKind) String() string {
	switch k {
	case ShardMetadata:
		return "metadata"
	case ShardShared:
		return "shared"
	case ShardDedicated:
		return "dedicated"
	}
	return fmt.Sprintf("ShardKind(%d)", uint8(k))
}

// A Replica is a member of a shard's Raft group on a node.
type Replica struct {
	Node  NodeID
	ID    ReplicaID
	State ReplicaState
}

// ReplicaState is what a replica is in its group.
type ReplicaState uint8

// The states of a replica. The numbers are stored.
const (
	// ReplicaVoter votes.
	ReplicaVoter ReplicaState = iota
	// ReplicaObserver has the data and no vote, for good.
	ReplicaObserver
	// ReplicaAdding is to vote: it is being added without a vote, or catching up.
	ReplicaAdding
	// ReplicaAddingObserver is being added as an observer.
	ReplicaAddingObserver
	// ReplicaRemoving still votes or observes and is to be removed; a move that is
	// changed may keep it.
	ReplicaRemoving
	// ReplicaLeaving is being removed and cannot stay.
	ReplicaLeaving
	// ReplicaLost belonged to a directory that its node no longer has. It must not
	// be started, and has to be removed.
	ReplicaLost
	replicaStates

	// ReplicaGone is no state of a replica of a shard: it is what AdvanceMove says
	// of one that is not in the Raft group any more.
	ReplicaGone = replicaStates
)

// String returns the state in lower case.
func (s ReplicaState) String() string {
	switch s {
	case ReplicaVoter:
		return "voter"
	case ReplicaObserver:
		return "observer"
	case ReplicaAdding:
		return "adding"
	case ReplicaAddingObserver:
		return "adding observer"
	case ReplicaRemoving:
		return "removing"
	case ReplicaLeaving:
		return "leaving"
	case ReplicaLost:
		return "lost"
	case ReplicaGone:
		return "gone"
	}
	return fmt.Sprintf("ReplicaState(%d)", uint8(s))
}

// Stays reports whether a replica in this state is to be in the group when the
// shard's move has completed.
func (s ReplicaState) Stays() bool {
	switch s {
	case ReplicaVoter, ReplicaObserver, ReplicaAdding, ReplicaAddingObserver:
		return true
	}
	return false
}

// Runs reports whether the node of a replica in this state should have it
// started, if it is in the Raft group.
func (s ReplicaState) Runs() bool { return s != ReplicaLost }

// Moving reports whether the shard's replicas are being changed.
func (s *Shard) Moving() bool { return s.Target != nil }

// Lost reports whether the shard has a replica whose directory is gone.
func (s *Shard) Lost() bool {
	return slices.ContainsFunc(s.Replicas, func(r Replica) bool { return r.State == ReplicaLost })
}

// Replica returns the replica with the id.
func (s *Shard) Replica(id ReplicaID) (Replica, bool) {
	i := slices.IndexFunc(s.Replicas, func(r Replica) bool { return r.ID == id })
	if i < 0 {
		return Replica{}, false
	}
	return s.Replicas[i], true
}

// On returns the shard's replica on the node that should run there; false when
// there is none, or only a lost one. Of two it is the older: it runs until it is
// known to be out of the group, and only then comes the one that replaces it.
func (s *Shard) On(node NodeID) (Replica, bool) {
	i := slices.IndexFunc(s.Replicas, func(r Replica) bool { return r.Node == node && r.State.Runs() })
	if i < 0 {
		return Replica{}, false
	}
	return s.Replicas[i], true
}

// Voters returns the nodes that have the voters, in a move those that are to
// have them, in the order of replica ids. The slice is the caller's.
func (s *Shard) Voters() []NodeID {
	var nodes []NodeID
	for _, r := range s.Replicas {
		switch {
		case r.State == ReplicaVoter, r.State == ReplicaAdding,
			r.State == ReplicaLost && !s.Moving() && slices.Contains(s.Preferred, r.Node):
			nodes = append(nodes, r.Node)
		}
	}
	return nodes
}

// Joins reports whether a replica joins a group that others started.
func (s *Shard) Joins(id ReplicaID) bool { return id > ReplicaID(len(s.Initial)) }

// clone returns a copy that may be changed, of the next version.
func (s *Shard) clone() *Shard {
	c := *s
	c.Replicas = slices.Clone(s.Replicas)
	c.Version++
	return &c
}

// add gives the shard a replica under a new id.
func (s *Shard) add(node NodeID, state ReplicaState) {
	s.Replicas = append(s.Replicas, Replica{Node: node, ID: s.NextReplica, State: state})
	s.NextReplica++
}

func (s *Shard) encode(e *encoder) {
	e.uvarint(uint64(s.ID))
	e.byte(byte(s.Kind))
	e.id(s.Topic)
	e.uvarint(uint64(s.Factor))
	numbers(e, s.Initial)
	list(e, s.Replicas, func(e *encoder, r Replica) {
		e.uvarint(uint64(r.Node))
		e.uvarint(uint64(r.ID))
		e.byte(byte(r.State))
	})
	numbers(e, s.Preferred)
	numbers(e, s.Target)
	numbers(e, s.Observers)
	numbers(e, s.Before)
	e.uvarint(uint64(s.NextReplica))
	e.uvarint(s.Version)
}

// decodeShard decodes all but Partitions, which the topics tell.
func decodeShard(d *decoder) *Shard {
	s := &Shard{
		ID:      takeNumber[ShardID](d),
		Kind:    ShardKind(d.byte()),
		Topic:   d.id(),
		Factor:  int(d.int32()),
		Initial: takeNumbers[NodeID](d),
		Replicas: takeList(d, 3, func(d *decoder) Replica {
			r := Replica{Node: takeNumber[NodeID](d), ID: takeNumber[ReplicaID](d), State: ReplicaState(d.byte())}
			if r.State >= replicaStates {
				d.fail("state %d of a replica", r.State)
			}
			return r
		}),
		Preferred:   takeNumbers[NodeID](d),
		Target:      takeNumbers[NodeID](d),
		Observers:   takeNumbers[NodeID](d),
		Before:      takeNumbers[NodeID](d),
		NextReplica: takeNumber[ReplicaID](d),
		Version:     d.uvarint(),
	}
	if s.Kind >= shardKinds {
		d.fail("kind %d of a shard", s.Kind)
	}
	return s
}
