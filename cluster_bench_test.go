package leat

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func BenchmarkClusterProduceQuick(b *testing.B) {
	c := newTestCluster(b, 3)
	_, err := c.logs[0].CreateTopic(b.Context(), "t", TopicConfig{Partitions: 6})
	require.NoError(b, err)
	value := make([]byte, 1024)
	p, err := c.logs[0].NewProducer()
	require.NoError(b, err)
	b.SetBytes(1024)
	b.ResetTimer()
	var failed atomic.Int64
	for range b.N {
		p.Produce(context.Background(), Record{Topic: "t", Value: value}, func(_ RecordMetadata, err error) {
			if err != nil {
				failed.Add(1)
			}
		})
	}
	require.NoError(b, p.Flush(context.Background()))
	b.StopTimer()
	require.Zero(b, failed.Load())
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkClusterSyncQuick(b *testing.B) {
	for _, n := range []int{1, 128} {
		b.Run(fmt.Sprintf("producers=%d", n), func(b *testing.B) {
			c := newTestCluster(b, 3)
			_, err := c.logs[0].CreateTopic(b.Context(), "t", TopicConfig{Partitions: n})
			require.NoError(b, err)
			time.Sleep(2 * time.Second)
			value := make([]byte, 1024)
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			b.ResetTimer()
			for i := range n {
				p, err := c.logs[i%3].NewProducer(WithPartitioner(ManualPartitioner))
				require.NoError(b, err)
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := p.ProduceSync(context.Background(), Record{Topic: "t", Partition: int32(i), Value: value}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "acks/s")
		})
	}
}
