package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/recordbatch"
)

// BenchmarkAppend appends batches of one record from several goroutines to
// partitions of their own, each append durable before the next.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ writers, size int }{{1, 1 << 10}, {64, 1 << 10}, {16, 64 << 10}, {16, 256 << 10}} {
		b.Run(fmt.Sprintf("writers=%d/size=%d", c.writers, c.size), func(b *testing.B) {
			s, err := Open(Options{Dir: b.TempDir()})
			require.NoError(b, err)
			defer func() { require.NoError(b, s.Close()) }()
			value := make([]byte, c.size)
			r := rand.NewChaCha8([32]byte{})
			_, _ = r.Read(value)
			var left atomic.Int64
			left.Store(int64(b.N))
			b.SetBytes(int64(c.size))
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range c.writers {
				wg.Go(func() {
					p, err := s.Partition(base.PartitionID(w + 1))
					if err != nil {
						b.Error(err)
						return
					}
					var bld recordbatch.Builder
					for left.Add(-1) >= 0 {
						bld.Reset(make([]byte, 0, c.size+128))
						_ = bld.Append(time.Now().UnixMilli(), nil, value, nil)
						buf, err := bld.Finish(recordbatch.FinishOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
						if err != nil {
							b.Error(err)
							return
						}
						h, _ := recordbatch.ParseHeader(buf)
						if err := s.Append([]*Append{{Partition: p, Batch: buf, Header: h}}, AppendHooks{}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			m := s.Metrics()
			b.ReportMetric(float64(m.WALBytes+m.FlushedBytes)/float64(m.AppendedBytes), "disk-B/B")
		})
	}
}

// BenchmarkDisk is the raw disk's append and fsync of 4 KiB.
func BenchmarkDisk(b *testing.B) {
	f, err := os.Create(b.TempDir() + "/f")
	require.NoError(b, err)
	defer f.Close()
	buf := make([]byte, 4096)
	for b.Loop() {
		_, err := f.Write(buf)
		require.NoError(b, err)
		require.NoError(b, f.Sync())
	}
}

// BenchmarkCompact compacts a log in which nine records of ten have a newer one.
func BenchmarkCompact(b *testing.B) {
	for _, size := range []int{100, 1 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			value := make([]byte, size)
			_, _ = rand.NewChaCha8([32]byte{}).Read(value)
			const batches, perBatch = 500, 100
			for b.Loop() {
				b.StopTimer()
				s, err := Open(Options{Dir: b.TempDir()})
				require.NoError(b, err)
				p, err := s.Partition(1)
				require.NoError(b, err)
				for i := range batches {
					var bld recordbatch.Builder
					bld.Reset(nil)
					for j := range perBatch {
						key := fmt.Append(nil, (i*perBatch+j)%(batches*perBatch/10))
						require.NoError(b, bld.Append(1, key, value, nil))
					}
					buf, err := bld.Finish(recordbatch.FinishOptions{ProducerID: -1})
					require.NoError(b, err)
					h, err := recordbatch.ParseHeader(buf)
					require.NoError(b, err)
					require.NoError(b, s.Append([]*Append{{Partition: p, Batch: buf, Header: h}}, AppendHooks{}))
				}
				b.SetBytes(p.SizeBytes())
				b.StartTimer()
				st, err := p.Compact(b.Context(), CompactOptions{})
				b.StopTimer()
				require.NoError(b, err)
				require.Equal(b, int64(batches*perBatch*9/10), st.RecordsRemoved)
				require.NoError(b, s.Close())
				b.StartTimer()
			}
		})
	}
}
