package store

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leatlog/leat/internal/base"
)

// What a deferred removal removes, once the Raft log has no entry at its position
// or below any more.
const (
	deferredOne byte = 1 // the partition's data at the position
	deferredAll byte = 2 // the partition's data up to the position, inclusively
)

// deferredKey names a removal that waits. Its value is about how many bytes it is
// of, as a varint.
func deferredKey(id base.ShardID, position base.RaftIndex, p base.PartitionID, what byte) []byte {
	k := make([]byte, deferredKeyLen)
	k[0] = kindDeferred
	binary.BigEndian.PutUint64(k[1:], uint64(id))
	binary.BigEndian.PutUint64(k[9:], uint64(position))
	binary.BigEndian.PutUint64(k[17:], uint64(p))
	k[25] = what
	return k
}

// deferredEnd is behind the removals that wait for an index.
func deferredEnd(id base.ShardID, index base.RaftIndex) []byte {
	if index+1 == 0 {
		return shardEnd(kindDeferred, id)
	}
	return binary.BigEndian.AppendUint64(shardKey(kindDeferred, id), uint64(index+1))
}

// removeDeferred adds the removals that waited for the log to be removed up to an
// index. One that is deferred meanwhile, because it found the log as it was, waits
// for the next removal.
//
// What it returns is to be called once that is written, and notes what there is to
// reclaim.
func (s *Store) removeDeferred(b *pebble.Batch, id base.ShardID, index base.RaftIndex) (written func(), err error) {
	defer s.caught("reading what is to be removed", &err)
	type removed struct {
		p     base.PartitionID
		upTo  base.RaftIndex
		bytes int64
	}
	var all []removed
	written = func() {
		for _, r := range all {
			s.garbage.add(r.p, r.bytes, base.Offset(r.upTo)+1, s.sizeIfOpen(r.p))
		}
	}
	from, to := shardKey(kindDeferred, id), deferredEnd(id, index)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return nil, s.readError("what is to be removed", err)
	}
	defer func() { err = errors.Join(err, s.readError("what is to be removed", it.Close())) }()
	for ok := it.First(); ok; ok = it.Next() {
		k := it.Key()
		if len(k) != deferredKeyLen {
			return nil, &CorruptLogError{Shard: id, Cause: errors.New("key of a deferred removal cannot be decoded")}
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return nil, s.readError("what is to be removed", err)
		}
		d := varintDecoder{b: v}
		r := removed{bytes: int64(d.uvarint(math.MaxInt64))}
		if d.bad {
			return nil, &CorruptLogError{Shard: id, Cause: errors.New("deferred removal cannot be decoded")}
		}
		position := base.RaftIndex(binary.BigEndian.Uint64(k[9:]))
		p := base.PartitionID(binary.BigEndian.Uint64(k[17:]))
		switch k[25] {
		case deferredOne:
			err = b.Delete(positionKey(p, position), nil)
		case deferredAll:
			err = b.DeleteRange(positionKey(p, 0), positionKey(p, position+1), nil)
		default:
			err = &CorruptLogError{Shard: id, Cause: errors.New("deferred removal of an unknown kind")}
		}
		// Only what is seen: one may be deferred between the look and the write.
		if err = errors.Join(err, b.Delete(k, nil)); err != nil {
			return nil, err
		}
		r.p, r.upTo = p, position
		all = append(all, r)
	}
	return written, nil
}

// sizeIfOpen is what a partition that is in memory stores.
func (s *Store) sizeIfOpen(id base.PartitionID) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.partitions[id]; p != nil {
		return p.SizeBytes()
	}
	return 0
}

// deferRemoval adds a removal that waits for the Raft log.
func deferRemoval(b *pebble.Batch, id base.ShardID, position base.RaftIndex, p base.PartitionID, what byte, bytes int64) error {
	return b.Set(deferredKey(id, position, p, what), binary.AppendUvarint(nil, uint64(max(0, bytes))), nil)
}

// DeferredBytes returns about how many bytes of a shard's partitions are to be removed
// once its Raft log has moved on.
func (s *Store) DeferredBytes(id base.ShardID) (total int64, err error) {
	if err := s.beginRead(); err != nil {
		return 0, err
	}
	defer s.endRead()
	defer s.caught("reading what is to be removed", &err)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: shardKey(kindDeferred, id), UpperBound: shardEnd(kindDeferred, id)})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		if n, k := binary.Uvarint(it.Value()); k > 0 {
			total += int64(n)
		}
	}
	return total, it.Error()
}
