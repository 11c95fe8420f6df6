package raftmeta

import "slices"

// MetadataVotersMax is how many nodes vote about the metadata at most; the others
// follow without a vote, so that every node has the Image.
const MetadataVotersMax = 5

// PlanMetadata returns the move that brings the metadata's own Raft group to what
// it should be, or nil when it is, or is on the way. Every node that is not
// removed has a replica. Of one to three nodes all vote, of four three, of more five, and
// racks are spread. Who votes keeps its vote until it is removed, also while it drains and
// where four vote then: a voter that became an observer would need a replica of a new id.
func PlanMetadata(img *Image) *MoveShard {
	s := img.Shard(MetadataShard)
	if s == nil {
		return nil
	}
	var may, all []NodeID
	for b := range img.Brokers() {
		all = append(all, b.ID)
		if !b.Draining {
			may = append(may, b.ID)
		}
	}
	// Who drains and votes is counted until it is removed.
	want := len(may)
	for _, n := range all {
		if !slices.Contains(may, n) && s.votes(n) {
			want++
		}
	}
	want = min(want, MetadataVotersMax)
	if want == 4 {
		want = 3
	}
	if want == 0 {
		return nil
	}
	old := s.Voters()
	l := &load{img: img}
	live := func(n NodeID) int {
		if b := img.Broker(n); b != nil && b.Live() {
			return 0
		}
		return 1
	}
	// A founder that has not registered yet keeps its vote until there are enough
	// others: nobody has said that it goes.
	voters := slices.DeleteFunc(slices.Clone(s.Preferred), func(n NodeID) bool {
		b := img.Broker(n)
		return b != nil && (b.Removed || b.Draining && !s.votes(n))
	})
	unregistered := func(n NodeID) bool { return img.Broker(n) == nil }
	if slices.ContainsFunc(voters, unregistered) {
		return nil
	}
	for len(voters) < want {
		var best NodeID
		for _, n := range may {
			if slices.Contains(voters, n) || live(n) != 0 {
				continue
			}
			if best == 0 || l.shared(n, voters) < l.shared(best, voters) {
				best = n
			}
		}
		if best == 0 {
			break
		}
		voters = append(voters, best)
	}
	if len(voters) == 0 {
		return nil
	}
	var observers []NodeID
	for _, n := range all {
		if !slices.Contains(voters, n) {
			observers = append(observers, n)
		}
	}
	m := &MoveShard{Shard: s.ID, Version: s.Version, Voters: voters, Observers: observers}
	if slices.Equal(slices.Sorted(slices.Values(voters)), slices.Sorted(slices.Values(old))) && slices.Equal(observers, s.observers()) {
		return nil
	}
	return m
}

// votes reports whether the node has a replica that votes already.
func (s *Shard) votes(node NodeID) bool {
	return slices.ContainsFunc(s.Replicas, func(r Replica) bool {
		return r.Node == node && (r.State == ReplicaVoter || r.State == ReplicaRemoving)
	})
}

// observers returns the nodes that have, or in a move are to have, replicas
// without a vote, sorted.
func (s *Shard) observers() []NodeID {
	if s.Moving() {
		return s.Observers
	}
	var nodes []NodeID
	for _, r := range s.Replicas {
		if r.State == ReplicaObserver || r.State == ReplicaLost && !slices.Contains(s.Preferred, r.Node) {
			nodes = append(nodes, r.Node)
		}
	}
	slices.Sort(nodes)
	return nodes
}
