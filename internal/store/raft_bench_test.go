package store

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/recordbatch"
)

// benchBatch is a sealed batch of one record of random bytes.
func benchBatch(b *testing.B, size int) *Append {
	value := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(value)
	var bld recordbatch.Builder
	bld.Reset(nil)
	require.NoError(b, bld.Append(1, nil, value, nil))
	buf, err := bld.Finish(recordbatch.FinishOptions{ProducerID: -1})
	require.NoError(b, err)
	h, err := recordbatch.ParseHeader(buf)
	require.NoError(b, err)
	return &Append{Batch: buf, Header: h}
}

// BenchmarkSaveLog saves entries of 12 shards from 4 goroutines, as dragonboat's
// step workers do: each call has an entry for each of three shards and is durable
// when it returns. With apply, the entries are applied as well.
func BenchmarkSaveLog(b *testing.B) {
	for _, c := range []struct {
		size  int
		apply bool
	}{{1 << 10, false}, {64 << 10, false}, {1 << 10, true}, {64 << 10, true}} {
		b.Run(fmt.Sprintf("size=%d/apply=%v", c.size, c.apply), func(b *testing.B) {
			s, err := Open(Options{Dir: b.TempDir()})
			require.NoError(b, err)
			const workers, shards = 4, 3
			x := benchBatch(b, c.size)
			for i := range base.PartitionID(workers * shards) {
				r := newReplica(b, s, base.ShardID(16+i))
				r.create(100 + i)
			}
			before := s.Metrics()
			var left atomic.Int64
			left.Store(int64(b.N))
			b.SetBytes(int64(c.size) * shards)
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					head := []byte("a head of some thirty bytes or so")
					us := make([]LogUpdate, shards)
					for at := base.RaftIndex(2); left.Add(-1) >= 0; at++ {
						for i := range us {
							n := w*shards + i
							us[i] = LogUpdate{Shard: base.ShardID(16 + n), Replica: 1, Sync: true,
								Entries: append(us[i].Entries[:0], LogEntry{Index: at, Head: head, Partition: base.PartitionID(100 + n), Payload: x.Batch})}
						}
						if err := s.SaveLog(us); err != nil {
							b.Error(err)
							return
						}
						for i := 0; c.apply && i < shards; i++ {
							a, err := s.BeginApply(us[i].Shard)
							if err == nil {
								_, _, err = a.Append(AppendCommand{Partition: us[i].Entries[0].Partition, Position: at, Batch: x.Batch, Header: x.Header})
							}
							if err == nil {
								err = a.Commit(at)
							}
							if err != nil {
								b.Error(err)
								return
							}
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			m := s.Metrics()
			b.ReportMetric(float64(m.WALBytes-before.WALBytes)/float64(b.N*shards*c.size), "wal-B/B")
			require.NoError(b, s.Close())
		})
	}
}

// BenchmarkReplicatedRead reads a partition from disk; with standalone, one that
// is not replicated, for comparison.
func BenchmarkReplicatedRead(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		for _, replicated := range []bool{false, true} {
			b.Run(fmt.Sprintf("size=%d/replicated=%v", size, replicated), func(b *testing.B) {
				s, err := Open(Options{Dir: b.TempDir(), TailCacheBytes: 1})
				require.NoError(b, err)
				x := benchBatch(b, size)
				const batches = 500
				p := (*Partition)(nil)
				if replicated {
					r := newReplica(b, s, 16)
					r.create(1)
					for range batches {
						_, _, err := r.append(1, x)
						require.NoError(b, err)
					}
					p = r.partition(1)
				} else {
					p, err = s.Partition(1)
					require.NoError(b, err)
					for range batches {
						appendTo(b, p, &Append{Batch: bytes.Clone(x.Batch), Header: x.Header})
					}
				}
				require.NoError(b, s.Flush())
				b.SetBytes(int64(size))
				b.ReportAllocs()
				var f Fetch
				n := 0
				for from := base.Offset(0); b.Loop(); {
					if n == 0 {
						if err := p.Read(&f, from, 1<<20); err != nil {
							b.Fatal(err)
						}
						n = len(f.Batches)
						if from += base.Offset(n); from == p.HighWatermark() {
							from = 0
						}
					}
					n--
				}
				require.NoError(b, s.Close())
			})
		}
	}
}

// BenchmarkShardStream exports a shard and imports it.
func BenchmarkShardStream(b *testing.B) {
	s, err := Open(Options{Dir: b.TempDir()})
	require.NoError(b, err)
	r := newReplica(b, s, 16)
	r.create(1)
	x := benchBatch(b, 64<<10)
	for range 1000 {
		_, _, err := r.append(1, x)
		require.NoError(b, err)
	}
	var stream bytes.Buffer
	v, err := s.View(16)
	require.NoError(b, err)
	b.Run("export", func(b *testing.B) {
		for b.Loop() {
			stream.Reset()
			require.NoError(b, v.ExportShard(&stream, nil, nil))
			b.SetBytes(int64(stream.Len()))
		}
	})
	require.NoError(b, v.Close())
	require.NoError(b, s.Close())
	b.Run("import", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			s, err := Open(Options{Dir: b.TempDir()})
			require.NoError(b, err)
			b.StartTimer()
			_, err = s.ImportShard(16, io.LimitReader(bytes.NewReader(stream.Bytes()), math.MaxInt64), nil, nil)
			require.NoError(b, err)
			b.StopTimer()
			require.NoError(b, s.Close())
			b.SetBytes(int64(stream.Len()))
			b.StartTimer()
		}
	})
}
