package raftmeta

import (
	"fmt"
	"slices"
)

// valid returns what is wrong with an image, "" for nothing.
func (img *Image) valid() string {
	counts := make(map[ShardID]int)
	seen := make(map[PartitionID]bool)
	topics := 0
	for t := range img.Topics() {
		topics++
		if img.TopicByID(t.ID) != t {
			return fmt.Sprintf("topic %s is not under its id", t.Name)
		}
		for n, p := range t.Partitions {
			counts[p.Shard]++
			ref, ok := img.PartitionIn(p.Shard, p.ID)
			switch {
			case !ok || ref != PartitionRef{t.ID, int32(n)}:
				return fmt.Sprintf("partition %d of %s is %v, %t in the index", n, t.Name, ref, ok)
			case seen[p.ID] || p.ID >= img.nextPartition:
				return fmt.Sprintf("partition id %d of %s: seen %t, the next is %d", p.ID, t.Name, seen[p.ID], img.nextPartition)
			case img.Shard(p.Shard) == nil:
				return fmt.Sprintf("shard %d of %s is not there", p.Shard, t.Name)
			}
			seen[p.ID] = true
		}
	}
	if topics != img.topicIDs.len() || topics != img.TopicCount() || len(seen) != img.Partitions() {
		return fmt.Sprintf("%d topics with %d partitions, and the indexes have %d and %d", topics, len(seen), img.topicIDs.len(), img.Partitions())
	}
	addresses := make(map[string]NodeID)
	for b := range img.Brokers() {
		for _, a := range []string{b.RaftAddr, "client " + b.ClientAddr} {
			if other, ok := addresses[a]; ok {
				return fmt.Sprintf("nodes %d and %d have address %s", other, b.ID, a)
			}
			addresses[a] = b.ID
		}
	}
	for s := range img.Shards() {
		if problem := s.valid(img); problem != "" {
			return fmt.Sprintf("shard %d: %s", s.ID, problem)
		}
		if s.Partitions != counts[s.ID] {
			return fmt.Sprintf("shard %d counts %d partitions and has %d", s.ID, s.Partitions, counts[s.ID])
		}
	}
	return ""
}

func (s *Shard) valid(img *Image) string {
	if s.ID >= img.nextShard {
		return fmt.Sprintf("the next is %d", img.nextShard)
	}
	last := ReplicaID(0)
	var voters, stay []NodeID
	for _, r := range s.Replicas {
		if r.ID <= last || r.ID >= s.NextReplica {
			return fmt.Sprintf("replica %d after %d, the next is %d", r.ID, last, s.NextReplica)
		}
		last = r.ID
		if r.State.Stays() {
			if slices.Contains(stay, r.Node) {
				return fmt.Sprintf("two replicas stay on node %d: %v", r.Node, s.Replicas)
			}
			stay = append(stay, r.Node)
		}
		switch r.State {
		case ReplicaVoter, ReplicaAdding:
			voters = append(voters, r.Node)
		}
		if !s.Moving() && r.State != ReplicaVoter && r.State != ReplicaObserver && r.State != ReplicaLost {
			return fmt.Sprintf("replica %d is %v and nothing moves", r.ID, r.State)
		}
	}
	want := slices.Sorted(slices.Values(s.Preferred))
	got := slices.Sorted(slices.Values(s.Voters()))
	if !slices.Equal(got, want) {
		return fmt.Sprintf("voters on %v, preferred %v: %v", got, want, s.Replicas)
	}
	if s.Moving() {
		slices.Sort(voters)
		if !slices.Equal(voters, s.Target) {
			return fmt.Sprintf("voters to be on %v, target %v", voters, s.Target)
		}
	} else if s.Observers != nil || s.Before != nil || s.Factor != len(s.Preferred) {
		return fmt.Sprintf("observers %v, factor %d, preferred %v", s.Observers, s.Factor, s.Preferred)
	}
	return ""
}
