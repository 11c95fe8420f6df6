package peer

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
)

// DeleteGroups removes groups without members. The results are an *Error or nil for each
// group, in the order of the question.
func (p *Pool) DeleteGroups(ctx context.Context, id base.NodeID, groups ...string) ([]error, error) {
	asked, err := indexNames(groups)
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = groups
	answer, err := p.Do(ctx, id, req)
	if err != nil {
		return nil, err
	}
	from := answerer{id, kmsg.DeleteGroups}
	out := make([]error, len(groups))
	for _, g := range answer.(*kmsg.DeleteGroupsResponse).Groups {
		k, err := from.take(asked, g.Group)
		if err != nil {
			return nil, err
		}
		out[k] = from.group(g.Group, g.ErrorCode, nil)
	}
	return out, from.rest(asked)
}
