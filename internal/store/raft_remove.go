package store

import (
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leatlog/leat/internal/base"
)

// RemoveLogTo removes the entries up to index, inclusively, from a replica's Raft
// log, and what the log kept from being removed of the partitions: trimmed
// batches, and batches that were refused. An index behind the last entry empties
// the log. It is durable when it returns, and so is what was applied before.
//
// A data entry that was not applied yet is not removed, nor is any other then:
// ErrNotApplied.
func (s *Store) RemoveLogTo(id base.ShardID, replica base.ReplicaID, index base.RaftIndex) error {
	if err := s.beginRead(); err != nil {
		return err
	}
	defer s.endRead()
	sh, err := s.shard(id)
	if err != nil {
		return err
	}
	l, err := s.raftLog(id, replica)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	index = min(index, l.next.last)
	if index < l.next.first || l.removed {
		return s.usableDisk()
	}
	// The WAL's order makes what a crash takes a suffix: with the applied index it
	// would take this removal. So the order of the two writes is what matters.
	applied := base.RaftIndex(sh.applied.Load())
	err = l.scan(s, max(l.next.first, applied+1), index, func(at base.RaftIndex, e *raftEntry) (bool, error) {
		if e.hasPayload {
			return false, fmt.Errorf("%w: shard %d replica %d, entry %d, applied up to %d", ErrNotApplied, id, replica, at, applied)
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	next := l.next
	next.first, next.applied = index+1, min(applied, index)
	var removed func()
	err = s.writeRaft(true, func(b *pebble.Batch) (err error) {
		removed, err = s.removeDeferred(b, id, index)
		return errors.Join(err,
			b.DeleteRange(raftEntryKey(id, replica, 0), raftEntryKey(id, replica, index+1), nil),
			b.Set(raftMetaKey(id, replica, raftStart), encodeRaftStart(next.first, next.applied), nil),
		)
	})
	if err == nil {
		l.next = next
		l.publishLocked()
		removed()
	}
	return err
}

// RemoveReplica removes all that there is of a replica's Raft log, with the
// payloads that were not applied. The partitions stay; RemoveShard removes those.
// It is durable when it returns.
func (s *Store) RemoveReplica(id base.ShardID, replica base.ReplicaID) error {
	if err := s.beginRead(); err != nil {
		return err
	}
	defer s.endRead()
	l, err := s.raftLog(id, replica)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.removed {
		return nil
	}
	var removed func()
	err = s.writeRaft(true, func(b *pebble.Batch) (err error) {
		removed, err = s.removeDeferred(b, id, math.MaxUint64)
		return errors.Join(err,
			l.dropPayloads(s, b, l.next.first, l.next.last, false),
			b.DeleteRange(replicaKey(kindRaftMeta, id, replica), append(replicaKey(kindRaftMeta, id, replica), 0xff), nil),
			b.DeleteRange(raftEntryKey(id, replica, 0), raftEntryEnd(id, replica), nil),
		)
	})
	if err != nil {
		return err
	}
	removed()
	l.removed = true
	s.raft.mu.Lock()
	delete(s.raft.logs, raftLogID{id, replica})
	s.raft.mu.Unlock()
	return nil
}

// RemoveShard removes the partitions of a shard, its settings and its applied
// index. Its replicas must have been removed before: ErrReplicaExists. Reads of the
// partitions get ErrPartitionDropped. It is durable when it returns, and may be
// called again.
func (s *Store) RemoveShard(id base.ShardID) error {
	if err := s.beginRead(); err != nil {
		return err
	}
	defer s.endRead()
	sh, err := s.shard(id)
	if err != nil {
		return err
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	replicas, err := s.replicasOf(id)
	if err != nil {
		return err
	}
	if len(replicas) > 0 {
		return fmt.Errorf("%w: shard %d replica %d", ErrReplicaExists, id, replicas[0].Replica)
	}
	members, err := s.members(s.db, id)
	if err != nil {
		return err
	}
	var removed func()
	err = s.writeRaft(true, func(b *pebble.Batch) (err error) {
		for _, p := range members {
			for _, kind := range []byte{kindData, kindIndex, kindState, kindProducers} {
				if err := b.DeleteRange(partitionKey(kind, p), partitionEnd(kind, p), nil); err != nil {
					return err
				}
			}
		}
		for _, kind := range []byte{kindMember, kindShardSetting} {
			if err := b.DeleteRange(shardKey(kind, id), shardEnd(kind, id), nil); err != nil {
				return err
			}
		}
		removed, err = s.removeDeferred(b, id, math.MaxUint64)
		return errors.Join(err, b.Delete(shardKey(kindShard, id), nil))
	})
	if err != nil {
		return err
	}
	removed()
	for _, m := range members {
		s.mu.Lock()
		p := s.partitions[m]
		s.mu.Unlock()
		if p != nil && p.sh == sh {
			p.app.dropped = true
			(&touched{p: p, dropped: true, garbage: uint64(p.SizeBytes())}).publishRemoval()
		} else {
			s.garbage.add(m, reclaimDueBytes, math.MaxInt64, 0) // how much is not known
		}
	}
	sh.applied.Store(0)
	if sh.importing() {
		sh.imports.Add(1)
	}
	if sh.regressed != nil {
		s.raft.mu.Lock()
		delete(s.raft.shards, id) // nobody got to use it
		s.raft.mu.Unlock()
	}
	return nil
}

// firstLogged returns the index from which on the Raft log of a shard still has
// entries, whose payloads must stay as they were proposed.
func (s *Store) firstLogged(id base.ShardID) base.RaftIndex {
	s.raft.mu.Lock()
	defer s.raft.mu.Unlock()
	first := base.RaftIndex(math.MaxUint64)
	for k, l := range s.raft.logs {
		if k.shard == id {
			first = min(first, l.written.Load().first)
		}
	}
	return first
}
