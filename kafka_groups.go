package leat

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/coordinator"
	"github.com/leatlog/leat/kafka"
)

// ServeGroup translates a request of Kafka's protocol for the group coordinator.
func (b *kafkaBackend) ServeGroup(ctx context.Context, c kafka.Client, req kmsg.Request) kmsg.Response {
	switch req := req.(type) {
	case *kmsg.ConsumerGroupHeartbeatRequest:
		return b.heartbeat(ctx, c, req)
	case *kmsg.ConsumerGroupDescribeRequest:
		return b.describeConsumerGroups(ctx, req)
	case *kmsg.JoinGroupRequest:
		return b.joinGroup(ctx, c, req)
	case *kmsg.SyncGroupRequest:
		return b.syncGroup(ctx, req)
	case *kmsg.HeartbeatRequest:
		return b.classicHeartbeat(ctx, req)
	case *kmsg.LeaveGroupRequest:
		return b.leaveGroup(ctx, req)
	case *kmsg.OffsetCommitRequest:
		return b.commitOffsets(ctx, req)
	case *kmsg.OffsetFetchRequest:
		return b.fetchOffsets(ctx, req)
	case *kmsg.OffsetDeleteRequest:
		return b.deleteOffsets(ctx, req)
	case *kmsg.ListGroupsRequest:
		return b.listGroups(ctx, req)
	case *kmsg.DescribeGroupsRequest:
		return b.describeGroups(ctx, req)
	case *kmsg.DeleteGroupsRequest:
		return b.deleteGroups(ctx, req)
	}
	return req.ResponseKind() // not advertised, so it does not come
}

// coordinator returns the group coordinator; nil if there are no groups yet and
// create is false.
func (b *kafkaBackend) coordinator(ctx context.Context, group string, create bool) (*coordinator.Coordinator, error) {
	if err := validateGroupID(group); err != nil {
		return nil, err
	}
	if err := b.log.begin(ctx); err != nil {
		return nil, err
	}
	defer b.log.end()
	return b.log.groups.get(ctx, create)
}

// told is an error as an answer tells it.
func (b *kafkaBackend) told(err error) (code int16, text *string) {
	if err == nil {
		return 0, nil
	}
	s := err.Error()
	return int16(b.Code(err)), &s
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// nullable is the other way: the empty string is null.
func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// distinct returns names without those that came before: what a request names many
// times is answered once.
func distinct(names []string) []string {
	seen := make(map[string]struct{}, len(names))
	return slices.DeleteFunc(names, func(name string) bool {
		_, again := seen[name]
		seen[name] = struct{}{}
		return again
	})
}

// invalidRegularExpression is Kafka's INVALID_REGULAR_EXPRESSION.
const invalidRegularExpression = 128

func (b *kafkaBackend) heartbeat(ctx context.Context, c kafka.Client, req *kmsg.ConsumerGroupHeartbeatRequest) kmsg.Response {
	resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	if deref(req.SubscribedTopicRegex) != "" {
		text := "regular expressions are not evaluated here: subscribe to names, or by a pattern that the client evaluates"
		resp.ErrorCode, resp.ErrorMessage = invalidRegularExpression, &text
		return resp
	}
	co, err := b.coordinator(ctx, req.Group, true)
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = b.told(err)
		return resp
	}
	h := coordinator.HeartbeatRequest{
		Group: req.Group, Member: req.MemberID, Epoch: req.MemberEpoch,
		InstanceID: deref(req.InstanceID), Rack: deref(req.RackID),
		ClientID: c.ID, ClientHost: c.Host,
		RebalanceTimeout: max(0, time.Duration(req.RebalanceTimeoutMillis)*time.Millisecond),
		Topics:           req.SubscribedTopicNames,
		Assignor:         deref(req.ServerAssignor),
	}
	if req.Topics != nil {
		h.Owned = make([]coordinator.TopicPartitions, 0, len(req.Topics))
		for _, t := range req.Topics {
			h.Owned = append(h.Owned, coordinator.TopicPartitions{ID: t.TopicID, Partitions: t.Partitions})
		}
	}
	r, err := co.Heartbeat(ctx, h)
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = b.told(err)
		return resp
	}
	resp.MemberID, resp.MemberEpoch = &r.Member, r.Epoch
	resp.HeartbeatIntervalMillis = int32(r.HeartbeatInterval.Milliseconds())
	if r.Assignment != nil {
		a := kmsg.NewConsumerGroupHeartbeatResponseAssignment()
		for _, t := range r.Assignment.Topics {
			at := kmsg.NewConsumerGroupHeartbeatResponseAssignmentTopic()
			at.TopicID, at.Partitions = t.ID, t.Partitions
			a.Topics = append(a.Topics, at)
		}
		resp.Assignment = &a
	}
	return resp
}

// memberTypeConsumer is KIP-848's kind of member.
const memberTypeConsumer = 1

// unknownOperations says that authorized operations are not told.
const unknownOperations = -1 << 31

func (b *kafkaBackend) describeConsumerGroups(ctx context.Context, req *kmsg.ConsumerGroupDescribeRequest) kmsg.Response {
	resp := kmsg.NewPtrConsumerGroupDescribeResponse()
	for _, group := range distinct(req.Groups) {
		o := kmsg.NewConsumerGroupDescribeResponseGroup()
		o.Group, o.AuthorizedOperations = group, unknownOperations
		d, err := b.describeGroup(ctx, group)
		if err == nil && d.Protocol != coordinator.ProtocolConsumer {
			err = unknownGroup(group) // so tools ask DescribeGroups
		}
		if err != nil {
			o.ErrorCode, o.ErrorMessage = b.told(err)
			resp.Groups = append(resp.Groups, o)
			continue
		}
		o.State, o.Epoch, o.AssignmentEpoch, o.AssignorName = string(d.State), d.Epoch, d.AssignmentEpoch, d.Assignor
		for _, m := range d.Members {
			om := kmsg.NewConsumerGroupDescribeResponseGroupMember()
			om.MemberID, om.InstanceID, om.RackID = m.Member, nullable(m.InstanceID), nullable(m.Rack)
			om.MemberEpoch, om.ClientID, om.ClientHost = m.Epoch, m.ClientID, m.ClientHost
			om.SubscribedTopics = m.Topics
			om.Assignment, om.TargetAssignment = kmsgAssignment(m.Assigned), kmsgAssignment(m.Target)
			om.MemberType = memberTypeConsumer
			o.Members = append(o.Members, om)
		}
		resp.Groups = append(resp.Groups, o)
	}
	return resp
}

func kmsgAssignment(list []coordinator.TopicPartitions) kmsg.Assignment {
	a := kmsg.NewAssignment()
	for _, t := range list {
		tp := kmsg.NewAssignmentTopicPartition()
		tp.TopicID, tp.Topic, tp.Partitions = t.ID, t.Topic, t.Partitions
		a.TopicPartitions = append(a.TopicPartitions, tp)
	}
	return a
}

func (b *kafkaBackend) describeGroup(ctx context.Context, group string) (coordinator.GroupDescription, error) {
	co, err := b.coordinator(ctx, group, false)
	if err != nil {
		return coordinator.GroupDescription{}, err
	}
	if co == nil {
		return coordinator.GroupDescription{}, unknownGroup(group)
	}
	return co.DescribeGroup(ctx, group)
}

// describeGroups is for groups of the classic protocol, and those that only hold
// offsets. By KIP-848 a group of the other protocol is not found here.
func (b *kafkaBackend) describeGroups(ctx context.Context, req *kmsg.DescribeGroupsRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeGroupsResponse()
	for _, group := range distinct(req.Groups) {
		o := kmsg.NewDescribeGroupsResponseGroup()
		o.Group, o.State, o.AuthorizedOperations = group, string(coordinator.StateDead), unknownOperations
		d, err := b.describeGroup(ctx, group)
		if err == nil && d.Protocol == coordinator.ProtocolConsumer {
			err = unknownGroup(group)
		}
		switch {
		case err == nil:
			o.State, o.ProtocolType, o.Protocol = string(d.State), d.ProtocolType, d.Assignor
			for _, m := range d.Members {
				om := kmsg.NewDescribeGroupsResponseGroupMember()
				om.MemberID, om.InstanceID, om.ClientID, om.ClientHost = m.Member, nullable(m.InstanceID), m.ClientID, m.ClientHost
				om.ProtocolMetadata, om.MemberAssignment = m.Metadata, m.Assignment
				o.Members = append(o.Members, om)
			}
			if d.Protocol == coordinator.ProtocolNone {
				o.Protocol = "" // it has members neither of the one kind nor the other
			}
		case req.Version < 6 && b.Code(err) == kafka.GroupIDNotFound: // Dead says it
		default:
			o.ErrorCode, o.ErrorMessage = b.told(err)
		}
		resp.Groups = append(resp.Groups, o)
	}
	return resp
}

func (b *kafkaBackend) listGroups(ctx context.Context, req *kmsg.ListGroupsRequest) kmsg.Response {
	resp := kmsg.NewPtrListGroupsResponse()
	co, err := b.coordinator(ctx, "all", false)
	if err != nil || co == nil {
		resp.ErrorCode, _ = b.told(err)
		return resp
	}
	list, err := co.ListGroups(ctx, coordinator.ListFilter{})
	resp.ErrorCode, _ = b.told(err)
	for _, g := range list {
		o := kmsg.NewListGroupsResponseGroup()
		o.Group, o.GroupState, o.GroupType = g.Group, string(g.State), string(g.Protocol)
		if g.Protocol == coordinator.ProtocolNone {
			o.GroupType = string(coordinator.ProtocolClassic) // as Kafka has it
		}
		o.ProtocolType = g.ProtocolType
		if containsFold(req.StatesFilter, o.GroupState) && containsFold(req.TypesFilter, o.GroupType) {
			resp.Groups = append(resp.Groups, o)
		}
	}
	return resp
}

// containsFold reports whether an empty list, which filters nothing, or one that has
// s lets s through.
func containsFold(list []string, s string) bool {
	for _, l := range list {
		if strings.EqualFold(l, s) {
			return true
		}
	}
	return len(list) == 0
}

func (b *kafkaBackend) deleteGroups(ctx context.Context, req *kmsg.DeleteGroupsRequest) kmsg.Response {
	resp := kmsg.NewPtrDeleteGroupsResponse()
	for _, group := range distinct(req.Groups) {
		o := kmsg.NewDeleteGroupsResponseGroup()
		o.Group = group
		co, err := b.coordinator(ctx, group, false)
		switch {
		case err != nil:
		case co == nil:
			err = unknownGroup(group)
		default:
			err = co.DeleteGroup(ctx, group)
		}
		o.ErrorCode, o.ErrorMessage = b.told(err)
		resp.Groups = append(resp.Groups, o)
	}
	return resp
}

func (b *kafkaBackend) commitOffsets(ctx context.Context, req *kmsg.OffsetCommitRequest) kmsg.Response {
	resp := kmsg.NewPtrOffsetCommitResponse()
	var list []coordinator.OffsetCommit
	var codes []*int16 // of the offsets in list
	var all []*int16
	resp.Topics = make([]kmsg.OffsetCommitResponseTopic, len(req.Topics))
	for i := range req.Topics {
		t, o := &req.Topics[i], &resp.Topics[i]
		o.Topic, o.TopicID = t.Topic, t.TopicID
		o.Partitions = make([]kmsg.OffsetCommitResponseTopicPartition, len(t.Partitions))
		name := t.Topic
		if req.Version >= 10 {
			name = ""
			if found := b.log.catalog.topicByID(t.TopicID); found != nil {
				name = found.name
			}
		}
		for j := range t.Partitions {
			p, op := &t.Partitions[j], &o.Partitions[j]
			op.Partition = p.Partition
			all = append(all, &op.ErrorCode)
			if name == "" && req.Version >= 10 {
				op.ErrorCode = int16(kafka.UnknownTopicID)
				continue
			}
			list = append(list, coordinator.OffsetCommit{Topic: name, ID: t.TopicID, Partition: p.Partition,
				Offset: base.Offset(p.Offset), LeaderEpoch: base.LeaderEpoch(max(p.LeaderEpoch, -1)), Metadata: deref(p.Metadata)})
			codes = append(codes, &op.ErrorCode)
		}
	}
	fail := func(err error) kmsg.Response {
		code := b.Code(err)
		if code == kafka.StaleMemberEpoch && req.Version < 9 {
			code = kafka.UnsupportedVersion // KIP-848
		}
		for _, c := range all {
			*c = int16(code)
		}
		return resp
	}
	co, err := b.coordinator(ctx, req.Group, true)
	if err != nil {
		return fail(err)
	}
	for part := range commitParts(req.Group, list) {
		results, err := co.CommitOffsets(ctx, coordinator.CommitRequest{Group: req.Group, Member: req.MemberID,
			Epoch: req.Generation, InstanceID: deref(req.InstanceID), Offsets: part})
		if err != nil {
			return fail(err)
		}
		for _, r := range results {
			*codes[0] = int16(b.Code(r.Err))
			codes = codes[1:]
		}
	}
	return resp
}

// wantedOffsets are those of a topic that a fetch asks for.
type wantedOffsets struct {
	topic      string
	id         [16]byte
	partitions []int32
}

// fetchGroupOffsets is an OffsetFetch of one group. all is a request without topics.
func (b *kafkaBackend) fetchGroupOffsets(ctx context.Context, req coordinator.FetchRequest, all bool, want []wantedOffsets) ([]coordinator.CommittedOffset, error) {
	co, err := b.coordinator(ctx, req.Group, false)
	if err != nil {
		return nil, err
	}
	if !all {
		req.Partitions = []coordinator.TopicPartitions{}
	}
	for _, w := range want {
		req.Partitions = append(req.Partitions, coordinator.TopicPartitions{Topic: w.topic, ID: w.id, Partitions: w.partitions})
	}
	if co != nil {
		return co.FetchOffsets(ctx, req)
	}
	if req.Member != "" {
		return nil, &coordinator.MemberError{Group: req.Group, Member: req.Member, Epoch: req.Epoch, Current: -1, Err: ErrUnknownMember}
	}
	var none []coordinator.CommittedOffset
	for _, t := range req.Partitions {
		for _, p := range t.Partitions {
			none = append(none, coordinator.CommittedOffset{Topic: t.Topic, ID: t.ID, Partition: p, Offset: base.NoOffset, LeaderEpoch: -1})
		}
	}
	return none, nil
}

func (b *kafkaBackend) fetchOffsets(ctx context.Context, req *kmsg.OffsetFetchRequest) kmsg.Response {
	resp := kmsg.NewPtrOffsetFetchResponse()
	if req.Version < 8 {
		var want []wantedOffsets
		for _, t := range req.Topics {
			want = append(want, wantedOffsets{topic: t.Topic, partitions: t.Partitions})
		}
		offsets, err := b.fetchGroupOffsets(ctx, coordinator.FetchRequest{Group: req.Group}, req.Topics == nil && req.Version >= 2, want)
		resp.ErrorCode, _ = b.told(err)
		if err != nil && req.Version < 2 { // the partitions tell it
			for _, t := range req.Topics {
				for _, p := range t.Partitions {
					offsets = append(offsets, coordinator.CommittedOffset{Topic: t.Topic, Partition: p, Offset: base.NoOffset, LeaderEpoch: -1})
				}
			}
		}
		for _, o := range offsets {
			if n := len(resp.Topics); n == 0 || resp.Topics[n-1].Topic != o.Topic {
				t := kmsg.NewOffsetFetchResponseTopic()
				t.Topic = o.Topic
				resp.Topics = append(resp.Topics, t)
			}
			t := &resp.Topics[len(resp.Topics)-1]
			p := kmsg.NewOffsetFetchResponseTopicPartition()
			metadata := o.Metadata
			p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = o.Partition, int64(o.Offset), int32(o.LeaderEpoch), &metadata
			p.ErrorCode = resp.ErrorCode
			t.Partitions = append(t.Partitions, p)
		}
		return resp
	}
	seen := make(map[string]struct{}, len(req.Groups))
	for i := range req.Groups {
		g := &req.Groups[i]
		if _, again := seen[g.Group]; !again {
			seen[g.Group] = struct{}{}
			resp.Groups = append(resp.Groups, b.fetchGroup(ctx, req.Version, g))
		}
	}
	return resp
}

// fetchGroup is for the versions that name groups, and from 10 on topics by id.
func (b *kafkaBackend) fetchGroup(ctx context.Context, version int16, g *kmsg.OffsetFetchRequestGroup) kmsg.OffsetFetchResponseGroup {
	out := kmsg.NewOffsetFetchResponseGroup()
	out.Group = g.Group
	var want []wantedOffsets
	for _, t := range g.Topics {
		w := wantedOffsets{topic: t.Topic, id: t.TopicID, partitions: t.Partitions}
		if version >= 10 {
			if found := b.log.catalog.topicByID(t.TopicID); found != nil {
				w.topic = found.name
			}
		}
		want = append(want, w)
	}
	offsets, err := b.fetchGroupOffsets(ctx, coordinator.FetchRequest{Group: g.Group, Member: deref(g.MemberID), Epoch: g.MemberEpoch}, g.Topics == nil, want)
	out.ErrorCode, _ = b.told(err)
	for _, o := range offsets {
		if n := len(out.Topics); n == 0 || out.Topics[n-1].Topic != o.Topic || out.Topics[n-1].TopicID != o.ID {
			t := kmsg.NewOffsetFetchResponseGroupTopic()
			t.Topic, t.TopicID = o.Topic, o.ID
			out.Topics = append(out.Topics, t)
		}
		t := &out.Topics[len(out.Topics)-1]
		p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
		metadata := o.Metadata
		p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = o.Partition, int64(o.Offset), int32(o.LeaderEpoch), &metadata
		if version >= 10 && o.Topic == "" {
			p.ErrorCode = int16(kafka.UnknownTopicID)
		}
		t.Partitions = append(t.Partitions, p)
	}
	return out
}

func (b *kafkaBackend) deleteOffsets(ctx context.Context, req *kmsg.OffsetDeleteRequest) kmsg.Response {
	resp := kmsg.NewPtrOffsetDeleteResponse()
	d := coordinator.DeleteRequest{Group: req.Group}
	for _, t := range req.Topics {
		tp := coordinator.TopicPartitions{Topic: t.Topic}
		for _, p := range t.Partitions {
			tp.Partitions = append(tp.Partitions, p.Partition)
		}
		d.Partitions = append(d.Partitions, tp)
	}
	co, err := b.coordinator(ctx, req.Group, false)
	var results []coordinator.PartitionResult
	switch {
	case err != nil:
	case co == nil:
		err = unknownGroup(req.Group)
	default:
		results, err = co.DeleteOffsets(ctx, d)
	}
	resp.ErrorCode, _ = b.told(err)
	for _, r := range results {
		if n := len(resp.Topics); n == 0 || resp.Topics[n-1].Topic != r.Topic {
			t := kmsg.NewOffsetDeleteResponseTopic()
			t.Topic = r.Topic
			resp.Topics = append(resp.Topics, t)
		}
		t := &resp.Topics[len(resp.Topics)-1]
		p := kmsg.NewOffsetDeleteResponseTopicPartition()
		p.Partition, p.ErrorCode = r.Partition, int16(b.Code(r.Err))
		t.Partitions = append(t.Partitions, p)
	}
	return resp
}
