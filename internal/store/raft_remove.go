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
	next.first = index + 1
	err = s.writeRaft(true, func(b *pebble.Batch) error {
		return errors.Join(
			b.DeleteRange(raftEntryKey(id, replica, 0), raftEntryKey(id, replica, index+1), nil),
			b.Set(raftMetaKey(id, replica, raftStart), encodeRaftStart(next.first), nil),
			s.removeDeferred(b, id, index),
		)
	})
	if err == nil {
		l.next = next
		l.publishLocked()
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
	err = s.writeRaft(true, func(b *pebble.Batch) error {
		return errors.Join(
			l.dropPayloads(s, b, l.next.first, l.next.last, false),
			b.DeleteRange(replicaKey(kindRaftMeta, id, replica), append(replicaKey(kindRaftMeta, id, replica), 0xff), nil),
			b.DeleteRange(raftEntryKey(id, replica, 0), raftEntryEnd(id, replica), nil),
			s.removeDeferred(b, id, math.MaxUint64),
		)
	})
	if err != nil {
		return err
	}
	l.removed = true
	s.raft.mu.Lock()
	delete(s.raft.logs, raftLogID{id, replica})
	s.raft.mu.Unlock()
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
