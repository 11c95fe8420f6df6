package store

import (
	"errors"
	"sort"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leatlog/leat/internal/base"
)

// EpochEnd returns the largest leader epoch that is not above the given one and has
// batches, and the offset where it ends: where the next epoch begins, or the high
// watermark. Without such an epoch it returns -1 and -1 (OffsetForLeaderEpoch, KIP-101).
func (p *Partition) EpochEnd(epoch base.LeaderEpoch) (at base.LeaderEpoch, end base.Offset, err error) {
	if err := p.store.beginRead(); err != nil {
		return -1, -1, err
	}
	defer p.store.endRead()
	defer p.caught(&err)
	defer p.steady(&err)()
	if err != nil {
		return -1, -1, err
	}
	lo, hi := p.LogStart(), p.HighWatermark()
	it, err := p.store.db.NewIter(&pebble.IterOptions{
		LowerBound: entryKey(kindIndex, p.id, 0),
		UpperBound: entryKey(kindIndex, p.id, hi),
	})
	if err != nil {
		return -1, -1, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()

	var e indexEntry
	var bad error
	key := entryKey(kindIndex, p.id, 0)
	decode := func() bool {
		if err := e.decode(it.Value()); err != nil {
			bad = &CorruptBatchError{p.id, entryOffset(it.Key()), err}
		}
		return bad == nil
	}
	// Epochs do not fall from one batch to the next.
	i := sort.Search(int(hi-lo), func(i int) bool {
		if bad != nil {
			return true
		}
		putEntryKey(key, kindIndex, p.id, lo+base.Offset(i))
		return !it.SeekGE(key) || !decode() || e.epoch > epoch
	})
	if bad != nil {
		return -1, -1, bad
	}
	end = hi
	putEntryKey(key, kindIndex, p.id, lo+base.Offset(i))
	if it.SeekGE(key) {
		end = entryOffset(it.Key())
	}
	if !it.SeekLT(key) {
		return -1, -1, it.Error()
	}
	if !decode() {
		return -1, -1, bad
	}
	if e.epoch > epoch { // the log starts within a batch of a later epoch
		return -1, -1, nil
	}
	return e.epoch, end, nil
}
