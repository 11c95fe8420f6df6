package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leatlog/leat/internal/base"
)

// Peek is what can be told of a partition without opening it.
type Peek struct {
	LogStart      base.Offset
	HighWatermark base.Offset
	CompactedTo   base.Offset
	Bytes         int64 // as Partition.SizeBytes
	Records       int64 // as Partition.Records
	MaxTimestamp  int64 // as Partition.MaxTimestamp
	// OldestTimestamp bounds the partition's time from below: no index entry says
	// less, now or later, so that nothing expires before it does. It is in ms, and
	// -1 when it is not known or there is no batch.
	OldestTimestamp int64
}

// Peek calls fn for each of ids in turn; err is that of the one partition, such as
// a *CorruptBatchError. It costs a read of the state and two
// seeks in the index for each, and nothing stays in memory: opening a partition
// also reads its idempotence state. One that is open answers for itself, so that
// the high watermark is always that of what is durable.
func (s *Store) Peek(ids []base.PartitionID, fn func(i int, p Peek, err error)) (err error) {
	if err := s.beginRead(); err != nil {
		return err
	}
	defer s.endRead()
	defer s.caught("looking at partitions", &err)
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: entryKey(kindIndex, 0, 0),
		UpperBound: []byte{kindIndex + 1},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for i, id := range ids {
		p, err := s.peek(it, id)
		fn(i, p, err)
	}
	return nil
}

func (s *Store) peek(it *pebble.Iterator, id base.PartitionID) (Peek, error) {
	st := partitionState{maxTimestamp: -1}
	if v, ok, err := s.get(partitionKey(kindState, id)); err != nil {
		return Peek{}, err
	} else if ok {
		if err := st.decode(v); err != nil {
			return Peek{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
	}
	oldest := int64(-1)
	var e indexEntry
	decode := func() error {
		v, err := it.ValueAndErr()
		if err == nil {
			err = e.decode(v)
		}
		if err != nil {
			return &CorruptBatchError{id, entryOffset(it.Key()), err}
		}
		return nil
	}
	if it.SeekGE(entryKey(kindIndex, id, 0)) && entryPartition(it.Key()) == id {
		if err := decode(); err != nil {
			return Peek{}, err
		}
		oldest = e.maxTimestamp
		if it.SeekLT(entryKey(kindIndex, id+1, 0)) && entryPartition(it.Key()) == id {
			if err := decode(); err != nil {
				return Peek{}, err
			}
			st.next = max(st.next, entryOffset(it.Key())+base.Offset(e.lastOffsetDelta)+1)
			st.maxTimestamp = max(st.maxTimestamp, e.maxTimestamp)
			st.bytesTotal = max(st.bytesTotal, e.bytesTotal)
			st.recordsTotal = max(st.recordsTotal, e.recordsTotal)
		}
	}
	if err := it.Error(); err != nil {
		return Peek{}, fmt.Errorf("reading the index: %w", err)
	}

	// What was read may be of a commit that is not durable yet, but only if the
	// partition is open: it was opened before it was appended to.
	s.mu.Lock()
	p := s.partitions[id]
	s.mu.Unlock()
	if p != nil {
		return Peek{
			LogStart:        p.LogStart(),
			HighWatermark:   p.HighWatermark(),
			CompactedTo:     p.CompactedTo(),
			Bytes:           p.SizeBytes(),
			Records:         p.Records(),
			MaxTimestamp:    p.MaxTimestamp(),
			OldestTimestamp: oldest,
		}, nil
	}
	return Peek{
		LogStart:        st.logStart,
		HighWatermark:   st.next,
		CompactedTo:     st.compactedTo,
		Bytes:           st.stored(),
		Records:         int64(st.recordsTotal - st.recordsRemoved),
		MaxTimestamp:    st.maxTimestamp,
		OldestTimestamp: oldest,
	}, nil
}

// entryPartition returns the partition of an entry key.
func entryPartition(k []byte) base.PartitionID {
	return base.PartitionID(binary.BigEndian.Uint64(k[1:]))
}
