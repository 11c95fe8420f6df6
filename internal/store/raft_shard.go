package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leatlog/leat/internal/base"
)

// shard is what is in memory of a shard's partitions on this node, beside the
// partitions themselves. A node holds one replica of a shard at a time.
type shard struct {
	id base.ShardID
	// applied is the index of the last entry that the partitions have, as far as
	// readers see.
	applied atomic.Uint64
	// regressed is the ErrAppliedRegressed that was found when the shard was opened:
	// its partitions are not served.
	regressed error

	// mu is held by what changes the partitions of the shard: an Apply from begin
	// to end, a piece of a compaction, an import. Lock order: Partition.compaction,
	// Partition.maintenance, shard.mu, raftLog.mu, Store.mu, raftSide.mu,
	// Partition.mu.
	mu sync.Mutex
	// imports counts the imports that began or ended: while it is odd, and after a
	// crash in the middle of one, the partitions are those of no index.
	imports atomic.Uint64
}

// importing tells whether the partitions are those of no index.
func (sh *shard) importing() bool { return sh.imports.Load()%2 == 1 }

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
		sh.applied.Store(uint64(rec.applied))
		if rec.importing {
			sh.applied.Store(0)
			sh.imports.Store(1)
		}
	}
	// The logs say which payloads must stay.
	replicas, err := s.replicasOf(id)
	if err != nil {
		return nil, err
	}
	for _, r := range replicas {
		l, err := s.raftLogLocked(r.Shard, r.Replica)
		if err != nil {
			return nil, err
		}
		if floor := l.written.Load().applied; !sh.importing() && base.RaftIndex(sh.applied.Load()) < floor {
			sh.regressed = fmt.Errorf("%w: shard %d has applied %d, replica %d had applied %d when its log was shortened",
				ErrAppliedRegressed, id, sh.applied.Load(), r.Replica, floor)
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
	return base.RaftIndex(sh.applied.Load()), sh.regressed
}

// ShardPartitions returns the ids of the partitions that a shard has here, in
// order.
func (s *Store) ShardPartitions(id base.ShardID) (out []base.PartitionID, err error) {
	if err := s.beginRead(); err != nil {
		return nil, err
	}
	defer s.endRead()
	return s.members(s.db, id)
}

func (s *Store) members(r pebble.Reader, id base.ShardID) (out []base.PartitionID, err error) {
	defer s.caught("reading the partitions of a shard", &err)
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: shardKey(kindMember, id), UpperBound: shardEnd(kindMember, id)})
	if err != nil {
		return nil, s.readError("the partitions of a shard", err)
	}
	defer func() { err = errors.Join(err, s.readError("the partitions of a shard", it.Close())) }()
	for ok := it.First(); ok; ok = it.Next() {
		if len(it.Key()) != memberKeyLen {
			return nil, &CorruptLogError{Shard: id, Cause: errors.New("key of a partition of the shard cannot be decoded")}
		}
		out = append(out, base.PartitionID(binary.BigEndian.Uint64(it.Key()[shardKeyLen:])))
	}
	return out, nil
}

// ShardSetting returns what Apply.Set wrote under a name. The bytes are the
// caller's.
func (s *Store) ShardSetting(id base.ShardID, name string) (value []byte, ok bool, err error) {
	if err := s.beginRead(); err != nil {
		return nil, false, err
	}
	defer s.endRead()
	return s.get(shardSettingKey(id, name))
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
