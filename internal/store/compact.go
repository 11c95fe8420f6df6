package store

import (
	"context"
	"errors"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/recordbatch"
)

const defaultCompactMemoryBytes = 32 << 20

// CompactOptions says what a compaction may remove and what it may use.
type CompactOptions struct {
	// Now is the time in ms since 1970; 0 means the store's clock.
	Now int64
	// MinLag keeps what was appended within that time out of it
	// (min.compaction.lag.ms): compaction ends before the first batch that has,
	// or follows, a record younger than that. Default none.
	MinLag time.Duration
	// DeleteRetention is for how long a tombstone stays after the compaction
	// that first saw it (delete.retention.ms, KIP-534). 0 lets the next
	// compaction remove it.
	DeleteRetention time.Duration
	// MemoryBytes bounds the map of keys (log.cleaner.dedupe.buffer.size), which
	// takes 36 bytes a key; a log with more keys takes several rounds. A single
	// batch with more keys than fit makes it larger. Default 32 MiB.
	MemoryBytes int64
	// BytesPerSecond bounds what is read and written
	// (log.cleaner.io.max.bytes.per.second). 0 means no bound.
	BytesPerSecond int64
}

func (o CompactOptions) withDefaults(c base.Clock) CompactOptions {
	if o.Now == 0 {
		o.Now = c.Now().UnixMilli()
	}
	if o.MemoryBytes <= 0 {
		o.MemoryBytes = defaultCompactMemoryBytes
	}
	return o
}

// CompactStats is what a compaction did.
type CompactStats struct {
	Rounds           int   // passes over the log
	BytesRead        int64 // in all of them
	BytesWritten     int64 // batches that were rewritten
	BatchesRewritten int64
	BatchesRemoved   int64
	RecordsRemoved   int64 // tombstones and records without key included
	BytesRemoved     int64 // by which the partition got smaller
	Tombstones       int64 // of the records removed: tombstones that had their time
	WithoutKey       int64 // of the records removed: those without a key
	// CompactedTo is the offset below which the partition is compacted now.
	CompactedTo base.Offset
}

// Compact keeps the last record of every key and removes those before it, over
// all that is durable and older than MinLag (cleanup.policy=compact). Offsets
// do not change, nor does the order; a batch keeps the offsets and sequences
// that it stood for, and goes when it has no record left, but for the last batch
// of the partition, which stays as a header without records, as in Kafka.
//
// A tombstone is a record with a null value; it is removed by the first
// compaction after DeleteRetention has passed since one first met it. A record
// without key is removed, which is what Kafka's cleaner does with what was
// produced before the topic became compacted. Control batches are left alone.
//
// Appends and reads go on; readers see old records until the piece that removes
// them is written. What an interrupted compaction did stays done: after an
// error, or a crash, the log is valid and compacted in part. One compaction of a
// partition runs at a time, others wait. The error is ctx's, ErrClosed, ErrFailed,
// ErrPartitionDropped, or a *CorruptBatchError for a batch that cannot be read.
func (p *Partition) Compact(ctx context.Context, o CompactOptions) (CompactStats, error) {
	p.compaction.Lock()
	defer p.compaction.Unlock()
	o = o.withDefaults(p.store.opts.Clock)
	c := &cleaner{
		p: p, o: o,
		unpack: recordbatch.NewDecompressor(0),
		pack:   new(recordbatch.Compressor),
		pace:   pacer{bytesPerSecond: o.BytesPerSecond},
	}
	err := c.run(ctx)
	p.store.garbage.add(p.id, c.stats.BytesRemoved+c.stats.BytesWritten, p.HighWatermark(), p.SizeBytes())
	c.stats.CompactedTo = p.CompactedTo()
	return c.stats, err
}

// CompactedTo is the offset below which compaction has seen every record.
func (p *Partition) CompactedTo() base.Offset { return base.Offset(p.compactedTo.Load()) }

// DirtyRatio is the share of the partition's bytes that was appended since the
// last compaction, from 0 to 1: what min.cleanable.dirty.ratio is compared with.
func (p *Partition) DirtyRatio() (float64, error) {
	var appended uint64
	err := p.lastIndex(func(e *indexEntry) { appended = e.bytesTotal })
	if err != nil {
		return 0, err
	}
	var dirty int64
	err = p.scanIndex(p.CompactedTo(), p.HighWatermark(), func(_ base.Offset, e *indexEntry) bool {
		dirty = int64(appended-e.bytesTotal) + int64(e.size)
		return false
	})
	total := p.SizeBytes()
	if err != nil || total <= 0 {
		return 0, err
	}
	// An interrupted compaction made some of the dirty batches smaller.
	return min(1, float64(dirty)/float64(total)), nil
}

// OldestDirty returns the highest timestamp, in ms, of the first batch that no
// compaction has seen: what max.compaction.lag.ms is compared with. found is
// false when there is none.
func (p *Partition) OldestDirty() (ms int64, found bool, err error) {
	err = p.scanBatches(p.CompactedTo(), p.HighWatermark(), func(b storedBatch) (bool, error) {
		ms, found = b.header.MaxTimestamp, true
		return false, nil
	})
	return ms, found, err
}

// lastIndex calls fn for the last index entry below the high watermark, if any.
func (p *Partition) lastIndex(fn func(e *indexEntry)) (err error) {
	if err := p.store.beginRead(); err != nil {
		return err
	}
	defer p.store.endRead()
	defer p.caught(&err)
	defer p.steady(&err)()
	if err != nil {
		return err
	}
	it, err := p.store.db.NewIter(p.bounds(kindIndex, 0, p.HighWatermark()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if it.Last() {
		var e indexEntry
		at := entryOffset(it.Key())
		if err := e.decode(it.Value()); err != nil {
			return &CorruptBatchError{p.id, at, err}
		}
		fn(&e)
	}
	return it.Error()
}
