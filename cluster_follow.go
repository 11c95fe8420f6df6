package leat

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/raftmeta"
	"github.com/leatlog/leat/replication"
)

// followRetry is after how long something is tried again that failed for a reason
// that the metadata does not tell of.
const followRetry = time.Second

// follow keeps this node what the metadata says: the catalog, the addresses of the
// peers, and the replicas that run here.
func (c *cluster) follow() {
	w := c.machine.Watch(nil)
	defer w.Close()
	retry := c.log.cfg.Clock.NewTimer(followRetry)
	defer retry.Stop()
	defer c.stopShards()
	for {
		again := c.adopt(c.machine.Image())
		if again {
			retry.Reset(followRetry)
		}
		if !c.awaitNews(w, retry) {
			return
		}
	}
}

// awaitNews returns true when there is something to follow, and false when the node
// closes.
func (c *cluster) awaitNews(w *raftmeta.Watcher, retry Timer) bool {
	for {
		select {
		case <-c.arrivals.news:
			for _, id := range c.arrivals.take() {
				c.replicasChanged(id)
			}
			continue
		case <-w.News():
			if d, ok := w.Take(); ok {
				for b := range d.Brokers() {
					if b.New != nil && b.New.Fenced && b.Old != nil && !b.Old.Fenced {
						c.peers.Disconnect(b.New.ID) // what hangs there fails now
					}
				}
			}
		case <-retry.C():
		case <-c.ctx.Done():
			return false
		}
		return true
	}
}

// adopt makes this node what an image says; again says that something failed.
func (c *cluster) adopt(img *raftmeta.Image) (again bool) {
	for b := range img.Brokers() {
		if b.ID != c.self {
			c.peers.SetAddress(b.ID, b.ClientAddr)
		}
	}
	for b := range img.RemovedBrokers() {
		c.peers.Remove(b.ID)
	}
	if c.epoch.Load() > 0 {
		c.topics.adopt(img)
	}
	if b := img.Broker(c.self); b != nil && b.Removed && !c.removed.Swap(true) {
		c.log.cfg.Logger.Error("this node was removed from its cluster: close it", "node", c.self, "cluster", c.identity.ClusterID)
	}
	// What an image says of a directory that this node has lost is not of this one: its
	// replicas had votes and entries. Its Raft log tells of that past before it tells of
	// the registration that ended it.
	own := img.Broker(c.self)
	mine := own != nil && bytes.Equal(own.Directory[:], c.identity.Directory)
	for s := range img.ShardsOn(c.self) {
		if s.ID == raftmeta.MetadataShard || !mine {
			continue
		}
		if r, ok := s.On(c.self); ok {
			again = c.startShard(s, r) != nil || again
		}
	}
	for _, sh := range c.shards.all() {
		s := img.Shard(sh.id)
		if s == nil && sh.id >= img.NextShard() {
			continue // of a later image
		}
		if s != nil {
			if r, ok := s.Replica(sh.replica); ok && r.State.Runs() {
				sh.kick()
				continue
			}
		}
		again = c.removeShard(sh) != nil || again
	}
	return again
}

// startShard makes a replica run here.
func (c *cluster) startShard(s *raftmeta.Shard, r raftmeta.Replica) error {
	if sh := c.shards.get(s.ID); sh != nil {
		if sh.replica == r.ID {
			return nil
		}
		if err := c.removeShard(sh); err != nil {
			return err
		}
	}
	cfg := replication.ShardConfig{Shard: s.ID, Replica: r.ID, Join: s.Joins(r.ID), NonVoting: s.Joins(r.ID)}
	if !cfg.Join {
		cfg.Members = make(map[base.ReplicaID]string)
		for i, n := range s.Initial {
			cfg.Members[base.ReplicaID(i+1)] = c.raftAddr(n)
		}
	}
	raft, err := c.node.StartData(cfg)
	if err != nil {
		c.log.cfg.Logger.Error("replica cannot start", "shard", s.ID, "replica", r.ID, "err", err)
		return err
	}
	sh := &clusterShard{cluster: c, id: s.ID, replica: r.ID, raft: raft,
		wake: make(chan struct{}, 1), done: make(chan struct{})}
	sh.ctx, sh.cancel = context.WithCancel(c.ctx)
	c.shards.put(sh)
	if leader, term, ok := raft.Leader(); ok {
		c.leaderChanged(s.ID, leader, term)
	}
	c.wg.Go(sh.run)
	c.replicasChanged(s.ID)
	return nil
}

// removeShard ends a replica that does not belong here any more, with its data.
func (c *cluster) removeShard(sh *clusterShard) error {
	c.shards.remove(sh.id)
	c.replicasChanged(sh.id)
	sh.cancel()
	<-sh.done
	err := errors.Join(c.node.StopShard(sh.id), c.node.RemoveReplicaData(c.ctx, sh.id, sh.replica), c.log.store.RemoveShard(sh.id))
	if err != nil {
		c.log.cfg.Logger.Error("replica cannot be removed", "shard", sh.id, "replica", sh.replica, "err", err)
		return err
	}
	c.log.cfg.Logger.Info("replica removed", "shard", sh.id, "replica", sh.replica)
	return nil
}

// stopShards ends the duties of all shards; their replicas stop with the node.
func (c *cluster) stopShards() {
	for _, sh := range c.shards.all() {
		sh.cancel()
		<-sh.done
	}
}

// run does what the leader of a shard has to do: keep its partitions, members and
// leader as the metadata says.
func (s *clusterShard) run() {
	defer close(s.done)
	c := s.cluster
	retry := c.log.cfg.Clock.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-s.wake:
		case <-retry.C():
		case <-s.ctx.Done():
			return
		}
		again, err := s.lead(s.ctx)
		if err != nil && s.ctx.Err() == nil {
			c.log.cfg.Logger.Debug("a duty of a shard's leader failed", "shard", s.id, "err", err)
			again = true
		}
		if again {
			retry.Reset(dutyRetry)
		}
	}
}

// dutyRetry is after how long a leader looks again at what is under way.
const dutyRetry = 200 * time.Millisecond

// lead does the next thing that the leader of a shard has to do; again says that it
// should be called soon. On another node than the leader's it does nothing.
func (s *clusterShard) lead(ctx context.Context) (again bool, err error) {
	if !s.raft.IsLeader() {
		return false, nil
	}
	img := s.cluster.machine.Image()
	if err := s.keepPartitions(ctx, img); err != nil {
		return true, err
	}
	meta := img.Shard(s.id)
	if meta == nil {
		return false, nil
	}
	if meta.Moving() {
		return true, s.cluster.advance(ctx, s.raft.Shard, meta)
	}
	return s.giveBack(ctx, img)
}

// keepPartitions creates the partitions that the metadata has in the shard, and drops
// those that it has no more.
func (s *clusterShard) keepPartitions(ctx context.Context, img *raftmeta.Image) error {
	have, err := s.cluster.log.store.ShardPartitions(s.id)
	if err != nil {
		return err
	}
	known := make(map[base.PartitionID]bool, len(have))
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(partitionChangesMax)
	for _, id := range have {
		known[id] = true
		if _, ok := img.PartitionIn(s.id, id); !ok && id < img.NextPartition() {
			work.Go(func() error { return s.raft.DropPartition(ctx, id) })
		}
	}
	for id := range img.PartitionsOf(s.id) {
		if !known[id] {
			work.Go(func() error { return s.raft.CreatePartition(ctx, id) })
		}
	}
	return work.Wait()
}

// partitionChangesMax is how many partitions are created or dropped at a time.
const partitionChangesMax = 64

// giveBack lets the node lead that should: the first in the shard's order that lives.
func (s *clusterShard) giveBack(ctx context.Context, img *raftmeta.Image) (again bool, err error) {
	order := img.LeaderPreference(s.id)
	if len(order) == 0 || order[0] == s.cluster.self {
		s.heir = 0
		return false, nil
	}
	if b := img.Broker(order[0]); b == nil || !b.Eligible() {
		s.heir = 0
		return false, nil
	}
	r, ok := img.Shard(s.id).On(order[0])
	if !ok || r.State != raftmeta.ReplicaVoter {
		return false, nil
	}
	if near, err := s.cluster.caughtUp(ctx, s.id, r); err != nil || !near {
		return true, err
	}
	if follows, err := s.follows(ctx, r); err != nil || !follows {
		return true, err
	}
	// A node that has just come back is busy with that for a moment.
	now := s.cluster.log.cfg.Clock.Now()
	if s.heir != r.ID {
		s.heir, s.heirSince = r.ID, now
	}
	if now.Sub(s.heirSince) < giveBackDelay {
		return true, nil
	}
	return true, s.raft.Transfer(ctx, r.ID)
}

// giveBackDelay is for how long the node that should lead has to be able to, before it
// gets the lead back.
const giveBackDelay = 2 * time.Second

// advance does the next step of a move of a shard that this node leads.
func (c *cluster) advance(ctx context.Context, raft *replication.Shard, meta *raftmeta.Shard) error {
	m, err := raft.Membership(ctx)
	if err != nil {
		return err
	}
	members := raftmeta.Membership{Voters: slices.Sorted(maps.Keys(m.Voters)), Observers: slices.Sorted(maps.Keys(m.NonVoting))}
	if leader, _, ok := raft.Leader(); ok {
		members.Leader = leader
	}
	step := raftmeta.NextStep(meta, members)
	switch step.Kind {
	case raftmeta.StepAddObserver:
		return raft.AddNonVoting(ctx, step.Replica.ID, c.raftAddr(step.Replica.Node), m.Version)
	case raftmeta.StepPromote:
		near, err := c.caughtUp(ctx, meta.ID, step.Replica)
		if err != nil || !near {
			return err
		}
		return raft.Promote(ctx, step.Replica.ID, c.raftAddr(step.Replica.Node), m.Version)
	case raftmeta.StepRemove:
		return raft.RemoveReplica(ctx, step.Replica.ID, m.Version)
	case raftmeta.StepTransfer:
		return raft.Transfer(ctx, step.Replica.ID)
	case raftmeta.StepPropose:
		res, err := c.propose(ctx, step.Command)
		if err == nil {
			if err = res.Err(); errors.Is(err, raftmeta.Stale) {
				err = nil // somebody was quicker
			}
		}
		if err == nil {
			_, err = c.machine.Wait(ctx, res.Index)
		}
		return err
	}
	return nil
}

// caughtUpEntries is by how many entries a replica may be behind to be given a vote,
// or the lead.
const caughtUpEntries = 256

// progressRequest asks how far the replica of a node has applied a shard.
type progressRequest struct {
	Shard   base.ShardID   `json:"shard"`
	Replica base.ReplicaID `json:"replica"`
}

type progressReply struct {
	Applied base.RaftIndex `json:"applied"`
	// Leader is the replica that is known to lead, in Term.
	Leader base.ReplicaID `json:"leader,omitempty"`
	Term   uint64         `json:"term,omitempty"`
	// Serves says that the node takes requests of clients.
	Serves bool `json:"serves,omitempty"`
}

// follows asks a replica whether it hears this one, which leads, and its node takes
// requests. Handing over to one that does not, as it has just started, would
// leave the shard without a leader until the attempt is given up.
func (s *clusterShard) follows(ctx context.Context, r raftmeta.Replica) (bool, error) {
	leader, term, ok := s.raft.Leader()
	if !ok || leader != s.replica {
		return false, nil
	}
	reply, err := callJSON[progressReply](ctx, s.cluster.transport, s.cluster.raftAddr(r.Node), callProgress, progressRequest{s.id, r.ID})
	return reply.Serves && reply.Leader == leader && reply.Term == term, err
}

// caughtUp asks the node of a replica whether it has nearly all that this one has.
func (c *cluster) caughtUp(ctx context.Context, id base.ShardID, r raftmeta.Replica) (bool, error) {
	own, err := c.applied(id)
	if err != nil {
		return false, err
	}
	reply, err := callJSON[progressReply](ctx, c.transport, c.raftAddr(r.Node), callProgress, progressRequest{id, r.ID})
	if err != nil {
		return false, err
	}
	return reply.Applied+caughtUpEntries >= own, nil
}

// serveProgress tells how far a replica of this node is.
func (c *cluster) serveProgress(_ context.Context, req progressRequest) (progressReply, error) {
	s := c.shards.get(req.Shard)
	if own := req.Shard == raftmeta.MetadataShard && c.identity.Replica == req.Replica || s != nil && s.replica == req.Replica; !own {
		return progressReply{}, replication.ErrShardStopped
	}
	at, err := c.applied(req.Shard)
	reply := progressReply{Applied: at, Serves: c.serving.Load()}
	if s != nil {
		reply.Leader, reply.Term, _ = s.raft.Leader()
	}
	return reply, err
}

// applied returns how far this node has applied a shard.
func (c *cluster) applied(id base.ShardID) (base.RaftIndex, error) {
	if id == raftmeta.MetadataShard {
		return c.machine.Image().Index(), nil
	}
	return c.log.store.AppliedIndex(id)
}
