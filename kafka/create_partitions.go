package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// createPartitions gives topics more partitions.
func createPartitions(ctx context.Context, c *conn, req *kmsg.CreatePartitionsRequest) kmsg.Response {
	resp := kmsg.NewPtrCreatePartitionsResponse()
	for i := range req.Topics {
		t := &req.Topics[i]
		o := kmsg.NewCreatePartitionsResponseTopic()
		o.Topic = t.Topic
		assignment, err := newPartitions(t)
		if err == nil {
			err = c.server.backend.AddPartitions(ctx, t.Topic, t.Count, assignment, req.ValidateOnly)
		}
		o.ErrorCode, o.ErrorMessage = c.describe(err)
		resp.Topics = append(resp.Topics, o)
	}
	return resp
}

// newPartitions returns the replicas of the new partitions, nil if none are asked for.
func newPartitions(t *kmsg.CreatePartitionsRequestTopic) (assignment [][]int32, err error) {
	for _, a := range t.Assignment {
		if err := checkReplicas(a.Replicas); err != nil {
			return nil, err
		}
		assignment = append(assignment, a.Replicas)
	}
	return assignment, nil
}
