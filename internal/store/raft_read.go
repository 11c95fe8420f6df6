package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leatlog/leat/internal/base"
)

// LogEntries calls fn for the entries [lo, hi) of a replica's Raft log, in order,
// until fn returns false, until the next entry would bring the sum of heads and
// payloads above maxBytes, or until the end of the log; one entry is always
// given, if there is one. Every payload is checked. What fn gets is valid until it
// returns and must not be written to.
//
// An lo below the first entry, because it was removed, is a *LogRangeError; one
// behind the last gives nothing. Damage is a *CorruptLogError. It may be called
// concurrently with all else.
func (s *Store) LogEntries(shard base.ShardID, replica base.ReplicaID, lo, hi base.RaftIndex, maxBytes uint64, fn func(e LogEntry) (more bool, err error)) (err error) {
	if err := s.beginRead(); err != nil {
		return err
	}
	defer s.endRead()
	defer s.caught("reading a Raft log", &err)
	l, err := s.raftLog(shard, replica)
	if err != nil {
		return err
	}
	at := *l.written.Load()
	if lo >= hi || lo > at.last {
		return nil
	}
	if lo < at.first {
		return l.missing(lo)
	}
	last := min(hi-1, at.last)
	it, err := s.db.NewIter(l.entries(lo, last))
	if err != nil {
		return s.readError("a Raft log", err)
	}
	defer func() { err = errors.Join(err, s.readError("a Raft log", it.Close())) }()
	// A clone sees what the other sees, whatever is removed in between.
	var data *pebble.Iterator
	defer func() {
		if data != nil {
			err = errors.Join(err, s.readError("a payload", data.Close()))
		}
	}()
	var e raftEntry
	sum := uint64(0)
	next := lo
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return s.readError("a Raft log", err)
		}
		if raftEntryIndex(it.Key()) != next {
			return l.missing(next)
		}
		if err := e.decode(v); err != nil {
			return l.corrupt(next, err)
		}
		if sum += uint64(len(e.head) + e.payloadSize); next > lo && sum > maxBytes {
			return nil
		}
		out := LogEntry{Index: next, Head: e.head}
		if e.hasPayload {
			if data == nil {
				data, err = it.Clone(pebble.CloneOptions{IterOptions: &pebble.IterOptions{
					LowerBound: []byte{kindData}, UpperBound: []byte{kindData + 1},
				}})
				if err != nil {
					return s.readError("a payload", err)
				}
			}
			out.Partition = e.partition
			if out.Payload, err = l.payload(s, data, next, &e); err != nil {
				return err
			}
		}
		if more, err := fn(out); err != nil || !more {
			return err
		}
		next++
	}
	if err := it.Error(); err != nil {
		return s.readError("a Raft log", err)
	}
	if next <= last {
		return l.missing(next)
	}
	return nil
}

// missing is the error for an entry that is not there: it was removed, maybe
// between the look at the bounds and that at the entries, or it is lost.
func (l *raftLog) missing(at base.RaftIndex) error {
	l.mu.Lock() // a removal is seen in the database before it is in the bounds
	b := *l.written.Load()
	l.mu.Unlock()
	if at < b.first || at > b.last {
		return &LogRangeError{Shard: l.shard, Replica: l.replica, Index: at, First: b.first, Last: b.last}
	}
	return l.corrupt(at, errors.New("the entry is missing"))
}

// payload finds the payload of an entry and checks it.
func (l *raftLog) payload(s *Store, data *pebble.Iterator, at base.RaftIndex, e *raftEntry) ([]byte, error) {
	key := positionKey(e.partition, at)
	if !data.SeekGE(key) || !bytes.Equal(data.Key(), key) {
		if err := data.Error(); err != nil {
			return nil, s.readError("a payload", err)
		}
		return nil, l.corrupt(at, fmt.Errorf("its payload for partition %d is missing", e.partition))
	}
	v, err := data.ValueAndErr()
	switch {
	case err != nil && pebble.IsCorruptionError(err):
		return nil, l.corrupt(at, err)
	case err != nil:
		return nil, s.readError("a payload", err)
	case len(v) != e.payloadSize:
		return nil, l.corrupt(at, fmt.Errorf("its payload for partition %d has %d bytes, not %d", e.partition, len(v), e.payloadSize))
	case crc32.Checksum(v, castagnoli) != e.payloadCRC:
		return nil, l.corrupt(at, fmt.Errorf("its payload for partition %d does not match its checksum", e.partition))
	}
	return v, nil
}

// LogBounds returns the indexes of the first and the last entry of a replica's
// Raft log; last is first-1 if it is empty. The first entry ever is 1.
func (s *Store) LogBounds(shard base.ShardID, replica base.ReplicaID) (first, last base.RaftIndex, err error) {
	if err := s.beginRead(); err != nil {
		return 0, 0, err
	}
	defer s.endRead()
	l, err := s.raftLog(shard, replica)
	if err != nil {
		return 0, 0, err
	}
	b := l.written.Load()
	return b.first, b.last, nil
}

// LogState returns the Raft state that SaveLog got last; ok is false if it never
// did. The bytes are the caller's.
func (s *Store) LogState(shard base.ShardID, replica base.ReplicaID) (state []byte, ok bool, err error) {
	return s.raftMeta(shard, replica, raftState)
}

// LogSnapshot returns the Raft snapshot that SaveLog got last and the index that
// it covers; ok is false if it never did. The bytes are the caller's.
func (s *Store) LogSnapshot(shard base.ShardID, replica base.ReplicaID) (snapshot []byte, index base.RaftIndex, ok bool, err error) {
	v, ok, err := s.raftMeta(shard, replica, raftSnapshot)
	if err != nil || !ok {
		return nil, 0, false, err
	}
	if index, snapshot, err = decodeRaftSnapshot(v); err != nil {
		return nil, 0, false, &CorruptLogError{Shard: shard, Replica: replica, Cause: err}
	}
	return snapshot, index, true, nil
}

// Bootstrap returns what SetBootstrap wrote; ok is false if there is nothing. The
// bytes are the caller's.
func (s *Store) Bootstrap(shard base.ShardID, replica base.ReplicaID) (value []byte, ok bool, err error) {
	return s.raftMeta(shard, replica, raftBootstrap)
}

// SetBootstrap writes what a replica was started with; it is durable when it
// returns.
func (s *Store) SetBootstrap(shard base.ShardID, replica base.ReplicaID, value []byte) error {
	if err := s.beginRead(); err != nil {
		return err
	}
	defer s.endRead()
	if err := s.markRaft(); err != nil {
		return err
	}
	return s.writeRaft(true, func(b *pebble.Batch) error {
		return b.Set(raftMetaKey(shard, replica, raftBootstrap), value, nil)
	})
}

func (s *Store) raftMeta(shard base.ShardID, replica base.ReplicaID, what byte) ([]byte, bool, error) {
	if err := s.beginRead(); err != nil {
		return nil, false, err
	}
	defer s.endRead()
	return s.get(raftMetaKey(shard, replica, what))
}

// LogReplica names a replica that has something in the store.
type LogReplica struct {
	Shard   base.ShardID
	Replica base.ReplicaID
}

// Replicas returns the replicas of which there is anything, a bootstrap record, a
// state or a log, by shard and replica.
func (s *Store) Replicas() ([]LogReplica, error) {
	if err := s.beginRead(); err != nil {
		return nil, err
	}
	defer s.endRead()
	return s.replicasIn([]byte{kindRaftMeta}, []byte{kindRaftMeta + 1}, []byte{kindRaftEntry}, []byte{kindRaftEntry + 1})
}

// replicasOf returns the replicas of a shard.
func (s *Store) replicasOf(id base.ShardID) ([]LogReplica, error) {
	return s.replicasIn(shardKey(kindRaftMeta, id), shardEnd(kindRaftMeta, id), shardKey(kindRaftEntry, id), shardEnd(kindRaftEntry, id))
}

// replicasIn returns the replicas that have a key in a range of kindRaftMeta, or
// in one of kindRaftEntry.
func (s *Store) replicasIn(metaFrom, metaTo, entryFrom, entryTo []byte) (out []LogReplica, err error) {
	defer s.caught("reading Raft logs", &err)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: metaFrom, UpperBound: metaTo})
	if err != nil {
		return nil, s.readError("Raft logs", err)
	}
	defer func() { err = errors.Join(err, s.readError("Raft logs", it.Close())) }()
	seen := make(map[LogReplica]bool)
	collect := func(ok bool) {
		for ok {
			k := it.Key()
			r := LogReplica{base.ShardID(binary.BigEndian.Uint64(k[1:])), base.ReplicaID(binary.BigEndian.Uint64(k[9:]))}
			if !seen[r] {
				seen[r] = true
				out = append(out, r)
			}
			if r.Replica == math.MaxUint64 {
				ok = it.SeekGE(shardEnd(k[0], r.Shard))
			} else {
				ok = it.SeekGE(replicaKey(k[0], r.Shard, r.Replica+1))
			}
		}
	}
	collect(it.First())
	if err := it.Error(); err != nil {
		return nil, s.readError("Raft logs", err)
	}
	it.SetBounds(entryFrom, entryTo)
	collect(it.First())
	if err := it.Error(); err != nil {
		return nil, s.readError("Raft logs", err)
	}
	sortReplicas(out)
	return out, nil
}
