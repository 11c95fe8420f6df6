package store

import (
	"fmt"
	"slices"

	"github.com/leatlog/leat/internal/base"
)

// valid checks the invariants of a partition that nobody writes to meanwhile:
// data and index agree, the totals are what the entries add up to, the tail is a
// part of what is stored.
func (p *Partition) valid() error {
	var bytes, records int64
	start, hw := p.LogStart(), p.HighWatermark()
	if start < 0 || start > hw {
		return fmt.Errorf("log start %d, high watermark %d", start, hw)
	}
	if to := p.CompactedTo(); to > hw {
		return fmt.Errorf("compacted to %d, high watermark %d", to, hw)
	}
	next := base.Offset(0)
	var lastTime int64 = -1
	var lastBytes, lastRecords uint64
	stored := map[base.Offset][]byte{}
	err := p.scanBatches(0, hw, func(b storedBatch) (bool, error) {
		e := b.entry
		bad := func(format string, args ...any) (bool, error) {
			return false, fmt.Errorf("batch at %d: %s", b.at, fmt.Sprintf(format, args...))
		}
		switch {
		case b.at < next:
			return bad("the one before ends at %d", next)
		case b.header.NextOffset() > hw:
			return bad("ends at %d, the high watermark is %d", b.header.NextOffset(), hw)
		case b.header.NextOffset() <= start:
			return bad("is below the log start %d", start)
		case e.lastOffsetDelta != b.header.LastOffsetDelta || e.records != b.header.NumRecords || int(e.size) != len(b.bytes):
			return bad("index says %+v, header %+v", *e, b.header)
		case (e.producerID != b.header.ProducerID && !b.header.IsControl()) || e.epoch != b.header.LeaderEpoch:
			return bad("index says %+v, header %+v", *e, b.header)
		case e.maxTimestamp < lastTime || e.maxTimestamp < b.header.MaxTimestamp || e.maxTimestamp > p.MaxTimestamp():
			return bad("timestamp %d after %d", e.maxTimestamp, lastTime)
		case e.bytesTotal < lastBytes || e.recordsTotal < lastRecords:
			return bad("totals %d, %d after %d, %d", e.bytesTotal, e.recordsTotal, lastBytes, lastRecords)
		}
		next, lastTime, lastBytes, lastRecords = b.header.NextOffset(), e.maxTimestamp, e.bytesTotal, e.recordsTotal
		bytes += int64(e.size)
		records += int64(e.records)
		stored[b.at] = slices.Clone(b.bytes)
		return true, nil
	})
	if err != nil {
		return err
	}
	if hw > start && next != hw {
		return fmt.Errorf("the last batch ends at %d, the high watermark is %d", next, hw)
	}
	if bytes != p.SizeBytes() || records != p.Records() {
		return fmt.Errorf("%d bytes and %d records are stored, the totals say %d and %d", bytes, records, p.SizeBytes(), p.Records())
	}
	entries := 0
	if err := p.scanIndex(0, hw, func(base.Offset, *indexEntry) bool { entries++; return true }); err != nil {
		return err
	}
	if entries != len(stored) {
		return fmt.Errorf("%d index entries for %d batches", entries, len(stored))
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	for i, b := range p.tail.batches {
		if i > 0 && b.base <= p.tail.batches[i-1].last {
			return fmt.Errorf("tail: %d follows %d", b.base, p.tail.batches[i-1].last)
		}
		if b.last < start {
			continue // trimmed; readers are kept from it
		}
		if !slices.Equal(stored[b.base], b.bytes) {
			return fmt.Errorf("tail: the batch at %d is not what is stored", b.base)
		}
	}
	return nil
}

// valid checks the invariants of the idempotence state.
func (t *producerTable) valid() error {
	if len(t.entries) > maxProducersPerPartition {
		return fmt.Errorf("%d producers", len(t.entries))
	}
	for id, e := range t.entries {
		if id < 0 || e.epoch < 0 || e.count < 1 || e.count > sequenceWindow {
			return fmt.Errorf("producer %d: %+v", id, e)
		}
		for i := range e.count {
			if b := &e.batches[i]; b.firstSequence < 0 || b.lastSequence < 0 || b.baseOffset < 0 {
				return fmt.Errorf("producer %d: %+v", id, e)
			}
		}
	}
	return nil
}
