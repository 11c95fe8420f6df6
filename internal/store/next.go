package store

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leatlog/leat/internal/base"
)

// NextBatch returns the base offset of the first batch that begins after the
// given offset, or the high watermark when none does. It looks at the index
// only, so that a reader finds the way around a damaged batch.
func (p *Partition) NextBatch(after base.Offset) (next base.Offset, err error) {
	if err := p.store.beginRead(); err != nil {
		return 0, err
	}
	defer p.store.endRead()
	hw := p.HighWatermark()
	if after >= hw {
		return hw, nil
	}
	defer p.steady(&err)()
	if err != nil {
		return 0, err
	}
	it, err := p.store.db.NewIter(&pebble.IterOptions{
		LowerBound: entryKey(kindIndex, p.id, after+1),
		UpperBound: entryKey(kindIndex, p.id, hw),
	})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if it.First() {
		return entryOffset(it.Key()), nil
	}
	return hw, it.Error()
}
