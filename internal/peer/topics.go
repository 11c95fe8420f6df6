package peer

import (
	"encoding/hex"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
)

// TopicPartition names a partition for a peer. Where both are given the id counts, and
// the name is what errors say; a peer that serves no version with ids gets the name.
type TopicPartition struct {
	Topic     string
	TopicID   [16]byte // zero if it is not known
	Partition int32
}

func (t *TopicPartition) hasID() bool { return t.TopicID != [16]byte{} }

// label is the topic in an error.
func (t *TopicPartition) label() string {
	if t.Topic == "" && t.hasID() {
		return hex.EncodeToString(t.TopicID[:])
	}
	return t.Topic
}

// validate is for a partition that a request is about.
func (t *TopicPartition) validate() error {
	if t.Topic == "" && !t.hasID() {
		return fmt.Errorf("%w: a topic without name and id", ErrInvalidRequest)
	}
	if t.Partition < 0 {
		return fmt.Errorf("%w: topic %q has no partition %d", ErrInvalidRequest, t.label(), t.Partition)
	}
	return nil
}

// topicIndex groups the partitions of a request by topic, in the order in which the
// topics come first, and finds the partitions of the answer.
type topicIndex struct {
	topics []topicPartitions
	byID   map[[16]byte]int // index in topics
	byName map[string]int
	at     map[[2]int32]int // by index in topics and partition: index in the caller's slice
}

type topicPartitions struct {
	TopicPartition       // Partition is not used
	indexes        []int // of the partitions in the caller's slice
}

// indexTopics checks n partitions and groups them. Each may be there once.
func indexTopics(n int, get func(i int) *TopicPartition) (*topicIndex, error) {
	x := &topicIndex{byID: make(map[[16]byte]int), byName: make(map[string]int), at: make(map[[2]int32]int, n)}
	for i := range n {
		tp := get(i)
		if err := tp.validate(); err != nil {
			return nil, err
		}
		ti, ok := x.find(tp.Topic, tp.TopicID)
		if !ok {
			ti = len(x.topics)
			x.topics = append(x.topics, topicPartitions{})
		}
		x.topics[ti].learn(tp)
		if tp.hasID() {
			x.byID[tp.TopicID] = ti
		}
		if tp.Topic != "" {
			x.byName[tp.Topic] = ti
		}
		at := [2]int32{int32(ti), tp.Partition}
		if _, again := x.at[at]; again {
			return nil, fmt.Errorf("%w: topic %q partition %d is there twice", ErrInvalidRequest, tp.label(), tp.Partition)
		}
		x.at[at] = i
		x.topics[ti].indexes = append(x.topics[ti].indexes, i)
	}
	return x, nil
}

// learn adds what a partition of the topic tells of its name and id.
func (t *topicPartitions) learn(tp *TopicPartition) {
	if t.Topic == "" {
		t.Topic = tp.Topic
	}
	if !t.hasID() {
		t.TopicID = tp.TopicID
	}
}

// find returns the index of a topic by its id, or else by its name if it is not
// another's id.
func (x *topicIndex) find(name string, id [16]byte) (int, bool) {
	if i, ok := x.byID[id]; ok && id != [16]byte{} {
		return i, true
	}
	i, ok := x.byName[name]
	if ok && name != "" && (id == [16]byte{} || !x.topics[i].hasID()) {
		return i, true
	}
	return 0, false
}

// index returns where in the caller's slice a partition of an answer belongs.
func (x *topicIndex) index(name string, id [16]byte, partition int32) (int, bool) {
	ti, ok := x.find(name, id)
	if !ok {
		return 0, false
	}
	i, ok := x.at[[2]int32{int32(ti), partition}]
	return i, ok
}

// answerer makes errors of what a node answers to a request.
type answerer struct {
	node base.NodeID
	api  kmsg.Key
}

// code makes an error of a code about the whole request; nil of 0.
func (a answerer) code(code int16, message *string) error {
	if code == 0 {
		return nil
	}
	e := &Error{Code: code, API: a.api, Node: a.node, Partition: -1, LeaderEpoch: -1}
	if message != nil {
		e.Message = *message
	}
	return e
}

// group is code for an error about a group.
func (a answerer) group(group string, code int16, message *string) error {
	err := a.code(code, message)
	if e, ok := err.(*Error); ok {
		e.Group = group
	}
	return err
}

// partition is code for an error about a partition, with the leader that the peer
// knows of.
func (a answerer) partition(tp *TopicPartition, code int16, message *string, leader, epoch int32) error {
	err := a.code(code, message)
	if e, ok := err.(*Error); ok {
		e.Topic, e.Partition = tp.label(), tp.Partition
		if leader > 0 {
			e.Leader, e.LeaderEpoch = base.NodeID(leader), base.LeaderEpoch(epoch)
		}
	}
	return err
}

// missing says that an answer has nothing about what was asked.
func (a answerer) missing(what string) error {
	return fmt.Errorf("%w: the answer of node %d to %s has no %s", ErrMalformed, a.node, a.api.Name(), what)
}

// missingPartition is missing for a partition.
func (a answerer) missingPartition(tp *TopicPartition) error {
	return a.missing(fmt.Sprintf("topic %q partition %d", tp.label(), tp.Partition))
}

// millis32 is a duration as the protocol has it: in milliseconds, upwards, within
// what fits.
func millis32(ms int64) int32 { return int32(min(max(ms, 0), 1<<31-1)) }
