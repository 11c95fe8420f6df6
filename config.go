package leat

import (
	"log/slog"
	"strconv"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/seam"
	"github.com/leatlog/leat/internal/store"
)

// Clock is where a Log takes the time from. Tests bring their own, see package
// leattest.
//
//	type Clock interface {
//		// Now returns the current time.
//		Now() time.Time
//		// NewTimer returns a timer that fires once, d from now; at once if d is
//		// not positive.
//		NewTimer(d time.Duration) Timer
//	}
type Clock = base.Clock

// Timer is a timer of a Clock.
//
//	type Timer interface {
//		// C delivers the time at which the timer fired.
//		C() <-chan time.Time
//		// Stop keeps the timer from firing; it reports whether it did.
//		Stop() bool
//		// Reset makes the timer fire d from now; it reports whether it was
//		// running.
//		Reset(d time.Duration) bool
//	}
//
// After Stop or Reset returned, C delivers nothing of the time before, as with
// time.Timer.
type Timer = base.Timer

// Config says where a Log lives and what it may use. Zero values are defaults.
type Config struct {
	// Dir is the directory of the Log; it is made if it is missing. Required
	// unless InMemory is set. One Log at a time may have it open, in any process.
	Dir string
	// InMemory keeps the Log in memory only; it is gone with Close. For tests.
	InMemory bool

	// TopicDefaults is what topics inherit in the fields that they leave zero.
	TopicDefaults TopicConfig
	// AutoCreateTopics makes a topic on the first produce to it
	// (auto.create.topics.enable, which Kafka has on; here it is off by default).
	AutoCreateTopics bool

	// Logger receives diagnostics; nil means none.
	Logger *slog.Logger
	// Clock is the time; nil means the system's.
	Clock Clock
	// Hooks are called when something happens that a program may want to know.
	Hooks Hooks

	// CacheBytes bounds the cache of blocks read from disk. Default 32 MiB.
	CacheBytes int64
	// TailCacheBytes bounds the newest batches, kept in memory for consumers that
	// follow the tail. Default 32 MiB.
	TailCacheBytes int64
	// MemTableBytes is the size of a memtable; up to four exist under load.
	// Default 16 MiB, at least 1 MiB. A larger one writes a little more a second,
	// in longer bursts, during which an fsync takes longer.
	MemTableBytes int64

	// RetentionCheckInterval is the time between two looks at what retention
	// removes (log.retention.check.interval.ms). Default 5 minutes; negative
	// means only on demand, by Topic.ApplyRetention.
	RetentionCheckInterval time.Duration
	// CompactionInterval is the time between two looks at what can be compacted
	// (log.cleaner.backoff.ms). Default 15 s; negative means only on demand, by
	// Topic.Compact.
	CompactionInterval time.Duration
	// CompactionBytesPerSecond bounds what compaction reads and writes
	// (log.cleaner.io.max.bytes.per.second). Default 64 MiB; negative means no
	// bound.
	CompactionBytesPerSecond int64
	// ProducerIDExpiration is for how long a silent producer's sequence is
	// remembered (producer.id.expiration.ms). Default 24 hours.
	ProducerIDExpiration time.Duration

	// Groups are the settings of the group coordinator.
	Groups GroupsConfig

	// Cluster makes the Log a node of a cluster; nil means that it is on its own.
	Cluster *ClusterConfig

	// Machine is for package leattest, which puts disks and networks of its own in
	// place of the machine's. Programs leave it zero.
	Machine seam.Machine

	fs store.FS // nil: chosen by InMemory
}

// GroupsConfig are the settings of the group coordinator. Zero values are
// Kafka's defaults.
type GroupsConfig struct {
	// OffsetsPartitions is the number of partitions of __consumer_offsets. It is
	// fixed when the first group is made (offsets.topic.num.partitions). Default
	// 50, at most 1,000.
	OffsetsPartitions int
	// SessionTimeout is after how long without a heartbeat a member is taken for
	// dead (group.consumer.session.timeout.ms). Default 45 s.
	SessionTimeout time.Duration
	// HeartbeatInterval is the time between two heartbeats of a member
	// (group.consumer.heartbeat.interval.ms). Default 5 s. A rebalance does not
	// wait for it.
	HeartbeatInterval time.Duration
	// MaxMembers bounds the members of a group (group.consumer.max.size). Default
	// 1,000.
	MaxMembers int
	// InitialRebalanceDelay is how long an empty group of the classic protocol waits for
	// more members after the first joined (group.initial.rebalance.delay.ms). Default 3 s;
	// negative means not at all.
	InitialRebalanceDelay time.Duration
	// MinSessionTimeout and MaxSessionTimeout bound the session timeout that a member of
	// the classic protocol may ask for (group.min.session.timeout.ms,
	// group.max.session.timeout.ms). Defaults 6 s and 30 minutes.
	MinSessionTimeout, MaxSessionTimeout time.Duration
	// OffsetsRetention is for how long an empty group's offsets are kept
	// (offsets.retention.minutes). Default 7 days.
	OffsetsRetention time.Duration
}

const (
	memTableBytesMin          = 1 << 20
	offsetsPartitionsMax      = 1000
	defaultOffsetsPartitions  = 50
	defaultRetentionCheck     = 5 * time.Minute
	defaultCompactionInterval = 15 * time.Second
	defaultCompactionRate     = 64 << 20
)

func (c Config) withDefaults() Config {
	if c.Clock == nil {
		c.Clock = base.SystemClock{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.RetentionCheckInterval == 0 {
		c.RetentionCheckInterval = defaultRetentionCheck
	}
	if c.CompactionInterval == 0 {
		c.CompactionInterval = defaultCompactionInterval
	}
	if c.CompactionBytesPerSecond == 0 {
		c.CompactionBytesPerSecond = defaultCompactionRate
	}
	if c.Groups.OffsetsPartitions == 0 {
		c.Groups.OffsetsPartitions = defaultOffsetsPartitions
	}
	if c.fs == nil {
		c.fs = c.Machine.FS
	}
	if c.fs == nil && c.InMemory {
		c.fs = store.NewMemFS()
	}
	if c.Dir == "" && c.fs != nil {
		c.Dir = "leat"
	}
	return c
}

// validate returns a *ConfigError for the first field that breaks its rule.
func (c Config) validate() error {
	bad := func(field, value, rule string) error {
		return &ConfigError{Property: field, Value: value, Rule: rule}
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	switch {
	case c.Dir == "" && c.fs == nil && c.Machine.FS == nil && !c.InMemory:
		return bad("Dir", "", "must name a directory, or InMemory must be set")
	case c.Dir != "" && c.InMemory:
		return bad("Dir", c.Dir, "must be empty when InMemory is set")
	case c.CacheBytes < 0:
		return bad("CacheBytes", number(c.CacheBytes), "must not be negative")
	case c.TailCacheBytes < 0:
		return bad("TailCacheBytes", number(c.TailCacheBytes), "must not be negative")
	case c.MemTableBytes != 0 && c.MemTableBytes < memTableBytesMin:
		return bad("MemTableBytes", number(c.MemTableBytes), "must be at least 1 MiB")
	case c.MemTableBytes > 2<<30:
		return bad("MemTableBytes", number(c.MemTableBytes), "must be at most 2 GiB")
	case c.ProducerIDExpiration < 0:
		return bad("ProducerIDExpiration", c.ProducerIDExpiration.String(), "must not be negative")
	case c.Groups.OffsetsPartitions < 0 || c.Groups.OffsetsPartitions > offsetsPartitionsMax:
		return bad("Groups.OffsetsPartitions", strconv.Itoa(c.Groups.OffsetsPartitions), "must be from 1 to 1000")
	case c.Groups.SessionTimeout < 0:
		return bad("Groups.SessionTimeout", c.Groups.SessionTimeout.String(), "must not be negative")
	case c.Groups.HeartbeatInterval < 0:
		return bad("Groups.HeartbeatInterval", c.Groups.HeartbeatInterval.String(), "must not be negative")
	case c.Groups.MaxMembers < 0:
		return bad("Groups.MaxMembers", strconv.Itoa(c.Groups.MaxMembers), "must not be negative")
	case c.Groups.MinSessionTimeout < 0:
		return bad("Groups.MinSessionTimeout", c.Groups.MinSessionTimeout.String(), "must not be negative")
	case c.Groups.MaxSessionTimeout < 0:
		return bad("Groups.MaxSessionTimeout", c.Groups.MaxSessionTimeout.String(), "must not be negative")
	case c.Groups.OffsetsRetention < 0:
		return bad("Groups.OffsetsRetention", c.Groups.OffsetsRetention.String(), "must not be negative")
	}
	if err := c.Groups.validate(); err != nil {
		return err
	}
	if c.Cluster != nil {
		if err := c.Cluster.validate(); err != nil {
			return err
		}
	}
	return c.TopicDefaults.validate()
}
