package coordinator

import (
	"bytes"
	"slices"
	"strings"
)

// protocolTypeConsumer is the protocol type of consumers: the one whose metadata
// and assignments a coordinator can read.
const protocolTypeConsumer = "consumer"

// subscribedTopics returns the topics of a ConsumerProtocolSubscription, in
// ascending order, and whether it is one.
//
//	version int16, topics array of string, and what is not looked at here
func subscribedTopics(metadata []byte) ([]string, bool) {
	d := decoder{in: metadata}
	d.version()
	var topics []string
	for range d.count32(2) {
		topics = append(topics, d.string())
	}
	if d.err != nil {
		return nil, false
	}
	slices.Sort(topics)
	return slices.Compact(topics), true
}

// assignedPartitions returns the partitions of a ConsumerProtocolAssignment, ordered
// by topic, or nil if it is none.
//
//	version int16, array of (topic string, partitions array of int32), and what is
//	not looked at here
func assignedPartitions(assignment []byte, id func(topic string) TopicID) []TopicPartitions {
	d := decoder{in: assignment}
	d.version()
	var out []TopicPartitions
	for range d.count32(6) {
		tp := TopicPartitions{Topic: d.string()}
		for range d.count32(4) {
			tp.Partitions = append(tp.Partitions, d.int32())
		}
		tp.ID = id(tp.Topic)
		slices.Sort(tp.Partitions)
		out = append(out, tp)
	}
	if d.err != nil {
		return nil
	}
	slices.SortStableFunc(out, func(a, b TopicPartitions) int { return strings.Compare(a.Topic, b.Topic) })
	return out
}

// version reads a version of a consumer's own formats: later ones only add.
func (d *decoder) version() {
	if v := d.int16(); d.err == nil && v < 0 {
		d.fail("version %d", v)
	}
}

// sameSubscription reports whether a static member that comes back asks for what it
// asked for before. Of a consumer that is its topics: what it owned then, and a
// sticky assignor's notes of it, are no wish. Of others it is the bytes.
func sameSubscription(protocolType string, before, after []byte) bool {
	if protocolType == protocolTypeConsumer {
		if a, ok := subscribedTopics(before); ok {
			b, ok := subscribedTopics(after)
			return ok && slices.Equal(a, b)
		}
	}
	return bytes.Equal(before, after)
}
