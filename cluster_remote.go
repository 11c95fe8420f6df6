package leat

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/peer"
	"github.com/leatlog/leat/internal/store"
)

const (
	// remoteWait is how long a fetch that finds nothing waits at the other node.
	remoteWait = 500 * time.Millisecond
	// remoteTimeout bounds a fetch that does not wait.
	remoteTimeout = 5 * time.Second
	// remoteFetchBytes is how much is read ahead of a partition.
	remoteFetchBytes = 1 << 20
)

// remoteReplica is a partition that is read from another node: one that has a replica,
// the leader if there is no nearer one. While somebody watches, a goroutine waits there
// for what comes behind the high watermark that is known here, and keeps it for the
// next read.
type remoteReplica struct {
	c    *cluster
	part *Partition

	mu      sync.Mutex
	known   bool // the two below were told once
	hw, low Offset
	ahead   store.Fetch // what was read ahead, from aheadAt on
	aheadAt Offset
	cancel  context.CancelFunc // of the goroutine; nil when there is none
}

func newRemoteReplica(c *cluster, p *Partition) *remoteReplica {
	return &remoteReplica{c: c, part: p}
}

// highWatermark is the newest that was told here; the first time it asks.
func (r *remoteReplica) highWatermark() Offset {
	r.ask()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hw
}

func (r *remoteReplica) logStart() Offset {
	r.ask()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.low
}

// ask learns the bounds unless they are known. Where nobody answers they stay 0.
func (r *remoteReplica) ask() {
	r.mu.Lock()
	known := r.known
	r.mu.Unlock()
	if known {
		return
	}
	ctx, cancel := context.WithTimeout(r.c.ctx, remoteTimeout)
	defer cancel()
	low, _, err := r.c.listOffset(ctx, r.part, peer.OffsetEarliest)
	if err != nil {
		return
	}
	hw, _, err := r.c.listOffset(ctx, r.part, peer.OffsetLatest)
	if err != nil {
		return
	}
	r.learn(hw, low)
}

func (r *remoteReplica) learn(hw, low Offset) (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	news = hw > r.hw || low > r.low || !r.known
	r.hw, r.low, r.known = max(r.hw, hw), max(r.low, low), true
	return news
}

// read returns what was read ahead if that is what is asked for, else asks.
func (r *remoteReplica) read(f *store.Fetch, from Offset, maxBytes int) error {
	f.Batches, f.Bytes = f.Batches[:0], 0
	r.mu.Lock()
	if r.aheadAt == from && len(r.ahead.Batches) > 0 {
		f.Batches, f.Bytes = append(f.Batches, r.ahead.Batches...), r.ahead.Bytes
		f.HighWatermark, f.LogStart = r.hw, r.low
		r.ahead = store.Fetch{}
		r.mu.Unlock()
		return nil
	}
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(r.c.ctx, remoteTimeout)
	defer cancel()
	got, err := r.fetch(ctx, from, maxBytes, 0)
	f.HighWatermark, f.LogStart = r.highWatermark(), r.logStart()
	if err != nil {
		return err
	}
	for _, b := range got.Batches {
		f.Bytes += len(b)
	}
	f.Batches = append(f.Batches, got.Batches...)
	return nil
}

// fetch asks a node that has the partition.
func (r *remoteReplica) fetch(ctx context.Context, from Offset, maxBytes int, wait time.Duration) (got peer.Fetched, err error) {
	node := r.c.nearest(r.part)
	if node == 0 {
		return got, &LeaderError{Topic: r.part.topic.name, Partition: r.part.number, Rule: "has no node that could be read from now"}
	}
	all, err := r.c.peers.Fetch(ctx, node, peer.FetchRequest{
		MaxWait: wait, MinBytes: 1, MaxBytes: maxBytes, Rack: r.c.cfg.Rack,
		Partitions: []peer.FetchPartition{{TopicPartition: r.c.peerName(r.part), Offset: from, LeaderEpoch: -1, MaxBytes: maxBytes}},
	})
	if err == nil && len(all) == 1 {
		got, err = all[0], all[0].Err
	}
	if err != nil {
		if errors.Is(err, kerr.OffsetOutOfRange) {
			r.learn(got.HighWatermark, got.LogStart)
			return got, &store.OffsetOutOfRangeError{Partition: r.part.id, Offset: from, LogStart: r.logStart(), HighWatermark: r.highWatermark()}
		}
		return got, &LeaderError{Topic: r.part.topic.name, Partition: r.part.number, Rule: "could not be read from another node", Err: err}
	}
	r.learn(got.HighWatermark, got.LogStart)
	return got, nil
}

// follow starts or ends the waiting for what is new.
func (r *remoteReplica) follow(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !on && r.cancel != nil:
		r.cancel()
		r.cancel = nil
	case on && r.cancel == nil && r.c.ctx.Err() == nil:
		ctx, cancel := context.WithCancel(r.c.ctx)
		r.cancel = cancel
		r.c.wg.Go(func() { r.run(ctx) })
	}
}

func (r *remoteReplica) run(ctx context.Context) {
	pause := newBackoff(r.c.log.cfg.Clock, leaderBackoffMin, time.Second)
	at := r.highWatermark()
	for ctx.Err() == nil {
		got, err := r.fetch(ctx, at, remoteFetchBytes, remoteWait)
		if err != nil {
			if pause.wait(ctx, nil) != nil {
				return
			}
			at = r.highWatermark()
			continue
		}
		pause.reset()
		if len(got.Batches) == 0 {
			at = r.highWatermark()
			continue
		}
		r.keep(at, got)
		at = r.highWatermark()
		if rep := r.part.clustered.Load(); rep != nil {
			rep.wake()
		}
	}
}

// keep holds batches for the next read, in place of what was kept before.
func (r *remoteReplica) keep(at Offset, got peer.Fetched) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.aheadAt = at
	r.ahead = store.Fetch{Batches: got.Batches}
	for _, b := range got.Batches {
		r.ahead.Bytes += len(b)
	}
}

func (r *remoteReplica) offsetForTime(ms int64) (at Offset, found bool, err error) {
	ctx, cancel := context.WithTimeout(r.c.ctx, remoteTimeout)
	defer cancel()
	at, _, err = r.c.listOffset(ctx, r.part, ms)
	return at, err == nil && at >= 0, err
}

// listOffset asks the leader of a partition for an offset (ListOffsets): by time in
// ms, or one of peer's special times.
func (c *cluster) listOffset(ctx context.Context, p *Partition, ms int64) (Offset, int64, error) {
	pause := newBackoff(c.log.cfg.Clock, leaderBackoffMin, leaderBackoffMax)
	for {
		changed := c.leaders.next()
		at := c.leaderOf(p)
		var err error = &LeaderError{Topic: p.topic.name, Partition: p.number, Rule: "has no leader now"}
		if at.Node != 0 && at.Node != c.self {
			var got []peer.ListedOffset
			got, err = c.peers.ListOffsets(ctx, at.Node, []peer.ListOffsetsPartition{{TopicPartition: c.peerName(p), Timestamp: ms, LeaderEpoch: -1}})
			if err == nil && len(got) == 1 {
				err = got[0].Err
			}
			if err == nil {
				return got[0].Offset, got[0].Timestamp, nil
			}
		}
		if !isRetriable(err) || pause.wait(ctx, changed) != nil {
			return 0, 0, err
		}
	}
}

// nearest returns the node to read a partition from that this one has not: one with a
// replica in this node's rack, else the leader, else any that lives; 0 for none.
func (c *cluster) nearest(p *Partition) base.NodeID {
	img := c.machine.Image()
	s := img.Shard(p.shard())
	if s == nil {
		return 0
	}
	leader := c.leaderOf(p).Node
	var any base.NodeID
	for _, rep := range s.Replicas {
		b := img.Broker(rep.Node)
		if rep.Node == c.self || b == nil || !b.Live() || !rep.State.Stays() {
			continue
		}
		if c.cfg.Rack != "" && b.Rack == c.cfg.Rack {
			return rep.Node
		}
		any = rep.Node
	}
	if leader != 0 && leader != c.self {
		return leader
	}
	return any
}

func (c *cluster) peerName(p *Partition) peer.TopicPartition {
	return peer.TopicPartition{Topic: p.topic.name, TopicID: [16]byte(p.topic.id), Partition: p.number}
}
