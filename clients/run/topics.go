package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// makeTopics makes the topics that clients cannot make.
func makeTopics(ctx context.Context, bootstrap string, replication int16, chosen []*client) error {
	cl, err := newClient(bootstrap)
	if err != nil {
		return err
	}
	defer cl.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	for _, c := range chosen {
		for _, t := range c.topics {
			one := kmsg.NewCreateTopicsRequestTopic()
			one.Topic, one.NumPartitions, one.ReplicationFactor = c.name+"-"+t.scenario, t.partitions, replication
			for name, value := range t.config {
				config := kmsg.NewCreateTopicsRequestTopicConfig()
				config.Name, config.Value = name, value
				one.Configs = append(one.Configs, config)
			}
			req.Topics = append(req.Topics, one)
		}
	}
	if len(req.Topics) == 0 {
		return nil
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("topic %s: %w", t.Topic, err)
		}
	}
	return nil
}
