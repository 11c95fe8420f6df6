package leat

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func openTest(t testing.TB, cfg Config) *Log {
	t.Helper()
	if cfg.Dir == "" && cfg.fs == nil {
		cfg.InMemory = true
	}
	l, err := Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func mustTopic(t testing.TB, l *Log, name string, cfg TopicConfig) *Topic {
	t.Helper()
	topic, err := l.CreateTopic(t.Context(), name, cfg)
	require.NoError(t, err)
	return topic
}

func TestProduceSyncReturnsOffsets(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "orders", TopicConfig{Partitions: 1})
	p, err := l.NewProducer()
	require.NoError(t, err)
	for i := range 5 {
		m, err := p.ProduceSync(t.Context(), Record{Topic: "orders", Value: []byte("a")}, Record{Topic: "orders", Value: []byte("b")})
		require.NoError(t, err)
		require.Equal(t, Offset(2*i), m[0].Offset)
		require.Equal(t, Offset(2*i+1), m[1].Offset)
	}
	_, err = p.ProduceSync(t.Context(), Record{Topic: "nope"})
	require.ErrorIs(t, err, ErrUnknownTopic)
}

func TestProduceCallbacksComeInOrder(t *testing.T) {
	for _, acks := range []Acks{AcksAll, AcksLeader} {
		l := openTest(t, Config{})
		topic := mustTopic(t, l, "t", TopicConfig{Partitions: 4})
		p, err := l.NewProducer(WithAcks(acks), WithPartitioner(ManualPartitioner), WithBatchBytes(600), WithBufferBytes(bufferBytesMin))
		require.NoError(t, err)
		next := make([]Offset, 4)
		var done atomic.Int64
		const n = 20000
		for i := range n {
			p.Produce(t.Context(), Record{Topic: "t", Partition: int32(i % 4), Value: fmt.Append(nil, i)}, func(m RecordMetadata, err error) {
				if err != nil || m.Offset != next[m.Partition] {
					t.Errorf("partition %d: offset %d, err %v, want offset %d", m.Partition, m.Offset, err, next[m.Partition])
				}
				next[m.Partition]++
				done.Add(1)
			})
		}
		require.NoError(t, p.Flush(t.Context()))
		require.Equal(t, int64(n), done.Load())
		for i := range int32(4) {
			part, err := topic.Partition(i)
			require.NoError(t, err)
			info, err := part.Info(t.Context())
			require.NoError(t, err)
			require.Equal(t, Offset(n/4), info.HighWatermark)
		}
	}
}

func TestProduceSyncFromManyGoroutines(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{Partitions: 3})
	p, err := l.NewProducer()
	require.NoError(t, err)
	var mu sync.Mutex
	seen := map[RecordMetadata]bool{}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 100 {
				m, err := p.ProduceSync(context.Background(), Record{Topic: "t", Value: []byte("v")})
				if err != nil {
					t.Error(err)
					return
				}
				k := RecordMetadata{Partition: m[0].Partition, Offset: m[0].Offset}
				mu.Lock()
				if seen[k] {
					t.Errorf("%v twice", k)
				}
				seen[k] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Len(t, seen, 1600)
}

func BenchmarkProduceAsync(b *testing.B) {
	for _, size := range []int{100, 1024} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l, err := Open(b.Context(), Config{Dir: b.TempDir()})
			require.NoError(b, err)
			defer l.Close()
			mustTopic(b, l, "t", TopicConfig{Partitions: 6})
			p, err := l.NewProducer()
			require.NoError(b, err)
			v := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			var failed atomic.Int64
			cb := func(_ RecordMetadata, err error) {
				if err != nil {
					failed.Add(1)
				}
			}
			for b.Loop() {
				p.Produce(b.Context(), Record{Topic: "t", Value: v}, cb)
			}
			require.NoError(b, p.Flush(b.Context()))
			require.Zero(b, failed.Load())
		})
	}
}

func BenchmarkProduceSync(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			l, err := Open(b.Context(), Config{Dir: b.TempDir()})
			require.NoError(b, err)
			defer l.Close()
			mustTopic(b, l, "t", TopicConfig{Partitions: 6})
			p, err := l.NewProducer()
			require.NoError(b, err)
			v := make([]byte, 1024)
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for range writers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := p.ProduceSync(b.Context(), Record{Topic: "t", Value: v}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			m := l.store.Metrics()
			b.ReportMetric(float64(m.AppendedRecords)/float64(m.AppendedBatches), "records/batch")
		})
	}
}
