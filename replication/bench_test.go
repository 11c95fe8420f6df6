package replication

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/leatlog/leat/internal/base"
)

// processorTime is what the process has used of it.
func processorTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkIdle is what three nodes of twelve shards cost when nothing happens.
func BenchmarkIdle(b *testing.B) {
	c := newCluster(b, 3, func(c *Config) { c.Tick = DefaultTick })
	for shard := range base.ShardID(12) {
		for _, m := range c.nodes {
			if _, err := m.node.StartData(ShardConfig{Shard: 16 + shard, Replica: base.ReplicaID(m.id), Members: c.members()}); err != nil {
				b.Fatal(err)
			}
		}
	}
	time.Sleep(2 * time.Second) // the elections are not idle
	before := processorTime(b)
	b.ResetTimer()
	for range b.N {
		time.Sleep(time.Second)
	}
	b.ReportMetric(100*float64(processorTime(b)-before)/float64(b.Elapsed()), "%core")
}

// BenchmarkFailover is how long a shard has no leader that takes a command after
// its leader was killed, with the default settings.
func BenchmarkFailover(b *testing.B) {
	c := newDataCluster(b, 3, func(c *Config) { c.Tick = DefaultTick })
	var total, worst time.Duration
	for range b.N {
		dead := c.dataLeader()
		name := fmt.Sprintf("node%d", dead.id)
		c.net.Node(name).Crash()
		c.net.Isolate(name)
		killed := time.Now()
		data := dead.data
		dead.data = nil
		if err := c.lead(func(ctx context.Context, s *DataShard) error { return s.Barrier(ctx) }); err != nil {
			b.Fatal(err)
		}
		took := time.Since(killed)
		total, worst = total+took, max(worst, took)
		dead.data = data
		dead.close()
		c.net.Rejoin(name)
		dead.open()
		dead.startData(ShardConfig{Replica: base.ReplicaID(dead.id)})
		if err := dead.data.ReadIndex(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(total.Milliseconds())/float64(b.N), "ms/failover")
	b.ReportMetric(float64(worst.Milliseconds()), "ms/worst")
}
