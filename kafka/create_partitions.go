package kafka

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// createPartitions gives topics more partitions.
func createPartitions(ctx context.Context, c *conn, req *kmsg.CreatePartitionsRequest) kmsg.Response {
	resp := kmsg.NewPtrCreatePartitionsResponse()
	for i := range req.Topics {
		t := &req.Topics[i]
		o := kmsg.NewCreatePartitionsResponseTopic()
		o.Topic = t.Topic
		err := checkNewPartitions(t)
		if err == nil {
			err = c.server.backend.AddPartitions(ctx, t.Topic, t.Count, req.ValidateOnly)
		}
		o.ErrorCode, o.ErrorMessage = c.describe(err)
		resp.Topics = append(resp.Topics, o)
	}
	return resp
}

func checkNewPartitions(t *kmsg.CreatePartitionsRequestTopic) error {
	for _, a := range t.Assignment {
		if !slices.Equal(a.Replicas, []int32{nodeID}) {
			return refuse(InvalidReplicaAssignment, "there is one node, %d: each partition has it as its only replica", nodeID)
		}
	}
	return nil
}
