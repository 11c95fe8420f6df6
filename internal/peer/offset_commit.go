package peer

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
)

// CommitRequest is a commit of offsets to a group's coordinator.
type CommitRequest struct {
	Group string
	// Epoch is the member's epoch (KIP-848) or the generation (classic), -1 for a
	// commit to a group without members.
	Epoch      int32
	MemberID   string
	InstanceID string // group.instance.id; empty for none
	Offsets    []CommitOffset
}

// CommitOffset is the offset of a partition from which on the group is to read.
type CommitOffset struct {
	TopicPartition // with a name, or all with ids
	Offset         base.Offset
	LeaderEpoch    base.LeaderEpoch // of the last record before; -1 if it is not known
	Metadata       string
}

// OffsetCommit commits offsets. The results are an *Error or nil for each offset, in the
// order of the request.
func (p *Pool) OffsetCommit(ctx context.Context, id base.NodeID, r CommitRequest) ([]error, error) {
	get := func(i int) *TopicPartition { return &r.Offsets[i].TopicPartition }
	index, err := indexTopics(len(r.Offsets), get)
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation, req.MemberID = r.Group, r.Epoch, r.MemberID
	if r.InstanceID != "" {
		req.InstanceID = &r.InstanceID
	}
	for i := range index.topics {
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic, t.TopicID = index.topics[i].Topic, index.topics[i].TopicID
		for _, j := range index.topics[i].indexes {
			o := kmsg.NewOffsetCommitRequestTopicPartition()
			c := &r.Offsets[j]
			o.Partition, o.Offset, o.LeaderEpoch, o.Metadata = c.Partition, int64(c.Offset), int32(c.LeaderEpoch), &c.Metadata
			t.Partitions = append(t.Partitions, o)
		}
		req.Topics = append(req.Topics, t)
	}
	answer, err := p.Do(ctx, id, req)
	if err != nil {
		return nil, err
	}
	from := answerer{id, kmsg.OffsetCommit}
	out := make([]error, len(r.Offsets))
	fill := newFill(from, index, len(out), get)
	for _, t := range answer.(*kmsg.OffsetCommitResponse).Topics {
		for _, o := range t.Partitions {
			if k := fill.place(t.Topic, t.TopicID, o.Partition); k >= 0 {
				out[k] = from.partition(get(k), o.ErrorCode, nil, -1, -1)
			}
		}
	}
	if err := fill.done(); err != nil {
		return nil, err
	}
	return out, nil
}
