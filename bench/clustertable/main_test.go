package main

import (
	"slices"
	"strings"
	"testing"
)

// TestTable checks that a table is made of what go test prints: ratios of medians,
// rows only where there are figures, and a mark where one falls short.
func TestTable(t *testing.T) {
	all := make(results)
	for _, line := range []string{
		"goos: linux",
		"BenchmarkClusterProduce/size=1KiB/partitions=6/system=leat-2 100000 33086 ns/op 2.027 disk-B/B 30000 records/s",
		"BenchmarkClusterProduce/size=1KiB/partitions=6/system=leat-2 100000 33086 ns/op 2.127 disk-B/B 10000 records/s",
		"BenchmarkClusterProduce/size=1KiB/partitions=6/system=leat-2 100000 33086 ns/op 2.327 disk-B/B 20000 records/s",
		"BenchmarkClusterProduce/size=1KiB/partitions=6/system=jetstream-fsync-2 100000 50336 ns/op 2.133 disk-B/B 10000 records/s",
		"BenchmarkClusterRestart/system=leat-2 4 1 ns/op 1.000 errors 144.0 longest-pause-ms 136.3 median-pause-ms",
		"BenchmarkClusterNewReplica/size=256MiB/system=leat-2 1 1 ns/op 230.3 MiB/s 10.00 before-p99-ms 15.00 during-p99-ms",
	} {
		all.note(line)
	}
	var b strings.Builder
	all.table(&b)
	got := strings.Split(strings.TrimSpace(b.String()), "\n")
	want := []string{
		"| workload | leat | peer | ratio | wanted | |",
		"|---|---:|---|---:|---|---|",
		"| the same, against one that fsyncs | 20.0k | jetstream-fsync 10.0k | 2.00 | >= 4 | short |",
		"| nodes restarted in turn: failed calls | 1 |  |  | 0 | short |",
		"| the same: median pause, ms | 136 |  |  |  |  |",
		"| the same: longest pause, ms | 144 |  |  | <= 300 |  |",
		"| a new replica, MiB/s | 230 |  |  | >= 100 |  |",
		"| the same: p99 of others meanwhile, ms, and before | 15 | before 10 | 1.50 | <= 2 |  |",
		"| bytes written for each byte and replica | 2.13 |  |  | <= 2.2 |  |",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the table is\n%s", b.String())
	}
}
