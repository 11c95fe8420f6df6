package leat

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/leatlog/leat/internal/coordinator"
)

// GroupState is the state of a group, by Kafka's names.
//
//	type GroupState string
type GroupState = coordinator.State

// The states of a group.
const (
	// GroupEmpty has no members, perhaps committed offsets.
	GroupEmpty = coordinator.StateEmpty
	// GroupAssigning has not shared out its partitions yet after a change.
	GroupAssigning = coordinator.StateAssigning
	// GroupReconciling has members that still have to give up or take partitions.
	GroupReconciling = coordinator.StateReconciling
	// GroupStable has members, each with its share.
	GroupStable = coordinator.StateStable
)

// GroupInfo is a line of Groups.
type GroupInfo struct {
	Group string
	State GroupState
}

// GroupDescription is what DescribeGroup tells.
type GroupDescription struct {
	Group string
	State GroupState
	// Epoch grows with every change that asks for a new assignment;
	// AssignmentEpoch is the one that the assignment was made for.
	Epoch, AssignmentEpoch int32
	Assignor               Assignor
	// OffsetsPartition is the partition of __consumer_offsets that the group is in.
	OffsetsPartition int32
	// EmptySince is when the last member left; zero while there are members, and
	// if there never were any.
	EmptySince time.Time
	// Members are ordered by id.
	Members []GroupMember
}

// GroupMember is a member in a GroupDescription.
type GroupMember struct {
	ID         string
	InstanceID string // WithInstanceID
	ClientID   string // WithClientID
	// ClientHost begins with "in-process/" for a ConsumerGroup.
	ClientHost string
	// Epoch is the AssignmentEpoch that the member has come to; -2 for a static
	// member that is away.
	Epoch int32
	// Topics are those that the member reads, sorted.
	Topics []string
	// Assigned are the partitions that the member may read, Revoking those that it
	// still has to give up, Target those that it is to have in the end. Sorted.
	Assigned, Revoking, Target       []TopicPartition
	SessionTimeout, RebalanceTimeout time.Duration
}

// PartitionLag is how far a group is behind in one partition.
type PartitionLag struct {
	TopicPartition
	// Committed is the offset of the next record to process, -1 if the group has
	// committed none; Metadata is the string that came with it, CommittedAt when.
	Committed   Offset
	Metadata    string
	CommittedAt time.Time
	// LogStart and HighWatermark are the partition's.
	LogStart, HighWatermark Offset
	// Lag counts the offsets from the committed one, or where that is gone or there
	// is none from LogStart, to HighWatermark. Offsets that compaction emptied count.
	Lag int64
	// Member is the id of the member that reads the partition; empty for none.
	Member string
}

// existing returns the coordinator, or nil if the Log has no groups at all. end
// must follow if the error is nil.
func (l *Log) existing(ctx context.Context) (c groupService, end func(), err error) {
	if err := l.begin(ctx); err != nil {
		return nil, nil, err
	}
	c, err = l.groups.service(ctx, false)
	if err != nil {
		l.end()
		return nil, nil, err
	}
	return c, l.end, nil
}

func unknownGroup(group string) error {
	return &GroupError{Group: group, State: coordinator.StateDead, Err: ErrUnknownGroup}
}

// Groups returns the groups in the order of their names (kafka-consumer-groups
// --list). It reads the partitions of __consumer_offsets that were not used yet.
func (l *Log) Groups(ctx context.Context) ([]GroupInfo, error) {
	c, end, err := l.existing(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if c == nil {
		return nil, nil
	}
	list, err := c.ListGroups(ctx, coordinator.ListFilter{})
	for _, g := range list {
		if err == nil && g.State != GroupEmpty {
			err = l.groups.sweep(ctx, c, g.Group)
		}
	}
	if err == nil {
		list, err = c.ListGroups(ctx, coordinator.ListFilter{})
	}
	if err != nil {
		return nil, l.mapGroupError(err)
	}
	infos := make([]GroupInfo, 0, len(list))
	for _, g := range list {
		infos = append(infos, GroupInfo{Group: g.Group, State: g.State})
	}
	return infos, nil
}

// DescribeGroup tells everything about a group but its offsets
// (kafka-consumer-groups --describe --members). It returns ErrUnknownGroup.
func (l *Log) DescribeGroup(ctx context.Context, group string) (GroupDescription, error) {
	c, end, err := l.existing(ctx)
	if err != nil {
		return GroupDescription{}, err
	}
	defer end()
	d, err := l.describe(ctx, c, group)
	if err != nil {
		return GroupDescription{}, err
	}
	out := GroupDescription{Group: d.Group, State: d.State, Epoch: d.Epoch, AssignmentEpoch: d.AssignmentEpoch,
		Assignor: Assignor(d.Assignor), OffsetsPartition: d.Partition, EmptySince: d.EmptySince}
	for _, m := range d.Members {
		out.Members = append(out.Members, GroupMember{ID: m.Member, InstanceID: m.InstanceID,
			ClientID: m.ClientID, ClientHost: m.ClientHost, Epoch: m.Epoch, Topics: m.Topics,
			Assigned: flat(m.Assigned), Revoking: flat(m.Revoking), Target: flat(m.Target),
			SessionTimeout: m.SessionTimeout, RebalanceTimeout: m.RebalanceTimeout})
	}
	return out, nil
}

// describe is DescribeGroup in the coordinator's terms; c may be nil.
func (l *Log) describe(ctx context.Context, c groupService, group string) (coordinator.GroupDescription, error) {
	if err := validateGroupID(group); err != nil {
		return coordinator.GroupDescription{}, err
	}
	if c == nil {
		return coordinator.GroupDescription{}, unknownGroup(group)
	}
	if err := l.groups.sweep(ctx, c, group); err != nil {
		return coordinator.GroupDescription{}, l.mapGroupError(err)
	}
	d, err := c.DescribeGroup(ctx, group)
	return d, l.mapGroupError(err)
}

func flat(list []coordinator.TopicPartitions) []TopicPartition {
	var tps []TopicPartition
	for _, t := range list {
		for _, p := range t.Partitions {
			tps = append(tps, TopicPartition{t.Topic, p})
		}
	}
	return sorted(tps)
}

// GroupLag tells for each partition that the group has committed an offset of, or
// a member subscribes to, how far the group is behind (kafka-consumer-groups
// --describe). They are ordered by topic and number. It returns ErrUnknownGroup.
func (l *Log) GroupLag(ctx context.Context, group string) ([]PartitionLag, error) {
	c, end, err := l.existing(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	d, err := l.describe(ctx, c, group)
	if err != nil {
		return nil, err
	}
	offsets, err := c.FetchOffsets(ctx, coordinator.FetchRequest{Group: group})
	if err != nil {
		return nil, l.mapGroupError(err)
	}
	lags := make(map[TopicPartition]*PartitionLag)
	add := func(tp TopicPartition) *PartitionLag {
		if lags[tp] == nil {
			lags[tp] = &PartitionLag{TopicPartition: tp, Committed: -1}
		}
		return lags[tp]
	}
	for _, o := range offsets {
		p := add(TopicPartition{o.Topic, o.Partition})
		p.Committed, p.Metadata, p.CommittedAt = o.Offset, o.Metadata, o.CommittedAt
	}
	for _, m := range d.Members {
		for _, name := range m.Topics {
			if t := l.catalog.topic(name); t != nil {
				for n := range t.NumPartitions() {
					add(TopicPartition{name, int32(n)})
				}
			}
		}
		for _, tp := range slices.Concat(flat(m.Assigned), flat(m.Revoking)) {
			if tp.Topic != "" {
				add(tp).Member = m.Member
			}
		}
	}
	out := make([]PartitionLag, 0, len(lags))
	for _, tp := range sorted(slices.Collect(maps.Keys(lags))) {
		p := lags[tp]
		r, err := l.replicaOf(tp)
		switch {
		case isGone(err):
			continue // meanwhile
		case err != nil:
			return nil, err
		}
		p.LogStart, p.HighWatermark = r.LogStart(), r.HighWatermark()
		p.Lag = max(0, int64(p.HighWatermark-max(p.Committed, p.LogStart)))
		out = append(out, *p)
	}
	return out, nil
}

func (l *Log) replicaOf(tp TopicPartition) (replica, error) {
	p, err := l.partition(tp)
	if err != nil {
		return nil, err
	}
	return p.replica()
}

// isGone reports whether an error says that a topic or partition is not there.
func isGone(err error) bool {
	return errors.Is(err, ErrTopicDeleted) || errors.Is(err, ErrUnknownTopic) || errors.Is(err, ErrUnknownPartition)
}

// ResetGroupOffsets commits, for a group without members, where to begin in every
// partition of some topics, or when none is named of those that the group has
// committed offsets of (kafka-consumer-groups --reset-offsets). An offset outside
// of what the partition has becomes the nearest that it has. It returns what it
// committed, durably, and fails with ErrGroupNotEmpty, or with what to returned
// and then changes nothing. A group that does not exist is made if topics are
// named, and is ErrUnknownGroup if not.
func (l *Log) ResetGroupOffsets(ctx context.Context, group string, to Start, topics ...string) (map[TopicPartition]Offset, error) {
	if to == nil {
		return nil, &ConfigError{Property: "to", Value: "nil", Rule: "must be a Start, such as Earliest"}
	}
	if err := validateGroupID(group); err != nil {
		return nil, err
	}
	if err := l.begin(ctx); err != nil {
		return nil, err
	}
	defer l.end()
	tps, err := l.resettable(ctx, group, topics)
	if err != nil {
		return nil, err
	}
	at := make(map[TopicPartition]Offset, len(tps))
	offsets := make(map[TopicPartition]OffsetAndMetadata, len(tps))
	for _, tp := range tps {
		part, err := l.partition(tp)
		if err != nil {
			return nil, err
		}
		r, err := part.replica()
		if err != nil {
			return nil, err
		}
		o, err := to(part)
		if err != nil {
			return nil, err
		}
		o = min(max(o, r.LogStart()), r.HighWatermark())
		at[tp], offsets[tp] = o, OffsetAndMetadata{Offset: o, LeaderEpoch: -1}
	}
	return at, l.SetGroupOffsets(ctx, group, offsets)
}

// resettable returns the partitions of topics, or those that the group has
// offsets of.
func (l *Log) resettable(ctx context.Context, group string, topics []string) ([]TopicPartition, error) {
	var tps []TopicPartition
	for _, name := range topics {
		t := l.catalog.topic(name)
		if t == nil {
			return nil, topicError(name, ErrUnknownTopic)
		}
		for n := range t.NumPartitions() {
			tps = append(tps, TopicPartition{name, int32(n)})
		}
	}
	if len(topics) > 0 {
		return sorted(tps), nil
	}
	c, err := l.groups.service(ctx, false)
	if err != nil {
		return nil, err
	}
	d, err := l.describe(ctx, c, group)
	if err != nil {
		return nil, err
	}
	if len(d.Members) > 0 { // also when it has committed nothing yet
		return nil, &GroupError{Group: group, State: d.State, Err: ErrGroupNotEmpty}
	}
	committed, err := fetchCommitted(ctx, c, group, nil)
	if err != nil {
		return nil, l.mapGroupError(err)
	}
	return sorted(slices.Collect(maps.Keys(committed))), nil
}

// SetGroupOffsets commits offsets for a group without members, which is made if
// need be. It fails with ErrGroupNotEmpty, ErrUnknownTopic or ErrUnknownPartition
// and then changes nothing, or with *OffsetErrors, joined, about some of them.
func (l *Log) SetGroupOffsets(ctx context.Context, group string, offsets map[TopicPartition]OffsetAndMetadata) error {
	if err := validateGroupID(group); err != nil {
		return err
	}
	if err := l.begin(ctx); err != nil {
		return err
	}
	defer l.end()
	var list []coordinator.OffsetCommit
	for _, tp := range sorted(slices.Collect(maps.Keys(offsets))) {
		part, err := l.partition(tp)
		if err != nil {
			return err
		}
		o := offsets[tp]
		list = append(list, coordinator.OffsetCommit{Topic: tp.Topic, ID: coordinator.TopicID(part.topic.id), Partition: tp.Partition,
			Offset: o.Offset, LeaderEpoch: o.LeaderEpoch, Metadata: o.Metadata})
	}
	c, err := l.groups.service(ctx, true)
	if err != nil {
		return err
	}
	if err := l.groups.sweep(ctx, c, group); err != nil {
		return l.mapGroupError(err)
	}
	var errs []error
	for part := range commitParts(group, list) {
		results, err := c.ResetOffsets(ctx, coordinator.ResetRequest{Group: group, Offsets: part})
		if err != nil {
			return l.mapGroupError(err)
		}
		for _, r := range results {
			errs = append(errs, l.mapGroupError(r.Err))
		}
	}
	return errors.Join(errs...)
}

// GroupOffsets returns what a group has committed, of topics that exist. A group
// that does not exist has committed nothing.
func (l *Log) GroupOffsets(ctx context.Context, group string) (map[TopicPartition]OffsetAndMetadata, error) {
	if err := validateGroupID(group); err != nil {
		return nil, err
	}
	c, end, err := l.existing(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if c == nil {
		return map[TopicPartition]OffsetAndMetadata{}, nil
	}
	m, err := fetchCommitted(ctx, c, group, nil)
	return m, l.mapGroupError(err)
}

// DeleteGroup removes a group and its offsets (kafka-consumer-groups --delete). It
// fails with ErrGroupNotEmpty or ErrUnknownGroup.
func (l *Log) DeleteGroup(ctx context.Context, group string) error {
	c, end, err := l.existing(ctx)
	if err != nil {
		return err
	}
	defer end()
	if _, err := l.describe(ctx, c, group); err != nil {
		return err
	}
	return l.mapGroupError(c.DeleteGroup(ctx, group))
}

// DeleteGroupOffsets removes committed offsets (kafka-consumer-groups
// --delete-offsets). One that is not there is no error. It fails with
// ErrUnknownGroup, or with *OffsetErrors of ErrGroupSubscribed, joined, for topics
// that members subscribe to; the others are removed.
func (l *Log) DeleteGroupOffsets(ctx context.Context, group string, tps ...TopicPartition) error {
	c, end, err := l.existing(ctx)
	if err != nil {
		return err
	}
	defer end()
	if _, err := l.describe(ctx, c, group); err != nil {
		return err
	}
	var errs []error
	n := max(1, commitBytesMax/(len(group)+topicNameBytesMax+100))
	for part := range slices.Chunk(sorted(slices.Clone(tps)), n) {
		req := coordinator.DeleteRequest{Group: group}
		for _, tp := range part {
			req.Partitions = append(req.Partitions, coordinator.TopicPartitions{Topic: tp.Topic, Partitions: []int32{tp.Partition}})
		}
		results, err := c.DeleteOffsets(ctx, req)
		if err != nil {
			return l.mapGroupError(errors.Join(append(errs, err)...))
		}
		for _, r := range results {
			errs = append(errs, l.mapGroupError(r.Err))
		}
	}
	return errors.Join(errs...)
}
