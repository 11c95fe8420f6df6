package leat

import (
	"slices"
	"strconv"
	"time"
)

// A Start tells at which offset of a partition a consumer begins. Earliest and
// Latest are Starts, AtOffset and AtTime make some, and a program may bring its
// own, for instance one that reads offsets which it stored itself. It is called
// once for each partition, on the goroutine that assigns it.
type Start func(p *Partition) (Offset, error)

// Earliest begins at the first record that there is.
func Earliest(p *Partition) (Offset, error) {
	r, err := p.replica()
	if err != nil {
		return 0, err
	}
	return r.LogStart(), nil
}

// Latest begins behind the last record that there is when the partition is
// assigned.
func Latest(p *Partition) (Offset, error) {
	r, err := p.replica()
	if err != nil {
		return 0, err
	}
	return r.HighWatermark(), nil
}

// AtOffset begins at an offset, 0 or more. If the partition does not have it,
// the consumer's reset policy decides.
func AtOffset(o Offset) Start {
	return func(*Partition) (Offset, error) { return o, nil }
}

// AtTime begins at the first record whose timestamp is t or later; where there
// is none, behind the last record.
func AtTime(t time.Time) Start {
	return func(p *Partition) (Offset, error) {
		r, err := p.replica()
		if err != nil {
			return 0, err
		}
		o, _, err := offsetForTime(r, t.UnixMilli())
		return o, p.mapError(err)
	}
}

// ResetPolicy says what a consumer does at an offset that its partition does not
// have, because retention or DeleteRecords removed it or because it is in the
// future. Kafka's auto.offset.reset.
type ResetPolicy uint8

// The reset policies.
const (
	// ResetNone makes Poll return an *OffsetOutOfRangeError and leaves the
	// position; Seek moves it. The default.
	ResetNone ResetPolicy = iota
	// ResetEarliest goes on at the first record that there is.
	ResetEarliest
	// ResetLatest goes on behind the last record that there is.
	ResetLatest
)

// resetPolicyNames is indexed by ResetPolicy.
var resetPolicyNames = []string{"none", "earliest", "latest"}

// String returns Kafka's spelling.
func (r ResetPolicy) String() string { return enumString(resetPolicyNames, r) }

// ConsumerOption sets something of a Consumer.
type ConsumerOption func(*consumerConfig)

type consumerConfig struct {
	assign         []topicAssignment
	start          Start
	reset          ResetPolicy
	maxPollRecords int
	maxPollBytes   int
	fetchBytes     int
}

// topicAssignment is what one Assign said.
type topicAssignment struct {
	topic      string
	partitions []int32 // none for all
}

const (
	defaultMaxPollRecords = 500
	maxPollRecordsMax     = 1 << 20
	defaultMaxPollBytes   = 50 << 20
	defaultFetchBytes     = 1 << 20
	fetchBytesMax         = 1 << 30
)

func defaultConsumerConfig() consumerConfig {
	return consumerConfig{
		start:          Earliest,
		maxPollRecords: defaultMaxPollRecords,
		maxPollBytes:   defaultMaxPollBytes,
		fetchBytes:     defaultFetchBytes,
	}
}

// Assign makes the consumer read partitions of a topic; without any, all that
// the topic has when the consumer is made. Partitions that the topic gets later
// are not read before AddPartitions names them. Several Assign add up.
func Assign(topic string, partitions ...int32) ConsumerOption {
	a := topicAssignment{topic: topic, partitions: slices.Clone(partitions)}
	return func(c *consumerConfig) { c.assign = append(c.assign, a) }
}

// StartAt says where the consumer begins in each partition. Default Earliest.
// Kafka's consumers begin where auto.offset.reset says, by default at the end.
func StartAt(s Start) ConsumerOption { return func(c *consumerConfig) { c.start = s } }

// WithResetPolicy says what happens at an offset that a partition does not have
// (auto.offset.reset). Default ResetNone.
func WithResetPolicy(r ResetPolicy) ConsumerOption { return func(c *consumerConfig) { c.reset = r } }

// WithMaxPollRecords bounds what a Poll returns that is not told a number
// (max.poll.records). Default 500; 1 to 1048576.
func WithMaxPollRecords(n int) ConsumerOption {
	return func(c *consumerConfig) { c.maxPollRecords = n }
}

// WithMaxPollBytes makes a Poll read no further partition once it has read n
// bytes, counted as they are stored (fetch.max.bytes). Default 50 MiB; 1 to 1 GiB.
func WithMaxPollBytes(n int) ConsumerOption { return func(c *consumerConfig) { c.maxPollBytes = n } }

// WithFetchBytes is about how much is read of a partition at a time before it is
// the next one's turn (max.partition.fetch.bytes); a batch that is larger is read
// whole. A consumer holds one such piece, unpacked batch by batch. Default
// 1 MiB; 1 to 1 GiB.
func WithFetchBytes(n int) ConsumerOption { return func(c *consumerConfig) { c.fetchBytes = n } }

func (c *consumerConfig) validate() error {
	bad := func(name string, value int, rule string) error {
		return &ConfigError{Property: name, Value: strconv.Itoa(value), Rule: rule}
	}
	switch {
	case c.start == nil:
		return &ConfigError{Property: "StartAt", Value: "nil", Rule: "must be a function"}
	case int(c.reset) >= len(resetPolicyNames):
		return bad("auto.offset.reset", int(c.reset), "must be ResetNone, ResetEarliest or ResetLatest")
	case c.maxPollRecords < 1 || c.maxPollRecords > maxPollRecordsMax:
		return bad("max.poll.records", c.maxPollRecords, "must be from 1 to 1048576")
	case c.maxPollBytes < 1 || c.maxPollBytes > fetchBytesMax:
		return bad("fetch.max.bytes", c.maxPollBytes, "must be from 1 to 1073741824 bytes")
	case c.fetchBytes < 1 || c.fetchBytes > fetchBytesMax:
		return bad("max.partition.fetch.bytes", c.fetchBytes, "must be from 1 to 1073741824 bytes")
	}
	return nil
}
