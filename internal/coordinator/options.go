package coordinator

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/leatlog/leat/internal/assignor"
	"github.com/leatlog/leat/internal/base"
)

// KV is one record of a group partition. A nil Value is a tombstone.
type KV struct{ Key, Value []byte }

// Log is one partition of __consumer_offsets. The coordinator calls Replay once,
// before the first Append, and Append from one goroutine at a time.
type Log interface {
	// Append appends the records as one batch: after it returned nil they are
	// durable, and a Replay gives all of them or, if it failed, all or none. It
	// does not keep the slices. On a partition that this node no longer leads it
	// fails. The records of one call are bounded by the coordinator to about
	// MaxBatchBytes, or what a single change of one group needs if that is more.
	Append(ctx context.Context, records []KV) error
	// Replay calls fn with every committed record in order; those that compaction
	// removed are left out. Key and value are valid until fn returns. It stops
	// at fn's first error and returns it.
	Replay(ctx context.Context, fn func(key, value []byte) error) error
}

// TopicID tells a topic from one of the same name that was deleted. It is
// Kafka's topic id; zero is none.
type TopicID [16]byte

// String is the id in hex.
func (id TopicID) String() string { return fmt.Sprintf("%x", id[:]) }

// Topic is what the coordinator needs to know of a topic.
type Topic struct {
	ID         TopicID
	Partitions int32
}

// Topics is the node's view of the topics. It has to be complete when the
// coordinator is used first: offsets of a topic that it does not know are
// removed. Its methods do not block and may be called concurrently.
type Topics interface {
	// Topic returns the topic of that name, and whether there is one.
	Topic(name string) (Topic, bool)
	// Changed returns a channel that is closed at the next change after the call:
	// a topic created, deleted or given partitions.
	Changed() <-chan struct{}
}

// Options configure a Coordinator. Zero values mean the defaults.
type Options struct {
	// Logs gives the group partition of that number, [0, Partitions). Required. A
	// partition that this node does not lead is an error that wraps
	// ErrNotCoordinator. It may block, and is called by one goroutine per
	// partition.
	Logs func(ctx context.Context, partition int32) (Log, error)
	// Topics is the view of the topics. Required.
	Topics Topics
	// Clock; nil is the system's.
	Clock base.Clock
	// Logger; nil discards.
	Logger *slog.Logger
	// Partitions is how many partitions __consumer_offsets has; default 50
	// (offsets.topic.num.partitions). It must never change.
	Partitions int32

	// SessionTimeout is how long a member may be silent before it is removed;
	// default 45 s (group.consumer.session.timeout.ms).
	SessionTimeout time.Duration
	// MinSessionTimeout and MaxSessionTimeout bound what a member in this process
	// may ask for in HeartbeatRequest.SessionTimeout; defaults 1 s and 30 min.
	MinSessionTimeout, MaxSessionTimeout time.Duration
	// HeartbeatInterval is what members are told; default 5 s
	// (group.consumer.heartbeat.interval.ms). Less than SessionTimeout.
	HeartbeatInterval time.Duration
	// Assignor is the server-side assignor of a group whose members name none;
	// default uniform (the first of group.consumer.assignors).
	Assignor string
	// GroupMaxSize is how many members a group may have; default 1,000
	// (group.consumer.max.size).
	GroupMaxSize int
	// MaxGroups is how many groups one partition of __consumer_offsets may have;
	// default 100,000.
	MaxGroups int
	// OffsetMetadataMaxBytes bounds the string that goes with a committed offset;
	// default 4096 (offset.metadata.max.bytes).
	OffsetMetadataMaxBytes int
	// OffsetsRetention is how long the offsets of a group without members are
	// kept, counted from the later of the commit and the last member's leaving;
	// default 7 days (offsets.retention.minutes). Negative is for ever.
	OffsetsRetention time.Duration
	// OffsetsRetentionCheckInterval is how often that is looked at; default 10 min
	// (offsets.retention.check.interval.ms).
	OffsetsRetentionCheckInterval time.Duration
	// MaxBatchBytes is the size of an append above which no further request joins
	// it; default 512 KiB.
	MaxBatchBytes int
	// NewMemberID makes the id of a member that joins without; default 16 random
	// bytes in base64 URL form, as Kafka's clients make them. Of a classic member it is
	// the end of the id, after the client id.
	NewMemberID func() string
	// Classic configures groups of the classic protocol.
	Classic ClassicOptions
}

// ClassicOptions configure the groups of JoinGroup and SyncGroup. Zero values mean
// the defaults. Their size is bounded by Options.GroupMaxSize too (group.max.size).
type ClassicOptions struct {
	// MinSessionTimeout and MaxSessionTimeout bound the session timeout that a member
	// asks for; defaults 6 s (group.min.session.timeout.ms) and 30 min
	// (group.max.session.timeout.ms).
	MinSessionTimeout, MaxSessionTimeout time.Duration
	// InitialRebalanceDelay is how long an empty group waits for more members after
	// one joined, and again after each that comes meanwhile, up to the rebalance
	// timeout; default 3 s (group.initial.rebalance.delay.ms). Negative: not at all.
	InitialRebalanceDelay time.Duration
	// MemberMaxBytes bounds the protocols of one member, names and metadata; default
	// 256 KiB.
	MemberMaxBytes int
	// GroupMaxBytes bounds the record of a group: every member's metadata of the
	// selected protocol and its assignment; default 1,000,000, as much as fits into a
	// batch of max.message.bytes. The metadata of all protocols may be four times that.
	GroupMaxBytes int
}

// maxQueuedRequests bounds the requests that wait for one partition; further
// ones wait in their callers, until their ctx ends.
const maxQueuedRequests = 1024

func (o Options) withDefaults() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	num := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	if o.Clock == nil {
		o.Clock = base.SystemClock{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Partitions == 0 {
		o.Partitions = 50
	}
	def(&o.SessionTimeout, 45*time.Second)
	def(&o.MinSessionTimeout, time.Second)
	def(&o.MaxSessionTimeout, 30*time.Minute)
	def(&o.HeartbeatInterval, 5*time.Second)
	if o.Assignor == "" {
		o.Assignor = assignor.NameUniform
	}
	num(&o.GroupMaxSize, 1000)
	num(&o.MaxGroups, 100_000)
	num(&o.OffsetMetadataMaxBytes, 4096)
	def(&o.OffsetsRetention, 7*24*time.Hour)
	def(&o.OffsetsRetentionCheckInterval, 10*time.Minute)
	num(&o.MaxBatchBytes, 512<<10)
	if o.NewMemberID == nil {
		o.NewMemberID = newMemberID
	}
	def(&o.Classic.MinSessionTimeout, 6*time.Second)
	def(&o.Classic.MaxSessionTimeout, 30*time.Minute)
	def(&o.Classic.InitialRebalanceDelay, 3*time.Second)
	num(&o.Classic.MemberMaxBytes, 256<<10)
	num(&o.Classic.GroupMaxBytes, 1_000_000)
	return o
}

func (o Options) validate() error {
	var errs []error
	need := func(ok bool, field, rule string) {
		if !ok {
			errs = append(errs, &RequestError{Field: "Options." + field, Rule: rule})
		}
	}
	need(o.Logs != nil, "Logs", "set")
	need(o.Topics != nil, "Topics", "set")
	need(o.Partitions > 0, "Partitions", "positive")
	need(o.MinSessionTimeout > 0 && o.MinSessionTimeout <= o.MaxSessionTimeout, "MinSessionTimeout",
		"positive and at most MaxSessionTimeout")
	need(o.SessionTimeout > 0, "SessionTimeout", "positive")
	need(o.HeartbeatInterval > 0 && o.HeartbeatInterval < o.SessionTimeout, "HeartbeatInterval",
		"positive and less than SessionTimeout")
	need(o.GroupMaxSize > 0, "GroupMaxSize", "positive")
	need(o.MaxGroups > 0, "MaxGroups", "positive")
	need(o.OffsetMetadataMaxBytes > 0 && o.OffsetMetadataMaxBytes <= maxStringBytes, "OffsetMetadataMaxBytes",
		"positive and at most 32767")
	need(o.OffsetsRetentionCheckInterval > 0, "OffsetsRetentionCheckInterval", "positive")
	need(o.MaxBatchBytes > 0, "MaxBatchBytes", "positive")
	need(o.Classic.MinSessionTimeout >= time.Millisecond && o.Classic.MinSessionTimeout <= o.Classic.MaxSessionTimeout,
		"Classic.MinSessionTimeout", "at least a millisecond and at most Classic.MaxSessionTimeout")
	need(o.Classic.MaxSessionTimeout <= math.MaxInt32*time.Millisecond, "Classic.MaxSessionTimeout", "at most 24 days")
	need(o.Classic.MemberMaxBytes > 0, "Classic.MemberMaxBytes", "positive")
	need(o.Classic.GroupMaxBytes > 0 && o.Classic.GroupMaxBytes <= math.MaxInt32, "Classic.GroupMaxBytes",
		"positive and at most 2 GiB")
	_, ok := assignor.Server(o.Assignor)
	need(ok, "Assignor", assignor.ServerNames)
	return errors.Join(errs...)
}

func newMemberID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}
