// Package bench measures leat beside what a Go program could embed or run
// instead of it, in Go's benchmark format.
//
// A [System] is one log under test: leat itself, an embedded NATS JetStream, the
// in-process Kafka of franz-go (kfake), each at its default and with an fsync
// before the acknowledgement, and a plain file as the floor. It is opened on a
// directory as an [Instance], which hands out a [Producer], a [SyncProducer] and
// a [Consumer]. The benchmarks, one file a family, are written against these four
// and know nothing of any system; what a system is set to stands in its own file
// and in README.md.
//
// One operation of a benchmark is one record, so ns/op is per record, and the
// clock stops only when everything sent has been acknowledged (or, where records
// are read, received). All sizes are bytes of record values; MB is 10^6 bytes.
//
// The package is a module of its own, so that the peers never become
// dependencies of a program that imports leat. It reads /proc and needs Linux for
// the figures of disk writes and memory.
package bench
