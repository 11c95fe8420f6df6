package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
)

func (c *client) Admin(ctx context.Context, topic, group string) (calls []string, err error) {
	for _, step := range adminSteps {
		calls = append(calls, step.call)
		got, err := step.run(ctx, c.api, topic, group)
		if err != nil {
			return calls, fmt.Errorf("%s: %w (answer %+v)", step.call, err, got)
		}
	}
	return calls, nil
}

// want makes an unexpected answer an error.
func want(err error, ok func() bool) error {
	if err == nil && !ok() {
		return errors.New("unexpected answer")
	}
	return err
}

// adminSteps are in the order in which they are called.
var adminSteps = []struct {
	call string
	run  func(ctx context.Context, a *kafka.Client, topic, group string) (answer any, err error)
}{
	{"ApiVersions", func(ctx context.Context, a *kafka.Client, _, _ string) (any, error) {
		r, err := a.ApiVersions(ctx, &kafka.ApiVersionsRequest{})
		return r, want(err, func() bool { return r.Error == nil && len(r.ApiKeys) > 20 })
	}},
	{"Metadata", func(ctx context.Context, a *kafka.Client, topic, _ string) (any, error) {
		r, err := a.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
		return r, want(err, func() bool {
			return r.ClusterID != "" && len(r.Brokers) > 0 && len(r.Topics) == 1 && len(r.Topics[0].Partitions) == 2
		})
	}},
	{"IncrementalAlterConfigs", func(ctx context.Context, a *kafka.Client, topic, _ string) (any, error) {
		r, err := a.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
			Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: "retention.ms", Value: "86400000", ConfigOperation: kafka.ConfigOperationSet}}}}})
		return r, want(err, func() bool { return len(r.Resources) == 1 && r.Resources[0].Error == nil })
	}},
	{"DescribeConfigs", func(ctx context.Context, a *kafka.Client, topic, _ string) (any, error) {
		r, err := a.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{"retention.ms"}}}})
		return r, want(err, func() bool {
			return len(r.Resources) == 1 && len(r.Resources[0].ConfigEntries) == 1 && r.Resources[0].ConfigEntries[0].ConfigValue == "86400000"
		})
	}},
	{"CreatePartitions", func(ctx context.Context, a *kafka.Client, topic, _ string) (any, error) {
		r, err := a.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: 3}}})
		return r, want(err, func() bool { return r.Errors[topic] == nil })
	}},
	{"ListOffsets", func(ctx context.Context, a *kafka.Client, topic, _ string) (any, error) {
		r, err := a.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: {kafka.FirstOffsetOf(0), kafka.LastOffsetOf(0)}}})
		return r, want(err, func() bool {
			p := r.Topics[topic]
			return len(p) == 1 && p[0].Error == nil && p[0].FirstOffset == 0 && p[0].LastOffset == 20
		})
	}},
	{"ListGroups", func(ctx context.Context, a *kafka.Client, _, group string) (any, error) {
		r, err := a.ListGroups(ctx, &kafka.ListGroupsRequest{})
		return r, want(err, func() bool {
			for _, g := range r.Groups {
				if g.GroupID == group {
					return true
				}
			}
			return false
		})
	}},
	{"DescribeGroups", func(ctx context.Context, a *kafka.Client, _, group string) (any, error) {
		r, err := a.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
		return r, want(err, func() bool {
			return len(r.Groups) == 1 && r.Groups[0].Error == nil && r.Groups[0].GroupState == "Empty"
		})
	}},
	{"OffsetFetch", func(ctx context.Context, a *kafka.Client, topic, group string) (any, error) {
		r, err := a.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {0}}})
		return r, want(err, func() bool { p := r.Topics[topic]; return len(p) == 1 && p[0].CommittedOffset == 7 })
	}},
	{"OffsetDelete", func(ctx context.Context, a *kafka.Client, topic, group string) (any, error) {
		r, err := a.OffsetDelete(ctx, &kafka.OffsetDeleteRequest{GroupID: group, Topics: map[string][]int{topic: {0}}})
		return r, want(err, func() bool { p := r.Topics[topic]; return r.Error == nil && len(p) == 1 && p[0].Error == nil })
	}},
	{"DeleteGroups", func(ctx context.Context, a *kafka.Client, _, group string) (any, error) {
		r, err := a.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
		return r, want(err, func() bool { return r.Errors[group] == nil })
	}},
	{"DeleteTopics", func(ctx context.Context, a *kafka.Client, topic, _ string) (any, error) {
		r, err := a.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
		return r, want(err, func() bool { return r.Errors[topic] == nil })
	}},
}
