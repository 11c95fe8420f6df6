package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
)

// offsetForLeaderEpoch tells where an epoch ends (KIP-320).
func offsetForLeaderEpoch(ctx context.Context, c *conn, req *kmsg.OffsetForLeaderEpochRequest) kmsg.Response {
	resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
	var lead leads
	for i := range req.Topics {
		t := &req.Topics[i]
		out := kmsg.NewOffsetForLeaderEpochResponseTopic()
		out.Topic = t.Topic
		topic := c.server.backend.Topic(t.Topic)
		for j := range t.Partitions {
			p := &t.Partitions[j]
			o := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			o.Partition, o.EndOffset, o.LeaderEpoch = p.Partition, -1, -1
			out.Partitions = append(out.Partitions, o)
			var at Location
			err := error(&Error{Code: UnknownTopicOrPartition, Text: "there is no such topic"})
			if topic != nil {
				at, err = c.leading(topic, p.Partition, p.CurrentLeaderEpoch)
			}
			lead.add(i, j, at.Replica, err)
		}
		resp.Topics = append(resp.Topics, out)
	}
	lead.wait(ctx, c.server.backend)
	for _, one := range lead.all {
		o := &resp.Topics[one.topic].Partitions[one.partition]
		err := one.err
		if err == nil {
			epoch, end, failed := one.replica.EpochEnd(base.LeaderEpoch(req.Topics[one.topic].Partitions[one.partition].LeaderEpoch))
			o.LeaderEpoch, o.EndOffset, err = int32(epoch), int64(end), failed
		}
		o.ErrorCode = int16(c.code(err))
	}
	return resp
}
