package leat

import (
	"context"
	"sync"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/replication"
)

// clusterShards is the shards of which this node runs a replica.
type clusterShards struct {
	mu sync.RWMutex
	by map[base.ShardID]*clusterShard
}

func (s *clusterShards) get(id base.ShardID) *clusterShard {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.by[id]
}

func (s *clusterShards) put(sh *clusterShard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = make(map[base.ShardID]*clusterShard)
	}
	s.by[sh.id] = sh
}

func (s *clusterShards) remove(id base.ShardID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.by, id)
}

func (s *clusterShards) all() []*clusterShard {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*clusterShard, 0, len(s.by))
	for _, sh := range s.by {
		all = append(all, sh)
	}
	return all
}

// clusterShard is a shard of which this node runs a replica.
type clusterShard struct {
	cluster *cluster
	id      base.ShardID
	replica base.ReplicaID
	raft    *replication.DataShard

	wake   chan struct{}   // room for one: its duties may have changed
	ctx    context.Context // of its duties
	cancel context.CancelFunc
	done   chan struct{} // closed when they have ended

	// heir is the replica that should lead instead of this one, and could since then. It
	// belongs to the goroutine of the duties.
	heir      base.ReplicaID
	heirSince time.Time
}

// kick makes the shard look at its duties.
func (s *clusterShard) kick() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// compactLogs shortens the Raft logs of the shards here for which removed batches of at
// least some bytes wait: while an entry is in the log, its batch stays on disk.
func (c *cluster) compactLogs(ctx context.Context, bytesMin int64) {
	for _, sh := range c.shards.all() {
		if n, err := c.log.store.DeferredBytes(sh.id); err != nil || n < bytesMin {
			continue
		}
		var err error
		if sh.raft.IsLeader() {
			err = sh.raft.Barrier(ctx) // the log is cut where something was applied since
		}
		if err == nil {
			err = sh.raft.CompactLog(ctx)
		}
		if err != nil && ctx.Err() == nil {
			c.log.cfg.Logger.Debug("a Raft log was not shortened", "shard", sh.id, "err", err)
		}
	}
}
