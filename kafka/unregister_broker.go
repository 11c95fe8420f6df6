package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// unregisterBroker removes a node that has no replicas (KIP-500, KIP-631). It is served
// in a cluster only.
func unregisterBroker(ctx context.Context, c *conn, req *kmsg.UnregisterBrokerRequest) kmsg.Response {
	resp := kmsg.NewPtrUnregisterBrokerResponse()
	resp.ErrorCode, resp.ErrorMessage = c.describe(c.server.backend.Membership().Remove(ctx, req.BrokerID))
	return resp
}
