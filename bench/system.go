package bench

import "context"

// Topic is the name of the one topic that every benchmark uses.
const Topic = "bench"

// System is one log under test: a name and how to open it.
type System struct {
	// Name is the value of the sub-benchmark's "system" key.
	Name string
	// Persistent says that records survive Close and are there when Open is
	// called on the same directory again.
	Persistent bool
	// SlowToFill says that writing a GiB takes minutes, so that benchmarks of
	// what is stored leave the system out.
	SlowToFill bool
	// Partitioned says that Config.Partitions means something to the system.
	Partitioned bool
	// Tails says that a Consumer sees records while they are produced. A
	// system that does not is measured on what was written before.
	Tails bool
	// Open opens the log in a directory, and creates it with its topic when
	// the directory is empty.
	Open func(ctx context.Context, cfg Config) (Instance, error)
}

// Config is what an instance is opened with.
type Config struct {
	// Dir is the directory of the data. It exists; a system that keeps
	// everything in memory leaves it empty.
	Dir string
	// Partitions is the number of partitions of the topic, at least 1. It must
	// be the same each time a directory is opened.
	Partitions int
	// RecordBytes is the size of every value. Only the raw file, which has no
	// framing, needs it.
	RecordBytes int
}

// Goal is what a Producer is set for, where a system has a setting for it.
type Goal int

const (
	// Throughput may hold a record back for a moment, to send it with others.
	Throughput Goal = iota
	// Latency sends at once what is not behind another request.
	Latency
)

// Instance is an open log with one topic. Its methods are not called
// concurrently; what they return may be used concurrently with each other.
// Producers and consumers are closed before their instance.
type Instance interface {
	// NewProducer returns a producer set for a goal.
	NewProducer(ctx context.Context, goal Goal) (Producer, error)
	// NewSyncProducer returns a producer set for latency, to be shared by this
	// many concurrent writers.
	NewSyncProducer(ctx context.Context, writers int) (SyncProducer, error)
	// NewConsumer returns a consumer of all partitions from their first record.
	NewConsumer(ctx context.Context) (Consumer, error)
	// Close stops the log and everything it started.
	Close() error
}

// Producer sends records without waiting for each. It is used by one goroutine.
type Producer interface {
	// Send hands one record over. It blocks while the system's bounded buffer
	// is full. key may be nil and is then not a key. Neither slice is changed by
	// the caller until Flush has returned. An error may be that of an earlier
	// record.
	Send(ctx context.Context, key, value []byte) error
	// Flush returns when every record sent has been acknowledged, or with the
	// first error of any of them.
	Flush(ctx context.Context) error
	// Close releases the producer. It does not flush.
	Close() error
}

// SyncProducer sends records and waits for each acknowledgement. SendSync is
// called concurrently, each writer in [0, writers) by at most one goroutine.
type SyncProducer interface {
	// SendSync returns when the record has been acknowledged.
	SendSync(ctx context.Context, writer int, value []byte) error
	// Close releases the producer.
	Close() error
}

// Consumer reads all partitions in order, each from its first record. It is used
// by one goroutine.
type Consumer interface {
	// Poll waits for at least one record and calls visit with the value of each
	// that it has; the value is valid during the call only. It returns how many
	// there were. A system that cannot tail returns io.EOF at the end.
	Poll(ctx context.Context, visit func(value []byte)) (int, error)
	// Pause makes the consumer forget what it fetched ahead and fetch nothing
	// until Resume, which goes on after the last record that Poll visited. It
	// lets a benchmark produce what is read next without that being read ahead
	// off the clock.
	Pause(ctx context.Context) error
	Resume(ctx context.Context) error
	// Close releases the consumer.
	Close() error
}

// Systems returns every system, in the order of the columns in README.md.
func Systems() []System {
	return []System{
		leatLog(),
		jetStream(false),
		jetStream(true),
		kfakeInMemory(),
		kfakeSynced(),
		disk(),
	}
}
