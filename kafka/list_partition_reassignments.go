package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// listPartitionReassignments tells which moves of replicas are under way (KIP-455).
func listPartitionReassignments(ctx context.Context, c *conn, req *kmsg.ListPartitionReassignmentsRequest) kmsg.Response {
	resp := kmsg.NewPtrListPartitionReassignmentsResponse()
	var wanted partitionList
	if req.Topics != nil {
		wanted.add("")
	}
	for i := range req.Topics {
		wanted.add(req.Topics[i].Topic, req.Topics[i].Partitions...)
	}
	list, err := c.server.backend.Reassignments(ctx, wanted.list)
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = c.describe(err)
		return resp
	}
	at := make(map[string]int)
	for _, r := range list {
		i, ok := at[r.Topic]
		if !ok {
			i = len(resp.Topics)
			at[r.Topic] = i
			t := kmsg.NewListPartitionReassignmentsResponseTopic()
			t.Topic = r.Topic
			resp.Topics = append(resp.Topics, t)
		}
		p := kmsg.NewListPartitionReassignmentsResponseTopicPartition()
		p.Partition, p.Replicas, p.AddingReplicas, p.RemovingReplicas = r.Partition, r.Replicas, r.Adding, r.Removing
		resp.Topics[i].Partitions = append(resp.Topics[i].Partitions, p)
	}
	return resp
}
