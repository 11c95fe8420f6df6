package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/store"
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
func listOffsets(_ context.Context, c *conn, req *kmsg.ListOffsetsRequest) kmsg.Response {
	resp := kmsg.NewPtrListOffsetsResponse()
	for i := range req.Topics {
		t := &req.Topics[i]
		out := kmsg.NewListOffsetsResponseTopic()
		out.Topic = t.Topic
		topic := c.server.backend.Topic(t.Topic)
		for j := range t.Partitions {
			p := &t.Partitions[j]
			o := kmsg.NewListOffsetsResponseTopicPartition()
			o.Partition, o.Offset, o.Timestamp, o.LeaderEpoch = p.Partition, -1, -1, -1
			o.ErrorCode = int16(c.listOffset(topic, p, &o))
			out.Partitions = append(out.Partitions, o)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

func (c *conn) listOffset(t Topic, p *kmsg.ListOffsetsRequestTopicPartition, o *kmsg.ListOffsetsResponseTopicPartition) Code {
	if t == nil {
		return UnknownTopicOrPartition
	}
	part, err := t.Replica(p.Partition)
	if err != nil {
		return c.storeCode(err)
	}
	if code := checkLeaderEpoch(p.CurrentLeaderEpoch); code != None {
		return code
	}
	switch p.Timestamp {
	case offsetLatest:
		o.Offset, o.LeaderEpoch = int64(part.HighWatermark()), leaderEpoch
	case offsetEarliest, offsetEarliestLocal:
		o.Offset, o.LeaderEpoch = int64(part.LogStart()), leaderEpoch
	case offsetLatestTiered:
	case offsetMaxTimestamp:
		if ms := part.MaxTimestamp(); ms >= 0 {
			return c.offsetForTime(part, ms, o)
		}
	default:
		if p.Timestamp < 0 {
			return InvalidRequest
		}
		return c.offsetForTime(part, p.Timestamp, o)
	}
	return None
}

func (c *conn) offsetForTime(part *store.Partition, ms int64, o *kmsg.ListOffsetsResponseTopicPartition) Code {
	at, timestamp, found, err := c.server.backend.OffsetForTime(part, ms)
	if err != nil {
		return c.storeCode(err)
	}
	if found {
		o.Offset, o.Timestamp, o.LeaderEpoch = int64(at), timestamp, leaderEpoch
	}
	return None
}
