package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/leatlog/leat/internal/base"
)

// shard is what is in memory of a shard's partitions on this node, beside the
// partitions themselves. A node holds one replica of a shard at a time.
type shard struct {
	id base.ShardID
	// applied is the index of the last entry that the partitions have, as far as
	// readers see.
	applied atomic.Uint64

	// mu is held by what changes the partitions of the shard: an Apply from begin
	// to end, a piece of a compaction, an import. Lock order: Partition.compaction,
	// Partition.maintenance, shard.mu, raftSide.mu, Store.mu, Partition.mu.
	mu sync.Mutex
}

// shard returns what is known of a shard; it is read from disk once.
func (s *Store) shard(id base.ShardID) (*shard, error) {
	s.raft.mu.Lock()
	defer s.raft.mu.Unlock()
	if sh := s.raft.shards[id]; sh != nil {
		return sh, nil
	}
	sh := &shard{id: id}
	v, ok, err := s.get(shardKey(kindShard, id))
	if err != nil {
		return nil, err
	}
	if ok {
		var rec shardRecord
		if err := rec.decode(v); err != nil {
			return nil, &CorruptLogError{Shard: id, Cause: err}
		}
		if !rec.importing {
			sh.applied.Store(uint64(rec.applied))
		}
	}
	// The logs say which payloads must stay.
	replicas, err := s.replicasIn(shardKey(kindRaftMeta, id), shardEnd(kindRaftMeta, id), shardKey(kindRaftEntry, id), shardEnd(kindRaftEntry, id))
	if err != nil {
		return nil, err
	}
	for _, r := range replicas {
		if _, err := s.raftLogLocked(r.Shard, r.Replica); err != nil {
			return nil, err
		}
	}
	if s.raft.shards == nil {
		s.raft.shards = make(map[base.ShardID]*shard)
	}
	s.raft.shards[id] = sh
	return sh, nil
}

// AppliedIndex is the index of the last entry of a shard's Raft log that its
// partitions here have; 0 if there is none, or if an import did not come to its
// end. What a crash took of it, Raft replays.
func (s *Store) AppliedIndex(id base.ShardID) (base.RaftIndex, error) {
	if err := s.beginRead(); err != nil {
		return 0, err
	}
	defer s.endRead()
	sh, err := s.shard(id)
	if err != nil {
		return 0, err
	}
	return base.RaftIndex(sh.applied.Load()), nil
}

const (
	shardVersion   = 1
	shardImporting = 1 << 0
)

// shardRecord is what is stored of a shard.
type shardRecord struct {
	applied base.RaftIndex
	// importing says that an import began and did not end: the partitions are
	// those of no index.
	importing bool
}

func (r *shardRecord) encode() []byte {
	flags := byte(0)
	if r.importing {
		flags |= shardImporting
	}
	return binary.AppendUvarint([]byte{shardVersion, flags}, uint64(r.applied))
}

func (r *shardRecord) decode(b []byte) error {
	if len(b) >= 2 && b[0] == shardVersion && b[1]&^shardImporting == 0 {
		d := varintDecoder{b: b[2:]}
		r.importing = b[1]&shardImporting != 0
		if r.applied = base.RaftIndex(d.uvarint(math.MaxUint64)); !d.bad && len(d.b) == 0 {
			return nil
		}
	}
	return errors.New("record of a shard cannot be decoded")
}

func sortReplicas(r []LogReplica) {
	slices.SortFunc(r, func(a, b LogReplica) int {
		return cmp.Or(cmp.Compare(a.Shard, b.Shard), cmp.Compare(a.Replica, b.Replica))
	})
}
