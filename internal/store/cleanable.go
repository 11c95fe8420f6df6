package store

import (
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Cleanable is what a compaction of a partition would begin with.
type Cleanable struct {
	// Bytes were appended since the last compaction and are old enough for the
	// next.
	Bytes int64
	// Ratio is their share in what is stored, without what is too young, from 0 to
	// 1: what min.cleanable.dirty.ratio is compared with.
	Ratio float64
}

// Cleanable looks at what there is for a compaction that leaves out what was
// appended within minLag (min.compaction.lag.ms). It reads index entries only.
func (p *Partition) Cleanable(minLag time.Duration) (out Cleanable, err error) {
	from := p.CompactedTo()
	c := cleaner{p: p, o: CompactOptions{MinLag: minLag}.withDefaults(p.store.opts.Clock)}
	upTo, err := c.cleanableEnd()
	if err != nil || upTo <= from {
		return out, err
	}
	if err := p.store.beginRead(); err != nil {
		return out, err
	}
	defer p.store.endRead()
	defer p.caught(&err)
	defer p.steady(&err)()
	if err != nil {
		return out, err
	}
	it, err := p.store.db.NewIter(p.bounds(kindIndex, 0, p.HighWatermark()))
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	// What had been appended to the partition before the first of the dirty
	// batches, up to the last that is old enough, and up to the end.
	var first, last, end indexEntry
	for _, at := range []struct {
		e    *indexEntry
		seek func() bool
	}{
		{&first, func() bool { return it.SeekGE(entryKey(kindIndex, p.id, from)) }},
		{&last, func() bool { return it.SeekLT(entryKey(kindIndex, p.id, upTo)) }},
		{&end, it.Last},
	} {
		if !at.seek() {
			return out, it.Error() // all of it was removed
		}
		if err := p.decodeIndex(it, at.e); err != nil {
			return out, err
		}
	}
	before := int64(first.bytesTotal) - int64(first.size)
	out.Bytes = int64(last.bytesTotal) - before
	clean := max(0, p.SizeBytes()-(int64(end.bytesTotal)-before))
	if out.Bytes <= 0 {
		return Cleanable{}, nil
	}
	out.Ratio = float64(out.Bytes) / float64(clean+out.Bytes)
	return out, nil
}

func (p *Partition) decodeIndex(it *pebble.Iterator, e *indexEntry) error {
	v, err := it.ValueAndErr()
	if err == nil {
		err = e.decode(v)
	}
	if err != nil {
		return &CorruptBatchError{p.id, entryOffset(it.Key()), err}
	}
	return nil
}
