package peer

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
)

// DeleteRecords asks a partition's leader to move the log start to before, -1 being the
// high watermark, and returns where it is then. The error is an *Error, or one of
// Wait's; the call may be repeated.
func (p *Pool) DeleteRecords(ctx context.Context, id base.NodeID, tp TopicPartition, before base.Offset) (base.Offset, error) {
	index, err := indexTopics(1, func(int) *TopicPartition { return &tp })
	if err != nil {
		return 0, err
	}
	if err := index.needNames(); err != nil {
		return 0, err
	}
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = millis32(p.cfg.Timeout.Milliseconds())
	req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: tp.Topic,
		Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: tp.Partition, Offset: int64(before)}}}}
	answer, err := p.Do(ctx, id, req)
	if err != nil {
		return 0, err
	}
	from := answerer{id, kmsg.DeleteRecords}
	resp := answer.(*kmsg.DeleteRecordsResponse)
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 || resp.Topics[0].Partitions[0].Partition != tp.Partition {
		return 0, from.missingPartition(&tp)
	}
	o := resp.Topics[0].Partitions[0]
	if err := from.partition(&tp, o.ErrorCode, nil, -1, -1); err != nil {
		return 0, err
	}
	return base.Offset(o.LowWatermark), nil
}
