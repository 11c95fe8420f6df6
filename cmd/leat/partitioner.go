package main

import "github.com/twmb/franz-go/pkg/kgo"

// byChoice stores records in the partition that they name, and those that name none,
// by a negative one, where the other partitioner says.
type byChoice struct{ other kgo.Partitioner }

var _ kgo.Partitioner = byChoice{}

func (b byChoice) ForTopic(topic string) kgo.TopicPartitioner {
	return topicByChoice{b.other.ForTopic(topic)}
}

type topicByChoice struct{ other kgo.TopicPartitioner }

var _ kgo.TopicPartitionerOnNewBatch = topicByChoice{}

func (t topicByChoice) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition >= 0 || t.other.RequiresConsistency(r)
}

func (t topicByChoice) Partition(r *kgo.Record, n int) int {
	if r.Partition >= 0 {
		return int(r.Partition)
	}
	return t.other.Partition(r, n)
}

func (t topicByChoice) OnNewBatch() {
	if o, ok := t.other.(kgo.TopicPartitionerOnNewBatch); ok {
		o.OnNewBatch()
	}
}
