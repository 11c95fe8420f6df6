package store

import (
	"bytes"
	"errors"
	"fmt"
	"sort"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/recordbatch"
)

// Fetch is the result of a Read. It may be used again; the bytes of an earlier
// Read stay valid.
type Fetch struct {
	// Batches are whole batches in offset order. The first may begin below the
	// offset that was asked for. They must not be written to.
	Batches [][]byte
	// Bytes is the sum of their lengths.
	Bytes int
	// HighWatermark and LogStart are as of the read.
	HighWatermark base.Offset
	LogStart      base.Offset

	// Alloc gives memory of n bytes for batches that are read from disk. What is in it
	// does not matter. Nil is fresh memory; a caller that is done with the batches at some
	// point may have it used again.
	Alloc func(n int) []byte
}

// alloc returns memory of n bytes with any content.
func (f *Fetch) alloc(n int) []byte {
	if f.Alloc != nil {
		return f.Alloc(n)
	}
	return make([]byte, n)
}

// keep copies a batch that was read from disk. arena is what small ones share.
func (f *Fetch) keep(v []byte, arena *[]byte) []byte {
	switch {
	case len(v) >= cloneBytes && f.Alloc == nil:
		return bytes.Clone(v) // not zeroed before
	case len(v) >= cloneBytes:
		b := f.Alloc(len(v))
		return b[:copy(b, v):len(v)]
	case cap(*arena)-len(*arena) < len(v):
		*arena = f.alloc(arenaBytes)[:0]
	}
	n := len(*arena)
	*arena = append(*arena, v...)
	return (*arena)[n:len(*arena):len(*arena)]
}

// Read finds the batches from the one that holds offset from on, up to the high
// watermark and to about maxBytes; at least one batch if there is one. At the
// high watermark it returns no batch and no error. Outside of [LogStart,
// HighWatermark] it returns an *OffsetOutOfRangeError, for a damaged batch a
// *CorruptBatchError, beside the batches before it.
//
// Recent batches come from memory and are shared with other readers; older ones
// are read from disk into fresh memory, or that of f.Alloc.
func (p *Partition) Read(f *Fetch, from base.Offset, maxBytes int) (err error) {
	f.Batches, f.Bytes = f.Batches[:0], 0
	if err := p.store.beginRead(); err != nil {
		return err
	}
	defer p.store.endRead()
	defer p.caught(&err)
	f.HighWatermark, f.LogStart = p.HighWatermark(), p.LogStart()
	if from < f.LogStart || from > f.HighWatermark {
		return p.outOfRange(from)
	}
	if from == f.HighWatermark {
		if p.isDropped() {
			return ErrPartitionDropped
		}
		return nil
	}
	found, err := p.readTail(f, from, maxBytes)
	if found {
		p.store.counters.tailHits.Add(1)
	}
	if err != nil || found {
		return err
	}
	p.store.counters.tailMisses.Add(1)
	if err := p.readDisk(f, from, maxBytes); err != nil {
		return err
	}
	// A trim that came between may have removed what was asked for: the log
	// start moves before the data goes, so this look is decisive.
	if f.LogStart = p.LogStart(); from < f.LogStart {
		f.Batches, f.Bytes = f.Batches[:0], 0
		return p.outOfRange(from)
	}
	return nil
}

func (p *Partition) outOfRange(from base.Offset) error {
	if p.isDropped() {
		return ErrPartitionDropped
	}
	return &OffsetOutOfRangeError{Partition: p.id, Offset: from, LogStart: p.LogStart(), HighWatermark: p.HighWatermark()}
}

func (p *Partition) isDropped() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.dropped
}

// readTail takes what is in memory; found is false when the offset is older.
func (p *Partition) readTail(f *Fetch, from base.Offset, maxBytes int) (found bool, err error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.dropped {
		return false, ErrPartitionDropped
	}
	for _, b := range p.tail.find(from) {
		// A batch is pushed before the high watermark moves past it.
		if b.base >= f.HighWatermark || (f.Bytes > 0 && f.Bytes+len(b.bytes) > maxBytes) {
			break
		}
		f.Batches = append(f.Batches, b.bytes)
		f.Bytes += len(b.bytes)
	}
	return len(f.Batches) > 0, nil
}

const (
	// cloneBytes is from where on a batch read from disk gets memory of its own,
	// which need not be zeroed first; smaller ones share pieces of arenaBytes.
	cloneBytes = 16 << 10
	arenaBytes = 64 << 10
)

// readDisk reads from Pebble and checks every batch.
func (p *Partition) readDisk(f *Fetch, from base.Offset, maxBytes int) (err error) {
	if p.sh != nil {
		return p.readReplicated(f, from, maxBytes)
	}
	it, err := p.store.db.NewIter(&pebble.IterOptions{
		LowerBound: entryKey(kindData, p.id, 0),
		UpperBound: entryKey(kindData, p.id, f.HighWatermark),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()

	// A consumer that goes on where it stopped asks for a base offset.
	key := entryKey(kindData, p.id, from)
	ok := it.SeekGE(key)
	if !ok || entryOffset(it.Key()) != from {
		if ok = it.SeekLT(key); !ok {
			ok = it.First()
		}
	}
	var arena []byte
	for ; ok; ok = it.Next() {
		at := entryOffset(it.Key())
		v, err := it.ValueAndErr()
		if err != nil {
			return p.readError(at, err)
		}
		h, err := recordbatch.Verify(v)
		if err != nil {
			return p.readError(at, err)
		}
		if h.BaseOffset != at {
			return &CorruptBatchError{p.id, at, fmt.Errorf("the batch says base offset %d", h.BaseOffset)}
		}
		if h.LastOffset() < from {
			continue
		}
		if f.Bytes > 0 && f.Bytes+len(v) > maxBytes {
			break
		}
		f.Bytes += len(v)
		f.Batches = append(f.Batches, f.keep(v, &arena))
	}
	return it.Error()
}

// readError makes an error about one batch. Damage that Pebble's own checksums
// found is told like damage that ours found, and so is a batch of a kind that
// none was when it was stored.
func (p *Partition) readError(at base.Offset, err error) error {
	if pebble.IsCorruptionError(err) || errors.Is(err, recordbatch.ErrCorrupt) ||
		errors.Is(err, recordbatch.ErrUnsupportedMagic) || errors.Is(err, recordbatch.ErrUnsupportedCodec) {
		return &CorruptBatchError{Partition: p.id, Offset: at, Cause: err}
	}
	return fmt.Errorf("reading the batch at offset %d: %w", at, err)
}

// caught, deferred, makes an error of a panic of Pebble.
func (p *Partition) caught(err *error) {
	if r := recover(); r != nil {
		*err = errors.Join(*err, fmt.Errorf("reading from %s: %w: %v", p.store.opts.Dir, ErrCorrupt, r))
	}
}

// OffsetForTime finds the first batch that may hold a record with a timestamp
// of at least ms: it returns the batch's base offset, or found=false when every
// record is older. The records before the batch are all older; the caller looks
// into it, and those behind it, for the record itself (ListOffsets by
// timestamp): what reached ms may have been compacted away.
func (p *Partition) OffsetForTime(ms int64) (at base.Offset, found bool, err error) {
	if err := p.store.beginRead(); err != nil {
		return 0, false, err
	}
	defer p.store.endRead()
	defer p.caught(&err)
	lo, hi := p.LogStart(), p.HighWatermark()
	defer p.steady(&err)()
	if err != nil {
		return 0, false, err
	}
	it, err := p.store.db.NewIter(&pebble.IterOptions{
		LowerBound: entryKey(kindIndex, p.id, 0),
		UpperBound: entryKey(kindIndex, p.id, hi),
	})
	if err != nil {
		return 0, false, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()

	var e indexEntry
	var bad error
	key := entryKey(kindIndex, p.id, 0)
	// Entries hold the highest timestamp so far, which never falls, so that
	// "some entry at or after this offset, and the first of them, reaches ms"
	// is monotone over offsets.
	span := int(hi - lo)
	i := sort.Search(span, func(i int) bool {
		if bad != nil {
			return true
		}
		putEntryKey(key, kindIndex, p.id, lo+base.Offset(i))
		if !it.SeekGE(key) {
			return true
		}
		if err := e.decode(it.Value()); err != nil {
			bad = &CorruptBatchError{p.id, entryOffset(it.Key()), err}
			return true
		}
		return e.maxTimestamp >= ms
	})
	if bad != nil {
		return 0, false, bad
	}
	// The log may start inside a batch; that one is found from before.
	putEntryKey(key, kindIndex, p.id, lo+base.Offset(i))
	if i == 0 && it.SeekLT(key) {
		if err := e.decode(it.Value()); err != nil {
			return 0, false, &CorruptBatchError{p.id, entryOffset(it.Key()), err}
		}
		at := entryOffset(it.Key())
		if at+base.Offset(e.lastOffsetDelta) >= lo && e.maxTimestamp >= ms {
			return at, true, nil
		}
	}
	if !it.SeekGE(key) {
		return 0, false, it.Error()
	}
	if err := e.decode(it.Value()); err != nil {
		return 0, false, &CorruptBatchError{p.id, entryOffset(it.Key()), err}
	}
	return entryOffset(it.Key()), e.maxTimestamp >= ms, nil
}
