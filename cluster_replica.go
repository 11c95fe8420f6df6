package leat

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/peer"
	"github.com/leatlog/leat/internal/store"
	"github.com/leatlog/leat/replication"
)

// clusterReplica is where a partition of a cluster is read: in the store of this node
// while it has a replica, else from another node. There is one per Partition.
type clusterReplica struct {
	c    *cluster
	part *Partition

	mu       sync.Mutex
	watchers []chan<- struct{}
	watched  *store.Partition // where the watchers are registered now; nil: at the remote
	remote   *remoteReplica   // made when it is needed first
	reached  Offset           // the leader's high watermark, as far as it was asked for
}

var _ replica = (*clusterReplica)(nil)

// stored returns the partition in the store of this node, nil while there is none.
func (c *cluster) stored(p *Partition) *store.Partition {
	if c.shards.get(p.shard()) == nil {
		return nil
	}
	if r := p.stored.Load(); r != nil {
		return r
	}
	r, err := c.log.store.Replicated(p.id)
	if err != nil {
		return nil // not created yet, or dropped
	}
	p.stored.Store(r)
	return r
}

// coming reports whether this node is to have a replica that starts with the partition:
// until it is there, the partition is empty.
func (r *clusterReplica) coming() bool {
	s := r.c.machine.Image().Shard(r.part.shard())
	if s == nil {
		return false
	}
	own, ok := s.On(r.c.self)
	return ok && !s.Joins(own.ID)
}

// AtEnd reports whether a reader has to wait. A replica of this node may be behind where
// the reader was served by another one.
func (r *clusterReplica) AtEnd(at Offset) bool {
	hw := r.HighWatermark()
	if at <= hw {
		return at == hw
	}
	if r.here() == nil && !r.coming() {
		return false // the other node decides
	}
	r.mu.Lock()
	reached := r.reached
	r.mu.Unlock()
	if at <= reached {
		return true
	}
	ctx, cancel := context.WithTimeout(r.c.ctx, remoteTimeout)
	defer cancel()
	end, err := r.c.endOffset(ctx, r.part)
	if err != nil {
		return true // a later look decides
	}
	r.mu.Lock()
	r.reached = max(r.reached, end)
	r.mu.Unlock()
	return at <= end && at > r.HighWatermark()
}

// endOffset asks the leader for the high watermark.
func (c *cluster) endOffset(ctx context.Context, p *Partition) (Offset, error) {
	if at := c.leaderOf(p); at.Node == c.self {
		if err := c.barrier(ctx, at.Shard); err != nil {
			return 0, err
		}
		if r := c.stored(p); r != nil {
			return r.HighWatermark(), nil
		}
		return 0, nil
	}
	end, _, err := c.listOffset(ctx, p, peer.OffsetLatest)
	return end, err
}

// here returns this node's replica, or nil.
func (r *clusterReplica) here() *store.Partition { return r.c.stored(r.part) }

// away returns the replica to read from another node.
func (r *clusterReplica) away() *remoteReplica {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.remote == nil {
		r.remote = newRemoteReplica(r.c, r.part)
	}
	return r.remote
}

func (r *clusterReplica) Read(f *store.Fetch, from Offset, maxBytes int) error {
	if p := r.here(); p != nil {
		return p.Read(f, from, maxBytes)
	}
	return r.away().read(f, from, maxBytes)
}

func (r *clusterReplica) HighWatermark() Offset {
	if p := r.here(); p != nil {
		return p.HighWatermark()
	}
	if r.coming() {
		return 0
	}
	return r.away().highWatermark()
}

func (r *clusterReplica) LogStart() Offset {
	if p := r.here(); p != nil {
		return p.LogStart()
	}
	if r.coming() {
		return 0
	}
	return r.away().logStart()
}

// SizeBytes and Records are those of this node's replica, 0 where it has none.
func (r *clusterReplica) SizeBytes() int64 {
	if p := r.here(); p != nil {
		return p.SizeBytes()
	}
	return 0
}

func (r *clusterReplica) Records() int64 {
	if p := r.here(); p != nil {
		return p.Records()
	}
	return int64(r.HighWatermark() - r.LogStart())
}

func (r *clusterReplica) MaxTimestamp() int64 {
	if p := r.here(); p != nil {
		return p.MaxTimestamp()
	}
	return -1
}

func (r *clusterReplica) OffsetForTime(ms int64) (at Offset, found bool, err error) {
	if p := r.here(); p != nil {
		return p.OffsetForTime(ms)
	}
	return r.away().offsetForTime(ms)
}

func (r *clusterReplica) NextBatch(after Offset) (Offset, error) {
	if p := r.here(); p != nil {
		return p.NextBatch(after)
	}
	return after + 1, nil
}

// Trim moves the log start, through the leader.
func (r *clusterReplica) Trim(to Offset) (store.TrimStats, error) {
	return r.trim(context.Background(), to)
}

// trimReplica is Trim until ctx ends, where that takes other nodes.
func trimReplica(ctx context.Context, r replica, to Offset) (store.TrimStats, error) {
	if r, ok := r.(*clusterReplica); ok {
		return r.trim(ctx, to)
	}
	return r.Trim(to)
}

func (r *clusterReplica) trim(ctx context.Context, to Offset) (store.TrimStats, error) {
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	defer context.AfterFunc(r.c.log.ctx, cancel)() // Log.Close waits for calls, and they for answers
	stats := store.TrimStats{From: r.LogStart()}
	var err error
	stats.To, err = r.c.trim(ctx, r.part, to)
	return stats, err
}

// Watch implements replica.
func (r *clusterReplica) Watch(w chan<- struct{}) {
	r.mu.Lock()
	r.watchers = append(r.watchers, w)
	if r.watched != nil {
		r.watched.Watch(w)
	}
	r.mu.Unlock()
	r.settle()
}

// Unwatch implements replica.
func (r *clusterReplica) Unwatch(w chan<- struct{}) {
	r.mu.Lock()
	if i := slices.Index(r.watchers, w); i >= 0 {
		r.watchers = slices.Delete(r.watchers, i, i+1)
		if r.watched != nil {
			r.watched.Unwatch(w)
		}
	}
	remote, idle := r.remote, len(r.watchers) == 0
	r.mu.Unlock()
	if remote != nil && idle {
		remote.follow(false)
	}
}

// settle registers the watchers where the partition is read now. It is called again
// when that has changed.
func (r *clusterReplica) settle() {
	p := r.here()
	r.mu.Lock()
	if p != r.watched {
		for _, w := range r.watchers {
			if r.watched != nil {
				r.watched.Unwatch(w)
			}
			if p != nil {
				p.Watch(w)
			}
			select {
			case w <- struct{}{}:
			default:
			}
		}
		r.watched = p
	}
	remote := p == nil && len(r.watchers) > 0 && !r.coming()
	r.mu.Unlock()
	if remote {
		r.away().follow(true)
	} else if p != nil && r.hasRemote() {
		r.away().follow(false)
	}
}

func (r *clusterReplica) hasRemote() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.remote != nil
}

// wakeLocked tells the watchers that there may be something to read.
func (r *clusterReplica) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// readyTimeout bounds how long the creation of a topic waits for its leaders.
const readyTimeout = 5 * time.Second

// awaitReady waits until each partition of a new topic has a leader, and is on this node
// if it is to be. It is a courtesy: who comes earlier waits or tries again.
func (c *cluster) awaitReady(ctx context.Context, t *Topic) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		leaders, arrived := c.leaders.next(), c.arrived.next()
		if c.ready(t) {
			return
		}
		select {
		case <-leaders:
		case <-arrived:
		case <-ctx.Done():
			return
		case <-c.ctx.Done():
			return
		}
	}
}

func (c *cluster) ready(t *Topic) bool {
	img := c.machine.Image()
	for _, p := range t.state.Load().partitions {
		s := img.Shard(p.shard())
		if s == nil || c.leaderOf(p).Node == 0 {
			return false
		}
		if _, here := s.On(c.self); here && c.stored(p) == nil {
			return false
		}
	}
	return true
}

// replicasChanged is called when a shard or partitions of it came to this node, or
// went.
func (c *cluster) replicasChanged(id base.ShardID) {
	defer c.arrived.fire()
	for _, t := range c.log.catalog.all() {
		s := t.state.Load()
		for i, p := range s.partitions {
			if s.record.shards[i] != id {
				continue
			}
			if c.shards.get(id) == nil {
				p.stored.Store(nil)
			}
			if r := p.clustered.Load(); r != nil {
				r.settle()
			}
		}
	}
}

// trim moves the log start of a partition through its leader, and returns where it is
// then.
func (c *cluster) trim(ctx context.Context, p *Partition, to Offset) (Offset, error) {
	pause := newBackoff(c.log.cfg.Clock, leaderBackoffMin, leaderBackoffMax)
	for {
		changed := c.leaders.next()
		at, start, err := c.leaderOf(p), Offset(0), error(nil)
		switch at.Node {
		case 0:
			err = &LeaderError{Topic: p.topic.name, Partition: p.number, Rule: "has no leader now"}
		case c.self:
			start, err = c.trimHere(ctx, p, to)
		default:
			start, err = c.peers.DeleteRecords(ctx, at.Node, c.peerName(p), to)
			if errors.Is(err, kerr.OffsetOutOfRange) {
				r := p.clustered.Load()
				err = &store.OffsetOutOfRangeError{Partition: p.id, Offset: to, LogStart: r.LogStart(), HighWatermark: r.HighWatermark()}
			}
		}
		if err == nil || !replication.Retriable(err) && !isRetriable(err) {
			return start, err
		}
		if ended := pause.wait(ctx, changed); ended != nil {
			return 0, errors.Join(ended, err)
		}
	}
}

// trimHere proposes a new log start to a shard that this node leads.
func (c *cluster) trimHere(ctx context.Context, p *Partition, to Offset) (Offset, error) {
	sh := c.shards.get(p.shard())
	if sh == nil {
		return 0, &replication.NotLeaderError{Shard: p.shard()}
	}
	return sh.raft.Trim(ctx, p.id, to)
}

// leaderOf returns who leads a partition, as far as this node knows. A leader that once
// did not take a request, as one that had yet to make the partition, may lead on: where
// this node has a replica, its Raft group knows, and tells of changes only.
func (c *cluster) leaderOf(p *Partition) leadership { return c.leading(p.shard()) }

// leading is leaderOf for a shard.
func (c *cluster) leading(shard base.ShardID) leadership {
	at := c.leaders.get(shard)
	if at.Node != 0 {
		return at
	}
	if sh := c.shards.get(shard); sh != nil {
		if leader, term, ok := sh.raft.Leader(); ok && term >= at.Term {
			if node := c.nodeOf(shard, leader); node != 0 {
				return leadership{Shard: shard, Node: node, Term: term}
			}
		}
	}
	return at
}
