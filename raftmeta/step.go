package raftmeta

import (
	"fmt"
	"slices"
)

// Membership is what a Raft group consists of, as the group itself says.
type Membership struct {
	Voters    []ReplicaID
	Observers []ReplicaID // without a vote: for good, or until they are promoted
	Leader    ReplicaID   // 0: unknown
	// Down is the voters that do not answer: those on fenced nodes, and those that
	// the leader knows of. A replica that was lost need not be named.
	Down []ReplicaID
}

// Has reports whether the replica is in the group.
func (m Membership) Has(id ReplicaID) bool {
	return slices.Contains(m.Voters, id) || slices.Contains(m.Observers, id)
}

// spares reports whether the voters that answer are a majority without the
// replica too.
func (m Membership) spares(s *Shard, id ReplicaID) bool {
	if !slices.Contains(m.Voters, id) {
		return true
	}
	up := 0
	for _, v := range m.Voters {
		r, _ := s.Replica(v)
		if v != id && r.State != ReplicaLost && !slices.Contains(m.Down, v) {
			up++
		}
	}
	return up > (len(m.Voters)-1)/2
}

// StepKind is what a Step asks for.
type StepKind uint8

// The kinds of steps.
const (
	// StepNone is that nothing is to be done.
	StepNone StepKind = iota
	// StepAddObserver adds the replica to the Raft group without a vote.
	StepAddObserver
	// StepPromote gives the replica, which is without a vote, one. Do it when it has
	// caught up; until then wait and ask again.
	StepPromote
	// StepRemove removes the replica from the Raft group.
	StepRemove
	// StepTransfer asks the leader to let the replica lead.
	StepTransfer
	// StepPropose proposes Command to the metadata.
	StepPropose
)

// String returns the kind in words.
func (k StepKind) String() string {
	switch k {
	case StepNone:
		return "none"
	case StepAddObserver:
		return "add observer"
	case StepPromote:
		return "promote"
	case StepRemove:
		return "remove"
	case StepTransfer:
		return "transfer"
	case StepPropose:
		return "propose"
	}
	return fmt.Sprintf("StepKind(%d)", uint8(k))
}

// A Step is the next thing to do for a shard that is moving.
type Step struct {
	Kind    StepKind
	Replica Replica // of what Kind says
	Command Command // of StepPropose
}

// NextStep returns what comes next in the move of a shard, given what its Raft
// group is. Whoever leads the shard carries the step out, waits until it shows in
// the Image or the group, and asks again; the one who leads next goes on from the
// same two. It changes the voters one at a time. A new replica gets its vote
// when it has caught up, before an old one loses its own; so no more than one voter
// in excess of what the shard had or is to have is there, and one that fails
// during the move does no more harm than before it. Lost replicas go first. No voter
// goes while the others that answer are no majority: then there is nothing to do
// until a node comes back, or the move gets another aim.
func NextStep(s *Shard, m Membership) Step {
	if !s.Moving() {
		return Step{}
	}
	propose := func(r Replica, state ReplicaState) Step {
		return Step{Kind: StepPropose, Replica: r, Command: &AdvanceMove{Shard: s.ID, Version: s.Version, Replica: r.ID, State: state}}
	}
	blocked := false
	for _, r := range s.Replicas {
		if r.State == ReplicaLost || r.State == ReplicaLeaving {
			if !m.Has(r.ID) {
				return propose(r, ReplicaGone)
			}
			if !m.spares(s, r.ID) {
				blocked = true
				continue
			}
			if r.ID == m.Leader {
				if to, ok := s.successor(m); ok {
					return Step{Kind: StepTransfer, Replica: to}
				}
			}
			return Step{Kind: StepRemove, Replica: r}
		}
	}
	for _, r := range s.Replicas {
		switch {
		case r.State == ReplicaAdding && slices.Contains(m.Voters, r.ID):
			return propose(r, ReplicaVoter)
		case r.State == ReplicaRemoving && !m.Has(r.ID):
			return propose(r, ReplicaLeaving)
		}
	}
	var promote, wait *Replica
	for i, r := range s.Replicas {
		if r.State != ReplicaAdding && r.State != ReplicaAddingObserver {
			continue
		}
		if !m.Has(r.ID) {
			// A group has one replica on a node: the old one goes first.
			if !s.occupied(r.Node, r.ID, m) {
				return Step{Kind: StepAddObserver, Replica: r}
			}
			wait = &s.Replicas[i]
			continue
		}
		if r.State == ReplicaAdding && promote == nil {
			promote = &s.Replicas[i]
		}
	}
	if promote != nil && len(m.Voters) <= len(s.Target) {
		return Step{Kind: StepPromote, Replica: *promote}
	}
	r, ok := s.dispensable(m, promote == nil && wait != nil)
	if ok && m.spares(s, r.ID) {
		if r.ID == m.Leader {
			if to, ok := s.successor(m); ok {
				return Step{Kind: StepTransfer, Replica: to}
			}
		}
		return propose(r, ReplicaLeaving)
	}
	if promote != nil {
		return Step{Kind: StepPromote, Replica: *promote}
	}
	if wait != nil || blocked || ok {
		return Step{}
	}
	return Step{Kind: StepPropose, Command: &CompleteMove{Shard: s.ID, Version: s.Version}}
}

// occupied reports whether the group has another replica on the node.
func (s *Shard) occupied(node NodeID, id ReplicaID, m Membership) bool {
	return slices.ContainsFunc(s.Replicas, func(r Replica) bool { return r.Node == node && r.ID != id && m.Has(r.ID) })
}

// dispensable returns the replica that should go next of those that are to: one
// that has no vote or does not answer, then one whose node waits for it to go
// where that is asked for, the leader last.
func (s *Shard) dispensable(m Membership, waiting bool) (Replica, bool) {
	best, bestRank := Replica{}, 0
	for _, r := range s.Replicas {
		if r.State != ReplicaRemoving {
			continue
		}
		rank := 1
		if r.ID != m.Leader {
			rank += 1
		}
		if waiting && slices.ContainsFunc(s.Replicas, func(o Replica) bool { return o.Node == r.Node && o.State.Stays() }) {
			rank += 2
		}
		if slices.Contains(m.Observers, r.ID) || slices.Contains(m.Down, r.ID) {
			rank += 4
		}
		if rank > bestRank {
			best, bestRank = r, rank
		}
	}
	return best, bestRank > 0
}

// successor returns the replica that should lead instead of the leader: the
// first in the preferred order that votes, answers and stays.
func (s *Shard) successor(m Membership) (Replica, bool) {
	for _, node := range s.Preferred {
		for _, r := range s.Replicas {
			if r.Node == node && r.ID != m.Leader && r.State.Stays() && slices.Contains(m.Voters, r.ID) && !slices.Contains(m.Down, r.ID) {
				return r, true
			}
		}
	}
	return Replica{}, false
}
