package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// initProducerID gives out the id of an idempotent producer. One that has an id
// gets a new one rather than its next epoch, which serves it as well: it begins at
// sequence 0 in both cases.
func initProducerID(ctx context.Context, c *conn, req *kmsg.InitProducerIDRequest) kmsg.Response {
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if req.TransactionalID != nil {
		resp.ErrorCode = int16(TransactionalIDAuthorization)
		return resp
	}
	id, err := c.server.backend.NewProducerID(ctx)
	if err != nil {
		resp.ErrorCode = int16(c.code(err))
		return resp
	}
	resp.ProducerID, resp.ProducerEpoch = id, 0
	return resp
}
