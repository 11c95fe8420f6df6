package peer

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
)

// ConsumerGroup is a group of KIP-848 as its coordinator describes it.
type ConsumerGroup struct {
	kmsg.ConsumerGroupDescribeResponseGroup
	Err error // an *Error
}

// ConsumerGroupDescribe asks a coordinator about groups of KIP-848. The results are in the
// order of the question.
func (p *Pool) ConsumerGroupDescribe(ctx context.Context, id base.NodeID, groups ...string) ([]ConsumerGroup, error) {
	asked, err := indexNames(groups)
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups = groups
	answer, err := p.Do(ctx, id, req)
	if err != nil {
		return nil, err
	}
	from := answerer{id, kmsg.ConsumerGroupDescribe}
	out := make([]ConsumerGroup, len(groups))
	for _, g := range answer.(*kmsg.ConsumerGroupDescribeResponse).Groups {
		k, err := from.take(asked, g.Group)
		if err != nil {
			return nil, err
		}
		out[k] = ConsumerGroup{g, from.group(g.Group, g.ErrorCode, g.ErrorMessage)}
	}
	return out, from.rest(asked)
}
