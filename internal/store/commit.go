package store

import (
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/recordbatch"
)

const (
	// maxCommitBytes is where a commit stops taking more batches; one batch may
	// be larger.
	maxCommitBytes = 4 << 20
	// maxCommitsInFlight lets one commit be built while the one before it is
	// being fsynced.
	maxCommitsInFlight = 2
)

// AppendHooks are called on the way of an Append; each may be nil and none may
// block.
type AppendHooks struct {
	// Enqueued is called exactly once, when the order of the batches against
	// later calls is settled, also if the call is refused.
	Enqueued func()
	// Applied is called when the batches have their offsets and are handed to the
	// write-ahead log, before they are durable or readable (acks=1). It is not
	// called if writing failed.
	Applied func()
	// Published is called when they are durable and readable, in the order of
	// all commits. It is not called if writing failed.
	Published func()
}

// Append is one batch on its way into a partition.
type Append struct {
	Partition *Partition
	// Batch is sealed, and decoded in Header. It belongs to the store.
	Batch  []byte
	Header recordbatch.Header
	// Epoch is stamped as the batch's leader epoch.
	Epoch base.LeaderEpoch

	// BaseOffset is what the first record got; for a retry of a batch that is
	// already stored, what it got then.
	BaseOffset base.Offset
	// Duplicate says that the batch was there already and was not stored again.
	Duplicate bool
	// Err says why this batch was refused: a *SequenceError,
	// ErrPartitionDropped, ErrReplicated or recordbatch.ErrInvalidRecord for numbers that
	// cannot be. The other batches of the call are not affected.
	Err error
}

// task is what a commit is made of: batches to append, or another change.
type task struct {
	appends []*Append
	// build adds a change to the commit. It runs alone, after everything that
	// was committed before, and sees all of that. On an error it must have added
	// nothing.
	build func(b *pebble.Batch) error
	// update says that build reads settings of the database, which must hold what
	// the update before wrote: a commit has one of them at most.
	update bool
	hooks  AppendHooks

	err  error
	wake chan signal // of capacity 1: one signal lead at most, then one done
}

func (h *AppendHooks) enqueued() {
	if h.Enqueued != nil {
		h.Enqueued()
	}
}

type signal int8

const (
	signalLead signal = iota
	signalDone
)

// committer makes commits out of tasks. There is no goroutine of its own: the
// caller whose task is the oldest becomes the leader, takes along what waits,
// writes it, and hands the lead over before it waits for its fsync.
//
// The interleaving to mind: commit 2 may learn of its fsync before commit 1,
// although the log's order made both durable. A commit therefore publishes only
// after the one before it has, through the chain of done channels; so the high
// watermark never skips and tasks complete in commit order.
type committer struct {
	mu       sync.Mutex
	idle     sync.Cond // on mu: no task waits and no commit is under way
	queue    []*task
	leading  bool
	inFlight int
	lastDone chan struct{} // closed when the newest commit has published

	// spare has tasks of Append that are done. Each Store has its own: one that was
	// made in a bubble of testing/synctest must not be used outside of it.
	spare sync.Pool
}

// Append stores batches, in order, and returns when they are durable. Batches
// that were refused carry their own Err; the returned error means that none of
// them may count as stored: ErrClosed or ErrFailed.
//
// Append may be called concurrently. Two calls for one partition are ordered
// as they enter; hooks.Enqueued tells when that is settled.
func (s *Store) Append(appends []*Append, hooks AppendHooks) error {
	t, ok := s.committer.spare.Get().(*task)
	if !ok {
		t = &task{wake: make(chan signal, 1)}
	}
	t.appends, t.hooks = appends, hooks
	err := s.commit(t)
	wake := t.wake
	*t = task{wake: wake}
	s.committer.spare.Put(t)
	return err
}

// commit runs a task and waits until it is durable.
func (s *Store) commit(t *task) error {
	c := &s.committer
	c.mu.Lock()
	if err := s.usable(); err != nil {
		c.mu.Unlock()
		t.hooks.enqueued()
		return err
	}
	c.queue = append(c.queue, t)
	lead := c.takeLeadLocked() != nil
	c.mu.Unlock()
	t.hooks.enqueued()
	if lead {
		s.lead()
		// The oldest task leads, so ours was in the commit just made.
		return t.err
	}
	if <-t.wake == signalLead {
		s.lead()
	}
	return t.err
}

// drain waits until the last commit has completed.
func (c *committer) drain() {
	c.mu.Lock()
	for c.leading || c.inFlight > 0 || len(c.queue) > 0 {
		c.idle.Wait()
	}
	c.mu.Unlock()
}

// takeLeadLocked makes the oldest task's caller the leader if nobody leads and
// a commit may start; it returns that task.
func (c *committer) takeLeadLocked() *task {
	if c.leading || len(c.queue) == 0 || c.inFlight >= maxCommitsInFlight {
		return nil
	}
	c.leading = true
	return c.queue[0]
}

// lead makes one commit out of what waits. The caller's task is the oldest.
func (s *Store) lead() {
	c := &s.committer
	c.mu.Lock()
	n, size, updated := 0, 0, false
	for n < len(c.queue) && (n == 0 || size < maxCommitBytes) {
		t := c.queue[n]
		if t.update && updated {
			break
		}
		updated = updated || t.update
		for _, a := range t.appends {
			size += len(a.Batch)
		}
		n++
	}
	tasks := make([]*task, n)
	copy(tasks, c.queue)
	rest := copy(c.queue, c.queue[n:])
	clear(c.queue[rest:])
	c.queue = c.queue[:rest]
	before := c.lastDone
	done := make(chan struct{})
	c.lastDone = done
	c.inFlight++
	c.mu.Unlock()

	b := s.newBatch()
	wrote, err := s.write(b, tasks)
	if err == nil {
		for _, t := range tasks {
			if t.hooks.Applied != nil && t.err == nil {
				t.hooks.Applied()
			}
		}
	}

	c.mu.Lock()
	c.leading = false
	next := c.takeLeadLocked()
	c.mu.Unlock()
	if next != nil {
		next.wake <- signalLead
	}

	handedOver := time.Now() // how fast the disk is, whatever the store's clock says
	if err == nil && wrote {
		if err = b.SyncWait(); err != nil {
			err = s.fail(fmt.Errorf("fsync of the write-ahead log: %w", err))
		}
	}
	if before != nil {
		<-before
	}
	// A commit that wrote nothing, or whose fsync succeeded after an earlier one
	// failed, is not better off than the earlier one; and Pebble is not told of a
	// failing fsync, see failStopFS.
	if err == nil {
		err = s.usableDisk()
	}
	if err == nil {
		s.publish(tasks)
		if wrote {
			s.counters.commits.Observe(int64(time.Since(handedOver)), int64(CommitLatencyUnit))
		}
	}
	s.releaseBatch(b, err)
	close(done)

	c.mu.Lock()
	c.inFlight--
	next = c.takeLeadLocked()
	if c.inFlight == 0 && next == nil {
		c.idle.Broadcast()
	}
	c.mu.Unlock()
	if next != nil {
		next.wake <- signalLead
	}
	for i, t := range tasks {
		if err != nil {
			t.err = err
		}
		if i > 0 {
			t.wake <- signalDone
		}
	}
}

// write builds the Pebble batch and applies it without waiting for its fsync.
// wrote is false when nothing came of the tasks; the batch itself does not tell,
// for Pebble takes the bytes of a large one.
func (s *Store) write(b *pebble.Batch, tasks []*task) (wrote bool, err error) {
	if err := s.usableDisk(); err != nil {
		return false, err
	}
	// Pebble panics where it cannot go on, with its locks held.
	applying := false
	defer func() {
		if r := recover(); r != nil {
			s.wedged.Store(applying)
			err = s.fail(fmt.Errorf("writing to the database: %v", r))
		}
	}()
	for _, t := range tasks {
		if t.build != nil {
			t.err = t.build(b)
		}
		for _, a := range t.appends {
			if err := a.Partition.append(b, a); err != nil {
				return false, s.fail(err)
			}
		}
	}
	if b.Empty() {
		return false, nil
	}
	applying = true
	if err := s.db.ApplyNoSyncWait(b, pebble.Sync); err != nil {
		return false, s.fail(fmt.Errorf("writing to the database: %w", err))
	}
	return true, s.usableDisk() // Pebble reports some failures through its logger only
}

// append adds one batch to the commit. Only the leader calls it.
func (p *Partition) append(b *pebble.Batch, a *Append) error {
	app := &p.app
	h := &a.Header
	if app.dropped {
		a.Err = ErrPartitionDropped
		return nil
	}
	if p.sh != nil {
		a.Err = ErrReplicated
		return nil
	}
	idempotent, err := checkNumbers(h, a.Epoch)
	if err != nil {
		a.Err = err
		return nil
	}
	span := h.LastOffsetDelta + 1
	if idempotent {
		retry, err := app.producers.check(p.id, h.ProducerID, h.ProducerEpoch, h.BaseSequence, span)
		if err != nil {
			a.Err = err
			return nil
		}
		if retry != nil {
			a.Duplicate, a.BaseOffset = true, retry.baseOffset
			return nil
		}
	}
	a.BaseOffset = app.next
	app.epoch = a.Epoch
	recordbatch.SetBaseOffset(a.Batch, a.BaseOffset)
	recordbatch.SetLeaderEpoch(a.Batch, a.Epoch)
	app.next += base.Offset(span)
	app.maxTimestamp = max(app.maxTimestamp, h.MaxTimestamp)
	app.bytesTotal += uint64(len(a.Batch))
	app.recordsTotal += uint64(h.NumRecords)

	op := b.SetDeferred(entryKeyLen, len(a.Batch))
	putEntryKey(op.Key, kindData, p.id, a.BaseOffset)
	copy(op.Value, a.Batch)
	if err := op.Finish(); err != nil {
		return err
	}
	e := indexEntry{
		lastOffsetDelta: h.LastOffsetDelta,
		records:         h.NumRecords,
		size:            int32(len(a.Batch)),
		epoch:           a.Epoch,
		maxTimestamp:    app.maxTimestamp,
		bytesTotal:      app.bytesTotal,
		recordsTotal:    app.recordsTotal,
		producerID:      recordbatch.NoProducerID,
	}
	if idempotent {
		e.producerID, e.producerEpoch, e.baseSequence = h.ProducerID, h.ProducerEpoch, h.BaseSequence
	}
	if err := p.setIndex(b, a.BaseOffset, &e); err != nil {
		return err
	}
	if idempotent {
		app.producers.record(h.ProducerID, h.ProducerEpoch, h.BaseSequence, span, a.BaseOffset, h.MaxTimestamp)
	}
	if app.sinceSnapshot++; app.sinceSnapshot >= producerSnapshotEvery {
		app.producers.expire(p.store.opts.Clock.Now().Add(-p.store.opts.ProducerIDExpiration).UnixMilli())
		return p.snapshotProducers(b)
	}
	return nil
}

// checkNumbers refuses a batch with numbers that cannot be, and tells whether it
// is idempotent: a marker of a transaction has a producer and no sequence (KIP-98).
func checkNumbers(h *recordbatch.Header, epoch base.LeaderEpoch) (idempotent bool, err error) {
	idempotent = h.ProducerID >= 0 && !h.IsControl()
	if h.LastOffsetDelta < 0 || h.LastOffsetDelta == math.MaxInt32 || epoch < -1 ||
		(idempotent && (h.ProducerEpoch < 0 || h.BaseSequence < 0)) {
		return false, fmt.Errorf("%w: last offset delta %d, leader epoch %d, producer %d with epoch %d and sequence %d",
			recordbatch.ErrInvalidRecord, h.LastOffsetDelta, epoch, h.ProducerID, h.ProducerEpoch, h.BaseSequence)
	}
	return idempotent, nil
}

// snapshotProducers writes the idempotence state down, so that no index entry
// that exists now is needed to make it again. Only the commit leader calls it.
func (p *Partition) snapshotProducers(b *pebble.Batch) error {
	p.app.sinceSnapshot = 0
	return b.Set(partitionKey(kindProducers, p.id), p.app.producers.encode(p.app.next), nil)
}

func (p *Partition) setIndex(b *pebble.Batch, at base.Offset, e *indexEntry) error {
	var buf [128]byte
	v := e.appendTo(buf[:0])
	op := b.SetDeferred(entryKeyLen, len(v))
	putEntryKey(op.Key, kindIndex, p.id, at)
	copy(op.Value, v)
	return op.Finish()
}

// publish lets readers see what became durable. One commit publishes at a time.
func (s *Store) publish(tasks []*task) {
	for _, t := range tasks {
		for _, a := range t.appends {
			if a.Err == nil && !a.Duplicate {
				a.Partition.publish(a)
			}
		}
		if t.hooks.Published != nil && t.err == nil {
			t.hooks.Published()
		}
	}
}

func (p *Partition) publish(a *Append) {
	last := a.BaseOffset + base.Offset(a.Header.LastOffsetDelta)
	p.publishBatch(tailBatch{base: a.BaseOffset, last: last, bytes: a.Batch}, &a.Header)
}

// publishBatch lets readers see a batch.
func (p *Partition) publishBatch(b tailBatch, h *recordbatch.Header) {
	p.mu.Lock()
	p.tail.push(b)
	p.hw.Store(int64(b.last) + 1)
	p.wakeLocked()
	p.mu.Unlock()
	p.bytes.Add(int64(len(b.bytes)))
	p.records.Add(int64(h.NumRecords))
	if h.MaxTimestamp > p.maxTime.Load() {
		p.maxTime.Store(h.MaxTimestamp)
	}
	p.store.counters.tailBytes.Store(p.store.tail.added(p, b))
	p.store.counters.appendedBatches.Add(1)
	p.store.counters.appendedRecords.Add(int64(h.NumRecords))
	p.store.counters.appendedBytes.Add(int64(len(b.bytes)))
}

// Tx is a change of settings and partitions that becomes durable as a whole.
type Tx struct {
	s         *Store
	b         *pebble.Batch
	ordered   []func()
	published []func()
}

// Update runs fn and stores what it did, all or nothing, and returns when that
// is durable. fn runs alone: no append and no other Update is between what it
// reads and what it writes; it must be short and must not call Append or Update.
// An error of fn undoes what it did and is returned as it is; so does a panic.
func (s *Store) Update(fn func(tx *Tx) error) error {
	tx := &Tx{s: s}
	return s.commit(&task{
		wake:   make(chan signal, 1),
		update: true,
		build: func(b *pebble.Batch) error {
			tx.b = s.db.NewBatch()
			err := tx.run(fn)
			if err == nil && !tx.b.Empty() {
				err = b.Apply(tx.b, nil)
			}
			if err == nil {
				for _, f := range tx.ordered {
					f()
				}
			}
			return errors.Join(err, tx.b.Close())
		},
		hooks: AppendHooks{Published: func() {
			for _, f := range tx.published {
				f()
			}
		}},
	})
}

// run calls fn; a panic of it is an error, so that the others of the commit do
// not suffer.
func (tx *Tx) run(fn func(tx *Tx) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic in an update: %v\n%s", r, debug.Stack())
		}
	}()
	return fn(tx)
}

// Get returns the setting of the given name.
func (tx *Tx) Get(name string) (value []byte, ok bool, err error) { return tx.s.Get(name) }

// Set writes a setting.
func (tx *Tx) Set(name string, value []byte) error { return tx.b.Set(metaKey(name), value, nil) }

// Delete removes a setting.
func (tx *Tx) Delete(name string) error { return tx.b.Delete(metaKey(name), nil) }

// OnDurable runs fn once the change is durable, before Update returns and
// before any later change is durable.
func (tx *Tx) OnDurable(fn func()) { tx.published = append(tx.published, fn) }

// DropPartition removes a partition with all that it holds. Appends and reads
// get ErrPartitionDropped from then on; the id must not be used again. A
// replicated one is removed by its shard only: ErrReplicated.
func (tx *Tx) DropPartition(p *Partition) error {
	if p.sh != nil {
		return ErrReplicated
	}
	for _, kind := range []byte{kindData, kindIndex, kindState, kindProducers} {
		if err := tx.b.DeleteRange(partitionKey(kind, p.id), partitionKey(kind, p.id+1), nil); err != nil {
			return err
		}
	}
	tx.ordered = append(tx.ordered, func() { p.app.dropped = true })
	tx.OnDurable(func() {
		p.mu.Lock()
		p.dropped = true
		p.tail = tailRing{}
		p.wakeLocked()
		p.mu.Unlock()
		tx.s.garbage.add(p.id, p.SizeBytes(), p.HighWatermark()+1, 0)
		tx.s.Forget(p)
	})
	return nil
}
