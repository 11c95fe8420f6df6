package peer

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
)

// ConsumerGroupHeartbeat is a member's word to its coordinator (KIP-848). The error is an
// *Error, or one of Wait's. The classic protocol's requests (JoinGroup, SyncGroup,
// Heartbeat, LeaveGroup) go through Forward as they are.
func (p *Pool) ConsumerGroupHeartbeat(ctx context.Context, id base.NodeID, req *kmsg.ConsumerGroupHeartbeatRequest) (*kmsg.ConsumerGroupHeartbeatResponse, error) {
	group := req.Group
	answer, err := p.Do(ctx, id, req)
	if err != nil {
		return nil, err
	}
	resp := answer.(*kmsg.ConsumerGroupHeartbeatResponse)
	if err := (answerer{id, kmsg.ConsumerGroupHeartbeat}).group(group, resp.ErrorCode, resp.ErrorMessage); err != nil {
		return nil, err
	}
	return resp, nil
}
