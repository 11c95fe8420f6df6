package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
)

// deleteRecords moves log starts.
func deleteRecords(ctx context.Context, c *conn, req *kmsg.DeleteRecordsRequest) kmsg.Response {
	resp := kmsg.NewPtrDeleteRecordsResponse()
	for i := range req.Topics {
		t := &req.Topics[i]
		out := kmsg.NewDeleteRecordsResponseTopic()
		out.Topic = t.Topic
		topic := c.server.backend.Topic(t.Topic)
		for _, p := range t.Partitions {
			o := kmsg.NewDeleteRecordsResponseTopicPartition()
			o.Partition, o.LowWatermark = p.Partition, -1
			if topic == nil {
				o.ErrorCode = int16(UnknownTopicOrPartition)
			} else if _, err := c.leading(topic, p.Partition, noEpoch); err != nil {
				o.ErrorCode, _ = c.describe(err)
			} else if start, err := c.server.backend.DeleteRecords(ctx, topic, p.Partition, base.Offset(p.Offset)); err != nil {
				o.ErrorCode, _ = c.describe(err)
			} else {
				o.LowWatermark = int64(start)
			}
			out.Partitions = append(out.Partitions, o)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}
