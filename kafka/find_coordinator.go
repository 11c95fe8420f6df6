package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// coordinatorGroup is the type of a group's coordinator; 1 is that of a
// transaction's, 2 that of a share group's.
const coordinatorGroup = 0

// findCoordinator names the nodes that coordinate groups.
func findCoordinator(ctx context.Context, c *conn, req *kmsg.FindCoordinatorRequest) kmsg.Response {
	resp := kmsg.NewPtrFindCoordinatorResponse()
	if req.Version < 4 {
		n, err := c.coordinator(ctx, req.CoordinatorType, req.CoordinatorKey)
		resp.ErrorCode, resp.ErrorMessage = c.describe(err)
		resp.NodeID, resp.Host, resp.Port = n.ID, n.Host, n.Port
		return resp
	}
	seen := make(map[string]struct{}, len(req.CoordinatorKeys))
	for _, key := range req.CoordinatorKeys {
		if !first(seen, key) {
			continue
		}
		n, err := c.coordinator(ctx, req.CoordinatorType, key)
		o := kmsg.NewFindCoordinatorResponseCoordinator()
		o.Key, o.NodeID, o.Host, o.Port = key, n.ID, n.Host, n.Port
		o.ErrorCode, o.ErrorMessage = c.describe(err)
		resp.Coordinators = append(resp.Coordinators, o)
	}
	return resp
}

// coordinator returns the node that coordinates what key names, and where the client
// reaches it; with an error no node.
func (c *conn) coordinator(ctx context.Context, kind int8, key string) (Node, error) {
	none := Node{ID: NoNode, Port: -1}
	if kind != coordinatorGroup {
		return none, refuse(InvalidRequest, "only groups have a coordinator here: transactions and share groups are not served")
	}
	id, err := c.server.backend.Coordinator(ctx, key)
	if err != nil {
		return none, err
	}
	cluster := c.server.backend.Cluster()
	n := cluster.node(id)
	if n == nil { // it has just gone, and another will take over
		return none, ErrCoordinatorNotAvailable
	}
	found := *n
	found.Host, found.Port = c.endpoint(n)
	return found, nil
}
