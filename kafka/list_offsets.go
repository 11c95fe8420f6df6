package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
)

// The timestamps of a ListOffsets that are none.
const (
	offsetLatest        = -1
	offsetEarliest      = -2
	offsetMaxTimestamp  = -3 // KIP-734
	offsetEarliestLocal = -4 // KIP-405: there are no tiers, so it is the earliest
	offsetLatestTiered  = -5 // KIP-1005: there is none
)

// listOffsets finds offsets by time.
func listOffsets(ctx context.Context, c *conn, req *kmsg.ListOffsetsRequest) kmsg.Response {
	resp := kmsg.NewPtrListOffsetsResponse()
	var lead leads
	epochs := make(map[Replica]base.LeaderEpoch)
	for i := range req.Topics {
		t := &req.Topics[i]
		out := kmsg.NewListOffsetsResponseTopic()
		out.Topic = t.Topic
		topic := c.server.backend.Topic(t.Topic)
		for j := range t.Partitions {
			p := &t.Partitions[j]
			o := kmsg.NewListOffsetsResponseTopicPartition()
			o.Partition, o.Offset, o.Timestamp, o.LeaderEpoch = p.Partition, -1, -1, -1
			out.Partitions = append(out.Partitions, o)
			var at Location
			err := error(&Error{Code: UnknownTopicOrPartition, Text: "there is no such topic"})
			if topic != nil {
				at, err = c.leading(topic, p.Partition, p.CurrentLeaderEpoch)
			}
			if err == nil {
				epochs[at.Replica] = at.Epoch
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
			err = listOffset(one.replica, req.Topics[one.topic].Partitions[one.partition].Timestamp, epochs[one.replica], o)
		}
		o.ErrorCode = int16(c.code(err))
	}
	return resp
}

func listOffset(r Replica, timestamp int64, epoch base.LeaderEpoch, o *kmsg.ListOffsetsResponseTopicPartition) error {
	switch timestamp {
	case offsetLatest:
		o.Offset, o.LeaderEpoch = int64(r.HighWatermark()), int32(epoch)
	case offsetEarliest, offsetEarliestLocal:
		o.Offset, o.LeaderEpoch = int64(r.LogStart()), int32(epoch)
	case offsetLatestTiered:
	case offsetMaxTimestamp:
		if ms := r.MaxTimestamp(); ms >= 0 {
			return offsetForTime(r, ms, epoch, o)
		}
	default:
		if timestamp < 0 {
			return refuse(InvalidRequest, "the timestamp %d stands for nothing", timestamp)
		}
		return offsetForTime(r, timestamp, epoch, o)
	}
	return nil
}

func offsetForTime(r Replica, ms int64, epoch base.LeaderEpoch, o *kmsg.ListOffsetsResponseTopicPartition) error {
	at, timestamp, found, err := r.RecordForTime(ms)
	if err == nil && found {
		o.Offset, o.Timestamp, o.LeaderEpoch = int64(at), timestamp, int32(epoch)
	}
	return err
}
