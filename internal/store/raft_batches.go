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

// batchJoin goes over the batches of a replicated partition in the order of their
// offsets: over the index, which says where each one's data is. Data that no index
// entry points to is passed over: of entries that are not applied yet, that were
// refused, or that are trimmed and wait to be removed.
type batchJoin struct {
	p     *Partition
	index *pebble.Iterator
	data  *pebble.Iterator
	at    base.Offset // of the batch it stands at
	entry indexEntry
	key   [entryKeyLen]byte
	ok    bool
	err   error
	found bool // data stands at a batch
}

// join opens a batchJoin over the batches with base offsets in [0, hi). It must
// be closed.
func (p *Partition) join(r pebble.Reader, hi base.Offset) (*batchJoin, error) {
	index, err := r.NewIter(p.bounds(kindIndex, 0, hi))
	if err != nil {
		return nil, err
	}
	// A clone sees what the other sees, whatever is removed in between.
	data, err := index.Clone(pebble.CloneOptions{IterOptions: &pebble.IterOptions{
		LowerBound: partitionKey(kindData, p.id), UpperBound: partitionEnd(kindData, p.id),
	}})
	if err != nil {
		return nil, errors.Join(err, index.Close())
	}
	return &batchJoin{p: p, index: index, data: data}, nil
}

// seek goes to the batch that holds an offset, or the first behind it.
func (j *batchJoin) seek(from base.Offset) bool {
	// The first that begins at from or before; it may end before, too.
	j.ok = j.index.SeekLT(entryKey(kindIndex, j.p.id, from+1)) || j.index.First()
	for j.load() && j.entry.lastOffset(j.at) < from {
		j.ok = j.index.Next()
	}
	return j.ok
}

// next goes on to the next batch.
func (j *batchJoin) next() bool {
	j.ok = j.index.Next()
	return j.load()
}

func (j *batchJoin) load() bool {
	if !j.ok {
		if err := j.index.Error(); err != nil {
			j.err = fmt.Errorf("reading the index: %w", err)
		}
		return false
	}
	j.at = entryOffset(j.index.Key())
	v, err := j.index.ValueAndErr()
	if err == nil {
		err = j.entry.decode(v)
	}
	if err == nil && j.entry.position == 0 {
		err = errors.New("the index entry has no position")
	}
	if err != nil {
		j.err = j.p.indexError(j.at, err)
		j.ok = false
	}
	return j.ok
}

// bytes returns the data of the batch, as it was proposed, with its checksum
// checked. It is valid until the join moves.
func (j *batchJoin) bytes() ([]byte, recordbatch.Header, error) {
	putEntryKey(j.key[:], kindData, j.p.id, base.Offset(j.entry.position))
	// Most often nothing lies between two batches.
	j.found = j.found && j.data.Next() && bytes.Equal(j.data.Key(), j.key[:])
	if !j.found {
		j.found = j.data.SeekGE(j.key[:]) && bytes.Equal(j.data.Key(), j.key[:])
	}
	if !j.found {
		if err := j.data.Error(); err != nil {
			return nil, recordbatch.Header{}, j.p.readError(j.at, err)
		}
		return nil, recordbatch.Header{}, &CorruptBatchError{j.p.id, j.at, fmt.Errorf("its data at position %d is missing", j.entry.position)}
	}
	v, err := j.data.ValueAndErr()
	if err != nil {
		return nil, recordbatch.Header{}, j.p.readError(j.at, err)
	}
	h, err := recordbatch.Verify(v)
	if err != nil {
		return nil, recordbatch.Header{}, j.p.readError(j.at, err)
	}
	if int(j.entry.size) != len(v) || j.entry.lastOffsetDelta != h.LastOffsetDelta {
		return nil, recordbatch.Header{}, &CorruptBatchError{j.p.id, j.at,
			fmt.Errorf("its data has %d bytes and last offset delta %d, the index entry says %d and %d",
				len(v), h.LastOffsetDelta, j.entry.size, j.entry.lastOffsetDelta)}
	}
	h.BaseOffset, h.LeaderEpoch = j.at, j.entry.epoch
	return v, h, nil
}

// stamp gives a copy of a batch's data what the index entry says; neither is a
// part of the checksum.
func (j *batchJoin) stamp(b []byte) {
	recordbatch.SetBaseOffset(b, j.at)
	recordbatch.SetLeaderEpoch(b, j.entry.epoch)
}

func (j *batchJoin) close() error { return errors.Join(j.data.Close(), j.index.Close()) }

// lastOffset is that of a batch which begins at the given offset.
func (e *indexEntry) lastOffset(at base.Offset) base.Offset {
	return at + base.Offset(e.lastOffsetDelta)
}

// indexError makes an error about the index entry of one batch.
func (p *Partition) indexError(at base.Offset, err error) error {
	return &CorruptBatchError{p.id, at, err}
}

// partitionEnd is behind all keys of a kind and a partition.
func partitionEnd(kind byte, p base.PartitionID) []byte {
	if p+1 == 0 {
		return []byte{kind + 1}
	}
	return partitionKey(kind, p+1)
}

// steady sets the error to ErrShardImporting if the partition is being replaced,
// and what it returns does if it was meanwhile: what was read is nothing to go by
// then.
func (p *Partition) steady(err *error) func() {
	if p.sh == nil {
		return func() {}
	}
	imports := p.sh.imports.Load()
	if imports%2 == 1 {
		*err = ErrShardImporting
	}
	return func() {
		if p.sh.imports.Load() != imports {
			*err = ErrShardImporting
		}
	}
}

// readReplicated is readDisk for a replicated partition.
func (p *Partition) readReplicated(f *Fetch, from base.Offset, maxBytes int) (err error) {
	defer p.steady(&err)()
	if err != nil {
		return err
	}
	j, err := p.join(p.store.db, f.HighWatermark)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	var arena []byte
	for ok := j.seek(from); ok; ok = j.next() {
		size := int(j.entry.size)
		if f.Bytes > 0 && f.Bytes+size > maxBytes {
			break
		}
		v, _, err := j.bytes()
		if err != nil {
			return err
		}
		b := f.keep(v, &arena)
		j.stamp(b)
		f.Batches = append(f.Batches, b)
		f.Bytes += size
	}
	return j.err
}

// scanReplicated is scanBatches for a replicated partition.
func (p *Partition) scanReplicated(lo, hi base.Offset, fn func(b storedBatch) (bool, error)) (err error) {
	defer p.steady(&err)()
	if err != nil {
		return err
	}
	j, err := p.join(p.store.db, hi)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	var scratch []byte
	for ok := j.seek(lo); ok; ok = j.next() {
		v, h, err := j.bytes()
		if err != nil {
			return err
		}
		scratch = append(scratch[:0], v...)
		j.stamp(scratch)
		if more, err := fn(storedBatch{at: j.at, header: h, bytes: scratch, entry: &j.entry}); err != nil || !more {
			return err
		}
	}
	return j.err
}

// unloggedEnd returns the offset below which no batch is an entry of the Raft log
// any more: what may be rewritten. It is above all offsets in a partition that is
// not replicated.
func (p *Partition) unloggedEnd() (end base.Offset, err error) {
	if p.sh == nil {
		return 1<<63 - 1, nil
	}
	if err := p.store.beginRead(); err != nil {
		return 0, err
	}
	defer p.store.endRead()
	defer p.caught(&err)
	first, hw := p.store.firstLogged(p.sh.id), p.HighWatermark()
	it, err := p.store.db.NewIter(p.bounds(kindIndex, 0, hw))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	var e indexEntry
	var bad error
	lo := p.LogStart()
	key := entryKey(kindIndex, p.id, 0)
	// Positions grow with offsets.
	i := sort.Search(int(hw-lo), func(i int) bool {
		putEntryKey(key, kindIndex, p.id, lo+base.Offset(i))
		// The batch that holds the offset, or the first behind it.
		if bad != nil || !it.SeekGE(key) {
			return true
		}
		if bad = p.decodeIndex(it, &e); bad != nil {
			return true
		}
		return e.position >= first
	})
	if err := errors.Join(bad, it.Error()); err != nil {
		return 0, err
	}
	if i == 0 {
		// The log may start inside of a batch, which is found from before.
		putEntryKey(key, kindIndex, p.id, lo)
		if it.SeekLT(key) {
			if err := p.decodeIndex(it, &e); err != nil {
				return 0, err
			}
			if e.position >= first {
				return entryOffset(it.Key()), nil
			}
		}
	}
	putEntryKey(key, kindIndex, p.id, lo+base.Offset(i))
	if it.SeekGE(key) {
		return entryOffset(it.Key()), nil
	}
	return hw, it.Error()
}
