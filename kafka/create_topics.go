package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// refusal is an error of this package with its code.
type refusal struct {
	code Code
	text string
}

func (r *refusal) Error() string { return r.text }

func refuse(code Code, format string, args ...any) error {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// describe returns what the client is told of an error; nil is none.
func (c *conn) describe(err error) (code int16, text *string) {
	if err == nil {
		return 0, nil
	}
	s := err.Error()
	var r *refusal
	if errors.As(err, &r) {
		return int16(r.code), &s
	}
	return int16(c.storeCode(err)), &s
}

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
			o.TopicID, o.NumPartitions, o.ReplicationFactor = topic.UniqueID(), int32(topic.NumPartitions()), 1
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
	partitions := want.NumPartitions
	if len(want.ReplicaAssignment) > 0 {
		if partitions != -1 || want.ReplicationFactor != -1 {
			return nil, refuse(InvalidRequest, "with an assignment of replicas, partitions and replication factor must be -1")
		}
		partitions = int32(len(want.ReplicaAssignment))
		seen := make([]bool, partitions)
		for _, a := range want.ReplicaAssignment {
			if a.Partition < 0 || a.Partition >= partitions || seen[a.Partition] {
				return nil, refuse(InvalidReplicaAssignment, "the assignment must name the partitions 0 to %d once each", partitions-1)
			}
			seen[a.Partition] = true
			if !slices.Equal(a.Replicas, []int32{nodeID}) {
				return nil, refuse(InvalidReplicaAssignment, "there is one node, %d: each partition has it as its only replica", nodeID)
			}
		}
	} else if want.ReplicationFactor != -1 && want.ReplicationFactor != 1 {
		return nil, refuse(InvalidReplicationFactor, "replication factor %d: there is one node, so it must be 1", want.ReplicationFactor)
	}
	if partitions != -1 && partitions < 1 {
		return nil, refuse(InvalidPartitions, "%d partitions: there must be one at least", partitions)
	}
	configs := make([]Config, 0, len(want.Configs))
	for _, p := range want.Configs {
		configs = append(configs, Config{p.Name, p.Value})
	}
	return c.server.backend.CreateTopic(ctx, want.Topic, partitions, configs, validateOnly)
}
