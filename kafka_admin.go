package leat

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leatlog/leat/kafka"
)

// listProperties are the properties whose value is a list, which can be appended to
// and subtracted from.
var listProperties = []string{"cleanup.policy"}

// change makes one change of a topic's config.
func (b *kafkaBackend) change(c *TopicConfig, p kafka.ConfigChange) error {
	switch p.Op {
	case kafka.ConfigDelete:
		return c.ResetProperty(p.Name)
	case kafka.ConfigSet:
		return c.SetProperty(p.Name, p.Value)
	}
	property, err := findTopicProperty(p.Name, p.Value)
	if err != nil {
		return err
	}
	if !slices.Contains(listProperties, p.Name) {
		return &ConfigError{Property: p.Name, Value: p.Value, Rule: "is not a list, which could be appended to or subtracted from"}
	}
	now := effectiveTopicConfig(b.log, *c)
	list := splitList(property.show(&now))
	for _, element := range splitList(p.Value) {
		at := slices.Index(list, element)
		switch {
		case p.Op == kafka.ConfigAppend && at < 0:
			list = append(list, element)
		case p.Op == kafka.ConfigSubtract && at >= 0:
			list = slices.Delete(list, at, at+1)
		}
	}
	return c.SetProperty(p.Name, strings.Join(list, ","))
}

func splitList(s string) (list []string) {
	for element := range strings.SplitSeq(s, ",") {
		if element = strings.TrimSpace(element); element != "" {
			list = append(list, element)
		}
	}
	return list
}

// NodeConfig tells those settings of the Log that Kafka's brokers have.
func (b *kafkaBackend) NodeConfig() map[string]string {
	cfg := &b.log.cfg
	defaults := effectiveTopicConfig(b.log, TopicConfig{})
	return map[string]string{
		"auto.create.topics.enable":    strconv.FormatBool(cfg.AutoCreateTopics),
		"default.replication.factor":   "1",
		"log.dirs":                     cfg.Dir,
		"num.partitions":               strconv.Itoa(defaults.Partitions),
		"offsets.topic.num.partitions": strconv.Itoa(cfg.Groups.OffsetsPartitions),
	}
}

func (b *kafkaBackend) LogDir(ctx context.Context) (kafka.LogDir, error) {
	if err := b.log.begin(ctx); err != nil {
		return kafka.LogDir{}, err
	}
	defer b.log.end()
	d := kafka.LogDir{Path: b.log.cfg.Dir, TotalBytes: -1, UsableBytes: -1, Err: b.log.store.Failure()}
	if total, usable, err := b.log.store.DiskUsage(); err == nil { // else it is not known
		d.TotalBytes, d.UsableBytes = int64(total), int64(usable)
	}
	return d, nil
}

// locate returns an error for a partition that there is not.
func (b *kafkaBackend) locate(p kafka.TopicPartition) error {
	t := b.Topic(p.Topic)
	if t == nil {
		return topicError(p.Topic, ErrUnknownTopic)
	}
	_, err := t.Locate(p.Partition)
	return err
}

func (b *kafkaBackend) ElectLeaders(ctx context.Context, _ kafka.ElectionType, partitions []kafka.TopicPartition, _ time.Duration) ([]kafka.PartitionResult, error) {
	if c := b.log.cluster; c != nil {
		return c.electLeaders(ctx, partitions)
	}
	var results []kafka.PartitionResult
	for _, p := range partitions { // without any: nothing is to be elected
		err := b.locate(p)
		if err == nil {
			err = &kafka.Error{Code: kafka.ElectionNotNeeded,
				Text: fmt.Sprintf("topic %q partition %d: node %d is its only replica, and leads", p.Topic, p.Partition, standaloneNode)}
		}
		results = append(results, kafka.PartitionResult{TopicPartition: p, Err: err})
	}
	return results, nil
}

func (b *kafkaBackend) AlterReassignments(ctx context.Context, list []kafka.Reassignment, o kafka.ReassignOptions) ([]error, error) {
	if c := b.log.cluster; c != nil {
		return c.alterReassignments(ctx, list, o)
	}
	each := make([]error, len(list))
	for i, r := range list {
		switch err := b.locate(r.TopicPartition); {
		case err != nil:
			each[i] = err
		case r.Replicas == nil:
			each[i] = &kafka.Error{Code: kafka.NoReassignmentInProgress,
				Text: fmt.Sprintf("topic %q partition %d: no reassignment is under way that could be cancelled", r.Topic, r.Partition)}
		default:
			each[i] = checkStandalone([][]int32{r.Replicas})
		}
	}
	return each, nil
}

func (b *kafkaBackend) Reassignments(_ context.Context, partitions []kafka.TopicPartition) ([]kafka.OngoingReassignment, error) {
	if c := b.log.cluster; c != nil {
		return c.reassignments(partitions), nil
	}
	return nil, nil
}
