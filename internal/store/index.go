package store

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/leatlog/leat/internal/base"
)

const (
	indexVersion = 1

	indexHasProducer = 1 << 0
	indexHasPosition = 1 << 1
)

var errIndexEntry = errors.New("index entry cannot be decoded")

// indexEntry describes one batch; its key holds the base offset.
type indexEntry struct {
	lastOffsetDelta int32
	records         int32 // in the batch as it is stored now
	size            int32 // bytes of the batch as it is stored now
	epoch           base.LeaderEpoch
	maxTimestamp    int64  // highest of the partition up to this batch, ms
	bytesTotal      uint64 // appended up to this batch, never reduced
	recordsTotal    uint64

	producerID    int64 // -1: none
	producerEpoch int16
	baseSequence  int32

	// Of a batch of a replicated partition; both are 0 otherwise.
	position   base.RaftIndex // where its data is
	appendedAt int64          // ms, the highest that the partition's commands said up to here
}

func (e *indexEntry) appendTo(b []byte) []byte {
	flags := byte(0)
	if e.producerID >= 0 {
		flags |= indexHasProducer
	}
	if e.position > 0 {
		flags |= indexHasPosition
	}
	b = append(b, indexVersion, flags)
	b = binary.AppendUvarint(b, uint64(e.lastOffsetDelta))
	b = binary.AppendUvarint(b, uint64(e.records))
	b = binary.AppendUvarint(b, uint64(e.size))
	b = binary.AppendUvarint(b, uint64(e.epoch+1))
	b = binary.AppendVarint(b, e.maxTimestamp)
	b = binary.AppendUvarint(b, e.bytesTotal)
	b = binary.AppendUvarint(b, e.recordsTotal)
	if e.producerID >= 0 {
		b = binary.AppendUvarint(b, uint64(e.producerID))
		b = binary.AppendUvarint(b, uint64(e.producerEpoch))
		b = binary.AppendUvarint(b, uint64(e.baseSequence))
	}
	if e.position > 0 {
		b = binary.AppendUvarint(b, uint64(e.position))
		b = binary.AppendVarint(b, e.appendedAt)
	}
	return b
}

func (e *indexEntry) decode(b []byte) error {
	if len(b) < 2 || b[0] != indexVersion || b[1]&^(indexHasProducer|indexHasPosition) != 0 {
		return errIndexEntry
	}
	flags := b[1]
	d := varintDecoder{b: b[2:]}
	e.lastOffsetDelta = int32(d.uvarint(1<<31 - 1))
	e.records = int32(d.uvarint(1<<31 - 1))
	e.size = int32(d.uvarint(1<<31 - 1))
	e.epoch = base.LeaderEpoch(int64(d.uvarint(1<<31)) - 1)
	e.maxTimestamp = d.varint()
	e.bytesTotal = d.uvarint(1<<63 - 1)
	e.recordsTotal = d.uvarint(1<<63 - 1)
	e.producerID, e.producerEpoch, e.baseSequence = -1, -1, -1
	if flags&indexHasProducer != 0 {
		e.producerID = int64(d.uvarint(1<<63 - 1))
		e.producerEpoch = int16(d.uvarint(1<<15 - 1))
		e.baseSequence = int32(d.uvarint(1<<31 - 1))
	}
	e.position, e.appendedAt = 0, 0
	if flags&indexHasPosition != 0 {
		e.position = base.RaftIndex(d.uvarint(math.MaxUint64))
		e.appendedAt = d.varint()
		d.bad = d.bad || e.position == 0
	}
	if d.bad || len(d.b) != 0 {
		return errIndexEntry
	}
	return nil
}

// varintDecoder reads varints until one is bad; what it returns then is 0.
type varintDecoder struct {
	b   []byte
	bad bool
}

// uvarint reads one that must not exceed limit.
func (d *varintDecoder) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > limit {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *varintDecoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

// partitionState is what a partition knows that its index entries cannot tell:
// where it begins, and the totals at the moment its prefix was removed.
// The floors hold when no index entry is left.
type partitionState struct {
	logStart       base.Offset
	next           base.Offset // no offset below is given out again
	maxTimestamp   int64
	bytesTotal     uint64 // appended, and by what compaction made batches larger
	recordsTotal   uint64
	bytesRemoved   uint64 // of bytesTotal, by retention, DeleteRecords and compaction
	recordsRemoved uint64
	compactedTo    base.Offset // the cleaner has seen every record below

	// epoch is the highest leader epoch of a batch. It is stored for replicated
	// partitions only, as what follows.
	epoch      base.LeaderEpoch
	shard      base.ShardID // 0: not replicated
	appendedAt int64        // ms, the highest of the commands that were accepted
}

// stored is the bytes of all batches.
func (s *partitionState) stored() int64 { return int64(s.bytesTotal - s.bytesRemoved) }

const (
	stateVersion           = 1
	stateVersionReplicated = 2
)

var errPartitionState = errors.New("partition state cannot be decoded")

func (s *partitionState) encode() []byte {
	b := make([]byte, 0, 1+11*binary.MaxVarintLen64)
	if s.shard == 0 {
		b = append(b, stateVersion)
	} else {
		b = append(b, stateVersionReplicated)
	}
	b = binary.AppendUvarint(b, uint64(s.logStart))
	b = binary.AppendUvarint(b, uint64(s.next))
	b = binary.AppendVarint(b, s.maxTimestamp)
	b = binary.AppendUvarint(b, s.bytesTotal)
	b = binary.AppendUvarint(b, s.recordsTotal)
	b = binary.AppendUvarint(b, s.bytesRemoved)
	b = binary.AppendUvarint(b, s.recordsRemoved)
	b = binary.AppendUvarint(b, uint64(s.compactedTo))
	if s.shard != 0 {
		b = binary.AppendUvarint(b, uint64(s.shard))
		b = binary.AppendUvarint(b, uint64(s.epoch+1))
		b = binary.AppendVarint(b, s.appendedAt)
	}
	return b
}

func (s *partitionState) decode(b []byte) error {
	if len(b) == 0 || (b[0] != stateVersion && b[0] != stateVersionReplicated) {
		return errPartitionState
	}
	d := varintDecoder{b: b[1:]}
	s.logStart = base.Offset(d.uvarint(1<<63 - 1))
	s.next = base.Offset(d.uvarint(1<<63 - 1))
	s.maxTimestamp = d.varint()
	s.bytesTotal = d.uvarint(1<<63 - 1)
	s.recordsTotal = d.uvarint(1<<63 - 1)
	s.bytesRemoved = d.uvarint(1<<63 - 1)
	s.recordsRemoved = d.uvarint(1<<63 - 1)
	s.compactedTo = base.Offset(d.uvarint(1<<63 - 1))
	s.epoch, s.shard, s.appendedAt = 0, 0, 0
	if b[0] == stateVersionReplicated {
		s.shard = base.ShardID(d.uvarint(math.MaxUint64))
		s.epoch = base.LeaderEpoch(int64(d.uvarint(1<<31)) - 1)
		s.appendedAt = d.varint()
		d.bad = d.bad || s.shard == 0
	}
	if d.bad || len(d.b) != 0 {
		return errPartitionState
	}
	return nil
}
