package leat

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
)

func TestMetrics(t *testing.T) {
	l := openTest(t, Config{RetentionCheckInterval: -1, CompactionInterval: -1})
	before := l.Metrics()
	require.Zero(t, before.Topics)
	topic := mustTopic(t, l, "t", TopicConfig{Partitions: 3, RetentionBytes: 1})
	p, err := l.NewProducer(WithPartitioner(ManualPartitioner), WithLinger(time.Hour))
	require.NoError(t, err)
	for range 5 {
		p.Produce(t.Context(), Record{Topic: "t", Value: make([]byte, 1000)}, nil)
	}
	held := l.Metrics()
	require.Greater(t, held.Produce.BufferedBytes, int64(5000))
	require.Zero(t, held.Produce.Records)
	require.NoError(t, p.Flush(t.Context()))
	_, err = p.ProduceSync(t.Context(), Record{Topic: "t"}, Record{Topic: "t"})
	require.NoError(t, err)

	c, err := l.NewConsumer(Assign("t"), StartAt(Earliest))
	require.NoError(t, err)
	rs, err := c.Poll(t.Context(), 3)
	require.NoError(t, err)
	require.Len(t, rs, 3)
	n := 3
	for _, err := range c.Records(t.Context()) {
		require.NoError(t, err)
		if n++; n == 7 {
			break
		}
	}
	_, err = topic.ApplyRetention(t.Context())
	require.NoError(t, err)

	m := l.Metrics()
	require.Equal(t, 1, m.Topics)
	require.Equal(t, 3, m.Partitions)
	require.Equal(t, 1, m.Producers)
	require.Equal(t, 1, m.Consumers)
	require.Equal(t, int64(2), m.Produce.Batches)
	require.Equal(t, int64(7), m.Produce.Records)
	require.Greater(t, m.Produce.Bytes, int64(5000))
	require.Zero(t, m.Produce.FailedRecords)
	require.Zero(t, m.Produce.BufferedBytes)
	require.Equal(t, int64(2), m.Produce.BatchBytes.Count)
	require.Equal(t, float64(m.Produce.Bytes), m.Produce.BatchBytes.Sum)
	require.Equal(t, int64(2), m.Produce.Latency.Count)
	require.Positive(t, m.Produce.Latency.Sum)
	require.Less(t, m.Produce.Latency.Sum, 60.0)
	require.Equal(t, int64(7), m.Fetch.Records)
	require.Positive(t, m.Fetch.Fetches)
	require.GreaterOrEqual(t, m.Fetch.Bytes, m.Produce.Bytes)
	require.Equal(t, int64(5), m.Retention.RecordsRemoved)
	require.Equal(t, int64(1), m.Retention.Runs)
	require.Equal(t, m.Fetch.Fetches, m.Storage.TailCacheHits)
	require.Zero(t, m.Storage.TailCacheMisses)
	require.Positive(t, m.Storage.TailCacheBytes)
	require.Greater(t, m.Storage.WALBytes, m.Produce.Bytes)
	require.Positive(t, m.Storage.DiskBytes)
	require.Positive(t, m.Storage.MemTableBytes)
	require.False(t, m.Storage.Failed)
	require.Greater(t, m.Storage.CommitLatency.Count, int64(2)) // topics are commits too

	require.NoError(t, p.Close())
	require.NoError(t, c.Close())
	m = l.Metrics()
	require.Zero(t, m.Producers)
	require.Zero(t, m.Consumers)
	require.NoError(t, l.Close())
	require.Equal(t, int64(7), l.Metrics().Produce.Records)
}

func TestHistogram(t *testing.T) {
	var b base.Histogram
	h := newHistogram(10, 0.5)(b.Read())
	require.True(t, math.IsNaN(h.Quantile(0.5)))
	for _, v := range []int64{5, 10, 11, 20, 1 << 60} {
		b.Observe(v, 10)
	}
	h = newHistogram(10, 0.5)(b.Read())
	require.Equal(t, int64(5), h.Count)
	require.Len(t, h.Buckets, base.HistogramBuckets-1)
	require.Equal(t, []HistogramBucket{{5, 2}, {10, 4}, {20, 4}}, h.Buckets[:3])
	require.Equal(t, 0.5*(5+10+11+20+1<<60), h.Sum)
	require.InDelta(t, 0, h.Quantile(0), 0)
	require.InDelta(t, 5, h.Quantile(0.4), 1e-9)
	require.InDelta(t, 7.5, h.Quantile(0.6), 1e-9)
	require.InDelta(t, 10, h.Quantile(0.8), 1e-9)
	require.Equal(t, h.Buckets[len(h.Buckets)-1].UpperBound, h.Quantile(1))
	require.True(t, math.IsNaN(h.Quantile(1.1)))
	require.True(t, math.IsNaN(h.Quantile(math.NaN())))
}

func BenchmarkMetrics(b *testing.B) {
	l, err := Open(b.Context(), Config{Dir: b.TempDir()})
	require.NoError(b, err)
	defer l.Close()
	mustTopic(b, l, "t", TopicConfig{Partitions: 1000})
	for b.Loop() {
		l.Metrics()
	}
}
