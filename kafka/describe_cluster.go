package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// endpointBrokers asks for brokers; 2 is for controllers (KIP-919).
const endpointBrokers = 1

// describeCluster tells of the one node.
func describeCluster(_ context.Context, c *conn, req *kmsg.DescribeClusterRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeClusterResponse()
	resp.ClusterID, resp.ControllerID = c.server.backend.ClusterID(), nodeID
	resp.EndpointType = endpointBrokers
	resp.ClusterAuthorizedOperations = noOperations
	if req.Version >= 1 && req.EndpointType != endpointBrokers {
		resp.ErrorCode, resp.ErrorMessage = c.describe(refuse(UnsupportedEndpointType, "clients reach brokers here, no controllers"))
		return resp
	}
	b := kmsg.NewDescribeClusterResponseBroker()
	b.NodeID = nodeID
	b.Host, b.Port = c.advertised()
	resp.Brokers = append(resp.Brokers, b)
	return resp
}
