package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkProduceSync has writers that each wait for the acknowledgement of a
// record before they send the next.
func BenchmarkProduceSync(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d/size=%s", writers, size1KiB.name), func(b *testing.B) {
			eachSystem(b, nil, func(b *testing.B, s System) {
				benchProduceSync(b, s, size1KiB, writers)
			})
		})
	}
}

func benchProduceSync(b *testing.B, s System, sz size, writers int) {
	benchProduceSyncTo(b, s, sz, writers, partitions(b))
}

func benchProduceSyncTo(b *testing.B, s System, sz size, writers, partitions int) {
	ctx := context.Background()
	in := open(b, s, Config{Dir: dataDir(b), Partitions: partitions, RecordBytes: int(sz.bytes)})
	p, err := in.NewSyncProducer(ctx, writers)
	must(b, err)
	values := make([]*Values, writers)
	latencies := make([]*Latencies, writers)
	shared := NewValues(int(sz.bytes))
	for i := range writers {
		// Each writer starts elsewhere in the one pool.
		v := *shared
		v.pos = len(v.pool) / writers * i
		values[i], latencies[i] = &v, NewLatencies()
		must(b, p.SendSync(ctx, i, v.Next()))
	}

	written := startDisked(b)
	b.ReportAllocs()
	b.ResetTimer()
	var (
		sent   atomic.Int64
		failed atomic.Pointer[error]
		wg     sync.WaitGroup
	)
	for i := range writers {
		wg.Go(func() {
			for sent.Add(1) <= int64(b.N) && failed.Load() == nil {
				begin := time.Now()
				if err := p.SendSync(ctx, i, values[i].Next()); err != nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
				latencies[i].Record(time.Since(begin))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	if err := failed.Load(); err != nil {
		b.Fatal(*err)
	}

	records := int64(b.N)
	reportRate(b, records, records*sz.bytes)
	all := NewLatencies()
	for _, l := range latencies {
		all.Merge(l)
	}
	if all.Count() != records {
		b.Fatalf("%d latencies for %d records", all.Count(), records)
	}
	all.Report(b)
	must(b, p.Close())
	must(b, in.Close())
	written.report(b, records*sz.bytes)
}
