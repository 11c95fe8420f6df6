package leat

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/store"
	"github.com/leatlog/leat/kafka"
	"github.com/leatlog/leat/raftmeta"
	"github.com/leatlog/leat/replication"
)

// describe is the cluster as clients see it.
func (c *cluster) describe() kafka.Cluster {
	img := c.machine.Image()
	k := kafka.Cluster{ID: c.identity.ClusterID, Controller: kafkaNode(c.leaders.get(raftmeta.MetadataShard).Node)}
	for b := range img.Brokers() {
		if !b.Live() {
			continue
		}
		host, port, err := net.SplitHostPort(b.ClientAddr)
		if err != nil {
			continue // refused when it registered
		}
		n, _ := strconv.Atoi(port)
		k.Nodes = append(k.Nodes, kafka.Node{ID: int32(b.ID), Host: host, Port: int32(n), Rack: b.Rack})
	}
	return k
}

// kafkaNode is a node's id as clients know it.
func kafkaNode(n base.NodeID) int32 {
	if n == 0 {
		return kafka.NoNode
	}
	return int32(n)
}

func kafkaNodes(nodes []base.NodeID) []int32 {
	ids := make([]int32, len(nodes))
	for i, n := range nodes {
		ids[i] = int32(n)
	}
	return ids
}

// placements tells where the partitions of a topic are. Partitions of one shard share
// what is told.
func (c *cluster) placements(t *Topic) []kafka.Placement {
	img := c.machine.Image()
	by := make(map[base.ShardID]kafka.Placement)
	state := t.state.Load()
	all := make([]kafka.Placement, len(state.partitions))
	for i, shard := range state.record.shards {
		p, ok := by[shard]
		if !ok {
			p = c.placement(img, shard)
			by[shard] = p
		}
		all[i] = p
	}
	return all
}

func (c *cluster) placement(img *raftmeta.Image, shard base.ShardID) kafka.Placement {
	at := c.leading(shard)
	p := kafka.Placement{Leader: kafkaNode(at.Node), Epoch: at.epoch()}
	s := img.Shard(shard)
	if s == nil {
		return p
	}
	nodes := s.Voters()
	slices.SortStableFunc(nodes, func(a, b base.NodeID) int {
		return slices.Index(s.Preferred, a) - slices.Index(s.Preferred, b)
	})
	p.Replicas = kafkaNodes(nodes)
	for _, n := range nodes {
		if b := img.Broker(n); b != nil && b.Live() {
			p.InSync = append(p.InSync, int32(n))
		} else {
			p.Offline = append(p.Offline, int32(n))
		}
	}
	return p
}

// locate tells who leads a partition, and what this node has of it.
func (c *cluster) locate(p *Partition) kafka.Location {
	at := c.leaderOf(p)
	l := kafka.Location{Leader: kafkaNode(at.Node), Epoch: at.epoch()}
	if r := c.stored(p); r != nil {
		l.Replica = kafkaReplica{r}
	} else if at.Node == c.self {
		l.Leader = kafka.NoNode // it has not made the partition yet
	}
	if at.Node == c.self {
		l.InSync = c.placement(c.machine.Image(), p.shard()).InSync
	}
	return l
}

// appendHere stores batches in partitions that this node leads.
func (c *cluster) appendHere(ctx context.Context, appends []*kafka.Append, timeout time.Duration, hooks store.AppendHooks) error {
	ctx, cancel := context.WithTimeout(ctx, min(max(timeout, time.Millisecond), appendTimeout))
	defer cancel()
	type sent struct {
		a       *kafka.Append
		pending *replication.PendingAppend
	}
	all := make([]sent, 0, len(appends))
	for _, a := range appends {
		p := a.Replica.(kafkaReplica).Partition
		a.Partition = p
		sh := c.shards.get(p.Shard())
		if sh == nil {
			a.Err = c.notLeader(p.Shard())
			continue
		}
		if a.Err = c.checkStoredInSync(p); a.Err != nil {
			continue
		}
		pending, err := sh.raft.Append(replication.AppendCommand{Partition: p.ID(), Epoch: a.Epoch, NowMillis: c.log.cfg.Clock.Now().UnixMilli(), Batch: a.Batch})
		if a.Err = c.kafkaError(p.Shard(), err); err == nil {
			all = append(all, sent{a, pending})
		}
	}
	if hooks.Enqueued != nil {
		hooks.Enqueued()
	}
	for _, s := range all {
		r, err := s.pending.Wait(ctx)
		s.a.BaseOffset, s.a.Duplicate = r.Offset, r.Duplicate
		s.a.Err = c.kafkaError(s.a.Partition.Shard(), err)
	}
	if hooks.Applied != nil {
		hooks.Applied()
	}
	if hooks.Published != nil {
		hooks.Published()
	}
	return nil
}

// notLeader is the error for a shard that this node does not lead.
func (c *cluster) notLeader(shard base.ShardID) error {
	at := c.leading(shard)
	e := &kafka.NotLeaderError{Leader: kafkaNode(at.Node), Epoch: int32(at.epoch())}
	if at.Node == c.self {
		e.Leader = kafka.NoNode
	}
	return e
}

// kafkaError tells an error of replication as the listener knows it.
func (c *cluster) kafkaError(shard base.ShardID, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, replication.ErrNotLeader), errors.Is(err, replication.ErrDropped), errors.Is(err, replication.ErrShardStopped):
		return c.notLeader(shard)
	case errors.Is(err, store.ErrUnknownPartition):
		return c.notLeader(shard) // it has not been made yet, or was dropped a moment ago
	case errors.Is(err, replication.ErrBusy), errors.Is(err, replication.ErrTimeout):
		return context.DeadlineExceeded
	}
	return err
}

// readBarrier waits until replicas show all that was acknowledged.
func (c *cluster) readBarrier(ctx context.Context, replicas []kafka.Replica) []error {
	byShard := make(map[base.ShardID]error)
	errs := make([]error, len(replicas))
	for i, r := range replicas {
		id := r.(kafkaReplica).Shard()
		err, done := byShard[id]
		if !done {
			err = c.barrier(ctx, id)
			byShard[id] = err
		}
		errs[i] = err
	}
	return errs
}

// barrier waits until this node's replica of a shard, which must be the leader's, has
// applied all that was acknowledged before.
func (c *cluster) barrier(ctx context.Context, shard base.ShardID) error {
	sh := c.shards.get(shard)
	if sh == nil || !sh.raft.IsLeader() {
		return c.notLeader(shard)
	}
	return c.kafkaError(shard, sh.raft.ReadIndex(ctx))
}

// electLeaders moves leaderships to the preferred replicas. A Raft group elects its
// leader by itself, so that an election without the preferred ones is not needed.
func (c *cluster) electLeaders(ctx context.Context, partitions []kafka.TopicPartition) ([]kafka.PartitionResult, error) {
	img := c.machine.Image()
	all := partitions == nil
	if all {
		for t := range img.Topics() {
			for n := range t.Partitions {
				partitions = append(partitions, kafka.TopicPartition{Topic: t.Name, Partition: int32(n)})
			}
		}
	}
	var results []kafka.PartitionResult
	for _, tp := range partitions {
		p, ok := img.Partition(tp.Topic, tp.Partition)
		if !ok {
			results = append(results, kafka.PartitionResult{TopicPartition: tp, Err: topicError(tp.Topic, ErrUnknownPartition)})
			continue
		}
		order := img.LeaderPreference(p.Shard)
		at := c.leading(p.Shard)
		switch {
		case len(order) > 0 && at.Node == order[0]:
			if !all {
				results = append(results, kafka.PartitionResult{TopicPartition: tp, Err: &kafka.Error{Code: kafka.ElectionNotNeeded, Text: "the preferred replica leads"}})
			}
		case at.Node == 0:
			results = append(results, kafka.PartitionResult{TopicPartition: tp, Err: &kafka.Error{Code: kafka.LeaderNotAvailable, Text: "its Raft group is electing a leader"}})
		default:
			// The leader gives back by itself as soon as the preferred replica has caught up.
			if sh := c.shards.get(p.Shard); sh != nil {
				sh.kick()
			}
			results = append(results, kafka.PartitionResult{TopicPartition: tp})
		}
	}
	return results, ctx.Err()
}

// alterReassignments begins moves of whole shards.
func (c *cluster) alterReassignments(ctx context.Context, list []kafka.Reassignment, o kafka.ReassignOptions) ([]error, error) {
	requests := make([]raftmeta.Reassignment, len(list))
	for i, r := range list {
		requests[i] = raftmeta.Reassignment{Topic: r.Topic, Partition: r.Partition}
		if r.Replicas != nil {
			requests[i].Replicas = make([]raftmeta.NodeID, len(r.Replicas))
			for k, n := range r.Replicas {
				requests[i].Replicas[k] = raftmeta.NodeID(n)
			}
		}
	}
	img := c.machine.Image()
	moves, errs := raftmeta.PlanReassignment(img, requests)
	for i, r := range list {
		if p, ok := img.Partition(r.Topic, r.Partition); ok && errs[i] == nil && o.FixedReplicationFactor && r.Replicas != nil && len(r.Replicas) != img.Shard(p.Shard).Factor {
			errs[i] = &kafka.Error{Code: kafka.InvalidReplicationFactor, Text: "the number of replicas must stay " + strconv.Itoa(img.Shard(p.Shard).Factor)}
		}
	}
	if slices.ContainsFunc(errs, func(err error) bool { return err != nil }) && o.FixedReplicationFactor {
		moves = nil
	}
	for _, m := range moves {
		res, err := c.propose(ctx, m)
		if err == nil {
			err = res.Err()
		}
		if err != nil {
			return nil, err
		}
	}
	for i, err := range errs {
		errs[i] = reassignmentError(err)
	}
	return errs, nil
}

func reassignmentError(err error) error {
	var refused *raftmeta.Error
	if !errors.As(err, &refused) {
		return err
	}
	code := kafka.InvalidReplicaAssignment
	switch refused.Code {
	case raftmeta.UnknownTopic:
		code = kafka.UnknownTopicOrPartition
	case raftmeta.NotMoving:
		code = kafka.NoReassignmentInProgress
	}
	return &kafka.Error{Code: code, Text: refused.Message}
}

// reassignments tells which partitions move.
func (c *cluster) reassignments(partitions []kafka.TopicPartition) []kafka.OngoingReassignment {
	img := c.machine.Image()
	var out []kafka.OngoingReassignment
	for t := range img.Topics() {
		for n, p := range t.Partitions {
			tp := kafka.TopicPartition{Topic: t.Name, Partition: int32(n)}
			s := img.Shard(p.Shard)
			if !s.Moving() || partitions != nil && !slices.Contains(partitions, tp) {
				continue
			}
			o := kafka.OngoingReassignment{TopicPartition: tp}
			for _, r := range s.Replicas {
				id := int32(r.Node)
				o.Replicas = append(o.Replicas, id)
				switch {
				case r.State == raftmeta.ReplicaAdding || r.State == raftmeta.ReplicaAddingObserver:
					o.Adding = append(o.Adding, id)
				case !r.State.Stays():
					o.Removing = append(o.Removing, id)
				}
			}
			out = append(out, o)
		}
	}
	return out
}
