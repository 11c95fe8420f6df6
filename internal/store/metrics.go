package store

import "sync/atomic"

type counters struct {
	appendedBatches atomic.Int64
	appendedRecords atomic.Int64
	appendedBytes   atomic.Int64
}

// Metrics is a snapshot of what the store did since it was opened and of what
// it holds.
type Metrics struct {
	AppendedBatches int64
	AppendedRecords int64
	AppendedBytes   int64
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
}

// Metrics returns a snapshot.
func (s *Store) Metrics() Metrics {
	m := Metrics{
		AppendedBatches: s.counters.appendedBatches.Load(),
		AppendedRecords: s.counters.appendedRecords.Load(),
		AppendedBytes:   s.counters.appendedBytes.Load(),
	}
	if s.beginRead() != nil {
		return m
	}
	defer s.endRead()
	pm := s.db.Metrics()
	m.WALBytes = pm.WAL.BytesWritten
	for i := range pm.Levels {
		l := &pm.Levels[i]
		m.FlushedBytes += l.TableBytesFlushed + l.BlobBytesFlushed
		m.CompactedBytes += l.TableBytesCompacted + l.BlobBytesCompacted
	}
	m.DiskBytes = pm.DiskSpaceUsage()
	m.MemTableBytes = pm.MemTable.Size
	m.CacheBytes = pm.BlockCache.Size
	return m
}
