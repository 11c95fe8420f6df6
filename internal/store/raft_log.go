package store

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leatlog/leat/internal/base"
)

// LogEntry is one entry of a shard's Raft log.
type LogEntry struct {
	Index base.RaftIndex
	// Head is what the log keeps of the entry; it means nothing to the store.
	Head []byte
	// Payload, if not empty, is a sealed record batch for Partition as it was
	// proposed. It is stored where it will be read from, under the partition's
	// keys and the entry's index, and not in the log. So an id must only ever be
	// used in the log of one shard: another one's entry of the same index would
	// replace the payload.
	Payload   []byte
	Partition base.PartitionID
}

// LogUpdate is what changes in the Raft log of one replica.
type LogUpdate struct {
	Shard   base.ShardID
	Replica base.ReplicaID
	// State is the Raft state (term, vote, commit index) from now on; nil leaves
	// it as it is.
	State []byte
	// Snapshot describes a Raft snapshot that covers the log up to SnapshotIndex,
	// inclusively; nil leaves what was said before, and so does one that covers
	// less.
	Snapshot      []byte
	SnapshotIndex base.RaftIndex
	// SnapshotInstalled says that the snapshot came from another replica, because
	// the log here does not lead to it: all entries go, with payloads that were
	// not applied, and the log goes on behind SnapshotIndex.
	SnapshotInstalled bool
	// Entries follow each other without a hole. The first follows the last of the
	// log, or is one of the log's, in which case it replaces that and all behind.
	Entries []LogEntry
	// Sync asks that SaveLog returns only once all is durable.
	Sync bool
}

// raftLog is what is in memory of one replica's Raft log.
//
// Invariants: 1 <= first <= last+1; the entries [first, last] are stored.
type raftLog struct {
	shard   base.ShardID
	replica base.ReplicaID

	written atomic.Pointer[raftBounds] // as of the last change that is written

	mu      sync.Mutex // held by what changes the log, until it is written
	next    raftBounds // the change that is being written included
	removed bool       // by RemoveReplica
}

// raftBounds is what a Raft log holds: the entries [first, last], the index that
// its Raft snapshot covers, and what was applied, at least, when the entries
// before first were removed.
type raftBounds struct{ first, last, snapshot, applied base.RaftIndex }

func (l *raftLog) publishLocked() {
	b := l.next
	l.written.Store(&b)
}

type raftLogID struct {
	shard   base.ShardID
	replica base.ReplicaID
}

func compareLogs(a, b *raftLog) int {
	return cmp.Or(cmp.Compare(a.shard, b.shard), cmp.Compare(a.replica, b.replica))
}

// maxSpareRaftBatches bounds the Pebble batches that are kept for the next
// SaveLog or Apply, each of which keeps maxSpareRaftBytes at most.
const (
	maxSpareRaftBatches = 8
	maxSpareRaftBytes   = 4 << 20
)

// raftSide is the part of a Store that knows of Raft logs and shards.
type raftSide struct {
	marked atomic.Bool // the directory's format says that it has a Raft side

	mu     sync.Mutex
	logs   map[raftLogID]*raftLog
	shards map[base.ShardID]*shard
	spare  []*pebble.Batch
	views  map[*View]struct{}
}

// close lets go of what belongs to the database, when nothing uses it any more.
func (r *raftSide) close() (err error) {
	for v := range r.views {
		err = errors.Join(err, v.snapshot.Close())
	}
	for _, b := range r.spare {
		err = errors.Join(err, b.Close())
	}
	r.spare, r.views = nil, nil
	return err
}

// raftLog returns a replica's log; it is read from disk once.
func (s *Store) raftLog(sh base.ShardID, r base.ReplicaID) (*raftLog, error) {
	s.raft.mu.Lock()
	defer s.raft.mu.Unlock()
	return s.raftLogLocked(sh, r)
}

func (s *Store) raftLogLocked(sh base.ShardID, r base.ReplicaID) (*raftLog, error) {
	id := raftLogID{sh, r}
	if l := s.raft.logs[id]; l != nil {
		return l, nil
	}
	l := &raftLog{shard: sh, replica: r, next: raftBounds{first: 1}}
	if err := s.loadRaftLog(l); err != nil {
		return nil, err
	}
	l.publishLocked()
	if s.raft.logs == nil {
		s.raft.logs = make(map[raftLogID]*raftLog)
	}
	s.raft.logs[id] = l
	return l, nil
}

func (s *Store) loadRaftLog(l *raftLog) (err error) {
	defer s.caught("opening a Raft log", &err)
	if v, ok, err := s.get(raftMetaKey(l.shard, l.replica, raftStart)); err != nil {
		return err
	} else if ok {
		if l.next.first, l.next.applied, err = decodeRaftStart(v); err != nil {
			return l.corrupt(0, err)
		}
	}
	if v, ok, err := s.get(raftMetaKey(l.shard, l.replica, raftSnapshot)); err != nil {
		return err
	} else if ok {
		if l.next.snapshot, _, err = decodeRaftSnapshot(v); err != nil {
			return l.corrupt(0, err)
		}
	}
	l.next.last = l.next.first - 1
	it, err := s.db.NewIter(l.entries(l.next.first, math.MaxUint64))
	if err != nil {
		return s.readError("a Raft log", err)
	}
	defer func() { err = errors.Join(err, s.readError("a Raft log", it.Close())) }()
	if it.Last() {
		l.next.last = raftEntryIndex(it.Key())
	}
	return s.readError("a Raft log", it.Error())
}

// entries bounds an iterator to those with index in [lo, hi]; hi of MaxUint64 is
// no bound.
func (l *raftLog) entries(lo, hi base.RaftIndex) *pebble.IterOptions {
	o := &pebble.IterOptions{LowerBound: raftEntryKey(l.shard, l.replica, lo), UpperBound: raftEntryEnd(l.shard, l.replica)}
	if hi < math.MaxUint64 {
		o.UpperBound = raftEntryKey(l.shard, l.replica, hi+1)
	}
	return o
}

func (l *raftLog) corrupt(at base.RaftIndex, cause error) error {
	return &CorruptLogError{Shard: l.shard, Replica: l.replica, Index: at, Cause: cause}
}

// SaveLog writes what changes in the Raft logs of some replicas, all or nothing,
// and returns when that is written, and durable if an update asks for Sync. The
// updates' bytes are not retained.
//
// It may be called concurrently; calls that wait for an fsync share it. Calls that
// concern the same replica are made one after the other. The error is ErrClosed,
// ErrFailed, a *LogRangeError for entries that do not fit the log, or
// ErrLogApplied for entries that would replace what was applied; but for ErrFailed,
// nothing was changed then.
func (s *Store) SaveLog(updates []LogUpdate) error {
	if err := s.beginRead(); err != nil {
		return err
	}
	defer s.endRead()
	if err := s.markRaft(); err != nil {
		return err
	}
	var few [16]*raftLog
	logs := few[:0]
	sync := false
	for i := range updates {
		l, err := s.raftLog(updates[i].Shard, updates[i].Replica)
		if err != nil {
			return err
		}
		logs = append(logs, l)
		sync = sync || updates[i].Sync
	}
	// Locked in one order, each once, whatever the order of the updates.
	locked := append(make([]*raftLog, 0, len(few)), logs...)
	slices.SortFunc(locked, compareLogs)
	locked = slices.Compact(locked)
	for _, l := range locked {
		l.mu.Lock()
	}
	err := s.writeRaft(sync, func(b *pebble.Batch) error {
		for i := range updates {
			if err := logs[i].save(s, b, &updates[i]); err != nil {
				return err
			}
		}
		return nil
	})
	for _, l := range locked {
		if err == nil {
			l.publishLocked()
		} else {
			l.next = *l.written.Load()
		}
		l.mu.Unlock()
	}
	return err
}

// save adds an update to a Pebble batch. It reads nothing from disk unless
// entries are replaced.
func (l *raftLog) save(s *Store, b *pebble.Batch, u *LogUpdate) error {
	if l.removed {
		return fmt.Errorf("%w: shard %d replica %d", ErrReplicaRemoved, l.shard, l.replica)
	}
	if u.State != nil {
		if err := b.Set(raftMetaKey(l.shard, l.replica, raftState), u.State, nil); err != nil {
			return err
		}
	}
	if u.Snapshot != nil && (u.SnapshotIndex > l.next.snapshot || u.SnapshotInstalled) {
		l.next.snapshot = u.SnapshotIndex
		if err := b.Set(raftMetaKey(l.shard, l.replica, raftSnapshot), encodeRaftSnapshot(u.SnapshotIndex, u.Snapshot), nil); err != nil {
			return err
		}
		if u.SnapshotInstalled {
			if err := l.reset(s, b, u.SnapshotIndex+1); err != nil {
				return err
			}
		}
	}
	if len(u.Entries) == 0 {
		return nil
	}
	first := u.Entries[0].Index
	for i := range u.Entries {
		if u.Entries[i].Index != first+base.RaftIndex(i) {
			return l.outOfRange(u.Entries[i].Index)
		}
	}
	switch {
	case first == l.next.last+1:
	case first == l.next.snapshot+1 && first > l.next.last:
		// What is in between is covered by the Raft snapshot.
		if err := l.reset(s, b, first); err != nil {
			return err
		}
	case first < l.next.first || first > l.next.last:
		return l.outOfRange(first)
	default:
		if err := l.truncate(s, b, first); err != nil {
			return err
		}
	}
	for i := range u.Entries {
		if err := l.saveEntry(b, &u.Entries[i]); err != nil {
			return err
		}
	}
	l.next.last = first + base.RaftIndex(len(u.Entries)) - 1
	return nil
}

func (l *raftLog) saveEntry(b *pebble.Batch, e *LogEntry) error {
	out := raftEntry{head: e.Head}
	if len(e.Payload) > 0 {
		out.hasPayload, out.partition = true, e.Partition
		out.payloadSize, out.payloadCRC = len(e.Payload), crc32.Checksum(e.Payload, castagnoli)
		op := b.SetDeferred(entryKeyLen, len(e.Payload))
		putEntryKey(op.Key, kindData, e.Partition, base.Offset(e.Index))
		copy(op.Value, e.Payload)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	op := b.SetDeferred(raftEntryKeyLen, out.size())
	putRaftEntryKey(op.Key, l.shard, l.replica, e.Index)
	out.appendTo(op.Value[:0])
	return op.Finish()
}

// truncate removes the entries from an index on, with their payloads.
func (l *raftLog) truncate(s *Store, b *pebble.Batch, from base.RaftIndex) error {
	if from > l.next.last {
		return nil
	}
	if err := l.dropPayloads(s, b, from, l.next.last, true); err != nil {
		return err
	}
	end := raftEntryKey(l.shard, l.replica, l.next.last+1)
	l.next.last = from - 1
	return b.DeleteRange(raftEntryKey(l.shard, l.replica, from), end, nil)
}

// reset empties the log, which goes on at the given index. Payloads that were
// applied stay.
func (l *raftLog) reset(s *Store, b *pebble.Batch, first base.RaftIndex) error {
	if l.next.first <= l.next.last {
		if err := l.dropPayloads(s, b, l.next.first, l.next.last, false); err != nil {
			return err
		}
	}
	l.next.first, l.next.last, l.next.applied = first, first-1, 0
	return errors.Join(
		b.DeleteRange(raftEntryKey(l.shard, l.replica, 0), raftEntryEnd(l.shard, l.replica), nil),
		b.Set(raftMetaKey(l.shard, l.replica, raftStart), encodeRaftStart(first, 0), nil),
	)
}

// dropPayloads removes those of the entries [lo, hi] that were not applied. With
// strict, one that was applied is an error.
func (l *raftLog) dropPayloads(s *Store, b *pebble.Batch, lo, hi base.RaftIndex, strict bool) error {
	sh, err := s.shard(l.shard)
	if err != nil {
		return err
	}
	applied := base.RaftIndex(sh.applied.Load())
	if strict && lo <= applied {
		return fmt.Errorf("%w: shard %d replica %d, entry %d, applied up to %d", ErrLogApplied, l.shard, l.replica, lo, applied)
	}
	return l.scan(s, max(lo, applied+1), hi, func(at base.RaftIndex, e *raftEntry) (bool, error) {
		if e.hasPayload {
			return true, b.Delete(positionKey(e.partition, at), nil)
		}
		return true, nil
	})
}

// scan calls fn for what the log keeps of the entries [lo, hi] until it returns
// false. The entry is valid until fn returns.
func (l *raftLog) scan(s *Store, lo, hi base.RaftIndex, fn func(at base.RaftIndex, e *raftEntry) (bool, error)) (err error) {
	if lo > hi {
		return nil
	}
	defer s.caught("reading a Raft log", &err)
	it, err := s.db.NewIter(l.entries(lo, hi))
	if err != nil {
		return s.readError("a Raft log", err)
	}
	defer func() { err = errors.Join(err, s.readError("a Raft log", it.Close())) }()
	var e raftEntry
	for ok := it.First(); ok; ok = it.Next() {
		at := raftEntryIndex(it.Key())
		v, err := it.ValueAndErr()
		if err != nil {
			return s.readError("a Raft log", err)
		}
		if err := e.decode(v); err != nil {
			return l.corrupt(at, err)
		}
		if more, err := fn(at, &e); err != nil || !more {
			return err
		}
	}
	return nil
}

func (l *raftLog) outOfRange(at base.RaftIndex) error {
	return &LogRangeError{Shard: l.shard, Replica: l.replica, Index: at, First: l.next.first, Last: l.next.last}
}
