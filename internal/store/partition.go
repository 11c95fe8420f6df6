package store

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leatlog/leat/internal/base"
)

// Partition is one partition's key range. It is obtained from Store.Partition,
// there is one per id, and all methods may be called concurrently.
type Partition struct {
	id    base.PartitionID
	store *Store
	// sh is the shard that the partition belongs to, nil for one that is not
	// replicated.
	sh *shard

	// hw bounds the readers; it moves only once the batches below are durable.
	hw       atomic.Int64
	logStart atomic.Int64
	bytes    atomic.Int64 // stored: appended less removed
	records  atomic.Int64
	maxTime  atomic.Int64
	// compactedTo is where the records begin that no compaction has seen.
	compactedTo atomic.Int64

	// hidden says that what creates the partition is not committed yet. It is
	// guarded by Store.mu.
	hidden bool

	// app belongs to the commit leader, and in a replicated partition to who holds
	// sh.mu; nobody else touches it.
	app appendState

	// compaction is held for a whole compaction, maintenance for one piece of the
	// work that removes: a trim, a piece of a compaction.
	compaction  sync.Mutex
	maintenance sync.Mutex

	mu       sync.RWMutex // lock order: compaction, maintenance, mu
	tail     tailRing
	watchers []chan<- struct{}
	dropped  bool
}

// appendState is where the next batch goes.
type appendState struct {
	partitionState
	producers     producerTable
	sinceSnapshot int
	dropped       bool
}

// ID returns the id that the partition was opened with.
func (p *Partition) ID() base.PartitionID { return p.id }

// HighWatermark is the offset after the last record that may be read: all below
// is durable.
func (p *Partition) HighWatermark() base.Offset { return base.Offset(p.hw.Load()) }

// AtEnd reports whether a reader at an offset has to wait for what comes next.
func (p *Partition) AtEnd(at base.Offset) bool { return at == p.HighWatermark() }

// LogStart is the first offset that may be read; retention and DeleteRecords
// move it.
func (p *Partition) LogStart() base.Offset { return base.Offset(p.logStart.Load()) }

// SizeBytes is what the batches of the partition take, as they are stored and
// without Pebble's overhead.
func (p *Partition) SizeBytes() int64 { return p.bytes.Load() }

// Records counts the stored records, those below LogStart in a batch that is
// still needed included.
func (p *Partition) Records() int64 { return p.records.Load() }

// MaxTimestamp is the highest record timestamp ever appended, in ms, or -1.
func (p *Partition) MaxTimestamp() int64 { return p.maxTime.Load() }

// Watch makes the partition send on c, without blocking, whenever the high
// watermark or the log start moved or the partition was dropped. c should have
// room for one. Unwatch ends it.
func (p *Partition) Watch(c chan<- struct{}) {
	p.mu.Lock()
	p.watchers = append(p.watchers, c)
	p.mu.Unlock()
}

// Unwatch ends one Watch of c.
func (p *Partition) Unwatch(c chan<- struct{}) {
	p.mu.Lock()
	if i := slices.Index(p.watchers, c); i >= 0 {
		p.watchers = slices.Delete(p.watchers, i, i+1)
	}
	p.mu.Unlock()
}

func (p *Partition) wakeLocked() {
	for _, c := range p.watchers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// load reads what the partition left on disk.
func (p *Partition) load() error { return p.loadFrom(p.store.db) }

// loadFrom reads what the partition left in the database, or in a Pebble snapshot
// of it.
func (p *Partition) loadFrom(db pebble.Reader) error {
	st := &p.app.partitionState
	st.maxTimestamp = -1
	if v, ok, err := p.store.getFrom(db, partitionKey(kindState, p.id)); err != nil {
		return err
	} else if ok {
		if err := st.decode(v); err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		if st.shard != 0 && p.sh == nil {
			if p.sh, err = p.store.shard(st.shard); err != nil {
				return err
			}
			if p.sh.regressed != nil {
				return p.sh.regressed
			}
		}
	}
	snapshotTo := base.Offset(0)
	if v, ok, err := p.store.getFrom(db, partitionKey(kindProducers, p.id)); err != nil {
		return err
	} else if ok {
		if snapshotTo, err = p.app.producers.decode(v); err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
	}
	it, err := db.NewIter(&pebble.IterOptions{
		LowerBound: entryKey(kindIndex, p.id, 0),
		UpperBound: entryKey(kindIndex, p.id+1, 0),
	})
	if err != nil {
		return err
	}
	var e indexEntry
	if it.Last() {
		last := entryOffset(it.Key())
		if err := e.decode(it.Value()); err != nil {
			return errors.Join(&CorruptBatchError{p.id, last, err}, it.Close())
		}
		st.next = max(st.next, last+base.Offset(e.lastOffsetDelta)+1)
		st.maxTimestamp = max(st.maxTimestamp, e.maxTimestamp)
		st.bytesTotal = max(st.bytesTotal, e.bytesTotal)
		st.recordsTotal = max(st.recordsTotal, e.recordsTotal)
		st.epoch = max(st.epoch, e.epoch)
		st.appendedAt = max(st.appendedAt, e.appendedAt)
	}
	for ok := it.SeekGE(entryKey(kindIndex, p.id, snapshotTo)); ok; ok = it.Next() {
		at := entryOffset(it.Key())
		if err := e.decode(it.Value()); err != nil {
			return errors.Join(&CorruptBatchError{p.id, at, err}, it.Close())
		}
		if e.producerID >= 0 {
			// The last offset delta survives compaction, the record count does not.
			heard := e.maxTimestamp
			if p.sh != nil {
				heard = e.appendedAt
				p.app.producers.forgetExpired(e.producerID, heard)
			}
			p.app.producers.record(e.producerID, e.producerEpoch, e.baseSequence, e.lastOffsetDelta+1, at, heard)
		}
		p.app.sinceSnapshot++
	}
	if err := it.Close(); err != nil {
		return err
	}
	p.hw.Store(int64(st.next))
	p.logStart.Store(int64(st.logStart))
	p.compactedTo.Store(int64(st.compactedTo))
	p.publishTotals(st)
	return nil
}

func (p *Partition) publishTotals(st *partitionState) {
	p.bytes.Store(st.stored())
	p.records.Store(int64(st.recordsTotal - st.recordsRemoved))
	p.maxTime.Store(st.maxTimestamp)
}
