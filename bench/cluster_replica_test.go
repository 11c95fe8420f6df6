package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/leatlog/leat"
)

// envReplicaMiB is how much the partition of BenchmarkClusterNewReplica holds.
const envReplicaMiB = "LEAT_BENCH_REPLICA_MIB"

// BenchmarkClusterNewReplica adds a fourth node and drains the third, which makes a
// new replica of a partition that holds much, while others have a steady load.
func BenchmarkClusterNewReplica(b *testing.B) {
	mib := envInts(b, envReplicaMiB, 1024)[0]
	b.Run(fmt.Sprintf("size=%dMiB/system=leat", mib), func(b *testing.B) { benchNewReplica(b, int64(mib)<<20) })
}

func benchNewReplica(b *testing.B, total int64) {
	const foreground = 3
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	c := startClusterProcs(b)
	c.create(leat.TopicConfig{Partitions: 1, ReplicationFactor: clusterNodes, DedicatedShards: 1})
	_, err := c.log.CreateTopic(ctx, "foreground", leat.TopicConfig{Partitions: foreground, ReplicationFactor: clusterNodes, DedicatedShards: foreground})
	must(b, err)
	c.settled()
	_, err = fill(ctx, leatInstance{c.log}, NewValues(int(size1KiB.bytes)), total)
	must(b, err)

	load := c.load("foreground", foreground)
	defer load.stop()
	load.flowing()
	load.take()
	time.Sleep(10 * time.Second)
	_, before, errs := load.take()
	mustNone(b, "before", errs)

	c.begin(clusterNodes)
	c.ready(clusterNodes)
	load.take()
	var took time.Duration
	var during *Latencies
	n := 0
	for b.Loop() { // it can be done once
		if n++; n > 1 {
			b.Fatal("set -benchtime 1x")
		}
		begin := time.Now()
		must(b, c.log.DrainNode(ctx, clusterNodes))
		took = time.Since(begin)
		_, during, errs = load.take()
		mustNone(b, "during", errs)
	}
	b.ReportMetric(float64(total)/(1<<20)/took.Seconds(), "MiB/s")
	b.ReportMetric(float64(before.Quantile(99))/1e6, "before-p99-ms")
	b.ReportMetric(float64(during.Quantile(99))/1e6, "during-p99-ms")
}
