package raftmeta

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestSteps spells out moves step by step.
func TestSteps(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name              string
		factor            int
		voters, observers []NodeID
		dead              NodeID
		want              string
	}{
		{"one for another", 3, []NodeID{1, 2, 4}, nil, 0,
			"add observer 4@4, promote 4@4, 4@4 is voter, 3@3 is leaving, remove 3@3, 3@3 is gone, complete"},
		{"the leader goes", 3, []NodeID{2, 3, 4}, nil, 0,
			"add observer 4@4, promote 4@4, 4@4 is voter, transfer 2@2, 1@1 is leaving, remove 1@1, 1@1 is gone, complete"},
		{"all for others", 2, []NodeID{3, 4}, nil, 0,
			"add observer 3@3, add observer 4@4, promote 3@3, 3@3 is voter, 2@2 is leaving, remove 2@2, 2@2 is gone, " +
				"promote 4@4, 4@4 is voter, transfer 3@3, 1@1 is leaving, remove 1@1, 1@1 is gone, complete"},
		{"more", 1, []NodeID{1, 2, 3}, nil, 0,
			"add observer 2@2, add observer 3@3, promote 2@2, 2@2 is voter, promote 3@3, 3@3 is voter, complete"},
		{"fewer", 3, []NodeID{3}, nil, 0,
			"2@2 is leaving, remove 2@2, 2@2 is gone, transfer 3@3, 1@1 is leaving, remove 1@1, 1@1 is gone, complete"},
		{"a voter that is to observe", 3, []NodeID{1, 2, 4}, []NodeID{3}, 0,
			"add observer 4@4, promote 4@4, 4@4 is voter, 3@3 is leaving, remove 3@3, 3@3 is gone, add observer 5@3, complete"},
		{"the dead one first", 3, []NodeID{4}, nil, 3,
			"add observer 4@4, 3@3 is leaving, remove 3@3, 3@3 is gone, 2@2 is leaving, remove 2@2, 2@2 is gone, " +
				"promote 4@4, 4@4 is voter, transfer 4@4, 1@1 is leaving, remove 1@1, 1@1 is gone, complete"},
		{"none but the dead would be left", 2, []NodeID{2}, nil, 2, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newShard(FirstShard, ShardShared, TopicID{}, []NodeID{1, 2, 3}[:tt.factor])
			s.aim(tt.voters, tt.observers)
			m := Membership{Leader: 1}
			for _, r := range s.Replicas {
				if r.ID <= ReplicaID(tt.factor) {
					m.Voters = append(m.Voters, r.ID)
				}
			}
			img := *emptyImage()
			img.clusterID, img.nextShard = "test", FirstShard+1
			img.putShard(s)
			var got []string
			for range 40 {
				m.Down = nil
				for _, id := range m.Voters {
					if ReplicaID(tt.dead) == id {
						m.Down = append(m.Down, id)
					}
				}
				step := NextStep(img.Shard(FirstShard), m)
				id := step.Replica.ID
				if step.Kind == StepNone {
					break
				}
				text := fmt.Sprintf("%v %d@%d", step.Kind, id, step.Replica.Node)
				switch cmd := step.Command.(type) {
				case *AdvanceMove:
					text = fmt.Sprintf("%d@%d is %v", id, step.Replica.Node, cmd.State)
				case *CompleteMove:
					text = "complete"
				}
				got = append(got, text)
				is := func(r ReplicaID) bool { return r == id }
				switch step.Kind {
				case StepAddObserver:
					m.Observers = append(m.Observers, id)
				case StepPromote:
					m.Observers = slices.DeleteFunc(m.Observers, is)
					m.Voters = append(m.Voters, id)
				case StepRemove:
					m.Observers = slices.DeleteFunc(m.Observers, is)
					m.Voters = slices.DeleteFunc(m.Voters, is)
				case StepTransfer:
					m.Leader = id
				case StepPropose:
					next := img
					if err := step.Command.apply(&next, &Result{}); err != nil {
						t.Fatal(err)
					}
					img = next
				}
			}
			if got := strings.Join(got, ", "); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}
