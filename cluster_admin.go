package leat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/raftmeta"
	"github.com/leatlog/leat/replication"
)

// ErrNoCluster is returned by what only a node of a cluster can do.
var ErrNoCluster = errors.New("leat: the Log is not a node of a cluster")

// ClusterInfo describes a cluster as one of its nodes knows it.
type ClusterInfo struct {
	ID string
	// NodeID is the node that was asked, Controller the one that leads the metadata, 0
	// while there is none.
	NodeID     uint64
	Controller uint64
	Nodes      []NodeInfo  // by id, without removed ones
	Shards     []ShardInfo // by id, the metadata's first
	// Transfers are the Raft snapshots that this node sends and receives.
	Transfers []TransferInfo
}

// NodeInfo describes a node.
type NodeInfo struct {
	ID         uint64
	RaftAddr   string
	ClientAddr string
	Rack       string
	// State is active, fenced (taken for dead), or draining.
	State    string
	Software string
	// Replicas and Leaders count the shards of partitions that it has, and leads.
	Replicas int
	Leaders  int
}

// ShardInfo describes a Raft group.
type ShardInfo struct {
	ID uint64
	// Kind is metadata, shared, or dedicated to one topic.
	Kind       string
	Partitions int
	Leader     uint64 // node; 0 while there is none
	Term       uint64 // the leader epoch of its partitions
	Preferred  uint64 // the node that should lead
	Replicas   []ReplicaInfo
	// Moving is true while replicas are added or removed.
	Moving bool
}

// ReplicaInfo describes a replica of a shard.
type ReplicaInfo struct {
	Node uint64
	// State is voter, observer, adding, removing, leaving or lost.
	State string
}

// TransferInfo describes a Raft snapshot on its way between two nodes.
type TransferInfo struct {
	Shard    uint64
	Peer     string // the other node's Raft address
	Incoming bool
	Bytes    int64
	Started  time.Time
}

// ClusterInfo describes the cluster. It returns ErrNoCluster on a standalone Log.
func (l *Log) ClusterInfo(ctx context.Context) (ClusterInfo, error) {
	c, end, err := l.clustered(ctx)
	if err != nil {
		return ClusterInfo{}, err
	}
	defer end()
	img := c.machine.Image()
	info := ClusterInfo{ID: c.identity.ClusterID, NodeID: uint64(c.self), Controller: uint64(c.leaders.get(raftmeta.MetadataShard).Node)}
	at := make(map[base.NodeID]int)
	for b := range img.Brokers() {
		at[b.ID] = len(info.Nodes)
		info.Nodes = append(info.Nodes, NodeInfo{ID: uint64(b.ID), RaftAddr: b.RaftAddr, ClientAddr: b.ClientAddr,
			Rack: b.Rack, State: b.State().String(), Software: b.Software})
	}
	for s := range img.Shards() {
		lead := c.leading(s.ID)
		si := ShardInfo{ID: uint64(s.ID), Kind: s.Kind.String(), Partitions: s.Partitions,
			Leader: uint64(lead.Node), Term: lead.Term, Moving: s.Moving()}
		if len(s.Preferred) > 0 {
			si.Preferred = uint64(s.Preferred[0])
		}
		for _, r := range s.Replicas {
			si.Replicas = append(si.Replicas, ReplicaInfo{Node: uint64(r.Node), State: r.State.String()})
			if i, ok := at[r.Node]; ok && s.ID != raftmeta.MetadataShard {
				info.Nodes[i].Replicas++
			}
		}
		if i, ok := at[lead.Node]; ok && s.ID != raftmeta.MetadataShard {
			info.Nodes[i].Leaders++
		}
		info.Shards = append(info.Shards, si)
	}
	for _, t := range c.transport.Transfers() {
		info.Transfers = append(info.Transfers, TransferInfo{Shard: uint64(t.Shard), Peer: t.Peer, Incoming: t.Incoming, Bytes: t.Bytes, Started: t.Started})
	}
	return info, nil
}

// whereabouts returns the node that leads a partition, 0 while none is known to, and
// those that have it in the order in which they should.
func (c *cluster) whereabouts(p *Partition) (leader uint64, replicas []uint64) {
	if s := c.machine.Image().Shard(p.shard()); s != nil {
		for _, n := range s.Voters() {
			replicas = append(replicas, uint64(n))
		}
		rank := func(n uint64) int { // one that is not in the order yet comes last
			return (slices.Index(s.Preferred, base.NodeID(n)) + len(s.Preferred) + 1) % (len(s.Preferred) + 1)
		}
		slices.SortStableFunc(replicas, func(a, b uint64) int { return rank(a) - rank(b) })
	}
	return uint64(c.leaderOf(p).Node), replicas
}

// clustered admits a call that is for a node of a cluster.
func (l *Log) clustered(ctx context.Context) (*cluster, func(), error) {
	if err := l.begin(ctx); err != nil {
		return nil, nil, err
	}
	if l.cluster == nil {
		l.end()
		return nil, nil, ErrNoCluster
	}
	return l.cluster, l.end, nil
}

// DrainNode empties a node: it gets no new replicas, and those that it has move to
// others, as many at a time as the cluster moves. It returns when the node has none left
// and can be removed, or with ctx's error while the moves go on. Any node can be asked,
// and the node may be down.
func (l *Log) DrainNode(ctx context.Context, node uint64) error {
	c, end, err := l.clustered(ctx)
	if err != nil {
		return err
	}
	defer end()
	img, err := c.setDraining(ctx, node, true)
	if err != nil {
		return err
	}
	w := c.machine.Watch(img)
	defer w.Close()
	for {
		if shardsOn(img, node) == 0 {
			return nil
		}
		d, err := w.Next(ctx)
		if err != nil {
			return nodeError(node, fmt.Errorf("it still has replicas: %w", err))
		}
		img = d.To
	}
}

// UndrainNode ends what DrainNode began; what has moved stays where it is.
func (l *Log) UndrainNode(ctx context.Context, node uint64) error {
	c, end, err := l.clustered(ctx)
	if err != nil {
		return err
	}
	defer end()
	_, err = c.setDraining(ctx, node, false)
	return err
}

// setDraining says that a node is to lose its replicas, or that it may keep what it has,
// and returns metadata that knows it. The moves are begun by who leads the metadata.
func (c *cluster) setDraining(ctx context.Context, node uint64, draining bool) (*raftmeta.Image, error) {
	_, img, err := c.changeMetadata(ctx, func(*raftmeta.Image) (raftmeta.Command, error) {
		return &raftmeta.DrainBroker{Node: base.NodeID(node), Cancel: !draining}, nil
	})
	return img, nodeError(node, err)
}

// shardsOn counts the shards of partitions that have a replica on a node, those included
// that come and go: RemoveNode refuses a node that has one.
func shardsOn(img *raftmeta.Image, node uint64) (n int) {
	for s := range img.ShardsOn(base.NodeID(node)) {
		if s.ID != raftmeta.MetadataShard {
			n++
		}
	}
	return n
}

// RemoveNode takes a node that DrainNode has emptied out of the cluster for good: its
// number is refused from then on, and the node, if it runs, must be stopped.
func (l *Log) RemoveNode(ctx context.Context, node uint64) error {
	c, end, err := l.clustered(ctx)
	if err != nil {
		return err
	}
	defer end()
	_, _, err = c.changeMetadata(ctx, func(*raftmeta.Image) (raftmeta.Command, error) {
		return &raftmeta.RemoveBroker{Node: base.NodeID(node)}, nil
	})
	return nodeError(node, err)
}

// SetReplicationFactor changes the replication factor of a topic whose shards are its
// own, and returns when that has begun; ClusterInfo tells how far it is. Partitions in
// shared shards have the factor of their shard: the error then names a topic that shares
// one.
func (l *Log) SetReplicationFactor(ctx context.Context, topic string, factor int) error {
	c, end, err := l.clustered(ctx)
	if err != nil {
		return err
	}
	defer end()
	t := c.machine.Image().Topic(topic)
	if t == nil {
		return topicError(topic, ErrUnknownTopic)
	}
	var shards []base.ShardID
	for _, p := range t.Partitions {
		if !slices.Contains(shards, p.Shard) {
			shards = append(shards, p.Shard)
		}
	}
	img := c.machine.Image()
	for _, id := range shards {
		for _, ref := range img.PartitionsOf(id) {
			if ref.Topic != t.ID {
				return topicError(topic, &ConfigError{Property: "replication.factor", Value: fmt.Sprint(factor),
					Rule: fmt.Sprintf("cannot be altered: shard %d is shared with topic %q", id, img.TopicByID(ref.Topic).Name)})
			}
		}
	}
	for _, id := range shards {
		_, _, err := c.changeMetadata(ctx, func(img *raftmeta.Image) (raftmeta.Command, error) {
			m, err := raftmeta.PlanReplicationFactor(img, id, factor)
			if m == nil || err != nil {
				return nil, err
			}
			return m, nil
		})
		if err != nil {
			return c.topics.mapError(topic, err)
		}
	}
	return nil
}

func nodeError(node uint64, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("leat: node %d: %w", node, err)
}

// handOverTimeout bounds how long a node that closes waits for others to take over what
// it leads.
const handOverTimeout = 2 * time.Second

// handOver gives what this node leads to others, so that they need not miss it first. It
// is the first thing that happens when the node closes.
func (c *cluster) handOver() {
	ctx, cancel := context.WithTimeout(c.ctx, handOverTimeout)
	defer cancel()
	if c.epoch.Load() == 0 {
		return
	}
	c.stopping.Store(true)
	if err := c.heartbeat(ctx); err != nil {
		c.log.cfg.Logger.Debug("the cluster was not told that the node stops", "node", c.self, "err", err)
	}
	var passed sync.WaitGroup
	for _, sh := range c.shards.all() {
		passed.Go(func() { c.passOn(ctx, sh.raft.Shard, sh.id) })
	}
	passed.Wait()
	if s := c.metaShard(); s != nil {
		c.passOn(ctx, s.Shard, raftmeta.MetadataShard)
	}
	for {
		changed := c.leaders.next()
		if len(c.leaders.led(c.self)) == 0 {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// passOn lets another voter lead a shard.
func (c *cluster) passOn(ctx context.Context, raft *replication.Shard, id base.ShardID) {
	if !raft.IsLeader() {
		return
	}
	img := c.machine.Image()
	for _, n := range img.LeaderPreference(id) {
		b := img.Broker(n)
		r, ok := img.Shard(id).On(n)
		if n == c.self || b == nil || !b.Live() || !ok {
			continue
		}
		if err := raft.Transfer(ctx, r.ID); err == nil {
			return
		}
	}
	c.leaders.lost(c.leaders.get(id)) // a cluster of one: there is nobody
}
