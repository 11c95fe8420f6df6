package store

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leatlog/leat/internal/base"
)

// TrimTo moves the log start to the given offset and frees the batches that lie
// wholly below it. It never moves the log start back; above the high watermark
// it returns an *OffsetOutOfRangeError and changes nothing. When it returns, the
// new log start is durable.
func (p *Partition) TrimTo(to base.Offset) error {
	_, err := p.Trim(to)
	return err
}

// TrimStats is what a trim did.
type TrimStats struct {
	From, To base.Offset // the log start before and after
	// Bytes and Records are those of the batches that went. A batch that the log
	// start now lies in is not among them.
	Bytes, Records int64
}

// Trim is TrimTo that tells what it did. A replicated partition is trimmed by a
// command of its shard only: ErrReplicated.
func (p *Partition) Trim(to base.Offset) (TrimStats, error) {
	p.maintenance.Lock()
	defer p.maintenance.Unlock()
	from := p.LogStart()
	none := TrimStats{From: from, To: from}
	if p.sh != nil {
		return none, ErrReplicated
	}
	if to <= from {
		return none, p.store.usable()
	}
	if to > p.HighWatermark() {
		return none, p.outOfRange(to)
	}
	// Nothing below the high watermark is added while maintenance is held, so
	// what goes can be counted outside of the commit.
	cut := to
	var bytes, records uint64
	err := p.scanIndex(0, to, func(at base.Offset, e *indexEntry) bool {
		if at+base.Offset(e.lastOffsetDelta) >= to {
			cut = at
			return false
		}
		bytes += uint64(e.size)
		records += uint64(e.records)
		return true
	})
	if err != nil {
		return none, err
	}
	err = p.change(func(b *pebble.Batch, st *partitionState) error {
		st.logStart = to
		st.bytesRemoved += bytes
		st.recordsRemoved += records
		st.compactedTo = max(st.compactedTo, to)
		// Readers must see the new start before the data goes; see Read.
		p.logStart.Store(int64(to))
		return errors.Join(
			b.DeleteRange(entryKey(kindData, p.id, 0), entryKey(kindData, p.id, cut), nil),
			b.DeleteRange(entryKey(kindIndex, p.id, 0), entryKey(kindIndex, p.id, cut), nil),
			// The idempotence state outlives the index entries it came from.
			p.snapshotProducers(b),
		)
	}, nil)
	if err != nil {
		return none, err
	}
	p.store.garbage.add(p.id, int64(bytes), to, p.SizeBytes())
	return TrimStats{From: from, To: to, Bytes: int64(bytes), Records: int64(records)}, nil
}

// change commits a change of the partition together with its state record. fn
// runs alone, see task.build; published, if set, runs with p.mu held once the
// change is durable.
func (p *Partition) change(fn func(b *pebble.Batch, st *partitionState) error, published func()) error {
	var bytesRemoved, recordsRemoved int64
	var compactedTo base.Offset
	t := &task{
		wake: make(chan signal, 1),
		build: func(b *pebble.Batch) error {
			if p.app.dropped {
				return ErrPartitionDropped
			}
			st := p.app.partitionState
			if err := fn(b, &st); err != nil {
				return err
			}
			if err := b.Set(partitionKey(kindState, p.id), st.encode(), nil); err != nil {
				return err
			}
			bytesRemoved = p.app.stored() - st.stored()
			recordsRemoved = int64(st.recordsRemoved - p.app.recordsRemoved)
			compactedTo = st.compactedTo
			p.app.partitionState = st
			return nil
		},
		hooks: AppendHooks{Published: func() {
			p.bytes.Add(-bytesRemoved)
			p.records.Add(-recordsRemoved)
			p.compactedTo.Store(int64(compactedTo))
			p.mu.Lock()
			if published != nil {
				published()
			}
			p.wakeLocked()
			p.mu.Unlock()
		}},
	}
	if p.sh != nil {
		return p.changeReplicated(t)
	}
	return p.store.commit(t)
}

// changeReplicated makes a change of this replica alone, between two Applies. It
// is not durable when it returns, but before anything that is written later is.
func (p *Partition) changeReplicated(t *task) error {
	if err := p.store.beginRead(); err != nil {
		return err
	}
	defer p.store.endRead()
	p.sh.mu.Lock()
	defer p.sh.mu.Unlock()
	before := p.app.partitionState
	if err := p.store.writeRaft(false, t.build); err != nil {
		p.app.partitionState = before
		return err
	}
	t.hooks.Published()
	return nil
}

// ExpiredBefore returns the offset up to which every record is older than the
// given timestamp in ms: what retention.ms removes. It is never above the high
// watermark.
func (p *Partition) ExpiredBefore(ms int64) (base.Offset, error) {
	at, found, err := p.OffsetForTime(ms)
	if err != nil {
		return 0, err
	}
	if !found {
		return p.HighWatermark(), nil
	}
	return max(at, p.LogStart()), nil
}

// OffsetForSize returns the lowest offset from which on the partition takes at
// most limit bytes: what retention.bytes removes lies below. As Kafka does, it
// keeps a batch that would bring the size below the limit.
func (p *Partition) OffsetForSize(limit int64) (base.Offset, error) {
	over := p.SizeBytes() - limit
	to := p.LogStart()
	if over <= 0 {
		return to, nil
	}
	err := p.scanIndex(0, p.HighWatermark(), func(at base.Offset, e *indexEntry) bool {
		if over -= int64(e.size); over < 0 {
			return false
		}
		to = max(to, at+base.Offset(e.lastOffsetDelta)+1)
		return over > 0
	})
	return to, err
}

// scanIndex calls fn for the entries with base offsets in [lo, hi) until it
// returns false. The entry is fn's until it returns.
func (p *Partition) scanIndex(lo, hi base.Offset, fn func(at base.Offset, e *indexEntry) bool) (err error) {
	if err := p.store.beginRead(); err != nil {
		return err
	}
	defer p.store.endRead()
	defer p.caught(&err)
	defer p.steady(&err)()
	if err != nil {
		return err
	}
	it, err := p.store.db.NewIter(&pebble.IterOptions{
		LowerBound: entryKey(kindIndex, p.id, lo),
		UpperBound: entryKey(kindIndex, p.id, hi),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	var e indexEntry
	for ok := it.First(); ok; ok = it.Next() {
		at := entryOffset(it.Key())
		v, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("reading the index entry of offset %d: %w", at, err)
		}
		if err := e.decode(v); err != nil {
			return &CorruptBatchError{p.id, at, err}
		}
		if !fn(at, &e) {
			return nil
		}
	}
	return it.Error()
}
