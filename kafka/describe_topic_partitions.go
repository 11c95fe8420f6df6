package kafka

import (
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// describedPartitionsMax bounds the partitions of an answer, whatever the client allows
// (max.request.partition.size.limit).
const describedPartitionsMax = 2_000

// describeTopicPartitions describes topics a piece at a time (KIP-966). The request's
// cursor says where the answer begins, the answer's where the next one does.
func describeTopicPartitions(_ context.Context, c *conn, req *kmsg.DescribeTopicPartitionsRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeTopicPartitionsResponse()
	b := c.server.backend
	names := make([]string, 0, len(req.Topics))
	for i := range req.Topics {
		names = append(names, req.Topics[i].Topic)
	}
	all := len(names) == 0
	if all {
		for _, t := range b.Topics() {
			names = append(names, t.Name())
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	from := kmsg.NewDescribeTopicPartitionsRequestCursor()
	if req.Cursor != nil {
		from = *req.Cursor
	}
	at, _ := slices.BinarySearchFunc(names, from.Topic, strings.Compare)
	room := max(1, min(int(req.ResponsePartitionLimit), describedPartitionsMax))
	for _, name := range names[at:] {
		begin := 0
		if name == from.Topic && req.Cursor != nil {
			begin = int(from.Partition)
		}
		t := b.Topic(name)
		if t == nil && all {
			continue // it was just deleted
		}
		if room == 0 {
			resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name, Partition: int32(begin)}
			return resp
		}
		o := kmsg.NewDescribeTopicPartitionsResponseTopic()
		o.Topic, o.AuthorizedOperations = &name, noOperations
		switch {
		case t == nil:
			o.ErrorCode = int16(UnknownTopicOrPartition)
			room-- // so that names without end have an answer with one
		case begin < 0:
			o.ErrorCode = int16(InvalidRequest)
			room--
		default:
			o.TopicID, o.IsInternal = t.UniqueID(), t.IsInternal()
			placements := t.Placements()
			for n := begin; n < len(placements) && room > 0; n++ {
				o.Partitions = append(o.Partitions, describedPartition(int32(n), &placements[n]))
				room--
			}
			if next := begin + len(o.Partitions); next < len(placements) {
				resp.Topics = append(resp.Topics, o)
				resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name, Partition: int32(next)}
				return resp
			}
		}
		resp.Topics = append(resp.Topics, o)
	}
	return resp
}

func describedPartition(n int32, at *Placement) kmsg.DescribeTopicPartitionsResponseTopicPartition {
	p := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
	p.Partition, p.LeaderID, p.LeaderEpoch = n, at.Leader, int32(at.Epoch)
	p.Replicas, p.ISR, p.OfflineReplicas = at.Replicas, at.InSync, at.Offline
	// There are none, which is not the same as null: Kafka's Java client fails on that.
	p.EligibleLeaderReplicas, p.LastKnownELR = []int32{}, []int32{}
	if at.Leader == NoNode {
		p.ErrorCode = int16(LeaderNotAvailable)
	}
	return p
}
