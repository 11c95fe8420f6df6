package peer

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
)

// OffsetDelete removes what a group committed for partitions that it does not read any
// more. The results are an *Error or nil for each partition, in the order of the
// request; topics are named.
func (p *Pool) OffsetDelete(ctx context.Context, id base.NodeID, group string, parts []TopicPartition) ([]error, error) {
	get := func(i int) *TopicPartition { return &parts[i] }
	index, err := indexTopics(len(parts), get)
	if err != nil {
		return nil, err
	}
	if err := index.needNames(); err != nil {
		return nil, err
	}
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = group
	for i := range index.topics {
		t := kmsg.NewOffsetDeleteRequestTopic()
		t.Topic = index.topics[i].Topic
		for _, j := range index.topics[i].indexes {
			o := kmsg.NewOffsetDeleteRequestTopicPartition()
			o.Partition = parts[j].Partition
			t.Partitions = append(t.Partitions, o)
		}
		req.Topics = append(req.Topics, t)
	}
	answer, err := p.Do(ctx, id, req)
	if err != nil {
		return nil, err
	}
	from := answerer{id, kmsg.OffsetDelete}
	resp := answer.(*kmsg.OffsetDeleteResponse)
	if err := from.group(group, resp.ErrorCode, nil); err != nil {
		return nil, err
	}
	out := make([]error, len(parts))
	fill := newFill(from, index, len(out), get)
	for _, t := range resp.Topics {
		for _, o := range t.Partitions {
			if k := fill.place(t.Topic, [16]byte{}, o.Partition); k >= 0 {
				out[k] = from.partition(get(k), o.ErrorCode, nil, -1, -1)
			}
		}
	}
	if err := fill.done(); err != nil {
		return nil, err
	}
	return out, nil
}
