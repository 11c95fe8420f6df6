package coordinator

import (
	"context"
	"fmt"
	"time"

	"github.com/leatlog/leat/internal/base"
)

// OffsetCommit is the offset to commit for one partition.
type OffsetCommit struct {
	// Topic is the topic's name; ID, if not zero, must be that topic's.
	Topic     string
	ID        TopicID
	Partition int32
	// Offset is that of the next record to read: the last processed one plus one.
	// Not negative.
	Offset base.Offset
	// LeaderEpoch is that of the last processed record's leader; -1 for unknown.
	LeaderEpoch base.LeaderEpoch
	// Metadata is a string of the member's, at most Options.OffsetMetadataMaxBytes
	// bytes.
	Metadata string
}

// CommitRequest commits offsets (Kafka's OffsetCommit).
type CommitRequest struct {
	Group string
	// Member and Epoch are the committing member's, Epoch that of its last
	// heartbeat, or in a classic group the generation. Member empty and Epoch zero or
	// negative: not by a member, which is allowed as long as the group has none.
	Member string
	Epoch  int32
	// InstanceID is group.instance.id of a static member; empty: not checked.
	InstanceID string
	Offsets    []OffsetCommit
}

// PartitionResult is what became of one partition of a request.
type PartitionResult struct {
	Topic     string
	ID        TopicID
	Partition int32
	// Err is nil, or an *OffsetError; the other partitions are not affected.
	Err error
}

// CommitOffsets commits offsets. It returns once they are durable, with one result
// for each offset of the request, in its order. Commits to one group partition that
// arrive together share an append.
//
// An error concerns the whole request, and then nothing was committed:
// *MemberError with ErrUnknownMember, ErrStaleMemberEpoch, ErrIllegalGeneration,
// ErrRebalanceInProgress (the assignment of this generation is not there yet) or
// ErrFencedInstance, *GroupError, *RequestError. After ErrNotAvailable, ErrNotCoordinator and ctx's
// error the outcome is open.
func (c *Coordinator) CommitOffsets(ctx context.Context, req CommitRequest) ([]PartitionResult, error) {
	if err := checkGroupID(req.Group); err != nil {
		return nil, err
	}
	return submit(ctx, c, c.PartitionFor(req.Group), func(t *tx) ([]PartitionResult, error) {
		g := t.groups[req.Group]
		if err := t.mayCommit(g, &req); err != nil {
			return nil, err
		}
		return t.commit(req.Group, req.Offsets)
	})
}

// ResetRequest sets offsets of a group without members.
type ResetRequest struct {
	Group   string
	Offsets []OffsetCommit
}

// ResetOffsets sets the offsets of a group that has no members, or does not exist
// yet, and otherwise fails with a *GroupError of ErrNonEmptyGroup. It is what
// kafka-consumer-groups --reset-offsets does. For the rest it is CommitOffsets.
func (c *Coordinator) ResetOffsets(ctx context.Context, req ResetRequest) ([]PartitionResult, error) {
	if err := checkGroupID(req.Group); err != nil {
		return nil, err
	}
	return submit(ctx, c, c.PartitionFor(req.Group), func(t *tx) ([]PartitionResult, error) {
		if g := t.groups[req.Group]; g != nil && g.occupied() {
			return nil, g.nonEmpty()
		}
		return t.commit(req.Group, req.Offsets)
	})
}

func (g *group) nonEmpty() error {
	return &GroupError{Group: g.id, State: g.state(), Detail: fmt.Sprintf("it has %d", g.size()), Err: ErrNonEmptyGroup}
}

// mayCommit fences. Nobody but a member with its current epoch commits to a
// group that has members.
func (t *tx) mayCommit(g *group, req *CommitRequest) error {
	if req.Member == "" && req.Epoch <= 0 && (g == nil || !g.occupied()) {
		return nil
	}
	if g != nil && g.protocol() == ProtocolClassic {
		return t.mayCommitClassic(g, req)
	}
	return g.checkMember(req.Group, req.Member, req.InstanceID, req.Epoch)
}

// checkMember refuses a request about offsets that is not from a current member.
// g may be nil.
func (g *group) checkMember(id, memberID, instanceID string, epoch int32) error {
	e := &MemberError{Group: id, Member: memberID, InstanceID: instanceID, Epoch: epoch, Current: -1, Err: ErrUnknownMember}
	if g == nil {
		return e
	}
	if instanceID != "" {
		holder := g.members[g.static[instanceID]]
		if holder != nil && holder.id != memberID {
			e.Current, e.Err = holder.current.epoch, ErrFencedInstance
			return e
		}
	}
	m := g.members[memberID]
	if m == nil {
		return e
	}
	if epoch != m.current.epoch || epoch < 0 {
		e.Current, e.Err = m.current.epoch, ErrStaleMemberEpoch
		return e
	}
	return nil
}

// commit emits what can be committed, or nothing if that is too much at once.
func (t *tx) commit(group string, offsets []OffsetCommit) ([]PartitionResult, error) {
	if t.groups[group] == nil && len(t.groups) >= t.opts.MaxGroups {
		return nil, &GroupError{Group: group, State: StateDead,
			Detail: fmt.Sprintf("the partition has %d groups", len(t.groups)), Err: ErrGroupMaxSize}
	}
	results := make([]PartitionResult, len(offsets))
	records := make([]*offsetRecord, 0, len(offsets))
	size := 0
	for i, o := range offsets {
		topic, err := t.checkOffset(group, &o)
		results[i] = PartitionResult{Topic: o.Topic, ID: topic.ID, Partition: o.Partition, Err: err}
		if err != nil {
			results[i].ID = o.ID
			continue
		}
		r := &offsetRecord{group, o.Topic, o.Partition, &offsetValue{offset: int64(o.Offset), leaderEpoch: int32(o.LeaderEpoch),
			metadata: o.Metadata, commitMs: t.nowMs(), topicID: topic.ID}}
		records = append(records, r)
		size += len(group) + len(o.Topic) + len(o.Metadata) + 60 + recordOverheadBytes
	}
	if size > t.opts.MaxBatchBytes {
		return nil, &RequestError{"Offsets", fmt.Sprintf("at most %d bytes as records, these are %d: commit them in parts",
			t.opts.MaxBatchBytes, size)}
	}
	for _, r := range records {
		t.emit(r)
	}
	return results, nil
}

func (t *tx) checkOffset(group string, o *OffsetCommit) (Topic, error) {
	refuse := func(kind error, format string, args ...any) (Topic, error) {
		return Topic{}, &OffsetError{Group: group, Topic: o.Topic, Partition: o.Partition, Err: kind, Detail: fmt.Sprintf(format, args...)}
	}
	topic, ok := t.opts.Topics.Topic(o.Topic)
	switch {
	case !ok || len(o.Topic) > maxStringBytes:
		return refuse(ErrUnknownTopicOrPartition, "the topic does not exist")
	case o.ID != (TopicID{}) && o.ID != topic.ID:
		return refuse(ErrUnknownTopicOrPartition, "the topic of that id is gone, its name is that of %v", topic.ID)
	case o.Partition < 0 || o.Partition >= topic.Partitions:
		return refuse(ErrUnknownTopicOrPartition, "the topic has %d partitions", topic.Partitions)
	case o.Offset < 0:
		return refuse(ErrInvalidRequest, "offset %d is negative", o.Offset)
	case o.LeaderEpoch < -1:
		return refuse(ErrInvalidRequest, "leader epoch %d is below -1", o.LeaderEpoch)
	case len(o.Metadata) > t.opts.OffsetMetadataMaxBytes:
		return refuse(ErrOffsetMetadataTooLarge, "it has %d bytes, offset.metadata.max.bytes is %d",
			len(o.Metadata), t.opts.OffsetMetadataMaxBytes)
	}
	return topic, nil
}

// FetchRequest asks for committed offsets (Kafka's OffsetFetch).
type FetchRequest struct {
	Group string
	// Member and Epoch are checked as in a commit if Member is not empty and the group
	// is not a classic one.
	Member string
	Epoch  int32
	// Partitions are those asked for; nil: all that have a committed offset.
	Partitions []TopicPartitions
}

// CommittedOffset is the committed offset of one partition.
type CommittedOffset struct {
	Topic     string
	ID        TopicID
	Partition int32
	// Offset is that of the next record to read; -1: none is committed.
	Offset base.Offset
	// LeaderEpoch is -1 when unknown.
	LeaderEpoch base.LeaderEpoch
	Metadata    string
	// CommittedAt is when it was committed; zero if it was not.
	CommittedAt time.Time
}

// FetchOffsets returns committed offsets, durable ones: those asked for in the
// request's order, or all ordered by topic and partition. A group that does not
// exist has none. An offset committed for a topic that was deleted since, perhaps
// recreated, is none. It fails with a *MemberError of ErrUnknownMember or
// ErrStaleMemberEpoch.
func (c *Coordinator) FetchOffsets(ctx context.Context, req FetchRequest) ([]CommittedOffset, error) {
	if err := checkGroupID(req.Group); err != nil {
		return nil, err
	}
	return submit(ctx, c, c.PartitionFor(req.Group), func(t *tx) ([]CommittedOffset, error) { return t.fetch(&req) })
}

func (t *tx) fetch(req *FetchRequest) ([]CommittedOffset, error) {
	g := t.groups[req.Group]
	if req.Member != "" && (g == nil || g.protocol() != ProtocolClassic) {
		if err := g.checkMember(req.Group, req.Member, "", req.Epoch); err != nil {
			return nil, err
		}
	}
	out := []CommittedOffset{}
	add := func(k offsetKey, id TopicID, v *offsetValue) {
		o := CommittedOffset{Topic: k.topic, ID: id, Partition: k.partition, Offset: base.NoOffset, LeaderEpoch: -1}
		if v != nil {
			o.Offset, o.LeaderEpoch, o.Metadata = base.Offset(v.offset), base.LeaderEpoch(v.leaderEpoch), v.metadata
			o.CommittedAt = time.UnixMilli(v.commitMs)
		}
		out = append(out, o)
	}
	if req.Partitions == nil {
		if g == nil {
			return out, nil
		}
		for _, k := range g.sortedOffsets() {
			if topic, ok := t.opts.Topics.Topic(k.topic); ok && g.offsets[k].of(topic.ID) {
				add(k, topic.ID, g.offsets[k])
			}
		}
		return out, nil
	}
	for _, tp := range req.Partitions {
		topic, ok := t.opts.Topics.Topic(tp.Topic)
		if tp.ID != (TopicID{}) && tp.ID != topic.ID {
			ok, topic.ID = false, tp.ID
		}
		for _, p := range tp.Partitions {
			k := offsetKey{tp.Topic, p}
			var v *offsetValue
			if ok && g != nil {
				if v = g.offsets[k]; v != nil && !v.of(topic.ID) {
					v = nil
				}
			}
			add(k, topic.ID, v)
		}
	}
	return out, nil
}

// of reports whether the offset was committed for the topic of that id. One
// without an id is of any topic of its name.
func (v *offsetValue) of(id TopicID) bool { return v.topicID == (TopicID{}) || v.topicID == id }

// DeleteRequest removes committed offsets (Kafka's OffsetDelete).
type DeleteRequest struct {
	Group string
	// Partitions are named by Topic; ID is not looked at.
	Partitions []TopicPartitions
}

// DeleteOffsets removes committed offsets, of topics that no member of the group
// subscribes to. The results are in the request's order, partition by partition; a
// partition without an offset is no error. It fails with a *GroupError of
// ErrGroupNotFound, or of ErrNonEmptyGroup for a classic group with members that are
// not consumers.
func (c *Coordinator) DeleteOffsets(ctx context.Context, req DeleteRequest) ([]PartitionResult, error) {
	if err := checkGroupID(req.Group); err != nil {
		return nil, err
	}
	return submit(ctx, c, c.PartitionFor(req.Group), func(t *tx) ([]PartitionResult, error) {
		g := t.groups[req.Group]
		if g == nil {
			return nil, notFound(req.Group)
		}
		if c := g.classic; c != nil && c.state != StateEmpty && c.protocolType != protocolTypeConsumer {
			return nil, g.nonEmpty()
		}
		subscribed := make(map[string]bool)
		for _, topic := range g.subscribed() {
			subscribed[topic] = true
		}
		every := g.classic != nil && !g.classic.subscribed(subscribed)
		var out []PartitionResult
		for _, tp := range req.Partitions {
			if size := len(tp.Partitions) * (len(req.Group) + len(tp.Topic) + 10 + recordOverheadBytes); size > t.opts.MaxBatchBytes {
				return nil, &RequestError{"DeleteRequest.Partitions",
					fmt.Sprintf("at most %d bytes as records: delete in parts", t.opts.MaxBatchBytes)}
			}
			for _, p := range tp.Partitions {
				r := PartitionResult{Topic: tp.Topic, ID: tp.ID, Partition: p}
				if every || subscribed[tp.Topic] {
					r.Err = &OffsetError{Group: g.id, Topic: tp.Topic, Partition: p, Err: ErrGroupSubscribedToTopic,
						Detail: fmt.Sprintf("the group has %d members", g.size())}
				} else if g.offsets[offsetKey{tp.Topic, p}] != nil {
					t.emit(&offsetRecord{g.id, tp.Topic, p, nil})
				}
				out = append(out, r)
			}
		}
		return out, nil
	})
}

func notFound(group string) error {
	return &GroupError{Group: group, State: StateDead, Err: ErrGroupNotFound}
}
