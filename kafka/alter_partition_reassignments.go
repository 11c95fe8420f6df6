package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// alterPartitionReassignments begins or cancels moves of replicas (KIP-455).
func alterPartitionReassignments(ctx context.Context, c *conn, req *kmsg.AlterPartitionAssignmentsRequest) kmsg.Response {
	resp := kmsg.NewPtrAlterPartitionAssignmentsResponse()
	resp.AllowReplicationFactorChange = req.AllowReplicationFactorChange
	times := make(map[TopicPartition]int)
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			times[TopicPartition{req.Topics[i].Topic, req.Topics[i].Partitions[j].Partition}]++
		}
	}
	var list []Reassignment
	var answers []*kmsg.AlterPartitionAssignmentsResponseTopicPartition // to those in list
	resp.Topics = make([]kmsg.AlterPartitionAssignmentsResponseTopic, len(req.Topics))
	for i := range req.Topics {
		t, out := &req.Topics[i], &resp.Topics[i]
		out.Topic = t.Topic
		out.Partitions = make([]kmsg.AlterPartitionAssignmentsResponseTopicPartition, len(t.Partitions))
		for j := range t.Partitions {
			o := &out.Partitions[j]
			o.Partition = t.Partitions[j].Partition
			p := TopicPartition{t.Topic, o.Partition}
			replicas := t.Partitions[j].Replicas
			var err error
			switch {
			case times[p] > 1:
				err = refuse(InvalidRequest, "the request names topic %q partition %d %d times", p.Topic, p.Partition, times[p])
			case replicas != nil:
				err = checkReplicas(replicas)
			}
			if err != nil {
				o.ErrorCode, o.ErrorMessage = c.describe(err)
				continue
			}
			list = append(list, Reassignment{p, replicas})
			answers = append(answers, o)
		}
	}
	if len(list) == 0 {
		return resp
	}
	o := ReassignOptions{FixedReplicationFactor: req.Version >= 1 && !req.AllowReplicationFactorChange}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout(req.TimeoutMillis))
	defer cancel()
	each, err := c.server.backend.AlterReassignments(ctx, list, o)
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = c.describe(err)
		resp.Topics = nil
		return resp
	}
	for i, a := range answers {
		a.ErrorCode, a.ErrorMessage = c.describe(each[i])
	}
	return resp
}
