// Package leat puts Kafka's model inside a Go program: open a directory and
// have topics, partitions, offsets, producers, consumers and consumer groups,
// durable, with no broker to run and no port open unless asked for.
//
//	log, err := leat.Open(ctx, leat.Config{Dir: "data"})
//	topic, err := log.CreateTopic(ctx, "orders", leat.TopicConfig{Partitions: 6})
//	p, err := log.NewProducer()
//	m, err := p.ProduceSync(ctx, leat.Record{Topic: "orders", Key: k, Value: v})
//
//	g, err := log.JoinGroup(ctx, "billing", []string{"orders"})
//	for r, err := range g.Records(ctx) {
//		...
//		g.Mark(r) // processed
//	}
//
// # Nouns
//
// A Log is one directory and everything in it. A Topic is a named stream of
// records, split into partitions; within a Partition records have an Offset,
// counted from 0, and a fixed order. A Producer appends records, a Consumer
// reads partitions that it names, a ConsumerGroup shares the partitions of its
// topics among its members and remembers in the Log how far it got.
//
// ServeKafka lets Kafka's clients and tools, in any language, reach a Log through
// a listener; so far it serves a part of Kafka's protocol.
//
// # What an acknowledgement means
//
// With AcksAll, the default, a record is acknowledged once it is in the log and
// the log is fsynced: after a crash of the process or a loss of power it is at
// its offset. With AcksLeader it is acknowledged when it has its offset and is
// handed to the log, before the fsync: a crash may lose the last milliseconds.
// With AcksNone nothing is waited for. Whatever the acknowledgement, no consumer
// sees a record before it is durable, a crash never loses a record from the
// middle, and an offset is never used twice.
//
// Producers are idempotent: a retried batch is stored once. The order in which
// one producer sends to a partition is the order of the offsets.
//
// # Bytes
//
// Produce copies what it is given; key, value and headers may be reused when it
// returns. The bytes of a record that Poll returns stay valid for as long as
// they are referenced and must not be written to: they may be shared with other
// readers. The slice of records is the consumer's and is overwritten by the next
// Poll. A kept record keeps the whole batch in memory that it came in; copy what
// is kept for long.
//
// # Failure
//
// Nothing in the package panics on bad input, ends the process, or logs to a
// global; a nil ctx or a nil *Log is no input, as elsewhere in Go. When the disk fails, writes are refused with an error that is
// ErrStorageFailed, and what is durable can still be read.
package leat
