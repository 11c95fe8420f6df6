package leat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/coordinator"
	"github.com/leatlog/leat/internal/recordbatch"
	"github.com/leatlog/leat/internal/store"
	"github.com/leatlog/leat/kafka"
)

// kafkaBackend is a Log as the listener for Kafka's protocol sees it.
type kafkaBackend struct {
	log     *Log
	cluster kafka.Cluster
}

var _ kafka.Backend = (*kafkaBackend)(nil)

const (
	// standaloneNode is the id of a standalone Log as a node, and standaloneEpoch the
	// epoch in which it leads all partitions.
	standaloneNode  int32            = 1
	standaloneEpoch base.LeaderEpoch = 0
)

// standaloneReplicas is where every partition of a standalone Log is.
var standaloneReplicas = []int32{standaloneNode}

// kafkaCodes tells Kafka's code of each error to branch on; the first that fits is
// right.
var kafkaCodes = []struct {
	err  error
	code kafka.Code
}{
	{ErrUnknownTopic, kafka.UnknownTopicOrPartition},
	{ErrUnknownPartition, kafka.UnknownTopicOrPartition},
	{ErrTopicDeleted, kafka.UnknownTopicOrPartition},
	{ErrTopicExists, kafka.TopicAlreadyExists},
	{ErrTooFewNodes, kafka.InvalidReplicationFactor},
	{ErrNotEnoughReplicas, kafka.NotEnoughReplicas},
	{ErrOffsetOutOfRange, kafka.OffsetOutOfRange},
	{ErrRecordTooLarge, kafka.MessageTooLarge},
	{ErrInvalidRecord, kafka.InvalidRecord},
	{coordinator.ErrNotCoordinator, kafka.NotCoordinator},
	{coordinator.ErrNotAvailable, kafka.CoordinatorNotAvailable},
	{coordinator.ErrClosed, kafka.CoordinatorNotAvailable},
	{coordinator.ErrUnknownMember, kafka.UnknownMemberID},
	{coordinator.ErrFencedMemberEpoch, kafka.FencedMemberEpoch},
	{coordinator.ErrStaleMemberEpoch, kafka.StaleMemberEpoch},
	{coordinator.ErrFencedInstance, kafka.FencedInstanceID},
	{coordinator.ErrUnreleasedInstance, kafka.UnreleasedInstanceID},
	{coordinator.ErrIllegalGeneration, kafka.IllegalGeneration},
	{coordinator.ErrRebalanceInProgress, kafka.RebalanceInProgress},
	{coordinator.ErrMemberIDRequired, kafka.MemberIDRequired},
	{coordinator.ErrInconsistentProtocol, kafka.InconsistentGroupProtocol},
	{coordinator.ErrInvalidSessionTimeout, kafka.InvalidSessionTimeout},
	{coordinator.ErrInvalidGroupID, kafka.InvalidGroupID},
	{coordinator.ErrGroupNotFound, kafka.GroupIDNotFound},
	{coordinator.ErrNonEmptyGroup, kafka.NonEmptyGroup},
	{coordinator.ErrGroupMaxSize, kafka.GroupMaxSizeReached},
	{coordinator.ErrGroupSubscribedToTopic, kafka.GroupSubscribedToTopic},
	{coordinator.ErrUnsupportedAssignor, kafka.UnsupportedAssignor},
	{coordinator.ErrUnknownTopicOrPartition, kafka.UnknownTopicOrPartition},
	{coordinator.ErrOffsetMetadataTooLarge, kafka.OffsetMetadataTooLarge},
	{coordinator.ErrInvalidRequest, kafka.InvalidRequest},
	{ErrStorageFailed, kafka.StorageError},
	{ErrCorrupt, kafka.StorageError},
	{ErrClosed, kafka.StorageError},
}

func (b *kafkaBackend) Code(err error) kafka.Code {
	var name *InvalidNameError
	var config *ConfigError
	switch {
	case err == nil:
		return kafka.None
	case errors.As(err, &name) && name.Kind == "group":
		return kafka.InvalidGroupID
	case name != nil:
		return kafka.InvalidTopic
	case errors.As(err, &config) && config.Property == "partitions":
		return kafka.InvalidPartitions
	case config != nil:
		return kafka.InvalidConfig
	}
	if code, known := kafka.CodeOf(err); known {
		return code
	}
	for _, c := range kafkaCodes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return kafka.UnknownServerError
}

func (b *kafkaBackend) Clock() base.Clock { return b.log.cfg.Clock }

func (b *kafkaBackend) NodeID() int32 {
	if c := b.log.cluster; c != nil {
		return int32(c.self)
	}
	return standaloneNode
}

func (b *kafkaBackend) Cluster() kafka.Cluster {
	if c := b.log.cluster; c != nil {
		return c.describe()
	}
	return b.cluster
}

func (b *kafkaBackend) Membership() kafka.Membership {
	if b.log.cluster == nil {
		return nil
	}
	return kafkaMembership{b.log}
}

func (b *kafkaBackend) Topic(name string) kafka.Topic { return b.wrap(b.log.catalog.topic(name)) }

func (b *kafkaBackend) TopicByID(id [16]byte) kafka.Topic { return b.wrap(b.log.catalog.topicByID(id)) }

// wrap keeps nil nil.
func (b *kafkaBackend) wrap(t *Topic) kafka.Topic {
	if t == nil {
		return nil
	}
	return kafkaTopic{t}
}

func (b *kafkaBackend) Topics() []kafka.Topic {
	all := b.log.catalog.all()
	topics := make([]kafka.Topic, len(all))
	for i, t := range all {
		topics[i] = kafkaTopic{t}
	}
	return topics
}

func (b *kafkaBackend) UseTopic(ctx context.Context, name string) (kafka.Topic, error) {
	if isInternalTopic(name) {
		return nil, topicError(name, ErrUnknownTopic) // it comes when the Log needs it
	}
	t, err := b.log.topicForProduce(ctx, name)
	return b.wrap(t), err
}

func (b *kafkaBackend) CreateTopic(ctx context.Context, n kafka.NewTopic, validateOnly bool) (kafka.Topic, error) {
	clustered := b.log.cluster != nil
	if n.ReplicationFactor > 1 && !clustered {
		return nil, &kafka.Error{Code: kafka.InvalidReplicationFactor,
			Text: fmt.Sprintf("topic %q: replication factor %d: there is one node, so it must be 1", n.Name, n.ReplicationFactor)}
	}
	if err := b.checkAssignment(n.Assignment); err != nil {
		return nil, err
	}
	cfg := TopicConfig{Partitions: int(max(n.Partitions, int32(len(n.Assignment)), 0))}
	if clustered {
		cfg.ReplicationFactor = int(max(n.ReplicationFactor, 0))
	}
	name := n.Name
	for _, p := range n.Configs {
		if p.Value == nil {
			continue
		}
		if err := cfg.SetProperty(p.Name, *p.Value); err != nil {
			return nil, topicError(name, err)
		}
	}
	if validateOnly {
		return nil, b.log.checkNewTopic(ctx, name, cfg)
	}
	t, err := b.log.CreateTopic(ctx, name, cfg)
	return b.wrap(t), err
}

// checkAssignment refuses replicas that cannot be had: on a standalone Log any but its
// own, and in a cluster all, for partitions go to shards, whose replicas they share.
func (b *kafkaBackend) checkAssignment(assignment [][]int32) error {
	if b.log.cluster == nil {
		return checkStandalone(assignment)
	}
	if len(assignment) > 0 {
		return &kafka.Error{Code: kafka.InvalidReplicaAssignment,
			Text: "replicas are chosen by the cluster: give a replication factor, and reassign the partitions of a shard together later"}
	}
	return nil
}

// checkStandalone refuses replicas on other nodes than the one that there is.
func checkStandalone(assignment [][]int32) error {
	for _, replicas := range assignment {
		if !slices.Equal(replicas, standaloneReplicas) {
			return &kafka.Error{Code: kafka.InvalidReplicaAssignment,
				Text: fmt.Sprintf("replicas %v: there is one node, %d, and each partition has it as its only replica", replicas, standaloneNode)}
		}
	}
	return nil
}

// checkNewTopic is CreateTopic up to where something would change.
func (l *Log) checkNewTopic(ctx context.Context, name string, cfg TopicConfig) error {
	if err := l.begin(ctx); err != nil {
		return err
	}
	defer l.end()
	if err := validateNewTopicName(name); err != nil {
		return err
	}
	if err := cfg.validate(); err != nil {
		return topicError(name, err)
	}
	if err := effectiveTopicConfig(l, cfg).validate(); err != nil {
		return topicError(name, err)
	}
	if l.catalog.topic(name) != nil {
		return topicError(name, ErrTopicExists)
	}
	return nil
}

func (b *kafkaBackend) DeleteTopic(ctx context.Context, t kafka.Topic) error {
	if err := b.log.begin(ctx); err != nil {
		return err
	}
	defer b.log.end()
	return b.log.deleteTopic(ctx, t.(kafkaTopic).Topic) // another of its name stays
}

func (b *kafkaBackend) AddPartitions(ctx context.Context, name string, total int32, assignment [][]int32, validateOnly bool) error {
	if err := b.checkAssignment(assignment); err != nil {
		return err
	}
	if assignment != nil {
		t, err := b.log.Topic(ctx, name)
		if err != nil {
			return err
		}
		if added := int(total) - t.NumPartitions(); added != len(assignment) {
			return &kafka.Error{Code: kafka.InvalidReplicaAssignment,
				Text: fmt.Sprintf("topic %q: replicas are given for %d new partitions, and %d are to be added", name, len(assignment), added)}
		}
	}
	if !validateOnly {
		return b.log.AddPartitions(ctx, name, int(total))
	}
	t, err := b.log.Topic(ctx, name)
	if err == nil {
		err = refuseInternal(name, "keeps its partitions")
	}
	if err != nil {
		return err
	}
	return checkPartitionsTotal(name, t.NumPartitions(), int(total))
}

func (b *kafkaBackend) AlterConfigs(ctx context.Context, name string, a kafka.ConfigAlteration) error {
	t, err := b.log.Topic(ctx, name)
	if err != nil {
		return err
	}
	if err := refuseInternal(name, "keeps its config"); err != nil {
		return err
	}
	return b.log.alterTopic(ctx, t, func(c *TopicConfig) error {
		if a.Replace {
			for i := range topicProperties {
				topicProperties[i].inherit(c, nil)
			}
		}
		for _, p := range a.Changes {
			if err := b.change(c, p); err != nil {
				return err
			}
		}
		return nil
	}, a.ValidateOnly)
}

func (b *kafkaBackend) DeleteRecords(ctx context.Context, t kafka.Topic, partition int32, before base.Offset) (base.Offset, error) {
	p, err := t.(kafkaTopic).Partition(partition)
	if err != nil {
		return 0, err
	}
	r, err := p.replica()
	if err != nil {
		return 0, err
	}
	if before == -1 {
		before = r.HighWatermark()
	}
	if err := p.DeleteRecords(ctx, before); err != nil {
		return 0, err
	}
	return r.LogStart(), nil
}

func (b *kafkaBackend) Append(ctx context.Context, appends []*kafka.Append, timeout time.Duration, hooks store.AppendHooks) error {
	if c := b.log.cluster; c != nil {
		return c.appendHere(ctx, appends, timeout, hooks)
	}
	list := make([]*store.Append, len(appends))
	for i, a := range appends {
		a.Partition = a.Replica.(kafkaReplica).Partition
		list[i] = &a.Append
	}
	return b.log.store.Append(list, hooks)
}

func (b *kafkaBackend) ReadBarrier(ctx context.Context, replicas []kafka.Replica) []error {
	if c := b.log.cluster; c != nil {
		return c.readBarrier(ctx, replicas)
	}
	return nil
}

func (b *kafkaBackend) NewProducerID(ctx context.Context) (int64, error) {
	return b.log.catalog.newProducerID(ctx)
}

func (b *kafkaBackend) Coordinator(ctx context.Context, group string) (int32, error) {
	if c := b.log.cluster; c != nil {
		return c.coordinatorOf(ctx, group)
	}
	return standaloneNode, nil
}

// kafkaTopic is a Topic as the listener sees it.
type kafkaTopic struct{ *Topic }

var _ kafka.Topic = kafkaTopic{}

func (t kafkaTopic) UniqueID() [16]byte { return t.id }

func (t kafkaTopic) IsInternal() bool { return isInternalTopic(t.name) }

func (t kafkaTopic) Placements() []kafka.Placement {
	if c := t.log.cluster; c != nil {
		return c.placements(t.Topic)
	}
	all := make([]kafka.Placement, t.NumPartitions())
	for i := range all {
		all[i] = kafka.Placement{Leader: standaloneNode, Epoch: standaloneEpoch, Replicas: standaloneReplicas, InSync: standaloneReplicas}
	}
	return all
}

func (t kafkaTopic) Locate(partition int32) (kafka.Location, error) {
	at := kafka.Location{Leader: standaloneNode, Epoch: standaloneEpoch}
	p, err := t.Partition(partition)
	if err != nil {
		return at, err
	}
	if c := t.log.cluster; c != nil {
		return c.locate(p), nil
	}
	r, err := p.local()
	if err != nil {
		return at, err
	}
	at.Replica = kafkaReplica{r}
	return at, nil
}

func (t kafkaTopic) Sizes(ctx context.Context) ([]kafka.ReplicaSize, error) {
	infos, err := t.PartitionInfos(ctx)
	sizes := make([]kafka.ReplicaSize, len(infos))
	for i := range infos {
		sizes[i] = kafka.ReplicaSize{Partition: infos[i].Partition, Bytes: infos[i].Bytes}
	}
	return sizes, err
}

func (t kafkaTopic) Rules() kafka.Rules {
	c := &t.state.Load().config
	now := t.log.cfg.Clock.Now()
	r := kafka.Rules{
		Limits: recordbatch.Limits{
			MaxBatchBytes: c.MaxMessageBytes,
			RequireKeys:   c.CleanupPolicy.Compacts(),
			LogAppendTime: c.TimestampType == LogAppendTime,
		},
		Recompress: c.Compression != ProducerCompression,
		Codec:      c.Compression.codec(),
		AppendTime: now.UnixMilli(),
	}
	bound := func(limit time.Duration, sign time.Duration) int64 {
		if limit == Forever {
			return 0
		}
		return max(0, now.Add(sign*limit).UnixMilli())
	}
	r.Limits.MinTimestamp = bound(c.MessageTimestampBeforeMax, -1)
	r.Limits.MaxTimestamp = bound(c.MessageTimestampAfterMax, 1)
	return r
}

func (t kafkaTopic) Properties() (all map[string]string, own map[string]bool) {
	s := t.state.Load()
	own = make(map[string]bool)
	for i := range topicProperties {
		p := &topicProperties[i]
		given := s.record.Config
		p.inherit(&given, nil)
		own[p.name] = given != s.record.Config // something was taken away
	}
	return s.config.Properties(), own
}
