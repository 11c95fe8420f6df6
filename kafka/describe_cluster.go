package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// endpointBrokers asks for brokers; 2 is for controllers (KIP-919).
const endpointBrokers = 1

// describeCluster tells of the nodes.
func describeCluster(_ context.Context, c *conn, req *kmsg.DescribeClusterRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeClusterResponse()
	cluster := c.server.backend.Cluster()
	resp.ClusterID, resp.ControllerID = cluster.ID, cluster.Controller
	resp.EndpointType = endpointBrokers
	resp.ClusterAuthorizedOperations = noOperations
	if req.Version >= 1 && req.EndpointType != endpointBrokers {
		resp.ErrorCode, resp.ErrorMessage = c.describe(refuse(UnsupportedEndpointType, "clients reach brokers here, no controllers"))
		return resp
	}
	for i := range cluster.Nodes {
		n := &cluster.Nodes[i]
		b := kmsg.NewDescribeClusterResponseBroker()
		b.NodeID, b.Rack = n.ID, rackOf(n)
		b.Host, b.Port = c.endpoint(n)
		resp.Brokers = append(resp.Brokers, b)
	}
	return resp
}
