package bench

import (
	"fmt"
	"testing"
)

// partitionsKeys is how many keys spread the records of BenchmarkPartitions.
const partitionsKeys = 100_000

// BenchmarkPartitions produces to few and to many partitions. With keys=0 a
// producer fills a batch for one partition and goes on to another; with keys the
// records are spread evenly over all, which is the harder case.
func BenchmarkPartitions(b *testing.B) {
	for _, n := range []int{6, 1000} {
		for _, keys := range []int{0, partitionsKeys} {
			b.Run(fmt.Sprintf("n=%d/keys=%d/size=%s", n, keys, size1KiB.name), func(b *testing.B) {
				keep := func(s System) bool { return s.Partitioned }
				eachSystem(b, keep, func(b *testing.B, s System) {
					benchProduce(b, s, size1KiB, n, keys, 0)
				})
			})
		}
	}
}
