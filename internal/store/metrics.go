package store

import (
	"sync/atomic"
	"time"

	"github.com/leatlog/leat/internal/base"
)

type counters struct {
	appendedBatches atomic.Int64
	appendedRecords atomic.Int64
	appendedBytes   atomic.Int64
	tailHits        atomic.Int64
	tailMisses      atomic.Int64
	tailBytes       atomic.Int64
	commits         base.Histogram
}

// CommitLatencyUnit is where the first bucket of Metrics.CommitLatency ends.
const CommitLatencyUnit = 10 * time.Microsecond

// Metrics is a snapshot of what the store did since it was opened and of what
// it holds.
type Metrics struct {
	AppendedBatches int64
	AppendedRecords int64
	AppendedBytes   int64
	// CommitLatency counts the commits by the nanoseconds from their hand-over to
	// the write-ahead log until they were durable and could be read, and the writes
	// of Raft logs until they were durable.
	CommitLatency    [base.HistogramBuckets]int64
	CommitLatencySum int64 // ns
	// WALBytes and FlushedBytes were written to the write-ahead log and from
	// memtables to tables and blob files; CompactedBytes again by compactions.
	WALBytes       uint64
	FlushedBytes   uint64
	CompactedBytes uint64
	// DiskBytes is what the directory's files take.
	DiskBytes uint64
	// MemTableBytes and CacheBytes are in memory.
	MemTableBytes uint64
	CacheBytes    int64
	// CacheHits and CacheMisses count the blocks looked for in the block cache.
	CacheHits   int64
	CacheMisses int64
	// TailBytes is what recent batches take in memory, of which TailHits reads
	// were served, TailMisses were not.
	TailBytes  int64
	TailHits   int64
	TailMisses int64
	// GarbageBytes is what was removed and waits for Reclaim.
	GarbageBytes int64
}

// Metrics returns a snapshot.
func (s *Store) Metrics() Metrics {
	m := Metrics{
		AppendedBatches: s.counters.appendedBatches.Load(),
		AppendedRecords: s.counters.appendedRecords.Load(),
		AppendedBytes:   s.counters.appendedBytes.Load(),
	}
	m.CommitLatency, m.CommitLatencySum = s.counters.commits.Read()
	m.TailBytes = s.counters.tailBytes.Load()
	m.TailHits = s.counters.tailHits.Load()
	m.TailMisses = s.counters.tailMisses.Load()
	m.GarbageBytes = s.GarbageBytes()
	if s.beginRead() != nil {
		return m
	}
	defer s.endRead()
	pm := s.db.Metrics()
	m.WALBytes = pm.WAL.BytesWritten
	var blobsFlushed uint64
	for i := range pm.Levels {
		l := &pm.Levels[i]
		m.FlushedBytes += l.TableBytesFlushed + l.BlobBytesFlushed
		m.CompactedBytes += l.TableBytesCompacted + l.BlobBytesCompacted
		blobsFlushed += l.BlobBytesFlushed
	}
	// Pebble counts the blob files of a flush as those of a compaction too.
	m.CompactedBytes -= min(blobsFlushed, m.CompactedBytes)
	m.DiskBytes = pm.DiskSpaceUsage()
	m.MemTableBytes = pm.MemTable.Size
	m.CacheBytes = pm.BlockCache.Size
	m.CacheHits = pm.BlockCache.Hits
	m.CacheMisses = pm.BlockCache.Misses
	return m
}
