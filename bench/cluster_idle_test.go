package bench

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/leatlog/leat"
)

const (
	clusterIdleFor = 20 * time.Second
	// clusterIdleSettle is before the measurement begins: what making the topic has
	// left behind is over then.
	clusterIdleSettle = 10 * time.Second
)

// BenchmarkClusterIdle has many partitions and no load. It reports the share of one
// core that the three processes take together, and the resident memory of the
// largest; node 1's has this benchmark in it.
func BenchmarkClusterIdle(b *testing.B) {
	const partitions = 10_000
	b.Run(fmt.Sprintf("partitions=%d/system=leat", partitions), func(b *testing.B) {
		c := startClusterProcs(b)
		begin := time.Now()
		c.create(leat.TopicConfig{Partitions: partitions, ReplicationFactor: clusterNodes})
		created := time.Since(begin)
		pids := []int{os.Getpid()}
		for _, p := range c.procs[1:clusterNodes] {
			pids = append(pids, p.ID())
		}
		var busy time.Duration
		var memory int64
		idle := 0
		for b.Loop() {
			time.Sleep(clusterIdleSettle)
			before := totalProcessorTime(b, pids)
			time.Sleep(clusterIdleFor)
			busy += totalProcessorTime(b, pids) - before
			idle++
			for _, pid := range pids {
				n, err := ResidentBytesOf(pid)
				must(b, err)
				memory = max(memory, n)
			}
		}
		b.ReportMetric(100*busy.Seconds()/(float64(idle)*clusterIdleFor.Seconds()), "core-%")
		b.ReportMetric(float64(memory)/(1<<20), "RSS-MiB")
		b.ReportMetric(created.Seconds(), "create-s")
	})
}

func totalProcessorTime(b *testing.B, pids []int) (sum time.Duration) {
	b.Helper()
	for _, pid := range pids {
		d, err := ProcessorTime(pid)
		must(b, err)
		sum += d
	}
	return sum
}
