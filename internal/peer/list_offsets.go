package peer

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
)

// The timestamps of ListOffsets that are none.
const (
	OffsetLatest       int64 = -1 // the high watermark
	OffsetEarliest     int64 = -2 // the log start
	OffsetMaxTimestamp int64 = -3 // the record with the largest timestamp (KIP-734)
)

// ListOffsetsPartition asks where a partition has a timestamp.
type ListOffsetsPartition struct {
	TopicPartition // by name: the API has no ids
	// Timestamp is in milliseconds since 1970, or one of the constants.
	Timestamp   int64
	LeaderEpoch base.LeaderEpoch // as of FetchPartition
}

// ListedOffset is the first record of a timestamp or later.
type ListedOffset struct {
	Offset      base.Offset // -1 if there is none
	Timestamp   int64       // of the record, in milliseconds since 1970; -1 where it was not asked for
	LeaderEpoch base.LeaderEpoch
	Err         error // an *Error
}

// ListOffsets asks the leader of the partitions. The results are in the order of what
// was asked.
func (p *Pool) ListOffsets(ctx context.Context, id base.NodeID, parts []ListOffsetsPartition) ([]ListedOffset, error) {
	index, err := indexTopics(len(parts), func(i int) *TopicPartition { return &parts[i].TopicPartition })
	if err != nil {
		return nil, err
	}
	if err := index.needNames(); err != nil {
		return nil, err
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	req.TimeoutMillis = millis32(p.cfg.Timeout.Milliseconds())
	for i := range index.topics {
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic = index.topics[i].Topic
		for _, j := range index.topics[i].indexes {
			o := kmsg.NewListOffsetsRequestTopicPartition()
			o.Partition, o.Timestamp, o.CurrentLeaderEpoch = parts[j].Partition, parts[j].Timestamp, int32(parts[j].LeaderEpoch)
			t.Partitions = append(t.Partitions, o)
		}
		req.Topics = append(req.Topics, t)
	}
	answer, err := p.Do(ctx, id, req)
	if err != nil {
		return nil, err
	}
	from := answerer{id, kmsg.ListOffsets}
	out := make([]ListedOffset, len(parts))
	fill := newFill(from, index, len(parts), func(i int) *TopicPartition { return &parts[i].TopicPartition })
	for _, t := range answer.(*kmsg.ListOffsetsResponse).Topics {
		for _, o := range t.Partitions {
			if k := fill.place(t.Topic, [16]byte{}, o.Partition); k >= 0 {
				out[k] = ListedOffset{Offset: base.Offset(o.Offset), Timestamp: o.Timestamp, LeaderEpoch: base.LeaderEpoch(o.LeaderEpoch),
					Err: from.partition(&parts[k].TopicPartition, o.ErrorCode, nil, -1, -1)}
			}
		}
	}
	if err := fill.done(); err != nil {
		return nil, err
	}
	return out, nil
}

// needNames is for an API that has no ids.
func (x *topicIndex) needNames() error {
	for i := range x.topics {
		if x.topics[i].Topic == "" {
			return fmt.Errorf("%w: topic %x has to be named: the API has no ids", ErrInvalidRequest, x.topics[i].TopicID)
		}
	}
	return nil
}
