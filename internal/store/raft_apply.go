package store

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/recordbatch"
)

// Apply collects what some entries of a shard's Raft log, that are committed,
// change in the shard's partitions. Commit makes all of it readable at once and
// moves the applied index along with it; Discard forgets it. One of the two must
// be called, and ends the Apply; Close of the Store waits for it.
//
// What comes of a command depends on the commands before it and on nothing else:
// not on this node's clock, on what was compacted here, or on which commands share
// an Apply. So every replica comes to the same.
//
// An Apply is used by one goroutine, and a shard has one at a time: a second
// BeginApply waits.
type Apply struct {
	s       *Store
	sh      *shard
	b       *pebble.Batch
	last    base.RaftIndex // position of the last batch
	touched map[base.PartitionID]*touched
	order   []*touched // as first touched
	batches []applied  // appended, in order
	err     error      // why it can only be discarded
	done    bool
}

// touched is a partition that an Apply changes.
type touched struct {
	p       *Partition
	created bool
	dropped bool
	trimmed bool

	bytesRemoved   uint64
	recordsRemoved uint64
	garbage        uint64      // of the bytes removed: what the Raft log does not keep
	garbageTo      base.Offset // see garbage.add
}

// applied is a batch on its way to the readers.
type applied struct {
	t        *touched
	tail     tailBatch
	header   recordbatch.Header
	position base.RaftIndex
}

// AppendCommand is a batch of a committed entry.
type AppendCommand struct {
	Partition base.PartitionID
	// Position is the index of the entry.
	Position base.RaftIndex
	// Batch is the entry's payload as SaveLog got it, decoded in Header. It is
	// copied.
	Batch  []byte
	Header recordbatch.Header
	// Epoch is that of the leader which proposed it. A batch never gets a lower
	// one than the batch before it.
	Epoch base.LeaderEpoch
	// NowMillis is what the leader took for the time, in ms since 1970. Producers
	// expire by it.
	NowMillis int64
	// Refuse, if not nil, is why the batch is refused whatever it is; Append returns
	// it.
	Refuse error
}

// BeginApply begins to apply entries behind the applied index. The error is
// ErrClosed, ErrFailed, ErrAppliedRegressed, or one of reading the shard's record.
func (s *Store) BeginApply(id base.ShardID) (*Apply, error) {
	if err := s.beginRead(); err != nil {
		return nil, err
	}
	sh, err := s.shard(id)
	if err == nil {
		err = errors.Join(sh.regressed, s.usableDisk())
	}
	if err == nil {
		err = s.markRaft()
	}
	if err != nil {
		s.endRead()
		return nil, err
	}
	if !sh.importing() { // it may take long
		sh.mu.Lock()
		if !sh.importing() {
			return &Apply{s: s, sh: sh, b: s.newRaftBatch(), last: base.RaftIndex(sh.applied.Load())}, nil
		}
		sh.mu.Unlock()
	}
	s.endRead()
	return nil, ErrShardImporting
}

// partition returns a partition of the shard, or ErrUnknownPartition. Other errors
// leave nothing but Discard.
func (a *Apply) partition(id base.PartitionID) (*touched, error) {
	if a.err != nil {
		return nil, a.err
	}
	if t := a.touched[id]; t != nil {
		if t.p.app.dropped {
			return nil, ErrUnknownPartition
		}
		return t, nil
	}
	p, _, err := a.s.lookup(id)
	if err != nil {
		return nil, a.broken(err)
	}
	if p == nil || p.sh != a.sh || p.app.dropped {
		return nil, ErrUnknownPartition
	}
	return a.touch(p), nil
}

func (a *Apply) touch(p *Partition) *touched {
	t := &touched{p: p}
	if a.touched == nil {
		a.touched = make(map[base.PartitionID]*touched)
	}
	a.touched[p.id] = t
	a.order = append(a.order, t)
	return t
}

func (a *Apply) broken(err error) error {
	a.err = errors.Join(a.err, err)
	return a.err
}

// CreatePartition adds an empty partition to the shard; one that the shard has
// already stays as it is. ErrPartitionExists is its result if the id belongs to
// another shard or to a partition that is not replicated; other errors leave
// nothing but Discard.
func (a *Apply) CreatePartition(id base.PartitionID) error {
	_, err := a.partition(id)
	if !errors.Is(err, ErrUnknownPartition) {
		return err
	}
	if a.touched[id] != nil {
		return ErrPartitionExists // dropped before: an id is not used again
	}
	if err := a.s.vacate(id); errors.Is(err, ErrPartitionExists) {
		return err
	} else if err != nil {
		return a.broken(err)
	}
	p := &Partition{id: id, store: a.s, sh: a.sh, hidden: true}
	p.app.shard, p.app.maxTimestamp = a.sh.id, -1
	p.publishTotals(&p.app.partitionState)
	a.s.mu.Lock()
	a.s.partitions[id] = p
	a.s.mu.Unlock()
	a.touch(p).created = true
	err = errors.Join(
		a.b.Set(partitionKey(kindState, id), p.app.encode(), nil),
		a.b.Set(memberKey(a.sh.id, id), []byte{memberVersion}, nil),
	)
	if err != nil {
		return a.broken(err)
	}
	return nil
}

// memberVersion is the value that says that a partition belongs to a shard.
const memberVersion = 1

// Append adds a batch to a partition and returns the offset of its first record;
// for a retry of a batch that is there already, the offset that it got then. A
// refused batch changes nothing, and its data is removed with its entry: a
// *SequenceError, ErrUnknownPartition, or recordbatch.ErrInvalidRecord for numbers
// that cannot be. ErrAppliedRegressed, for a position that was applied before, and
// other errors leave nothing but Discard.
func (a *Apply) Append(c AppendCommand) (at base.Offset, duplicate bool, err error) {
	if a.err != nil {
		return 0, false, a.err
	}
	if c.Position <= a.last {
		return 0, false, a.broken(a.regressed(c.Position))
	}
	a.last = c.Position
	at, duplicate, err = a.append(&c)
	if a.err == nil && (duplicate || err != nil) {
		if err := deferRemoval(a.b, a.sh.id, c.Position, c.Partition, deferredOne, int64(len(c.Batch))); err != nil {
			return 0, false, a.broken(err)
		}
	}
	return at, duplicate, err
}

func (a *Apply) regressed(to base.RaftIndex) error {
	return fmt.Errorf("%w: shard %d, entry %d after %d", ErrAppliedRegressed, a.sh.id, to, max(a.last, base.RaftIndex(a.sh.applied.Load())))
}

func (a *Apply) append(c *AppendCommand) (at base.Offset, duplicate bool, err error) {
	if c.Refuse != nil {
		return 0, false, c.Refuse
	}
	t, err := a.partition(c.Partition)
	if err != nil {
		return 0, false, err
	}
	p, h := t.p, &c.Header
	app := &p.app
	idempotent, err := checkNumbers(h, c.Epoch)
	if err != nil {
		return 0, false, err
	}
	if len(c.Batch) != h.Size() {
		return 0, false, fmt.Errorf("%w: %d bytes, the header says %d", recordbatch.ErrInvalidRecord, len(c.Batch), h.Size())
	}
	span := h.LastOffsetDelta + 1
	now := max(app.appendedAt, c.NowMillis)
	if idempotent {
		app.producers.forgetExpired(h.ProducerID, now)
		retry, err := app.producers.check(p.id, h.ProducerID, h.ProducerEpoch, h.BaseSequence, span)
		if err != nil {
			return 0, false, err
		}
		if retry != nil {
			return retry.baseOffset, true, nil
		}
	}
	at = app.next
	app.epoch = max(app.epoch, c.Epoch)
	app.appendedAt = now
	app.next += base.Offset(span)
	app.maxTimestamp = max(app.maxTimestamp, h.MaxTimestamp)
	app.bytesTotal += uint64(len(c.Batch))
	app.recordsTotal += uint64(h.NumRecords)
	e := indexEntry{
		lastOffsetDelta: h.LastOffsetDelta,
		records:         h.NumRecords,
		size:            int32(len(c.Batch)),
		epoch:           app.epoch,
		maxTimestamp:    app.maxTimestamp,
		bytesTotal:      app.bytesTotal,
		recordsTotal:    app.recordsTotal,
		producerID:      recordbatch.NoProducerID,
		position:        c.Position,
		appendedAt:      now,
	}
	if idempotent {
		e.producerID, e.producerEpoch, e.baseSequence = h.ProducerID, h.ProducerEpoch, h.BaseSequence
	}
	if err := p.setIndex(a.b, at, &e); err != nil {
		return 0, false, a.broken(err)
	}
	if idempotent {
		app.producers.record(h.ProducerID, h.ProducerEpoch, h.BaseSequence, span, at, now)
	}
	if app.sinceSnapshot++; app.sinceSnapshot >= producerSnapshotEvery {
		app.producers.expire(now - replicatedProducerExpiration.Milliseconds())
		if err := p.snapshotProducers(a.b); err != nil {
			return 0, false, a.broken(err)
		}
	}
	b := bytes.Clone(c.Batch)
	recordbatch.SetBaseOffset(b, at)
	recordbatch.SetLeaderEpoch(b, app.epoch)
	last := at + base.Offset(h.LastOffsetDelta)
	a.batches = append(a.batches, applied{t: t, tail: tailBatch{base: at, last: last, bytes: b}, header: *h, position: c.Position})
	return at, false, nil
}

// Trim moves the log start of a partition to an offset and returns where it is
// then: it does not move back. The batches wholly below go; their data does once
// the Raft log has no entry of theirs any more. Above the partition's end it is
// refused with an *OffsetOutOfRangeError, and ErrUnknownPartition is a result, too.
// Other errors leave nothing but Discard.
func (a *Apply) Trim(id base.PartitionID, to base.Offset) (logStart base.Offset, err error) {
	t, err := a.partition(id)
	if err != nil {
		return 0, err
	}
	app := &t.p.app
	if to <= app.logStart {
		return app.logStart, nil
	}
	if to > app.next {
		return 0, &OffsetOutOfRangeError{Partition: id, Offset: to, LogStart: app.logStart, HighWatermark: app.next}
	}
	if err := a.trim(t, to); err != nil {
		return 0, a.broken(err)
	}
	return to, nil
}

func (a *Apply) trim(t *touched, to base.Offset) error {
	p, app := t.p, &t.p.app
	cut := to
	var lastPosition base.RaftIndex
	var bytes, records, late uint64
	first := a.s.firstLogged(a.sh.id)
	// What is below the log start went with an earlier trim, which may be a part of
	// this Apply and not be seen by the scan.
	take := func(at, last base.Offset, position base.RaftIndex, size, n int32) bool {
		if last >= to {
			cut = at
			return false
		}
		if last >= app.logStart {
			bytes += uint64(size)
			records += uint64(n)
			if position >= first {
				late += uint64(size)
			}
			lastPosition = position
		}
		return true
	}
	whole := true
	err := p.scanIndex(0, to, func(at base.Offset, e *indexEntry) bool {
		whole = take(at, e.lastOffset(at), e.position, e.size, e.records)
		return whole
	})
	if err != nil {
		return err
	}
	for i := range a.batches {
		x := &a.batches[i]
		if whole && x.t == t && x.tail.base < to {
			whole = take(x.tail.base, x.tail.last, x.position, int32(len(x.tail.bytes)), x.header.NumRecords)
		}
	}
	app.logStart = to
	app.bytesRemoved += bytes
	app.recordsRemoved += records
	app.compactedTo = max(app.compactedTo, to)
	t.trimmed = true
	t.bytesRemoved += bytes
	t.recordsRemoved += records
	t.garbage += bytes - late
	t.garbageTo = max(t.garbageTo, to, base.Offset(lastPosition)+1)
	return errors.Join(
		a.b.DeleteRange(entryKey(kindIndex, p.id, 0), entryKey(kindIndex, p.id, cut), nil),
		a.removeData(p.id, lastPosition, first, int64(late)),
		// The idempotence state outlives the index entries it came from.
		p.snapshotProducers(a.b),
		a.b.Set(partitionKey(kindState, p.id), app.encode(), nil),
	)
}

// removeData removes the data of a partition up to a position, as far as the Raft
// log, which begins at first, has no entry of it any more, and the rest, which is
// of late bytes, when that is so.
func (a *Apply) removeData(id base.PartitionID, upTo, first base.RaftIndex, late int64) error {
	if upTo == 0 {
		return nil
	}
	err := a.b.DeleteRange(positionKey(id, 0), positionKey(id, min(upTo+1, first)), nil)
	if upTo >= first {
		err = errors.Join(err, deferRemoval(a.b, a.sh.id, upTo, id, deferredAll, late))
	}
	return err
}

// DropPartition removes a partition with all that it holds. Its id must not be
// used again. ErrUnknownPartition is a result; other errors leave nothing but
// Discard.
func (a *Apply) DropPartition(id base.PartitionID) error {
	t, err := a.partition(id)
	if err != nil {
		return err
	}
	t.dropped = true
	t.p.app.dropped = true
	for _, kind := range []byte{kindIndex, kindState, kindProducers} {
		err = errors.Join(err, a.b.DeleteRange(partitionKey(kind, id), partitionEnd(kind, id), nil))
	}
	if err = errors.Join(err, a.b.Delete(memberKey(a.sh.id, id), nil)); err != nil {
		return a.broken(err)
	}
	return nil
}

// Set writes a setting of the shard, which moves with its partitions.
func (a *Apply) Set(name string, value []byte) error {
	if a.err == nil {
		a.err = a.b.Set(shardSettingKey(a.sh.id, name), value, nil)
	}
	return a.err
}

// Delete removes a setting of the shard.
func (a *Apply) Delete(name string) error {
	if a.err == nil {
		a.err = a.b.Delete(shardSettingKey(a.sh.id, name), nil)
	}
	return a.err
}

// Commit writes what was collected, with the applied index, and makes it readable.
// It is not fsynced: a crash may take it, and then takes all that was written
// later as well. An index that is not above what is applied is
// ErrAppliedRegressed; on any error nothing is readable, and the Apply has ended.
func (a *Apply) Commit(applied base.RaftIndex) (err error) {
	if a.done {
		return errApplyEnded
	}
	if err = a.err; err == nil {
		err = a.s.usableDisk()
	}
	if err == nil && (applied < a.last || applied <= base.RaftIndex(a.sh.applied.Load())) {
		err = a.regressed(applied)
	}
	if err == nil {
		err = a.write(applied)
	}
	if err != nil {
		return errors.Join(err, a.discard())
	}
	a.publish()
	a.sh.applied.Store(uint64(applied))
	a.end()
	return nil
}

var errApplyEnded = errors.New("the Apply has ended")

func (a *Apply) write(index base.RaftIndex) error {
	for _, t := range a.order {
		// Readers must see the new start before the data goes; see Read.
		if t.trimmed {
			t.p.logStart.Store(int64(t.p.app.logStart))
		}
		if t.dropped {
			// Entries behind the drop may have brought more data for it.
			size, first := t.p.app.stored(), a.s.firstLogged(a.sh.id)
			if index < first {
				t.garbage = uint64(max(0, size))
			}
			if err := a.removeData(t.p.id, index, first, size); err != nil {
				return err
			}
		}
	}
	rec := shardRecord{applied: index}
	if err := a.b.Set(shardKey(kindShard, a.sh.id), rec.encode(), nil); err != nil {
		return err
	}
	return a.s.applyRaft(a.b, pebble.NoSync)
}

func (a *Apply) publish() {
	for i := range a.batches {
		x := &a.batches[i]
		if !x.t.dropped {
			x.t.p.publishBatch(x.tail, &x.header)
		}
	}
	a.s.mu.Lock()
	for _, t := range a.order {
		t.p.hidden = false
	}
	a.s.mu.Unlock()
	for _, t := range a.order {
		if t.trimmed || t.dropped {
			t.publishRemoval()
		}
	}
}

func (t *touched) publishRemoval() {
	p := t.p
	p.bytes.Add(-int64(t.bytesRemoved))
	p.records.Add(-int64(t.recordsRemoved))
	p.compactedTo.Store(int64(p.app.compactedTo))
	p.mu.Lock()
	if t.dropped {
		p.dropped = true
		p.tail = tailRing{}
	}
	p.wakeLocked()
	p.mu.Unlock()
	if t.dropped {
		p.store.garbage.add(p.id, int64(t.garbage), math.MaxInt64, 0)
		p.store.Forget(p)
		return
	}
	p.store.garbage.add(p.id, int64(t.garbage), t.garbageTo, p.SizeBytes())
}

// Discard ends the Apply without a change. The error is one of reading the
// partitions anew; the Store has failed then.
func (a *Apply) Discard() error {
	if a.done {
		return nil
	}
	return a.discard()
}

func (a *Apply) discard() (err error) {
	defer a.end()
	for _, t := range a.order {
		if t.created {
			a.s.Forget(t.p)
			continue
		}
		if err == nil && a.s.usableDisk() == nil {
			err = t.p.reload()
		}
	}
	if err != nil {
		return a.s.fail(fmt.Errorf("reading the partitions of shard %d anew: %w", a.sh.id, err))
	}
	return nil
}

func (a *Apply) end() {
	a.done = true
	a.s.releaseRaftBatch(a.b, a.s.usableDisk(), true)
	a.b = nil
	a.sh.mu.Unlock()
	a.s.endRead()
}
