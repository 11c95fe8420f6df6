package store

import (
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/leatlog/leat/internal/base"
)

const (
	// sequenceWindow is how many batches of a producer are remembered; a retry
	// of one of them gets its first offset again (KIP-98).
	sequenceWindow = 5
	// maxProducersPerPartition bounds the idempotence state; beyond it the
	// producer that has been silent for longest is forgotten.
	maxProducersPerPartition = 10_000
	// producerSnapshotEvery is after how many batches of a partition the state
	// is written down, so that opening replays no more index entries than that.
	producerSnapshotEvery = 4096
)

// producedBatch is one batch of the window.
type producedBatch struct {
	firstSequence int32
	lastSequence  int32
	baseOffset    base.Offset
}

// producerEntry is what a partition remembers of one producer.
//
// Invariants: 1 <= count <= sequenceWindow; the batches [0, count) are in append
// order, the newest last.
type producerEntry struct {
	epoch         int16
	count         int8
	batches       [sequenceWindow]producedBatch
	lastTimestamp int64 // of the newest batch, ms
}

func (e *producerEntry) lastSequence() int32 { return e.batches[e.count-1].lastSequence }

func (e *producerEntry) push(b producedBatch) {
	if e.count == sequenceWindow {
		copy(e.batches[:], e.batches[1:])
		e.count--
	}
	e.batches[e.count] = b
	e.count++
}

// producerTable is the idempotence state of one partition.
type producerTable struct {
	entries map[int64]*producerEntry
}

// sequenceAfter returns the sequence n after s; it wraps from MaxInt32 to 0.
func sequenceAfter(s int32, n int32) int32 {
	return int32((int64(s) + int64(n)) & math.MaxInt32)
}

// check tells whether a batch may be appended. A retry that is remembered
// returns its entry of the window.
func (t *producerTable) check(p base.PartitionID, id int64, epoch int16, firstSequence, records int32) (retry *producedBatch, err error) {
	e := t.entries[id]
	if e == nil || e.count == 0 {
		return nil, nil // Kafka's rule: an unknown producer may begin anywhere
	}
	fail := func(rule error, expectedNext int32) error {
		return &SequenceError{Partition: p, ProducerID: id, Epoch: epoch, Sequence: firstSequence,
			ExpectedEpoch: e.epoch, ExpectedNext: expectedNext, Rule: rule}
	}
	next := sequenceAfter(e.lastSequence(), 1)
	switch {
	case epoch < e.epoch:
		return nil, fail(ErrInvalidProducerEpoch, next)
	case epoch > e.epoch:
		if firstSequence != 0 {
			return nil, fail(ErrOutOfOrderSequence, 0)
		}
		return nil, nil
	}
	last := sequenceAfter(firstSequence, records-1)
	for i := range e.count {
		if b := &e.batches[i]; b.firstSequence == firstSequence && b.lastSequence == last {
			return b, nil
		}
	}
	if firstSequence != next {
		return nil, fail(ErrOutOfOrderSequence, next)
	}
	return nil, nil
}

// record remembers an appended batch.
func (t *producerTable) record(id int64, epoch int16, firstSequence, records int32, at base.Offset, timestamp int64) {
	e := t.entries[id]
	if e == nil {
		if t.entries == nil {
			t.entries = make(map[int64]*producerEntry)
		}
		if len(t.entries) >= maxProducersPerPartition {
			t.forgetSilent()
		}
		e = &producerEntry{epoch: epoch}
		t.entries[id] = e
	}
	if epoch != e.epoch {
		e.epoch, e.count = epoch, 0
	}
	e.lastTimestamp = timestamp
	e.push(producedBatch{firstSequence: firstSequence, lastSequence: sequenceAfter(firstSequence, records-1), baseOffset: at})
}

// forgetSilent drops the producer whose newest batch is the oldest of all, the
// smallest id among equals, so that every replica drops the same.
func (t *producerTable) forgetSilent() {
	victim := int64(-1)
	for id, e := range t.entries {
		if victim < 0 || e.lastTimestamp < t.entries[victim].lastTimestamp ||
			(e.lastTimestamp == t.entries[victim].lastTimestamp && id < victim) {
			victim = id
		}
	}
	delete(t.entries, victim)
}

// expire drops what was silent since before the given time
// (producer.id.expiration.ms).
func (t *producerTable) expire(before int64) {
	for id, e := range t.entries {
		if e.lastTimestamp < before {
			delete(t.entries, id)
		}
	}
}

// replicatedProducerExpiration is for how long a replicated partition remembers a
// silent producer. It is not a setting: replicas that differed in it would differ
// in what they take for a retry.
const replicatedProducerExpiration = 24 * time.Hour

// forgetExpired forgets a producer that was silent for
// replicatedProducerExpiration when a command says that it is now, in ms. Every
// replica does so at the same commands, whenever expire came by last.
func (t *producerTable) forgetExpired(id, now int64) {
	if e := t.entries[id]; e != nil && e.lastTimestamp < now-replicatedProducerExpiration.Milliseconds() {
		delete(t.entries, id)
	}
}

const producersVersion = 1

var errProducerSnapshot = errors.New("producer snapshot cannot be decoded")

// encode writes the table as it was when the partition ended at next; equal
// tables give equal bytes.
func (t *producerTable) encode(next base.Offset) []byte {
	b := make([]byte, 0, 16+len(t.entries)*48)
	b = append(b, producersVersion)
	b = binary.AppendUvarint(b, uint64(next))
	b = binary.AppendUvarint(b, uint64(len(t.entries)))
	for _, id := range slices.Sorted(maps.Keys(t.entries)) {
		e := t.entries[id]
		b = binary.AppendUvarint(b, uint64(id))
		b = binary.AppendUvarint(b, uint64(e.epoch))
		b = binary.AppendVarint(b, e.lastTimestamp)
		b = append(b, byte(e.count))
		for _, x := range e.batches[:e.count] {
			b = binary.AppendUvarint(b, uint64(x.firstSequence))
			b = binary.AppendUvarint(b, uint64(x.lastSequence))
			b = binary.AppendUvarint(b, uint64(x.baseOffset))
		}
	}
	return b
}

// decode replaces the table; it returns the offset that the snapshot covers,
// exclusively.
func (t *producerTable) decode(b []byte) (base.Offset, error) {
	if len(b) == 0 || b[0] != producersVersion {
		return 0, errProducerSnapshot
	}
	d := varintDecoder{b: b[1:]}
	next := base.Offset(d.uvarint(math.MaxInt64))
	n := d.uvarint(maxProducersPerPartition)
	t.entries = make(map[int64]*producerEntry, min(n, uint64(len(d.b))))
	for range n {
		id := int64(d.uvarint(math.MaxInt64))
		e := &producerEntry{epoch: int16(d.uvarint(math.MaxInt16)), lastTimestamp: d.varint()}
		if d.bad || len(d.b) == 0 || d.b[0] == 0 || d.b[0] > sequenceWindow {
			return 0, errProducerSnapshot
		}
		e.count, d.b = int8(d.b[0]), d.b[1:]
		for i := range e.count {
			e.batches[i] = producedBatch{
				firstSequence: int32(d.uvarint(math.MaxInt32)),
				lastSequence:  int32(d.uvarint(math.MaxInt32)),
				baseOffset:    base.Offset(d.uvarint(math.MaxInt64)),
			}
		}
		t.entries[id] = e
	}
	if d.bad || len(d.b) != 0 {
		return 0, errProducerSnapshot
	}
	return next, nil
}
