package bench

import "testing"

// BenchmarkStored produces into a log that holds much already, to show whether
// throughput falls as data grows. Filling it is off the clock. It leaves out what
// keeps its data in memory, and JetStream with an fsync for each message, which
// would take minutes a GiB to fill. The largest amount is for leat and the disk.
func BenchmarkStored(b *testing.B) {
	for _, amount := range stored() {
		b.Run("stored="+amount.name+"/size="+size1KiB.name, func(b *testing.B) {
			keep := func(s System) bool {
				return s.Persistent && !s.SlowToFill &&
					(amount.bytes <= size1GiB.bytes || s.Name == "leat" || s.Name == "disk")
			}
			eachSystem(b, keep, func(b *testing.B, s System) {
				benchProduce(b, s, size1KiB, partitions(b), 0, amount.bytes)
			})
		})
	}
}
