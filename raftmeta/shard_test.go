package raftmeta

import (
	"slices"
	"testing"
)

// TestAim changes the aim of one move again and again, and sees which replica is
// to stay and which is to run.
func TestAim(t *testing.T) {
	t.Parallel()
	s := newShard(FirstShard, ShardMetadata, TopicID{}, []NodeID{1, 2, 3})
	check := func(what string, runs ReplicaID, want ...Replica) {
		t.Helper()
		if !slices.Equal(s.Replicas, want) {
			t.Errorf("%s: got %v, want %v", what, s.Replicas, want)
		}
		r, ok := s.On(3)
		if r.ID != runs || ok != (runs != 0) {
			t.Errorf("%s: node 3 runs %v, %t, want replica %d", what, r, ok, runs)
		}
		if !slices.Equal(s.Before, []NodeID{1, 2, 3}) {
			t.Errorf("%s: it was on %v before", what, s.Before)
		}
	}
	one, two := Replica{1, 1, ReplicaVoter}, Replica{2, 2, ReplicaVoter}
	s.aim([]NodeID{1, 2}, []NodeID{3})
	check("a voter is to observe", 3, one, two, Replica{3, 3, ReplicaRemoving}, Replica{3, 4, ReplicaAddingObserver})
	s.aim([]NodeID{1, 2, 3}, nil)
	check("and votes after all", 3, one, two, Replica{3, 3, ReplicaAdding}, Replica{3, 4, ReplicaRemoving})
	s.aim([]NodeID{1, 2}, nil)
	check("and is to go", 3, one, two, Replica{3, 3, ReplicaRemoving}, Replica{3, 4, ReplicaRemoving})
	s.Replicas[2].State = ReplicaLeaving
	s.Replicas = s.Replicas[:3]
	s.aim([]NodeID{1, 2, 3}, nil)
	check("and is to come back too late", 3, one, two, Replica{3, 3, ReplicaLeaving}, Replica{3, 5, ReplicaAdding})
	if s.Joins(3) || !s.Joins(5) {
		t.Error("replica 3 was there from the beginning, and 5 joins")
	}
	s.Replicas[2].State = ReplicaLost
	check("having lost its directory", 5, one, two, Replica{3, 3, ReplicaLost}, Replica{3, 5, ReplicaAdding})
	s.aim([]NodeID{1, 2}, nil)
	s.Replicas = s.Replicas[:3]
	check("with the new one gone", 0, one, two, Replica{3, 3, ReplicaLost})
	if r, ok := s.Replica(2); !ok || r != two {
		t.Errorf("replica 2 is %v, %t", r, ok)
	}
	if _, ok := s.Replica(9); ok {
		t.Error("there is a replica 9")
	}
}
