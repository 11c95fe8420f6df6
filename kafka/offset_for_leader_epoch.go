package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// offsetForLeaderEpoch tells where an epoch ends (KIP-320). A standalone node leads
// in one epoch, which ends where the partition does.
func offsetForLeaderEpoch(_ context.Context, c *conn, req *kmsg.OffsetForLeaderEpochRequest) kmsg.Response {
	resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
	for i := range req.Topics {
		t := &req.Topics[i]
		out := kmsg.NewOffsetForLeaderEpochResponseTopic()
		out.Topic = t.Topic
		topic := c.server.backend.Topic(t.Topic)
		for j := range t.Partitions {
			p := &t.Partitions[j]
			o := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			o.Partition, o.EndOffset, o.LeaderEpoch = p.Partition, -1, -1
			if topic == nil {
				o.ErrorCode = int16(UnknownTopicOrPartition)
			} else if part, err := topic.Replica(p.Partition); err != nil {
				o.ErrorCode = int16(c.storeCode(err))
			} else if code := checkLeaderEpoch(p.CurrentLeaderEpoch); code != None {
				o.ErrorCode = int16(code)
			} else if p.LeaderEpoch == leaderEpoch {
				o.EndOffset, o.LeaderEpoch = int64(part.HighWatermark()), leaderEpoch
			}
			out.Partitions = append(out.Partitions, o)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}
