package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
)

func (c *client) Admin(ctx context.Context, topic, group string) (calls []string, err error) {
	err = c.withAdmin(func(a *kadm.Client) error {
		for _, step := range adminSteps {
			calls = append(calls, step.call)
			got, err := step.run(ctx, a, topic, group)
			if err != nil {
				return fmt.Errorf("%s: %w (answer %+v)", step.call, err, got)
			}
		}
		return nil
	})
	return calls, err
}

// want makes an unexpected answer an error.
func want(ok bool, err error) error {
	if err == nil && !ok {
		return fmt.Errorf("unexpected answer")
	}
	return err
}

// adminSteps are in the order in which they are called.
var adminSteps = []struct {
	call string
	run  func(ctx context.Context, a *kadm.Client, topic, group string) (answer any, err error)
}{
	{"ApiVersions", func(ctx context.Context, a *kadm.Client, _, _ string) (any, error) {
		v, err := a.ApiVersions(ctx)
		return v, want(len(v) > 0, err)
	}},
	{"BrokerMetadata", func(ctx context.Context, a *kadm.Client, _, _ string) (any, error) {
		m, err := a.BrokerMetadata(ctx)
		return m, want(len(m.Brokers) > 0 && m.Cluster != "" && m.Controller >= 0, err)
	}},
	{"ListTopics", func(ctx context.Context, a *kadm.Client, topic, _ string) (any, error) {
		t, err := a.ListTopics(ctx)
		return t[topic], want(len(t[topic].Partitions) == 2, err)
	}},
	{"AlterTopicConfigs", func(ctx context.Context, a *kadm.Client, topic, _ string) (any, error) {
		r, err := a.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("86400000")}}, topic)
		if err == nil {
			_, err = r.On(topic, func(r *kadm.AlterConfigsResponse) error { return r.Err })
		}
		return r, err
	}},
	{"DescribeTopicConfigs", func(ctx context.Context, a *kadm.Client, topic, _ string) (any, error) {
		r, err := a.DescribeTopicConfigs(ctx, topic)
		if err != nil {
			return r, err
		}
		rc, err := r.On(topic, nil)
		for _, cfg := range rc.Configs {
			if cfg.Key == "retention.ms" {
				return r, want(cfg.MaybeValue() == "86400000", err)
			}
		}
		return r, want(false, err)
	}},
	{"CreatePartitions", func(ctx context.Context, a *kadm.Client, topic, _ string) (any, error) {
		r, err := a.UpdatePartitions(ctx, 3, topic)
		return r, want(err == nil && r[topic].Err == nil, err)
	}},
	{"DeleteRecords", func(ctx context.Context, a *kadm.Client, topic, _ string) (any, error) {
		var at kadm.Offsets
		at.Add(kadm.Offset{Topic: topic, Partition: 0, At: 5, LeaderEpoch: -1})
		r, err := a.DeleteRecords(ctx, at)
		return r, want(err == nil && r.Error() == nil, err)
	}},
	{"ListStartOffsets", func(ctx context.Context, a *kadm.Client, topic, _ string) (any, error) {
		r, err := a.ListStartOffsets(ctx, topic)
		return r, want(err == nil && r[topic][0].Offset == 5 && r[topic][1].Offset == 0, err)
	}},
	{"ListEndOffsets", func(ctx context.Context, a *kadm.Client, topic, _ string) (any, error) {
		r, err := a.ListEndOffsets(ctx, topic)
		return r, want(err == nil && r[topic][0].Offset == 20 && r[topic][2].Offset == 0, err)
	}},
	{"ListGroups", func(ctx context.Context, a *kadm.Client, _, group string) (any, error) {
		r, err := a.ListGroups(ctx)
		return r, want(r[group].ProtocolType == "consumer", err)
	}},
	{"DescribeGroups", func(ctx context.Context, a *kadm.Client, _, group string) (any, error) {
		r, err := a.DescribeGroups(ctx, group)
		return r, want(r[group].State == "Empty", err)
	}},
	{"FetchOffsets", func(ctx context.Context, a *kadm.Client, topic, group string) (any, error) {
		r, err := a.FetchOffsets(ctx, group)
		return r, want(err == nil && r[topic][0].At == 7, err)
	}},
	{"Lag", func(ctx context.Context, a *kadm.Client, topic, group string) (any, error) {
		r, err := a.Lag(ctx, group)
		if err == nil {
			err = r.Error()
		}
		return r, want(r[group].Lag[topic][0].Lag == 13, err)
	}},
	{"DeleteOffsets", func(ctx context.Context, a *kadm.Client, topic, group string) (any, error) {
		var set kadm.TopicsSet
		set.Add(topic, 0)
		r, err := a.DeleteOffsets(ctx, group, set)
		return r, want(err == nil && r.Error() == nil, err)
	}},
	{"DeleteGroups", func(ctx context.Context, a *kadm.Client, _, group string) (any, error) {
		r, err := a.DeleteGroups(ctx, group)
		return r, want(err == nil && r[group].Err == nil, err)
	}},
	{"DeleteTopics", func(ctx context.Context, a *kadm.Client, topic, _ string) (any, error) {
		r, err := a.DeleteTopics(ctx, topic)
		return r, want(err == nil && r[topic].Err == nil, err)
	}},
}
