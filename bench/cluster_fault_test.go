package bench

import (
	"slices"
	"testing"
	"time"

	"github.com/leatlog/leat"
)

// BenchmarkClusterFailover kills the process of a node that leads partitions, under
// load, once an operation, and starts it again. It reports the median and the
// longest of the times that some partition went without an acknowledgement.
func BenchmarkClusterFailover(b *testing.B) {
	b.Run("system=leat", func(b *testing.B) {
		benchPauses(b, func(c *clusterProcs, i int) { must(b, c.procs[i].Kill()) })
	})
}

// BenchmarkClusterRestart closes a node that leads partitions in order, once an
// operation, and starts it again, which gives it its partitions back: a rolling
// restart with two moves of leaders a node.
func BenchmarkClusterRestart(b *testing.B) {
	b.Run("system=leat", func(b *testing.B) {
		benchPauses(b, func(c *clusterProcs, i int) { c.end(i) })
	})
}

// pausePartitions spreads leaders over all nodes.
const pausePartitions = 12

func benchPauses(b *testing.B, stop func(c *clusterProcs, i int)) {
	c := startClusterProcs(b)
	c.create(leat.TopicConfig{Partitions: pausePartitions, ReplicationFactor: clusterNodes})
	load := c.load(Topic, pausePartitions)
	defer load.stop()
	load.flowing()
	var pauses []time.Duration
	failed, n := 0, 0
	for b.Loop() {
		victim := 1 + n%(clusterNodes-1) // node 1 has the producers
		n++
		if c.shardsLedBy(victim) == 0 {
			b.Fatalf("node %d leads nothing", victim+1)
		}
		load.take()
		stop(c, victim)
		load.flowing()
		down, _, errs := load.take()
		c.begin(victim)
		c.ready(victim)
		c.settled()
		load.flowing()
		up, _, more := load.take()
		b.Logf("node %d: %v while it went, %v while it came back", victim+1, down, up)
		pauses = append(pauses, max(down, up))
		errs = append(errs, more...)
		failed += len(errs)
		for _, err := range errs {
			b.Log(err)
		}
	}
	slices.Sort(pauses)
	b.ReportMetric(float64(pauses[len(pauses)/2].Microseconds())/1e3, "median-pause-ms")
	b.ReportMetric(float64(pauses[len(pauses)-1].Microseconds())/1e3, "longest-pause-ms")
	b.ReportMetric(float64(failed), "errors")
}
