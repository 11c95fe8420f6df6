package leat

import (
	"sync/atomic"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/store"
	"github.com/leatlog/leat/kafka"
)

// Metrics is what a Log did since it was opened, and what it holds. Its counters
// only grow while the Log is open, and start at 0 when it is opened again.
// Package leatprom hands it to Prometheus.
type Metrics struct {
	// Topics and Partitions are counted with the internal ones.
	Topics     int
	Partitions int
	// Producers, Consumers and GroupMembers are those that are open.
	Producers    int
	Consumers    int
	GroupMembers int

	Produce    ProduceMetrics
	Fetch      FetchMetrics
	Groups     GroupMetrics
	Retention  RetentionMetrics
	Compaction CompactionMetrics
	Storage    StorageMetrics
	Kafka      KafkaMetrics
	Cluster    ClusterMetrics
}

// ProduceMetrics is about what was appended and the producers that did.
type ProduceMetrics struct {
	// Batches, Records and Bytes were stored, in internal topics too. Bytes are
	// those of the batches as they are stored, compressed and with their headers.
	Batches int64
	Records int64
	Bytes   int64
	// FailedRecords were taken by a producer and could not be stored, or it is not
	// known whether they are.
	FailedRecords int64
	// BufferedBytes is what the open producers hold and have not stored yet.
	BufferedBytes int64
	// BatchBytes are the sizes of the producers' batches as they are stored.
	BatchBytes Histogram
	// Latency is the time, in seconds, from the first record of a producer's batch
	// to its acknowledgement, lingering included. With AcksNone it is the time
	// until it is stored.
	Latency Histogram
}

// FetchMetrics is about what consumers and group members read.
type FetchMetrics struct {
	// Fetches are reads of a partition that returned something.
	Fetches int64
	// Records were handed to the program.
	Records int64
	// Bytes are those of the batches that were read, as they are stored.
	Bytes int64
}

// GroupMetrics is about the members of consumer groups in this process.
type GroupMetrics struct {
	// CommittedOffsets were committed, one for each partition and commit;
	// CommitErrors counts the commits that failed.
	CommittedOffsets int64
	CommitErrors     int64
	// PartitionsAssigned and PartitionsRevoked moved in order, PartitionsLost were
	// taken from members that did not poll or that their groups had given up.
	PartitionsAssigned int64
	PartitionsRevoked  int64
	PartitionsLost     int64
}

// RetentionMetrics is about the removal of old records, in the background and by
// Topic.ApplyRetention.
type RetentionMetrics struct {
	// Runs counts how often a topic was looked at.
	Runs           int64
	RecordsRemoved int64
	BytesRemoved   int64
	// Errors counts the partitions that could not be looked at or changed, each
	// time anew.
	Errors int64
}

// CompactionMetrics is about compaction by key, in the background and by
// Topic.Compact.
type CompactionMetrics struct {
	// Runs counts compactions of a partition.
	Runs           int64
	RecordsRemoved int64
	BytesRemoved   int64
	BytesRead      int64
	BytesWritten   int64
	// Errors counts the compactions that failed.
	Errors int64
}

// StorageMetrics is about the directory and its caches.
type StorageMetrics struct {
	// Failed is true once the disk failed and writes are refused.
	Failed bool
	// CommitLatency is the time, in real seconds, from the hand-over of a commit to
	// the write-ahead log until it is durable and can be read. Its Count is the
	// number of commits; all that arrives while an fsync runs shares the next one.
	CommitLatency Histogram
	// WALBytes were written to the write-ahead log and FlushedBytes from memory to
	// files, both about once for each byte stored; CompactedBytes were written
	// again by the storage's own maintenance.
	WALBytes       int64
	FlushedBytes   int64
	CompactedBytes int64
	// DiskBytes is what the files take, spare files of the write-ahead log
	// included: up to five of Config.MemTableBytes each.
	DiskBytes int64
	// GarbageBytes were removed and may still be in DiskBytes.
	GarbageBytes int64
	// MemTableBytes is what waits in memory to be written to files; it is in the
	// write-ahead log.
	MemTableBytes int64
	// CacheBytes is what the cache of blocks holds; CacheHits and CacheMisses count
	// the blocks that were looked for.
	CacheBytes  int64
	CacheHits   int64
	CacheMisses int64
	// TailCacheBytes is what the newest batches take in memory. TailCacheHits counts
	// the reads that they served, TailCacheMisses those that went to the files.
	TailCacheBytes  int64
	TailCacheHits   int64
	TailCacheMisses int64
}

// Metrics returns a snapshot. It costs some microseconds, reads no file and
// waits for no write, but its numbers are not all of the same moment. On a closed
// Log, what is known without the directory is still told.
func (l *Log) Metrics() Metrics {
	m := Metrics{
		Produce: ProduceMetrics{
			FailedRecords: l.metrics.failedRecords.Load(),
			BatchBytes:    newHistogram(batchBytesUnit, 1)(l.metrics.batchBytes.Read()),
			Latency:       newHistogram(int64(produceLatencyUnit), 1e-9)(l.metrics.produceLatency.Read()),
		},
		Fetch: FetchMetrics{
			Fetches: l.metrics.fetches.Load(),
			Records: l.metrics.fetchedRecords.Load(),
			Bytes:   l.metrics.fetchedBytes.Load(),
		},
		Groups: GroupMetrics{
			CommittedOffsets:   l.groups.commits.Load(),
			CommitErrors:       l.groups.commitErrors.Load(),
			PartitionsAssigned: l.groups.assigned.Load(),
			PartitionsRevoked:  l.groups.revoked.Load(),
			PartitionsLost:     l.groups.lost.Load(),
		},
		Retention: RetentionMetrics{
			Runs:           l.metrics.retention.runs.Load(),
			RecordsRemoved: l.metrics.retention.records.Load(),
			BytesRemoved:   l.metrics.retention.bytes.Load(),
			Errors:         l.metrics.retention.errors.Load(),
		},
		Compaction: CompactionMetrics{
			Runs:           l.metrics.compaction.runs.Load(),
			RecordsRemoved: l.metrics.compaction.records.Load(),
			BytesRemoved:   l.metrics.compaction.bytes.Load(),
			BytesRead:      l.metrics.compaction.bytesRead.Load(),
			BytesWritten:   l.metrics.compaction.bytesWritten.Load(),
			Errors:         l.metrics.compaction.errors.Load(),
		},
	}
	m.Kafka.countKafka(l.metrics.kafka.Load())
	l.catalog.count(&m)
	if l.cluster != nil {
		l.cluster.count(&m.Cluster)
	}
	for _, c := range l.openChildren() {
		if c, ok := c.(interface{ count(m *Metrics) }); ok {
			c.count(&m)
		}
	}
	m.fromStore(l.store.Metrics())
	m.Storage.Failed = l.store.Failure() != nil
	return m
}

func (m *Metrics) fromStore(s store.Metrics) {
	m.Produce.Batches = s.AppendedBatches
	m.Produce.Records = s.AppendedRecords
	m.Produce.Bytes = s.AppendedBytes
	m.Storage = StorageMetrics{
		CommitLatency:   newHistogram(int64(store.CommitLatencyUnit), 1e-9)(s.CommitLatency, s.CommitLatencySum),
		WALBytes:        int64(s.WALBytes),
		FlushedBytes:    int64(s.FlushedBytes),
		CompactedBytes:  int64(s.CompactedBytes),
		DiskBytes:       int64(s.DiskBytes),
		GarbageBytes:    s.GarbageBytes,
		MemTableBytes:   int64(s.MemTableBytes),
		CacheBytes:      s.CacheBytes,
		CacheHits:       s.CacheHits,
		CacheMisses:     s.CacheMisses,
		TailCacheBytes:  s.TailBytes,
		TailCacheHits:   s.TailHits,
		TailCacheMisses: s.TailMisses,
	}
}

func (c *catalog) count(m *Metrics) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	m.Topics = len(c.topics)
	for _, t := range c.topics {
		m.Partitions += t.NumPartitions()
	}
}

func (l *Log) openChildren() []child {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]child, 0, len(l.children))
	for c := range l.children {
		out = append(out, c)
	}
	return out
}

func (p *Producer) count(m *Metrics) {
	m.Producers++
	p.mu.Lock()
	m.Produce.BufferedBytes += p.buffered
	p.mu.Unlock()
}

func (c *Consumer) count(m *Metrics) { m.Consumers++ }

const (
	produceLatencyUnit = 10 * time.Microsecond
	batchBytesUnit     = 64
)

// logMetrics is what a Log counts itself. Nothing is counted by the record: a
// batch, a poll or a run costs a few atomic additions.
type logMetrics struct {
	failedRecords  atomic.Int64
	batchBytes     base.Histogram
	produceLatency base.Histogram

	fetches        atomic.Int64
	fetchedRecords atomic.Int64
	fetchedBytes   atomic.Int64

	retention  workMetrics
	compaction compactionCounters

	kafka atomic.Pointer[kafka.Meter] // nil until there is a listener
}

// workMetrics counts background work.
type workMetrics struct {
	runs, records, bytes, errors atomic.Int64
}

func (w *workMetrics) done(records, bytes int64) {
	w.runs.Add(1)
	w.records.Add(records)
	w.bytes.Add(bytes)
}

type compactionCounters struct {
	workMetrics
	bytesRead, bytesWritten atomic.Int64
}

// produced counts a batch that was acknowledged, took after its first record.
func (m *logMetrics) produced(bytes int, took time.Duration) {
	m.batchBytes.Observe(int64(bytes), batchBytesUnit)
	m.produceLatency.Observe(int64(took), int64(produceLatencyUnit))
}

// fetched counts a read of a partition.
func (m *logMetrics) fetched(bytes int) {
	m.fetches.Add(1)
	m.fetchedBytes.Add(int64(bytes))
}

// handedOut counts records that a program got.
func (m *logMetrics) handedOut(records int) { m.fetchedRecords.Add(int64(records)) }
