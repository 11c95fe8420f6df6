package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/recordbatch"
)

// A compaction changes the log in pieces. A piece ends when it has read or
// changed this much, so that neither an append nor a trim waits for long.
const (
	pieceReadBytes  = 8 << 20
	pieceWriteBytes = 1 << 20
	pieceEdits      = 2048
)

// cleaner is one run of Compact.
type cleaner struct {
	p      *Partition
	o      CompactOptions
	unpack *recordbatch.Decompressor
	pack   *recordbatch.Compressor
	pace   pacer
	stats  CompactStats

	keys      *keyMap
	limit     base.Offset // batches from here on are the Raft log's and stay as they are
	imports   uint64      // of the shard, when the run began
	end       base.Offset // this round sees the records below it
	logEnd    base.Offset // the batch that ends here is the last and stays
	snapshot  bool        // the idempotence state is written down behind all that goes
	bytesDone int64       // of the present piece
}

// edit is the change of one batch.
type edit struct {
	at    base.Offset
	batch []byte // nil: the batch goes
	entry indexEntry

	removedBytes   int32
	removedRecords int32
}

// storedBatch is a batch and its index entry. The bytes are valid only until
// the function that got it returns.
type storedBatch struct {
	at     base.Offset
	header recordbatch.Header
	bytes  []byte
	entry  *indexEntry
}

func (c *cleaner) run(ctx context.Context) error {
	upTo, err := c.cleanableEnd()
	if err != nil {
		return err
	}
	c.logEnd = c.p.HighWatermark()
	if c.p.sh != nil {
		c.imports = c.p.sh.imports.Load()
	}
	if c.limit, err = c.p.unloggedEnd(); err != nil {
		return err
	}
	upTo = min(upTo, c.limit)
	for from := c.p.CompactedTo(); from < upTo || c.stats.Rounds == 0; from = c.p.CompactedTo() {
		if err := c.round(ctx, from, max(from, upTo)); err != nil {
			return err
		}
		c.stats.Rounds++
	}
	return nil
}

// cleanableEnd returns the first offset that is too young.
func (c *cleaner) cleanableEnd() (base.Offset, error) {
	hw := c.p.HighWatermark()
	if c.o.MinLag <= 0 {
		return hw, nil
	}
	at, found, err := c.p.OffsetForTime(c.o.Now - c.o.MinLag.Milliseconds() + 1)
	if err != nil || !found {
		return hw, err
	}
	return min(at, hw), nil
}

// round notes the last offset of each key in [from, upTo), as far as the memory
// reaches, and then removes what is older from the whole log below that.
func (c *cleaner) round(ctx context.Context, from, upTo base.Offset) error {
	if err := c.note(ctx, from, upTo); err != nil {
		return err
	}
	for at := c.p.LogStart(); at < c.end; {
		next, err := c.piece(at)
		if err != nil {
			return err
		}
		at = next
		if err := c.pace.spent(ctx, c.bytesDone); err != nil {
			return err
		}
	}
	return c.p.change(func(_ *pebble.Batch, st *partitionState) error {
		st.compactedTo = max(st.compactedTo, c.end)
		return c.replaced()
	}, nil)
}

// replaced returns an error if a Raft snapshot replaced the partition since the
// run began: what was read is not there any more.
func (c *cleaner) replaced() error {
	if c.p.sh != nil && c.p.sh.imports.Load() != c.imports {
		return ErrShardImporting
	}
	return nil
}

// note fills the map and sets c.end.
func (c *cleaner) note(ctx context.Context, from, upTo base.Offset) error {
	c.keys = nil
	c.end = from
	var records uint64
	err := c.p.scanIndex(from, upTo, func(_ base.Offset, e *indexEntry) bool {
		records += uint64(e.records)
		return true
	})
	if err != nil {
		return err
	}
	c.keys = newKeyMap(records, c.o.MemoryBytes)
	for c.end < upTo {
		c.bytesDone = 0
		full := false
		err := c.p.scanBatches(c.end, upTo, func(b storedBatch) (bool, error) {
			if !c.keys.hasRoom(b.header.NumRecords) {
				if c.keys.used > 0 {
					full = true
					return false, nil
				}
				c.keys.grow(b.header.NumRecords)
			}
			c.bytesDone += int64(len(b.bytes))
			if err := c.noteBatch(&b); err != nil {
				return false, err
			}
			c.end = b.header.NextOffset()
			return c.bytesDone < pieceReadBytes, nil
		})
		if err != nil {
			return err
		}
		c.stats.BytesRead += c.bytesDone
		if full {
			return nil
		}
		if c.bytesDone == 0 {
			c.end = upTo // the rest was removed by compactions before
		}
		if err := c.pace.spent(ctx, c.bytesDone); err != nil {
			return err
		}
	}
	return nil
}

func (c *cleaner) noteBatch(b *storedBatch) error {
	if b.header.IsControl() {
		return nil
	}
	var it recordbatch.Iterator
	if err := it.Reset(b.bytes, c.unpack); err != nil {
		return c.p.readError(b.at, err)
	}
	for it.Next() {
		if r := it.Record(); r.Key != nil {
			c.keys.put(hashKey(r.Key), r.Offset)
		}
	}
	if err := it.Err(); err != nil {
		return c.p.readError(b.at, err)
	}
	return nil
}

// piece compacts from an offset on; it returns where the next piece begins.
// Trims wait for it, so that the batches it changes are there.
func (c *cleaner) piece(from base.Offset) (next base.Offset, err error) {
	p := c.p
	p.maintenance.Lock()
	defer p.maintenance.Unlock()
	var edits []edit
	var removed int
	var written int64
	c.bytesDone = 0
	next = c.end
	err = p.scanBatches(max(from, p.LogStart()), min(c.end, c.limit), func(b storedBatch) (bool, error) {
		c.bytesDone += int64(len(b.bytes))
		out, err := c.filter(&b)
		if err != nil {
			return false, err
		}
		if out != nil && len(out) == len(b.bytes) && &out[0] == &b.bytes[0] {
			next = b.header.NextOffset()
			return c.bytesDone < pieceReadBytes, nil
		}
		e := edit{at: b.at, batch: out, entry: *b.entry}
		e.entry.size, e.entry.records = int32(len(out)), 0
		if out == nil {
			removed++
		} else {
			h, err := recordbatch.ParseHeader(out)
			if err != nil {
				return false, p.readError(b.at, err)
			}
			e.entry.records = h.NumRecords
		}
		e.removedBytes = b.entry.size - e.entry.size
		e.removedRecords = b.entry.records - e.entry.records
		edits = append(edits, e)
		written += int64(len(out))
		next = b.header.NextOffset()
		return c.bytesDone < pieceReadBytes && written < pieceWriteBytes && len(edits) < pieceEdits, nil
	})
	if err != nil {
		return 0, err
	}
	if c.bytesDone == 0 {
		next = c.end
	}
	c.stats.BytesRead += c.bytesDone
	if len(edits) == 0 {
		return next, nil
	}
	if err := c.commit(edits, removed > 0); err != nil {
		return 0, err
	}
	c.bytesDone += written
	c.stats.BytesWritten += written
	c.stats.BatchesRemoved += int64(removed)
	c.stats.BatchesRewritten += int64(len(edits) - removed)
	for i := range edits {
		c.stats.BytesRemoved += int64(edits[i].removedBytes)
		c.stats.RecordsRemoved += int64(edits[i].removedRecords)
	}
	return next, nil
}

// filter returns the batch without the records that go, nil if none stays, and
// the batch itself if all do.
func (c *cleaner) filter(b *storedBatch) ([]byte, error) {
	h := &b.header
	if h.IsControl() {
		return b.bytes, nil
	}
	tombstonesGo := h.HasDeleteHorizon() && h.BaseTimestamp <= c.o.Now
	out, _, err := recordbatch.Filter(b.bytes, c.unpack, func(r *recordbatch.Record) bool {
		switch {
		case r.Key == nil:
			c.stats.WithoutKey++
			return false
		case c.keys.get(hashKey(r.Key)) > r.Offset:
			return false
		case r.Value == nil && tombstonesGo:
			c.stats.Tombstones++
			return false
		}
		return true
	}, recordbatch.FilterOptions{
		Compressor:    c.pack,
		DeleteHorizon: max(1, c.o.Now+c.o.DeleteRetention.Milliseconds()),
		KeepEmpty:     h.NextOffset() == c.logEnd,
	})
	if err != nil {
		return nil, c.p.readError(b.at, err)
	}
	return out, nil
}

// commit writes the changes of one piece, all or nothing.
func (c *cleaner) commit(edits []edit, removes bool) error {
	p := c.p
	return p.change(func(b *pebble.Batch, st *partitionState) error {
		if err := c.replaced(); err != nil {
			return err
		}
		for i := range edits {
			e := &edits[i]
			key, index := entryKey(kindData, p.id, e.at), entryKey(kindIndex, p.id, e.at)
			if p.sh != nil {
				if e.entry.lastOffset(e.at) < st.logStart {
					continue // a command trimmed it since it was read
				}
				key = positionKey(p.id, e.entry.position)
			}
			var err error
			if e.batch == nil {
				err = errors.Join(b.Delete(key, nil), b.Delete(index, nil))
			} else {
				err = errors.Join(b.Set(key, e.batch, nil), p.setIndex(b, e.at, &e.entry))
			}
			if err != nil {
				return err
			}
			if e.removedBytes >= 0 {
				st.bytesRemoved += uint64(e.removedBytes)
			} else { // got its delete horizon, which other deltas are counted from
				st.bytesTotal += uint64(-e.removedBytes)
			}
			st.recordsRemoved += uint64(e.removedRecords)
		}
		if removes && !c.snapshot {
			// The idempotence state is replayed from the index entries behind its
			// last snapshot, which must lie behind those that go. All that this run
			// removes was appended before now.
			c.snapshot = true
			return p.snapshotProducers(b)
		}
		return nil
	}, func() { p.tail.rewrite(edits) })
}

// scanBatches calls fn for the batches from the one that holds lo on up to hi
// until it returns false, with their checksum checked.
func (p *Partition) scanBatches(lo, hi base.Offset, fn func(b storedBatch) (bool, error)) (err error) {
	if err := p.store.beginRead(); err != nil {
		return err
	}
	defer p.store.endRead()
	defer p.caught(&err)
	if p.sh != nil {
		return p.scanReplicated(lo, hi, fn)
	}
	data, err := p.store.db.NewIter(p.bounds(kindData, 0, hi))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	// A clone sees what the other sees, whatever is trimmed in between.
	index, err := data.Clone(pebble.CloneOptions{IterOptions: p.bounds(kindIndex, 0, hi)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, index.Close()) }()
	ok := data.SeekLT(entryKey(kindData, p.id, lo+1)) || data.First()
	var e indexEntry
	for seek := true; ok; ok = data.Next() {
		at := entryOffset(data.Key())
		v, err := data.ValueAndErr()
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
		if h.NextOffset() <= lo {
			continue
		}
		found := false
		if seek {
			found = index.SeekGE(entryKey(kindIndex, p.id, at))
			seek = false
		} else {
			found = index.Next()
		}
		if !found || entryOffset(index.Key()) != at {
			return &CorruptBatchError{p.id, at, errors.Join(errors.New("the batch has no index entry"), index.Error())}
		}
		iv, err := index.ValueAndErr()
		if err == nil {
			err = e.decode(iv)
		}
		if err != nil {
			return &CorruptBatchError{p.id, at, err}
		}
		if more, err := fn(storedBatch{at: at, header: h, bytes: v, entry: &e}); err != nil || !more {
			return err
		}
	}
	return data.Error()
}

// bounds are those of the entries of one kind in [lo, hi).
func (p *Partition) bounds(kind byte, lo, hi base.Offset) *pebble.IterOptions {
	return &pebble.IterOptions{LowerBound: entryKey(kind, p.id, lo), UpperBound: entryKey(kind, p.id, hi)}
}
