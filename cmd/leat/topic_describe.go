package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// errNoAnswer is for what a broker was asked for and left out.
var errNoAnswer = errors.New("the brokers did not answer for it")

// describedTopic is how topic describe tells of a topic.
type describedTopic struct {
	Name       string               `json:"name"`
	ID         string               `json:"id"`
	Internal   bool                 `json:"internal"`
	Partitions []describedPartition `json:"partitions"`
	Configs    []describedConfig    `json:"configs"`
}

type describedPartition struct {
	Partition      int32   `json:"partition"`
	Leader         int32   `json:"leader"` // -1 without one
	LeaderEpoch    int32   `json:"leader_epoch"`
	Replicas       []int32 `json:"replicas"`
	InSync         []int32 `json:"in_sync"`
	Offline        []int32 `json:"offline"`
	LogStartOffset int64   `json:"log_start_offset"` // -1 if it is not known
	HighWatermark  int64   `json:"high_watermark"`   // the same
}

type describedConfig struct {
	Name      string  `json:"name"`
	Value     *string `json:"value"` // null if it is secret
	Source    string  `json:"source"`
	IsDefault bool    `json:"is_default"`
}

func (a *app) topicDescribeCommand() *cobra.Command {
	var allConfigs bool
	cmd := &cobra.Command{
		Use:               "describe TOPIC...",
		Short:             "Show partitions, leaders, replicas, offsets and configs of topics",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeTopics,
	}
	cmd.Flags().BoolVar(&allConfigs, "all-configs", false, "show properties that have their defaults too; --json always does")
	cmd.RunE = a.administers(func(ctx context.Context, adm *kadm.Client, names []string) error {
		topics, err := describeTopics(ctx, adm, names)
		if err != nil {
			return err
		}
		return a.print(topics, func(w io.Writer) {
			for i := range topics {
				if i > 0 {
					fmt.Fprintln(w)
				}
				topics[i].write(w, allConfigs)
			}
		})
	})
	return cmd
}

func describeTopics(ctx context.Context, adm *kadm.Client, names []string) ([]describedTopic, error) {
	details, err := adm.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return nil, err
	}
	found, err := topicsOf(details, names)
	if err != nil {
		return nil, err
	}
	// Partitions without a leader have no offsets to tell, and are shown all the same.
	starts, startsErr := adm.ListStartOffsets(ctx, names...)
	ends, endsErr := adm.ListEndOffsets(ctx, names...)
	if err := errors.Join(startsErr, endsErr); err != nil && ctx.Err() != nil {
		return nil, err
	}
	configs, err := adm.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, err
	}
	var out []describedTopic
	for _, d := range found {
		t := describedTopic{Name: d.Topic, ID: d.ID.String(), Internal: d.IsInternal, Configs: []describedConfig{}, Partitions: []describedPartition{}}
		for _, p := range d.Partitions.Sorted() {
			t.Partitions = append(t.Partitions, describedPartition{
				Partition: p.Partition, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch,
				Replicas: some(p.Replicas), InSync: some(p.ISR), Offline: some(p.OfflineReplicas),
				LogStartOffset: offsetOr(starts, d.Topic, p.Partition, -1), HighWatermark: offsetOr(ends, d.Topic, p.Partition, -1),
			})
		}
		rc, err := configs.On(d.Topic, nil)
		if err = errors.Join(err, rc.Err); err != nil {
			return nil, about(err, rc.ErrMessage, "the configs of topic %q", d.Topic)
		}
		for _, c := range rc.Configs {
			t.Configs = append(t.Configs, describedConfig{c.Key, c.Value, c.Source.String(), c.Source == kmsg.ConfigSourceDefaultConfig})
		}
		slices.SortFunc(t.Configs, func(a, b describedConfig) int { return strings.Compare(a.Name, b.Name) })
		out = append(out, t)
	}
	return out, nil
}

// offsetOr returns a listed offset, or none where there is none.
func offsetOr(l kadm.ListedOffsets, topic string, partition int32, none int64) int64 {
	o, ok := l.Lookup(topic, partition)
	if !ok || o.Err != nil {
		return none
	}
	return o.Offset
}

func (t *describedTopic) write(w io.Writer, allConfigs bool) {
	fmt.Fprintf(w, "%s: %d partitions, id %s\n\n", t.Name, len(t.Partitions), t.ID)
	row(w, "PARTITION", "LEADER", "REPLICAS", "IN SYNC", "LOG START", "HIGH WATERMARK")
	for _, p := range t.Partitions {
		leader := fmt.Sprint(p.Leader)
		if p.Leader < 0 {
			leader = "none"
		}
		row(w, p.Partition, leader, brokerIDs(p.Replicas), brokerIDs(p.InSync), known(p.LogStartOffset), known(p.HighWatermark))
	}
	shown := 0
	for _, c := range t.Configs {
		if c.IsDefault && !allConfigs {
			continue
		}
		if shown++; shown == 1 {
			fmt.Fprintln(w)
			row(w, "CONFIG", "VALUE", "FROM")
		}
		value := "(secret)"
		if c.Value != nil {
			value = *c.Value
		}
		row(w, c.Name, value, c.Source)
	}
}

// known tells an offset, -1 being one that is not known.
func known(offset int64) string {
	if offset < 0 {
		return "-"
	}
	return fmt.Sprint(offset)
}
