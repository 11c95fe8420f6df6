package replication

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/store"
)

// Defaults of a Config.
const (
	DefaultTick              = 50 * time.Millisecond
	DefaultElectionTicks     = 10
	DefaultHeartbeatTicks    = 1
	DefaultSnapshotEntries   = 4096
	DefaultLogTailEntries    = 16384
	DefaultMaxUnappliedBytes = 64 << 20
	DefaultProposeTimeout    = 10 * time.Second
)

// Config is what Open needs. Zero values mean the defaults.
type Config struct {
	// Transport is the node's, listening and with its cluster id known. It
	// stays open when the Node closes, for the caller to close.
	Transport *Transport
	// Store is where Raft logs and partitions are kept. It stays open when the
	// Node closes, and must be until then.
	Store *store.Store
	// Dir is a directory for dragonboat's own files, of this Node alone.
	Dir string
	// FS is where Dir is; nil: the operating system's.
	FS *FS
	// Tick is the unit of Raft's time, between 1 ms and 1 s, default 50 ms. It
	// should not be below the round trip between nodes.
	Tick time.Duration
	// ElectionTicks is how long a replica hears nothing of its leader before it
	// wants an election, up to twice that by chance; default 10, at least 5 and
	// more than twice HeartbeatTicks. Kafka's replica.lag.time.max.ms comes
	// nearest.
	ElectionTicks int
	// HeartbeatTicks is how often a leader is heard at least, default 1.
	HeartbeatTicks int
	// Quiesce lets the replicas of a shard without proposals fall silent after
	// ten times ElectionTicks, which is for nodes with hundreds of shards: that
	// the leader of a silent shard is gone is noticed only when somebody asks a
	// replica for a ReadIndex. A dozen shards cost less than a hundredth of a
	// core.
	Quiesce bool
	// SnapshotEntries is after how many applied entries a shard records a Raft
	// snapshot, default 4096. For a data shard that is a few hundred bytes: its
	// state is on disk already. What lies behind is looked through at a start.
	SnapshotEntries int
	// LogTailEntries is how many entries stay in a shard's Raft log below its
	// latest Raft snapshot, for replicas that were away, default 16384. Batches
	// that retention or compaction removes keep their space until the log has
	// moved on; CompactLog is for that.
	LogTailEntries int
	// MaxUnappliedBytes bounds the memory of a shard's proposals that are not
	// applied yet, default 64 MiB; over it, Propose returns ErrBusy.
	MaxUnappliedBytes int
	// ProposeTimeout is when a proposal without an answer is given up with
	// ErrTimeout, default 10 s.
	ProposeTimeout time.Duration
	// OnLeaderChange is told of the leaders of the shards that run here, 0 when
	// there is none, one call after the other. It must return soon.
	OnLeaderChange func(shard base.ShardID, leader base.ReplicaID, term uint64)
	// OnPartitions is told that a shard that runs here got or lost partitions, after
	// they can be read. It must return soon.
	OnPartitions func(shard base.ShardID)
	// OnFail is told once that the node has failed: its disk cannot be written
	// or holds what cannot be understood. From then on nothing is replicated
	// and every call returns the error, which matches store.ErrFailed. It must
	// not call Close.
	OnFail func(error)
	// Logger receives diagnostics. Nil: none.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.FS == nil {
		c.FS = osFS()
	}
	if c.Tick == 0 {
		c.Tick = DefaultTick
	}
	if c.ElectionTicks == 0 {
		c.ElectionTicks = DefaultElectionTicks
	}
	if c.HeartbeatTicks == 0 {
		c.HeartbeatTicks = DefaultHeartbeatTicks
	}
	if c.SnapshotEntries == 0 {
		c.SnapshotEntries = DefaultSnapshotEntries
	}
	if c.LogTailEntries == 0 {
		c.LogTailEntries = DefaultLogTailEntries
	}
	if c.MaxUnappliedBytes == 0 {
		c.MaxUnappliedBytes = DefaultMaxUnappliedBytes
	}
	if c.ProposeTimeout == 0 {
		c.ProposeTimeout = DefaultProposeTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c *Config) validate() error {
	switch {
	case c.Transport == nil:
		return errors.New("replication: Transport is not set")
	case c.Store == nil:
		return errors.New("replication: Store is not set")
	case c.Dir == "":
		return errors.New("replication: Dir is not set")
	case c.Transport.Addr() == "":
		return errors.New("replication: the Transport does not listen and has no RaftAddr")
	case c.Transport.ClusterID() == "":
		return errors.New("replication: the Transport's cluster id is not known yet: call SetClusterID first")
	case c.Tick < time.Millisecond || c.Tick > time.Second || c.Tick%time.Millisecond != 0:
		return fmt.Errorf("replication: Tick %v is not whole milliseconds in [1ms, 1s]", c.Tick)
	case c.HeartbeatTicks < 1 || c.ElectionTicks < 5 || c.ElectionTicks <= 2*c.HeartbeatTicks:
		return fmt.Errorf("replication: ElectionTicks %d must be at least 5 and over twice HeartbeatTicks %d", c.ElectionTicks, c.HeartbeatTicks)
	case c.SnapshotEntries < 16 || c.LogTailEntries < 1:
		return fmt.Errorf("replication: SnapshotEntries %d must be at least 16, LogTailEntries %d at least 1", c.SnapshotEntries, c.LogTailEntries)
	case c.MaxUnappliedBytes < c.Transport.cfg.MaxFrameBytes:
		return fmt.Errorf("replication: MaxUnappliedBytes %d is below the transport's MaxFrameBytes %d", c.MaxUnappliedBytes, c.Transport.cfg.MaxFrameBytes)
	case c.ProposeTimeout < c.Tick:
		return fmt.Errorf("replication: ProposeTimeout %v is below Tick %v", c.ProposeTimeout, c.Tick)
	}
	return nil
}
