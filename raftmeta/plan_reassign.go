package raftmeta

import (
	"fmt"
	"slices"
)

// A Reassignment asks for the replicas of one partition, as Kafka's
// AlterPartitionReassignments does (KIP-455).
type Reassignment struct {
	Topic     string
	Partition int32
	// Replicas is the nodes, the first of which should lead; nil cancels the move
	// that is under way.
	Replicas []NodeID
}

// PlanReassignment turns reassignments of partitions into moves of shards. Since
// the partitions of a shard have the same replicas, all of them must be asked to
// go to the same nodes in the same order.
//
// There is an error, or nil, for each of the requests, an *Error: UnknownTopic,
// InvalidRequest, UnknownNode, NodeRemoved, PartialShard which names the partitions
// that are missing, or NotMoving for a cancellation of nothing. The moves are of
// the shards of which no request has one, by id.
func PlanReassignment(img *Image, requests []Reassignment) ([]*MoveShard, []error) {
	errs := make([]error, len(requests))
	byShard := make(map[ShardID][]int) // the requests of a shard
	asked := make(map[string]map[int32]int)
	var order []ShardID
	for i, r := range requests {
		p, ok := img.Partition(r.Topic, r.Partition)
		if !ok {
			errs[i] = refuse(UnknownTopic, "partition %d of topic %q is not known", r.Partition, r.Topic)
			continue
		}
		if asked[r.Topic] == nil {
			asked[r.Topic] = make(map[int32]int)
		}
		if _, twice := asked[r.Topic][r.Partition]; twice {
			errs[i] = refuse(InvalidRequest, "partition %d of topic %q is named twice", r.Partition, r.Topic)
		}
		asked[r.Topic][r.Partition] = i
		if byShard[p.Shard] == nil {
			order = append(order, p.Shard)
		}
		byShard[p.Shard] = append(byShard[p.Shard], i)
	}
	slices.Sort(order)
	var moves []*MoveShard
	for _, id := range order {
		m, err := reassign(img, img.Shard(id), requests, byShard[id], asked)
		for _, i := range byShard[id] {
			switch {
			case err != nil && errs[i] == nil:
				errs[i] = err
			case errs[i] != nil:
				m = nil
			}
		}
		if m != nil && err == nil {
			moves = append(moves, m)
		}
	}
	return moves, errs
}

// reassign returns the move of one shard that the requests at the indexes ask
// for; nil when it is there already.
func reassign(img *Image, s *Shard, requests []Reassignment, indexes []int, asked map[string]map[int32]int) (*MoveShard, error) {
	first := requests[indexes[0]]
	for _, i := range indexes {
		if r := requests[i]; !slices.Equal(r.Replicas, first.Replicas) || (r.Replicas == nil) != (first.Replicas == nil) {
			return nil, refuse(InvalidRequest, "partitions %s-%d and %s-%d share shard %d and have the same replicas always; they cannot go to different nodes (%s and %s)",
				first.Topic, first.Partition, r.Topic, r.Partition, s.ID, join10(first.Replicas), join10(r.Replicas))
		}
	}
	var missing []string
	for _, ref := range img.PartitionsOf(s.ID) {
		t := img.TopicByID(ref.Topic)
		if _, ok := asked[t.Name][ref.Number]; !ok {
			missing = append(missing, fmt.Sprintf("%s-%d", t.Name, ref.Number))
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return nil, refuse(PartialShard, "the partitions of shard %d move together, and the request lacks %s of them: %s", s.ID, plural(len(missing), "partition"), join10(missing))
	}
	if first.Replicas == nil {
		return cancel(img, s)
	}
	if err := checkNodes(first.Replicas); err != nil {
		return nil, err
	}
	for _, node := range first.Replicas {
		b, err := img.present(node)
		if err != nil {
			return nil, err
		}
		if b.Draining && !slices.Contains(s.Voters(), node) {
			return nil, refuse(InvalidRequest, "node %d drains and gets no replicas", node)
		}
	}
	if slices.Equal(first.Replicas, s.Preferred) && !s.Lost() {
		return nil, nil
	}
	return s.to(slices.Clone(first.Replicas)), nil
}

// cancel returns the move back to the nodes that had the voters. Replicas that
// are gone meanwhile come back under new ids.
func cancel(img *Image, s *Shard) (*MoveShard, error) {
	if !s.Moving() {
		return nil, refuse(NotMoving, "shard %d is not moving", s.ID)
	}
	for _, node := range s.Before {
		if _, err := img.present(node); err != nil {
			return nil, refuse(err.Code, "shard %d cannot go back: %s", s.ID, err.Message)
		}
	}
	return s.to(slices.Clone(s.Before)), nil
}
