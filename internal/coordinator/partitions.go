package coordinator

import (
	"bytes"
	"maps"
	"slices"
)

// TopicPartitions are some partitions of one topic. Requests name the topic by
// ID, or by Topic where ID is zero; answers have both, with Topic empty if the
// topic is gone. Partitions are ascending in answers.
type TopicPartitions struct {
	Topic      string
	ID         TopicID
	Partitions []int32
}

// partitionSet is a set of partitions by topic id; lists are ascending, without
// doubles and not empty. It is never changed once it is part of a group.
type partitionSet map[TopicID][]int32

// topicPartition is one partition of a topic.
type topicPartition struct {
	topic     TopicID
	partition int32
}

// ids returns the topics in ascending order.
func (s partitionSet) ids() []TopicID {
	return slices.SortedFunc(maps.Keys(s), func(a, b TopicID) int { return bytes.Compare(a[:], b[:]) })
}

// add puts partitions into a set under construction, keeping it ordered.
func (s partitionSet) add(id TopicID, partitions ...int32) {
	list := append(s[id], partitions...)
	if len(list) == 0 {
		return
	}
	slices.Sort(list)
	s[id] = slices.Compact(list)
}

func (s partitionSet) has(id TopicID, partition int32) bool {
	_, ok := slices.BinarySearch(s[id], partition)
	return ok
}

func (s partitionSet) equal(o partitionSet) bool {
	return maps.EqualFunc(s, o, slices.Equal[[]int32])
}

// split returns the partitions of s that are in o, and those that are not.
func (s partitionSet) split(o partitionSet) (in, out partitionSet) {
	in, out = partitionSet{}, partitionSet{}
	for id, list := range s {
		for _, p := range list {
			if o.has(id, p) {
				in[id] = append(in[id], p)
			} else {
				out[id] = append(out[id], p)
			}
		}
	}
	return in, out
}

// subsetOf reports whether all of s is in o.
func (s partitionSet) subsetOf(o partitionSet) bool {
	_, out := s.split(o)
	return len(out) == 0
}

// each calls fn with every partition, in no particular order.
func (s partitionSet) each(fn func(topicPartition)) {
	for id, list := range s {
		for _, p := range list {
			fn(topicPartition{id, p})
		}
	}
}
