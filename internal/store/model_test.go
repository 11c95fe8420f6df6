package store

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/leatlog/leat/internal/base"
)

// The model is what a store should be, in the plainest words: slices and maps.

type modelBatch struct {
	base, last base.Offset
	records    []kv // with their offsets; fewer after a compaction
	maxSoFar   int64
	horizon    int64 // of its tombstones, 0 for none
}

type modelProducer struct {
	epoch   int16
	batches []modelWindow // at most five
	heard   int64         // in a replicated partition: when the last batch came
}

type modelWindow struct {
	first, last int32
	at          base.Offset
}

type modelPartition struct {
	batches     []modelBatch
	start, next base.Offset
	maxTime     int64
	compactedTo base.Offset
	producers   map[int64]*modelProducer
	now         int64 // in a replicated partition: the highest time of an accepted batch
}

func newModelPartition() *modelPartition {
	return &modelPartition{maxTime: -1, producers: map[int64]*modelProducer{}}
}

// modelAppend is a batch to append and what should come of it.
type modelAppend struct {
	records []kv
	ts      int64
	id      int64 // -1: not idempotent
	epoch   int16
	seq     int32
	now     int64 // when it came, for a replicated partition
}

// append returns the offset that the batch should get, whether it is a retry,
// or the rule that it breaks.
func (m *modelPartition) append(a modelAppend) (at base.Offset, dup bool, err error) {
	n := int32(len(a.records))
	now := max(m.now, a.now)
	if a.id >= 0 {
		p := m.producers[a.id]
		if p != nil && p.heard < now-24*3600*1000 && a.now != 0 {
			p = nil
		}
		if p != nil {
			last := p.batches[len(p.batches)-1].last
			next := int32((int64(last) + 1) % (1 << 31))
			for _, w := range p.batches {
				if a.epoch == p.epoch && w.first == a.seq && w.last == int32((int64(a.seq)+int64(n)-1)%(1<<31)) {
					return w.at, true, nil
				}
			}
			switch {
			case a.epoch < p.epoch:
				return 0, false, ErrInvalidProducerEpoch
			case a.epoch > p.epoch && a.seq != 0, a.epoch == p.epoch && a.seq != next:
				return 0, false, ErrOutOfOrderSequence
			}
		}
		if p == nil || p.epoch != a.epoch {
			p = &modelProducer{epoch: a.epoch}
			m.producers[a.id] = p
		}
		p.heard = now
		p.batches = append(p.batches, modelWindow{a.seq, int32((int64(a.seq) + int64(n) - 1) % (1 << 31)), m.next})
		p.batches = p.batches[max(0, len(p.batches)-5):]
	}
	at = m.next
	m.now = now
	m.maxTime = max(m.maxTime, a.ts)
	b := modelBatch{base: at, last: at + base.Offset(n) - 1, maxSoFar: m.maxTime}
	for i, r := range a.records {
		r.offset = at + base.Offset(i)
		b.records = append(b.records, r)
	}
	m.batches = append(m.batches, b)
	m.next += base.Offset(n)
	return at, false, nil
}

func (m *modelPartition) trim(to base.Offset) {
	if to <= m.start {
		return
	}
	m.start = to
	m.compactedTo = max(m.compactedTo, to)
	for len(m.batches) > 0 && m.batches[0].last < to {
		m.batches = m.batches[1:]
	}
}

// offsetForTime is OffsetForTime: of the stored batches the first at which the
// highest timestamp so far reaches ms.
func (m *modelPartition) offsetForTime(ms int64) (base.Offset, bool) {
	for _, b := range m.batches {
		if b.maxSoFar >= ms {
			return b.base, true
		}
	}
	return 0, false
}

func (m *modelPartition) compact(o CompactOptions) {
	end := m.next
	if o.MinLag > 0 {
		if at, ok := m.offsetForTime(o.Now - o.MinLag.Milliseconds() + 1); ok {
			end = at
		}
	}
	latest := map[string]base.Offset{}
	for _, b := range m.batches {
		if b.last < m.compactedTo || b.base >= end {
			continue
		}
		for _, r := range b.records {
			if r.key != "-" {
				latest[r.key] = r.offset
			}
		}
	}
	end = max(end, m.compactedTo)
	var kept []modelBatch
	for _, b := range m.batches {
		if b.base >= end || m.start >= end {
			kept = append(kept, b)
			continue
		}
		var records []kv
		tombstone := false
		for _, r := range b.records {
			gone := b.horizon > 0 && b.horizon <= o.Now
			if at, ok := latest[r.key]; r.key == "-" || (ok && at > r.offset) || (r.value == "-" && gone) {
				continue
			}
			records = append(records, r)
			tombstone = tombstone || r.value == "-"
		}
		if len(records) == 0 {
			if b.last+1 == m.next {
				kept = append(kept, modelBatch{base: b.base, last: b.last, maxSoFar: b.maxSoFar})
			}
			continue
		}
		if tombstone && b.horizon == 0 {
			b.horizon = o.Now + o.DeleteRetention.Milliseconds()
		}
		b.records = records
		kept = append(kept, b)
	}
	m.batches = kept
	m.compactedTo = max(m.compactedTo, end)
}

// model is all partitions and settings.
type model struct {
	partitions map[base.PartitionID]*modelPartition
	settings   map[string]string
	nextID     base.PartitionID
}

// check compares a store with the model, completely.
func (m *model) check(s *Store) error {
	got := map[string]string{}
	if err := s.Scan("", func(name string, value []byte) error {
		if name != formatKey {
			got[name] = string(value)
		}
		return nil
	}); err != nil {
		return err
	}
	if !maps.Equal(got, m.settings) {
		return fmt.Errorf("settings are %v, want %v", got, m.settings)
	}
	for id, mp := range m.partitions {
		p, err := s.Partition(id)
		if err != nil {
			return err
		}
		if err := mp.check(p); err != nil {
			return fmt.Errorf("partition %d: %w", id, err)
		}
	}
	return nil
}

func (m *modelPartition) check(p *Partition) error {
	if err := p.valid(); err != nil {
		return err
	}
	if p.HighWatermark() != m.next || p.LogStart() != m.start || p.CompactedTo() != m.compactedTo || p.MaxTimestamp() != m.maxTime {
		return fmt.Errorf("has [%d, %d), compacted to %d, time %d; want [%d, %d), %d, %d", p.LogStart(), p.HighWatermark(),
			p.CompactedTo(), p.MaxTimestamp(), m.start, m.next, m.compactedTo, m.maxTime)
	}
	if m.start == m.next {
		return nil
	}
	var f Fetch
	if err := p.Read(&f, m.start, math.MaxInt); err != nil {
		return err
	}
	return m.checkBatches(f.Batches, m.batches)
}

func (m *modelPartition) checkBatches(got [][]byte, want []modelBatch) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d batches, want %d", len(got), len(want))
	}
	for i, b := range got {
		h, records, err := decodeBatch(b)
		if err != nil {
			return err
		}
		w := want[i]
		if h.BaseOffset != w.base || h.LastOffset() != w.last {
			return fmt.Errorf("batch [%d, %d], want [%d, %d]", h.BaseOffset, h.LastOffset(), w.base, w.last)
		}
		if h.HasDeleteHorizon() != (w.horizon != 0) || (w.horizon != 0 && h.BaseTimestamp != w.horizon) {
			return fmt.Errorf("batch at %d: delete horizon %v %d, want %d", w.base, h.HasDeleteHorizon(), h.BaseTimestamp, w.horizon)
		}
		if !slices.Equal(records, w.records) {
			return fmt.Errorf("batch at %d: records %v, want %v", w.base, records, w.records)
		}
	}
	return nil
}

// checkRead reads somewhere and compares.
func (m *modelPartition) checkRead(r *rand.Rand, p *Partition) error {
	from := m.start - 2 + base.Offset(r.Int64N(int64(m.next-m.start)+5))
	maxBytes := []int{0, -1, 1, 500, 5000, 1 << 20, math.MaxInt}[r.IntN(7)]
	var f Fetch
	err := p.Read(&f, from, maxBytes)
	if from < m.start || from > m.next {
		var oor *OffsetOutOfRangeError
		if !errors.As(err, &oor) || oor.LogStart != m.start || oor.HighWatermark != m.next {
			return fmt.Errorf("read at %d: %v", from, err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read at %d: %w", from, err)
	}
	i, _ := slices.BinarySearchFunc(m.batches, from, func(b modelBatch, o base.Offset) int { return int(b.last - o) })
	want := m.batches[i:]
	if len(f.Batches) == 0 && len(want) > 0 {
		return fmt.Errorf("read at %d found nothing", from)
	}
	if len(f.Batches) > 1 && f.Bytes > maxBytes {
		return fmt.Errorf("read at %d: %d bytes, the limit is %d", from, f.Bytes, maxBytes)
	}
	if maxBytes == math.MaxInt && p.tailIsEmpty() && len(f.Batches) != len(want) {
		return fmt.Errorf("read at %d: %d batches, want %d", from, len(f.Batches), len(want))
	}
	return m.checkBatches(f.Batches, want[:min(len(want), len(f.Batches))])
}

func (p *Partition) tailIsEmpty() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.tail.batches) == 0
}
