package peer

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
)

// ProduceRequest is a batch for a partition's leader.
type ProduceRequest struct {
	TopicPartition
	// Batch is one RecordBatch as it is to be stored, sealed. It is sent as it is.
	Batch []byte
	// Timeout is how long the leader may wait for its followers (timeout.ms); zero
	// is Config.Timeout.
	Timeout time.Duration
}

// Produced is what became of a batch.
type Produced struct {
	// BaseOffset is the first record's. The retry of an idempotent batch gets that
	// of the first time.
	BaseOffset base.Offset
	// LogAppendTime is the time that all records got, in milliseconds since 1970; -1
	// if they kept their own.
	LogAppendTime int64
	LogStart      base.Offset
}

// ProduceCall is a Produce that was started.
type ProduceCall struct {
	call *Call
	node base.NodeID
	tp   TopicPartition
}

// Produce stores a batch at the leader with acks=all and returns when a majority has
// it. The error is an *Error, or one of Wait's; Sent tells whether the batch may be
// stored in spite of it.
func (p *Pool) Produce(ctx context.Context, id base.NodeID, r ProduceRequest) (Produced, error) {
	c, err := p.StartProduce(ctx, id, r)
	if err != nil {
		return Produced{}, err
	}
	return c.Wait(ctx)
}

// StartProduce is Start for a Produce: those to one partition are sent in the order of
// their starts. The batch must not be changed until Wait returned.
func (p *Pool) StartProduce(ctx context.Context, id base.NodeID, r ProduceRequest) (*ProduceCall, error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	if len(r.Batch) == 0 {
		return nil, fmt.Errorf("%w: an empty batch for topic %q partition %d", ErrInvalidRequest, r.label(), r.Partition)
	}
	timeout := r.Timeout
	if timeout == 0 {
		timeout = p.cfg.Timeout
	}
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, millis32(timeout.Milliseconds())
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: r.Topic, TopicID: r.TopicID,
		Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: r.Partition, Records: r.Batch}}}}
	call, err := p.Start(ctx, id, req)
	if err != nil {
		return nil, err
	}
	return &ProduceCall{call: call, node: id, tp: r.TopicPartition}, nil
}

// Done returns a channel that is closed when Wait does not block any more.
func (c *ProduceCall) Done() <-chan struct{} { return c.call.Done() }

// Wait returns what became of the batch, as Produce does. If ctx ends before the batch
// is sent it never will be; else its fate is open.
func (c *ProduceCall) Wait(ctx context.Context) (Produced, error) {
	answer, err := c.call.Wait(ctx)
	if err != nil {
		return Produced{}, err
	}
	resp := answer.(*kmsg.ProduceResponse)
	from := answerer{c.node, kmsg.Produce}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 || resp.Topics[0].Partitions[0].Partition != c.tp.Partition {
		return Produced{}, from.missingPartition(&c.tp)
	}
	o := &resp.Topics[0].Partitions[0]
	if o.ErrorCode != 0 {
		return Produced{}, from.partition(&c.tp, o.ErrorCode, o.ErrorMessage, o.CurrentLeader.LeaderID, o.CurrentLeader.LeaderEpoch)
	}
	if o.BaseOffset < 0 {
		return Produced{}, fmt.Errorf("%w: node %d stored a batch of topic %q partition %d at offset %d", ErrMalformed, c.node, c.tp.label(), c.tp.Partition, o.BaseOffset)
	}
	return Produced{BaseOffset: base.Offset(o.BaseOffset), LogAppendTime: o.LogAppendTime, LogStart: base.Offset(o.LogStartOffset)}, nil
}
