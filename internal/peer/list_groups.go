package peer

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
)

// ListGroups returns the groups that a node coordinates; states and types filter, none
// being all.
func (p *Pool) ListGroups(ctx context.Context, id base.NodeID, states, types []string) ([]kmsg.ListGroupsResponseGroup, error) {
	req := kmsg.NewPtrListGroupsRequest()
	req.StatesFilter, req.TypesFilter = states, types
	answer, err := p.Do(ctx, id, req)
	if err != nil {
		return nil, err
	}
	resp := answer.(*kmsg.ListGroupsResponse)
	if err := (answerer{id, kmsg.ListGroups}).code(resp.ErrorCode, nil); err != nil {
		return nil, err
	}
	return resp.Groups, nil
}
