package main

import "github.com/twmb/franz-go/pkg/kgo"

// byChoice stores records in the partition that they name, and those that name none,
// by a negative one, where the other partitioner says.
type byChoice struct{ other kgo.Partitioner }

var _ kgo.Partitioner = byChoice{}

func (b byChoice) ForTopic(topic string) kgo.TopicPartitioner {
	return &topicByChoice{other: b.other.ForTopic(topic)}
}

// topicByChoice is called by one goroutine at a time, first RequiresConsistency for a
// record and then Partition, the latter twice where the record begins a batch. Before the
// second time the client has written into the record what came of the first, so whether
// a record names its partition is kept from the beginning. It matters where some
// partitions have no leader yet: what the client wrote is no index among the others.
type topicByChoice struct {
	other  kgo.TopicPartitioner
	chosen bool // the record names its partition
}

var _ kgo.TopicPartitionerOnNewBatch = (*topicByChoice)(nil)

func (t *topicByChoice) RequiresConsistency(r *kgo.Record) bool {
	t.chosen = r.Partition >= 0
	return t.chosen || t.other.RequiresConsistency(r)
}

func (t *topicByChoice) Partition(r *kgo.Record, n int) int {
	if t.chosen {
		return int(r.Partition)
	}
	return t.other.Partition(r, n)
}

func (t *topicByChoice) OnNewBatch() {
	if o, ok := t.other.(kgo.TopicPartitionerOnNewBatch); ok {
		o.OnNewBatch()
	}
}
