package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// describeProducers tells which idempotent producers the leaders of partitions
// remember (KIP-664).
func describeProducers(ctx context.Context, c *conn, req *kmsg.DescribeProducersRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeProducersResponse()
	seen := make(map[TopicPartition]struct{})
	for i := range req.Topics {
		t := &req.Topics[i]
		out := kmsg.NewDescribeProducersResponseTopic()
		out.Topic = t.Topic
		topic := c.server.backend.Topic(t.Topic)
		for _, n := range t.Partitions {
			if !first(seen, TopicPartition{t.Topic, n}) {
				continue
			}
			o := kmsg.NewDescribeProducersResponseTopicPartition()
			o.Partition = n
			list, err := c.producers(ctx, topic, n)
			o.ErrorCode, o.ErrorMessage = c.describe(err)
			for _, p := range list {
				a := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
				a.ProducerID, a.ProducerEpoch, a.LastSequence, a.LastTimestamp = p.ID, int32(p.Epoch), p.LastSequence, p.LastTimestamp
				a.CoordinatorEpoch, a.CurrentTxnStartOffset = -1, -1 // of transactions
				o.ActiveProducers = append(o.ActiveProducers, a)
			}
			out.Partitions = append(out.Partitions, o)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

func (c *conn) producers(ctx context.Context, t Topic, partition int32) ([]ProducerState, error) {
	if t == nil {
		return nil, refuse(UnknownTopicOrPartition, "there is no such topic")
	}
	at, err := c.leading(t, partition, noEpoch)
	if err != nil {
		return nil, err
	}
	return at.Replica.Producers(ctx)
}
