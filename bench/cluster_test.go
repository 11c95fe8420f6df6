package bench

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// clusterPatience is how long a cluster may take until it can be used.
const clusterPatience = 2 * time.Minute

// eachCluster runs f for every replicating system that passes keep.
func eachCluster(b *testing.B, keep func(System) bool, f func(b *testing.B, s System)) {
	for _, s := range ClusterSystems() {
		if keep == nil || keep(s) {
			b.Run("system="+s.Name, func(b *testing.B) { f(b, s) })
		}
	}
}

func onlyLeat(s System) bool { return s.Name == "leat" }

// BenchmarkClusterProduce is BenchmarkProduce on three nodes: one producer, on the
// first of them, sends as fast as they take records.
func BenchmarkClusterProduce(b *testing.B) {
	b.Run(fmt.Sprintf("size=%s/partitions=6", size1KiB.name), func(b *testing.B) {
		eachCluster(b, nil, func(b *testing.B, s System) { benchClusterProduce(b, s, size1KiB, 6, 0) })
	})
}

// BenchmarkClusterPartitions is BenchmarkPartitions on three nodes.
func BenchmarkClusterPartitions(b *testing.B) {
	for _, n := range []int{6, 1000} {
		for _, keys := range []int{0, partitionsKeys} {
			b.Run(fmt.Sprintf("n=%d/keys=%d/size=%s", n, keys, size1KiB.name), func(b *testing.B) {
				eachCluster(b, onlyLeat, func(b *testing.B, s System) { benchClusterProduce(b, s, size1KiB, n, keys) })
			})
		}
	}
}

func benchClusterProduce(b *testing.B, s System, sz size, partitions, keys int) {
	ctx := context.Background()
	in := open(b, s, Config{Dir: dataDir(b), Partitions: partitions, RecordBytes: int(sz.bytes)})
	values, ks := NewValues(int(sz.bytes)), NewKeys(keys)
	p, err := in.NewProducer(ctx, Throughput)
	must(b, err)
	written := startReplicated(b, in)
	touched, err := touch(ctx, p, values, partitions)
	must(b, err)

	busy := startBusy(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Send(ctx, ks.Next(), values.Next()); err != nil {
			b.Fatal(err)
		}
	}
	b.StartTimer() // Loop stopped it with records still on their way
	must(b, p.Flush(ctx))
	b.StopTimer()

	records := int64(b.N)
	reportRate(b, records, records*sz.bytes)
	busy.report(b, records)
	must(b, p.Close())
	written.reportStorage(b, (touched+records)*sz.bytes)
	must(b, in.Close())
	written.report(b, (touched+records)*sz.bytes)
}

// BenchmarkClusterProduceSync is BenchmarkProduceSync on three nodes, where each
// writer has a partition of its own and the writers are spread over the nodes.
func BenchmarkClusterProduceSync(b *testing.B) {
	for _, writers := range []int{1, 128} {
		b.Run(fmt.Sprintf("size=%s/partitions=%d/producers=%d", size1KiB.name, writers, writers), func(b *testing.B) {
			eachCluster(b, nil, func(b *testing.B, s System) { benchProduceSyncTo(b, s, size1KiB, writers, writers) })
		})
	}
}

// busy measures processor time.
type busy struct{ before time.Duration }

func startBusy(b *testing.B) busy {
	b.Helper()
	d, err := processorTime()
	must(b, err)
	return busy{d}
}

// report gives cpu-ns/op, of all three nodes and the client together. A busy
// machine changes it far less than it changes ns/op.
func (m busy) report(b *testing.B, operations int64) {
	b.Helper()
	d, err := processorTime()
	must(b, err)
	b.ReportMetric(float64((d-m.before).Nanoseconds())/float64(operations), "cpu-ns/op")
}

// replicated measures what the nodes write.
type replicated struct {
	disked
	leat        *leatClusterInstance // nil: another system
	wal, tables int64
}

func startReplicated(b *testing.B, in Instance) replicated {
	b.Helper()
	r := replicated{disked: startDisked(b)}
	if o, ok := in.(*onceClosed); ok {
		in = o.Instance
	}
	if c, ok := in.(*leatClusterInstance); ok {
		r.leat = c
		r.wal, r.tables = c.storage()
	}
	return r
}

// reportStorage gives wal-B/B and tables-B/B: bytes that leat says it has written
// to its write-ahead logs and to tables, for each byte of value and replica. What is
// not in a table when the clock stops is not in the second.
func (r replicated) reportStorage(b *testing.B, valueBytes int64) {
	b.Helper()
	if r.leat == nil {
		return
	}
	wal, tables := r.leat.storage()
	b.ReportMetric(float64(wal-r.wal)/float64(clusterNodes*valueBytes), "wal-B/B")
	b.ReportMetric(float64(tables-r.tables)/float64(clusterNodes*valueBytes), "tables-B/B")
}

// report gives disk-B/B for each byte of value and replica.
func (r replicated) report(b *testing.B, valueBytes int64) {
	b.Helper()
	r.disked.report(b, clusterNodes*valueBytes)
}

// TestClusterSystems takes a few hundred records through each system, by both kinds
// of producers, and checks that they come back.
func TestClusterSystems(t *testing.T) {
	for _, s := range ClusterSystems() {
		t.Run(s.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), clusterPatience)
			defer cancel()
			in := open(t, s, Config{Dir: dataDir(t), Partitions: 3, RecordBytes: 100})
			sent := multiset{}
			values := NewValues(100)
			p, err := in.NewProducer(ctx, Throughput)
			must(t, err)
			for range 300 {
				v := values.Next()
				must(t, p.Send(ctx, nil, v))
				sent.add(v)
			}
			must(t, p.Flush(ctx))
			must(t, p.Close())
			const writers = 4
			sp, err := in.NewSyncProducer(ctx, writers)
			must(t, err)
			for w := range writers {
				v := values.Next()
				must(t, sp.SendSync(ctx, w, v))
				sent.add(v)
			}
			must(t, sp.Close())
			got := multiset{}
			c, err := in.NewConsumer(ctx)
			must(t, err)
			must(t, readAll(ctx, c, sent.count(), got.add))
			sent.check(t, got)
			must(t, c.Close())
			must(t, in.Close())
		})
	}
}
