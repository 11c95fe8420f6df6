package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// createTopics makes topics.
func createTopics(ctx context.Context, c *conn, req *kmsg.CreateTopicsRequest) kmsg.Response {
	resp := kmsg.NewPtrCreateTopicsResponse()
	times := make(map[string]int, len(req.Topics))
	for i := range req.Topics {
		times[req.Topics[i].Topic]++
	}
	for i := range req.Topics {
		want := &req.Topics[i]
		if times[want.Topic] == 0 {
			continue // answered, with what it was told the first time
		}
		o := kmsg.NewCreateTopicsResponseTopic()
		o.Topic, o.NumPartitions, o.ReplicationFactor = want.Topic, -1, -1
		var topic Topic
		var err error
		if times[want.Topic] > 1 {
			err = refuse(InvalidRequest, "the request names topic %q %d times", want.Topic, times[want.Topic])
			times[want.Topic] = 0
		} else {
			topic, err = c.createTopic(ctx, want, req.ValidateOnly)
		}
		o.ErrorCode, o.ErrorMessage = c.describe(err)
		if topic != nil {
			o.TopicID, o.NumPartitions = topic.UniqueID(), int32(topic.NumPartitions())
			o.ReplicationFactor = replicationFactor(topic)
			all, own := topic.Properties()
			for _, name := range sortedNames(all) {
				p := kmsg.NewCreateTopicsResponseTopicConfig()
				value := all[name]
				p.Name, p.Value, p.Source = name, &value, int8(source(own[name]))
				o.Configs = append(o.Configs, p)
			}
		}
		resp.Topics = append(resp.Topics, o)
	}
	return resp
}

func (c *conn) createTopic(ctx context.Context, want *kmsg.CreateTopicsRequestTopic, validateOnly bool) (Topic, error) {
	t := NewTopic{Name: want.Topic, Partitions: want.NumPartitions, ReplicationFactor: want.ReplicationFactor}
	if len(want.ReplicaAssignment) > 0 {
		if t.Partitions != -1 || t.ReplicationFactor != -1 {
			return nil, refuse(InvalidRequest, "with an assignment of replicas, partitions and replication factor must be -1")
		}
		n := len(want.ReplicaAssignment)
		t.Assignment = make([][]int32, n)
		for _, a := range want.ReplicaAssignment {
			if a.Partition < 0 || int(a.Partition) >= n || t.Assignment[a.Partition] != nil {
				return nil, refuse(InvalidReplicaAssignment, "the assignment must name the partitions 0 to %d once each", n-1)
			}
			if err := checkReplicas(a.Replicas); err != nil {
				return nil, err
			}
			t.Assignment[a.Partition] = a.Replicas
		}
	} else if t.ReplicationFactor != -1 && t.ReplicationFactor < 1 {
		return nil, refuse(InvalidReplicationFactor, "replication factor %d: it must be at least 1", t.ReplicationFactor)
	}
	if t.Partitions != -1 && t.Partitions < 1 {
		return nil, refuse(InvalidPartitions, "%d partitions: there must be one at least", t.Partitions)
	}
	for _, p := range want.Configs {
		t.Configs = append(t.Configs, Config{p.Name, p.Value})
	}
	return c.server.backend.CreateTopic(ctx, t, validateOnly)
}

// checkReplicas is what a list of replicas has to be in any case.
func checkReplicas(replicas []int32) error {
	if len(replicas) == 0 {
		return refuse(InvalidReplicaAssignment, "a partition needs one replica at least")
	}
	seen := make(map[int32]struct{}, len(replicas))
	for _, id := range replicas {
		if id < 0 || !first(seen, id) {
			return refuse(InvalidReplicaAssignment, "the replicas %v have to be different nodes", replicas)
		}
	}
	return nil
}

// replicationFactor is what a topic's first partition has.
func replicationFactor(t Topic) int16 {
	all := t.Placements()
	if len(all) == 0 {
		return -1
	}
	return int16(len(all[0].Replicas))
}
