package scenario

import (
	"context"
	"errors"
	"fmt"
)

// Failure is the kind of an error that a scenario wants to see.
type Failure int

const (
	// Other is any error that has no name here.
	Other Failure = iota
	// TopicExists is error 36 of Kafka.
	TopicExists
	// UnknownTopic is error 3 of Kafka.
	UnknownTopic
	// TooLarge is error 10 of Kafka.
	TooLarge
)

// Protocol is how the members of a group and their coordinator talk.
type Protocol string

const (
	// Classic is JoinGroup and SyncGroup.
	Classic Protocol = "classic"
	// Consumer is ConsumerGroupHeartbeat (KIP-848).
	Consumer Protocol = "consumer"
)

// Position is where reading begins: at an offset, or at the first record that is not
// older than a time if Millis is not 0.
type Position struct {
	Offset int64
	Millis int64
}

// ProduceConfig is how to produce.
type ProduceConfig struct {
	Codec      string // none, gzip, snappy, lz4, zstd
	Idempotent bool
}

// Producer sends records one at a time.
type Producer interface {
	// Send returns when the record is acknowledged by all replicas, after retries.
	Send(ctx context.Context, topic string, r Record) error
	// Idempotent reports whether a record that is sent again is stored once.
	Idempotent() bool
	Close() error
}

// Member is a member of a consumer group, at work in the background.
type Member interface {
	// Partitions are those that the member has now, sorted.
	Partitions() []int
	// Records delivers what it reads; a member that is stopped reads no more.
	Records() <-chan Record
	// Commit commits an offset: of the next record to read.
	Commit(ctx context.Context, partition int, offset int64) error
	// Close leaves the group.
	Close() error
}

// Client is a library for Kafka, as the scenarios use it.
type Client interface {
	// CreateTopic makes a topic with the replication factor of Env.
	CreateTopic(ctx context.Context, topic string, partitions int, config map[string]string) error
	// CountPartitions asks for a topic without making it.
	CountPartitions(ctx context.Context, topic string) (int, error)
	// Simple produces as the library's README shows it, without settings, to a topic
	// that may have to be made, and returns the offset.
	Simple(ctx context.Context, topic string, value string) (int64, error)
	// Produce sends records as a batch where the library can, with acks=all.
	Produce(ctx context.Context, topic string, cfg ProduceConfig, recs []Record) error
	// NewProducer is for failover: acks=all, idempotent if the library can, and it
	// does not give up for a minute.
	NewProducer(ctx context.Context) (Producer, error)
	// Read reads n records of a partition.
	Read(ctx context.Context, topic string, partition int, from Position, n int) ([]Record, error)
	// Join makes a member that starts at the earliest offset and commits only what it
	// is told to.
	Join(ctx context.Context, protocol Protocol, group, topic string) (Member, error)
	// Unknown uses a topic that does not exist without making it; it returns the error.
	Unknown(ctx context.Context, topic string) error
	// Admin calls what administrative functions the library has, checks the answers,
	// and names the calls. The topic has 2 partitions with 20 Samples each; the group
	// has committed offset 7 of partition 0, and no members.
	Admin(ctx context.Context, topic, group string) (calls []string, err error)
	// Failure tells what an error of the library says.
	Failure(err error) Failure
}

// notApplicable is an error that says that a library lacks something.
type notApplicable struct{ reason string }

func (e *notApplicable) Error() string { return e.reason }

// NotApplicable is what a Client returns for what its library does not have.
func NotApplicable(format string, args ...any) error {
	return &notApplicable{fmt.Sprintf(format, args...)}
}

func isNotApplicable(err error) bool {
	var na *notApplicable
	return errors.As(err, &na)
}
