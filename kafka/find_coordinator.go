package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// coordinatorGroup is the type of a group's coordinator; 1 is that of a
// transaction's, 2 that of a share group's.
const coordinatorGroup = 0

// findCoordinator names this node, which coordinates all groups.
func findCoordinator(_ context.Context, c *conn, req *kmsg.FindCoordinatorRequest) kmsg.Response {
	resp := kmsg.NewPtrFindCoordinatorResponse()
	host, port := c.advertised()
	id, code := nodeID, None
	var message *string
	if req.CoordinatorType != coordinatorGroup {
		text := "only groups have a coordinator here: transactions and share groups are not served"
		host, port, id, code, message = "", -1, -1, InvalidRequest, &text
	}
	if req.Version < 4 {
		resp.ErrorCode, resp.ErrorMessage = int16(code), message
		resp.NodeID, resp.Host, resp.Port = id, host, port
		return resp
	}
	for _, key := range req.CoordinatorKeys {
		o := kmsg.NewFindCoordinatorResponseCoordinator()
		o.Key, o.NodeID, o.Host, o.Port = key, id, host, port
		o.ErrorCode, o.ErrorMessage = int16(code), message
		resp.Coordinators = append(resp.Coordinators, o)
	}
	return resp
}
