package peer

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
)

// OffsetFetchRequest asks for the offsets of a group.
type OffsetFetchRequest struct {
	Group string
	// MemberID and Epoch are of the member that asks (KIP-848); empty and -1 for one
	// that is none.
	MemberID string
	Epoch    int32
	// RequireStable waits for open transactions (KIP-447).
	RequireStable bool
	// Partitions are those that are wanted; nil is all that the group committed.
	Partitions []TopicPartition
}

// FetchedOffset is what a group committed for a partition.
type FetchedOffset struct {
	TopicPartition
	Offset      base.Offset // -1 if none
	LeaderEpoch base.LeaderEpoch
	Metadata    string
	Err         error // an *Error
}

// OffsetFetch returns the offsets of a group: in the order of the request's partitions,
// or in the coordinator's where these are nil. The error is an *Error, or one of
// Wait's.
func (p *Pool) OffsetFetch(ctx context.Context, id base.NodeID, r OffsetFetchRequest) ([]FetchedOffset, error) {
	get := func(i int) *TopicPartition { return &r.Partitions[i] }
	index, err := indexTopics(len(r.Partitions), get)
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrOffsetFetchRequest()
	req.RequireStable = r.RequireStable
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.MemberEpoch = r.Group, r.Epoch
	if r.MemberID != "" {
		g.MemberID = &r.MemberID
	}
	if r.Partitions != nil {
		g.Topics = make([]kmsg.OffsetFetchRequestGroupTopic, 0, len(index.topics)) // nil would be all
	}
	for i := range index.topics {
		t := kmsg.NewOffsetFetchRequestGroupTopic()
		t.Topic, t.TopicID = index.topics[i].Topic, index.topics[i].TopicID
		for _, j := range index.topics[i].indexes {
			t.Partitions = append(t.Partitions, r.Partitions[j].Partition)
		}
		g.Topics = append(g.Topics, t)
	}
	req.Groups = append(req.Groups, g)
	answer, err := p.Do(ctx, id, req)
	if err != nil {
		return nil, err
	}
	from := answerer{id, kmsg.OffsetFetch}
	groups := answer.(*kmsg.OffsetFetchResponse).Groups
	if len(groups) != 1 || groups[0].Group != r.Group {
		return nil, from.missing("group " + r.Group)
	}
	if err := from.group(r.Group, groups[0].ErrorCode, nil); err != nil {
		return nil, err
	}
	out := make([]FetchedOffset, len(r.Partitions))
	fill := newFill(from, index, len(out), get)
	for _, t := range groups[0].Topics {
		for _, o := range t.Partitions {
			f := FetchedOffset{TopicPartition: TopicPartition{t.Topic, t.TopicID, o.Partition}}
			k := -1
			if r.Partitions != nil {
				if k = fill.place(t.Topic, t.TopicID, o.Partition); k < 0 {
					continue
				}
				f.TopicPartition = r.Partitions[k]
			}
			f.Offset, f.LeaderEpoch = base.Offset(o.Offset), base.LeaderEpoch(o.LeaderEpoch)
			if o.Metadata != nil {
				f.Metadata = *o.Metadata
			}
			f.Err = from.partition(&f.TopicPartition, o.ErrorCode, nil, -1, -1)
			if k < 0 {
				out = append(out, f)
			} else {
				out[k] = f
			}
		}
	}
	if err := fill.done(); err != nil {
		return nil, err
	}
	return out, nil
}
