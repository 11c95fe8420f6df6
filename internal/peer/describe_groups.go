package peer

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
)

// ClassicGroup is a group of the classic protocol as its coordinator describes it.
type ClassicGroup struct {
	kmsg.DescribeGroupsResponseGroup
	Err error // an *Error
}

// DescribeGroups asks a coordinator about groups of the classic protocol. The results are
// in the order of the question.
func (p *Pool) DescribeGroups(ctx context.Context, id base.NodeID, groups ...string) ([]ClassicGroup, error) {
	asked, err := indexNames(groups)
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = groups
	answer, err := p.Do(ctx, id, req)
	if err != nil {
		return nil, err
	}
	from := answerer{id, kmsg.DescribeGroups}
	out := make([]ClassicGroup, len(groups))
	for _, g := range answer.(*kmsg.DescribeGroupsResponse).Groups {
		k, err := from.take(asked, g.Group)
		if err != nil {
			return nil, err
		}
		out[k] = ClassicGroup{g, from.group(g.Group, g.ErrorCode, g.ErrorMessage)}
	}
	return out, from.rest(asked)
}
