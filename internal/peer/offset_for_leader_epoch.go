package peer

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
)

// EpochEnd is where a leader epoch ends in a partition.
type EpochEnd struct {
	// Epoch is the largest epoch of the partition that is not larger than the one
	// asked for; -1 if there is none.
	Epoch base.LeaderEpoch
	End   base.Offset // the offset behind its last record; -1 if there is none
}

// OffsetForLeaderEpoch asks a partition's leader where an epoch ends (KIP-320). known
// is the epoch in which the caller thinks that it leads; -1 is not known. The error
// is an *Error, or one of Wait's.
func (p *Pool) OffsetForLeaderEpoch(ctx context.Context, id base.NodeID, tp TopicPartition, known, epoch base.LeaderEpoch) (EpochEnd, error) {
	index, err := indexTopics(1, func(int) *TopicPartition { return &tp })
	if err != nil {
		return EpochEnd{}, err
	}
	if err := index.needNames(); err != nil {
		return EpochEnd{}, err
	}
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.ReplicaID = -1
	t := kmsg.NewOffsetForLeaderEpochRequestTopic()
	t.Topic = tp.Topic
	o := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	o.Partition, o.CurrentLeaderEpoch, o.LeaderEpoch = tp.Partition, int32(known), int32(epoch)
	t.Partitions = append(t.Partitions, o)
	req.Topics = append(req.Topics, t)
	answer, err := p.Do(ctx, id, req)
	if err != nil {
		return EpochEnd{}, err
	}
	from := answerer{id, kmsg.OffsetForLeaderEpoch}
	resp := answer.(*kmsg.OffsetForLeaderEpochResponse)
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 || resp.Topics[0].Partitions[0].Partition != tp.Partition {
		return EpochEnd{}, from.missingPartition(&tp)
	}
	end := resp.Topics[0].Partitions[0]
	if err := from.partition(&tp, end.ErrorCode, nil, -1, -1); err != nil {
		return EpochEnd{}, err
	}
	return EpochEnd{Epoch: base.LeaderEpoch(end.LeaderEpoch), End: base.Offset(end.EndOffset)}, nil
}
