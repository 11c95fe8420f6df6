package leat

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/coordinator"
	"github.com/leatlog/leat/internal/peer"
	"github.com/leatlog/leat/kafka"
)

// clusterGroups finds for each group the node that coordinates it: the coordinator of
// this node is called as it is, that of another by Kafka's protocol. While there is none,
// or it moves, calls wait and try again. They may be repeated: a heartbeat with the same
// epoch changes nothing more, and a commit sets what it set.
type clusterGroups struct{ c *cluster }

var _ groupService = clusterGroups{}

// do calls here or there until one of them answers, or ctx ends, or the Log closes.
func (g clusterGroups) do(ctx context.Context, group string, here func(context.Context, *coordinator.Coordinator) error, there func(context.Context, base.NodeID) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(g.c.log.ctx, cancel)() // Log.Close waits for calls, and they for answers
	pause := newBackoff(g.c.log.cfg.Clock, leaderBackoffMin, leaderBackoffMax)
	for {
		changed := g.c.leaders.next()
		node, err := g.c.coordinatorNode(ctx, group)
		if err != nil {
			return err
		}
		switch node {
		case 0:
			err = coordinator.ErrNotAvailable
		case g.c.self:
			coord, gerr := g.c.log.groups.get(ctx, true)
			if err = gerr; err == nil {
				err = here(ctx, coord)
			}
		default:
			err = groupErrorOf(group, there(ctx, node))
		}
		switch {
		case err == nil:
			return nil
		case g.c.log.ctx.Err() != nil:
			return ErrClosed
		case !g.passes(err):
			return err
		}
		if ended := pause.wait(ctx, changed); ended != nil {
			if g.c.log.ctx.Err() != nil {
				return ErrClosed
			}
			return errors.Join(ended, err)
		}
	}
}

// passes tells errors after which another node may coordinate the group.
func (g clusterGroups) passes(err error) bool {
	if g.c.log.store.Failure() != nil {
		return false
	}
	var gone *peer.UnreachableError
	return errors.Is(err, coordinator.ErrNotCoordinator) || errors.Is(err, coordinator.ErrNotAvailable) || errors.As(err, &gone)
}

// groupErrorOf makes a peer's error code the coordinator's error.
func groupErrorOf(group string, err error) error {
	var e *peer.Error
	if !errors.As(err, &e) {
		return err
	}
	if kafka.Code(e.Code) == kafka.CoordinatorLoadInProgress {
		return errors.Join(coordinator.ErrNotAvailable, err)
	}
	for _, c := range kafkaCodes {
		if int16(c.code) != e.Code {
			continue
		}
		switch c.err {
		case coordinator.ErrGroupNotFound, coordinator.ErrNonEmptyGroup, coordinator.ErrGroupMaxSize, coordinator.ErrUnsupportedAssignor, coordinator.ErrInconsistentProtocol:
			return &coordinator.GroupError{Group: group, Detail: e.Message, Err: c.err}
		case coordinator.ErrUnknownMember, coordinator.ErrFencedMemberEpoch, coordinator.ErrStaleMemberEpoch, coordinator.ErrFencedInstance, coordinator.ErrUnreleasedInstance:
			return &coordinator.MemberError{Group: group, Epoch: -1, Current: -1, Err: c.err}
		}
		return errors.Join(c.err, err)
	}
	return err
}

func (g clusterGroups) Heartbeat(ctx context.Context, req coordinator.HeartbeatRequest) (resp coordinator.HeartbeatResponse, err error) {
	err = g.do(ctx, req.Group, func(ctx context.Context, c *coordinator.Coordinator) (err error) {
		resp, err = c.Heartbeat(ctx, req)
		return err
	}, func(ctx context.Context, node base.NodeID) (err error) {
		resp, err = g.heartbeatAt(ctx, node, &req)
		return err
	})
	return resp, err
}

func (g clusterGroups) heartbeatAt(ctx context.Context, node base.NodeID, req *coordinator.HeartbeatRequest) (resp coordinator.HeartbeatResponse, err error) {
	k := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	k.Group, k.MemberID, k.MemberEpoch = req.Group, req.Member, req.Epoch
	k.InstanceID, k.RackID, k.ServerAssignor = orNil(req.InstanceID), orNil(req.Rack), orNil(req.Assignor)
	k.RebalanceTimeoutMillis = -1
	if req.RebalanceTimeout > 0 {
		k.RebalanceTimeoutMillis = int32(req.RebalanceTimeout.Milliseconds())
	}
	k.SubscribedTopicNames = req.Topics
	if req.Owned != nil || req.Epoch == coordinator.JoinEpoch {
		k.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		for _, t := range req.Owned {
			id := t.ID
			if id == (coordinator.TopicID{}) {
				if topic := g.c.log.catalog.topic(t.Topic); topic != nil {
					id = coordinator.TopicID(topic.id)
				}
			}
			k.Topics = append(k.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: id, Partitions: t.Partitions})
		}
	}
	a, err := g.c.peers.ConsumerGroupHeartbeat(ctx, node, k)
	if err != nil {
		return resp, err
	}
	resp = coordinator.HeartbeatResponse{Member: req.Member, Epoch: a.MemberEpoch, HeartbeatInterval: time.Duration(a.HeartbeatIntervalMillis) * time.Millisecond}
	if a.MemberID != nil {
		resp.Member = *a.MemberID
	}
	if a.Assignment != nil {
		resp.Assignment = &coordinator.Assignment{}
		for _, t := range a.Assignment.Topics {
			resp.Assignment.Topics = append(resp.Assignment.Topics, coordinator.TopicPartitions{
				Topic: g.topicName(t.TopicID), ID: t.TopicID, Partitions: t.Partitions})
		}
	}
	return resp, nil
}

// topicName returns the name of a topic, "" if it is gone.
func (g clusterGroups) topicName(id [16]byte) string {
	if t := g.c.log.catalog.topicByID(id); t != nil {
		return t.name
	}
	return ""
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// remoteNewsInterval is how often a member asks a coordinator on another node for news,
// which cannot tell it by itself.
const remoteNewsInterval = time.Second

// Watch tells what this node's coordinator tells, and otherwise makes the member ask from
// time to time.
func (g clusterGroups) Watch(group, member string) (news <-chan struct{}, stop func()) {
	out := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(g.c.ctx)
	done := make(chan struct{})
	g.c.wg.Go(func() {
		defer close(done)
		g.watch(ctx, group, member, out)
	})
	var once sync.Once
	return out, func() {
		once.Do(func() {
			cancel()
			<-done
		})
	}
}

func (g clusterGroups) watch(ctx context.Context, group, member string, out chan<- struct{}) {
	tell := func() {
		select {
		case out <- struct{}{}:
		default:
		}
	}
	timer := g.c.log.cfg.Clock.NewTimer(remoteNewsInterval)
	defer timer.Stop()
	var local <-chan struct{}
	unwatch := func() {}
	defer func() { unwatch() }()
	for {
		changed := g.c.leaders.next()
		node, err := g.c.coordinatorNode(ctx, group)
		here := err == nil && node == g.c.self
		if here && local == nil {
			if coord := g.c.log.groups.made.Load(); coord != nil {
				local, unwatch = coord.Watch(group, member)
			}
		} else if !here && local != nil {
			unwatch()
			local, unwatch = nil, func() {}
		}
		select {
		case <-local:
			tell()
		case <-changed:
			tell()
		case <-timer.C():
			if !here {
				tell()
			}
			timer.Reset(remoteNewsInterval)
		case <-ctx.Done():
			return
		}
	}
}

func (g clusterGroups) CommitOffsets(ctx context.Context, req coordinator.CommitRequest) (results []coordinator.PartitionResult, err error) {
	err = g.do(ctx, req.Group, func(ctx context.Context, c *coordinator.Coordinator) (err error) {
		results, err = c.CommitOffsets(ctx, req)
		return err
	}, func(ctx context.Context, node base.NodeID) (err error) {
		results, err = g.commitAt(ctx, node, req)
		return err
	})
	return results, err
}

func (g clusterGroups) ResetOffsets(ctx context.Context, req coordinator.ResetRequest) (results []coordinator.PartitionResult, err error) {
	err = g.do(ctx, req.Group, func(ctx context.Context, c *coordinator.Coordinator) (err error) {
		results, err = c.ResetOffsets(ctx, req)
		return err
	}, func(ctx context.Context, node base.NodeID) (err error) {
		// Whoever is no member may commit for a group without members only.
		results, err = g.commitAt(ctx, node, coordinator.CommitRequest{Group: req.Group, Epoch: -1, Offsets: req.Offsets})
		if errors.Is(groupErrorOf(req.Group, err), coordinator.ErrUnknownMember) {
			err = &coordinator.GroupError{Group: req.Group, Err: coordinator.ErrNonEmptyGroup}
		}
		return err
	})
	return results, err
}

func (g clusterGroups) commitAt(ctx context.Context, node base.NodeID, req coordinator.CommitRequest) ([]coordinator.PartitionResult, error) {
	k := peer.CommitRequest{Group: req.Group, Epoch: req.Epoch, MemberID: req.Member, InstanceID: req.InstanceID}
	if req.Member == "" {
		k.Epoch = -1
	}
	for _, o := range req.Offsets {
		k.Offsets = append(k.Offsets, peer.CommitOffset{TopicPartition: g.name(o.Topic, o.ID, o.Partition),
			Offset: o.Offset, LeaderEpoch: o.LeaderEpoch, Metadata: o.Metadata})
	}
	errs, err := g.c.peers.OffsetCommit(ctx, node, k)
	if err != nil {
		return nil, err
	}
	results := make([]coordinator.PartitionResult, len(req.Offsets))
	for i, o := range req.Offsets {
		results[i] = coordinator.PartitionResult{Topic: o.Topic, ID: o.ID, Partition: o.Partition}
		if errs[i] == nil {
			continue
		}
		err := groupErrorOf(req.Group, errs[i])
		if isMemberRefusal(err) || g.passes(err) {
			return nil, err // it concerns the whole request
		}
		results[i].Err = &coordinator.OffsetError{Group: req.Group, Topic: o.Topic, Partition: o.Partition, Err: err}
	}
	return results, nil
}

// isMemberRefusal tells errors that Kafka's protocol repeats for each partition.
func isMemberRefusal(err error) bool {
	var m *coordinator.MemberError
	var gr *coordinator.GroupError
	return errors.As(err, &m) || errors.As(err, &gr) || errors.Is(err, coordinator.ErrIllegalGeneration) || errors.Is(err, coordinator.ErrRebalanceInProgress)
}

// name names a partition for a peer, by id if its topic is known.
func (g clusterGroups) name(topic string, id coordinator.TopicID, partition int32) peer.TopicPartition {
	if id == (coordinator.TopicID{}) {
		if t := g.c.log.catalog.topic(topic); t != nil {
			id = coordinator.TopicID(t.id)
		}
	}
	return peer.TopicPartition{Topic: topic, TopicID: id, Partition: partition}
}

func (g clusterGroups) FetchOffsets(ctx context.Context, req coordinator.FetchRequest) (offsets []coordinator.CommittedOffset, err error) {
	err = g.do(ctx, req.Group, func(ctx context.Context, c *coordinator.Coordinator) (err error) {
		offsets, err = c.FetchOffsets(ctx, req)
		return err
	}, func(ctx context.Context, node base.NodeID) (err error) {
		offsets, err = g.fetchAt(ctx, node, &req)
		return err
	})
	return offsets, err
}

func (g clusterGroups) fetchAt(ctx context.Context, node base.NodeID, req *coordinator.FetchRequest) ([]coordinator.CommittedOffset, error) {
	k := peer.OffsetFetchRequest{Group: req.Group, MemberID: req.Member, Epoch: req.Epoch}
	if req.Member == "" {
		k.Epoch = -1
	}
	if req.Partitions != nil {
		k.Partitions = []peer.TopicPartition{}
	}
	for _, t := range req.Partitions {
		for _, p := range t.Partitions {
			k.Partitions = append(k.Partitions, g.name(t.Topic, t.ID, p))
		}
	}
	if k.Partitions != nil && len(k.Partitions) == 0 {
		return nil, nil
	}
	got, err := g.c.peers.OffsetFetch(ctx, node, k)
	if err != nil {
		return nil, err
	}
	offsets := make([]coordinator.CommittedOffset, 0, len(got))
	for _, o := range got {
		if o.Err != nil {
			return nil, o.Err
		}
		c := coordinator.CommittedOffset{Topic: cmp.Or(o.Topic, g.topicName(o.TopicID)), ID: o.TopicID, Partition: o.Partition,
			Offset: o.Offset, LeaderEpoch: o.LeaderEpoch, Metadata: o.Metadata}
		offsets = append(offsets, c)
	}
	return offsets, nil
}

func (g clusterGroups) DeleteOffsets(ctx context.Context, req coordinator.DeleteRequest) (results []coordinator.PartitionResult, err error) {
	err = g.do(ctx, req.Group, func(ctx context.Context, c *coordinator.Coordinator) (err error) {
		results, err = c.DeleteOffsets(ctx, req)
		return err
	}, func(ctx context.Context, node base.NodeID) error {
		results = nil
		var tps []peer.TopicPartition
		for _, t := range req.Partitions {
			for _, p := range t.Partitions {
				tps = append(tps, peer.TopicPartition{Topic: t.Topic, Partition: p})
				results = append(results, coordinator.PartitionResult{Topic: t.Topic, ID: t.ID, Partition: p})
			}
		}
		errs, err := g.c.peers.OffsetDelete(ctx, node, req.Group, tps)
		for i, e := range errs {
			if e != nil {
				results[i].Err = &coordinator.OffsetError{Group: req.Group, Topic: tps[i].Topic, Partition: tps[i].Partition, Err: groupErrorOf(req.Group, e)}
			}
		}
		return err
	})
	return results, err
}

// ListGroups asks every node that lives.
func (g clusterGroups) ListGroups(ctx context.Context, filter coordinator.ListFilter) ([]coordinator.GroupListing, error) {
	coord, err := g.c.log.groups.get(ctx, true)
	if err != nil {
		return nil, err
	}
	all, err := coord.ListGroups(ctx, filter)
	if err != nil {
		return nil, err
	}
	var states, types []string
	for _, s := range filter.States {
		states = append(states, string(s))
	}
	for _, p := range filter.Protocols {
		types = append(types, string(p))
	}
	for b := range g.c.machine.Image().Brokers() {
		if b.ID == g.c.self || !b.Live() {
			continue
		}
		got, err := g.c.peers.ListGroups(ctx, b.ID, states, types)
		if err != nil {
			return nil, groupErrorOf("", err)
		}
		for _, l := range got {
			all = append(all, coordinator.GroupListing{Group: l.Group, State: coordinator.State(l.GroupState),
				Protocol: coordinator.Protocol(l.GroupType), ProtocolType: l.ProtocolType})
		}
	}
	slices.SortFunc(all, func(a, b coordinator.GroupListing) int { return strings.Compare(a.Group, b.Group) })
	// A group may have moved between two answers.
	return slices.CompactFunc(all, func(a, b coordinator.GroupListing) bool { return a.Group == b.Group }), nil
}

func (g clusterGroups) DescribeGroup(ctx context.Context, group string) (d coordinator.GroupDescription, err error) {
	err = g.do(ctx, group, func(ctx context.Context, c *coordinator.Coordinator) (err error) {
		d, err = c.DescribeGroup(ctx, group)
		return err
	}, func(ctx context.Context, node base.NodeID) (err error) {
		d, err = g.describeAt(ctx, node, group)
		return err
	})
	return d, err
}

func (g clusterGroups) describeAt(ctx context.Context, node base.NodeID, group string) (d coordinator.GroupDescription, err error) {
	list, err := g.c.peers.ConsumerGroupDescribe(ctx, node, group)
	if err != nil {
		return d, err
	}
	if err := groupErrorOf(group, list[0].Err); errors.Is(err, coordinator.ErrGroupNotFound) {
		return g.describeClassicAt(ctx, node, group)
	} else if err != nil {
		return d, err
	}
	k := list[0]
	d = coordinator.GroupDescription{Group: group, State: coordinator.State(k.State), Protocol: coordinator.ProtocolConsumer,
		ProtocolType: "consumer", Epoch: k.Epoch, AssignmentEpoch: k.AssignmentEpoch, Assignor: k.AssignorName}
	for _, m := range k.Members {
		md := coordinator.MemberDescription{Member: m.MemberID, InstanceID: deref(m.InstanceID), Rack: deref(m.RackID),
			ClientID: m.ClientID, ClientHost: m.ClientHost, Epoch: m.MemberEpoch, Topics: m.SubscribedTopics}
		for _, t := range m.Assignment.TopicPartitions {
			md.Assigned = append(md.Assigned, coordinator.TopicPartitions{Topic: t.Topic, ID: t.TopicID, Partitions: t.Partitions})
		}
		for _, t := range m.TargetAssignment.TopicPartitions {
			md.Target = append(md.Target, coordinator.TopicPartitions{Topic: t.Topic, ID: t.TopicID, Partitions: t.Partitions})
		}
		d.Members = append(d.Members, md)
	}
	return d, nil
}

func (g clusterGroups) describeClassicAt(ctx context.Context, node base.NodeID, group string) (d coordinator.GroupDescription, err error) {
	list, err := g.c.peers.DescribeGroups(ctx, node, group)
	if err != nil {
		return d, err
	}
	k := list[0]
	if k.Err != nil {
		return d, k.Err
	}
	if coordinator.State(k.State) == coordinator.StateDead {
		return d, unknownGroup(group)
	}
	d = coordinator.GroupDescription{Group: group, State: coordinator.State(k.State), Protocol: coordinator.ProtocolClassic,
		ProtocolType: k.ProtocolType, Assignor: k.Protocol}
	for _, m := range k.Members {
		d.Members = append(d.Members, coordinator.MemberDescription{Member: m.MemberID, InstanceID: deref(m.InstanceID),
			ClientID: m.ClientID, ClientHost: m.ClientHost, Metadata: m.ProtocolMetadata, Assignment: m.MemberAssignment})
	}
	return d, nil
}

func (g clusterGroups) DeleteGroup(ctx context.Context, group string) error {
	return g.do(ctx, group, func(ctx context.Context, c *coordinator.Coordinator) error {
		return c.DeleteGroup(ctx, group)
	}, func(ctx context.Context, node base.NodeID) error {
		errs, err := g.c.peers.DeleteGroups(ctx, node, group)
		if err == nil {
			err = errs[0]
		}
		return err
	})
}
