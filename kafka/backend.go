package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/store"
)

// Backend is what the listener serves: a Log, standalone or a node of a cluster.
//
// # How a cluster is seen
//
// A node knows the whole cluster's metadata, as of some moment that is not long ago:
// [Backend.Cluster], [Backend.Topics] and [Topic.Placements] answer from memory, on
// every node alike. What a node stores it knows better: [Topic.Locate] tells, as of now,
// who leads a partition and what this node has of it. The listener itself turns these into
// Kafka's answers:
//
//   - Produce, ListOffsets, OffsetForLeaderEpoch, DeleteRecords and DescribeProducers are
//     served where Location.Leader is this node, else answered NOT_LEADER_OR_FOLLOWER,
//     with the leader and where it is in the versions that tell it (KIP-951).
//   - A leader epoch of the client's that is not the Location's gets FENCED_LEADER_EPOCH or
//     UNKNOWN_LEADER_EPOCH (KIP-320).
//   - Fetch is served by every node that has a Location.Replica, up to its high
//     watermark: what a follower applied (KIP-392). A leader names a follower in sync
//     that is in the client's rack, if it is not itself.
//   - What changes the metadata (topics, configs, reassignments, elections) is taken by
//     every node: a method that cannot do it here passes it on and waits. NOT_CONTROLLER is
//     never answered.
//   - The group APIs go to [Backend.ServeGroup] on every node, which answers
//     NOT_COORDINATOR for a group that is coordinated elsewhere.
//
// # Errors
//
// The listener tells an error by [CodeOf] first, which knows the errors of this package
// ([ErrNotLeader] and the others, and *[Error] for any code with a text), then by what
// the store and its batches return, then by [Backend.Code].
//
// # Concurrency
//
// All methods may be called concurrently. Those with a context may block until it ends;
// those without do not block but for a lock. Calls that change something return once that
// is durable, and visible on this node. Slices that are returned may be shared: nobody
// writes to them.
type Backend interface {
	// Code tells an error of the backend in Kafka's terms.
	Code(err error) Code
	// Clock is the Log's clock.
	Clock() base.Clock

	// NodeID is this node's id, which does not change.
	NodeID() int32
	// Cluster describes the nodes of the cluster; a standalone Log is one.
	Cluster() Cluster
	// NodeConfig returns what this node is set to, by Kafka's names of a broker's
	// properties. The listener adds its own limits. The map is the caller's.
	NodeConfig() map[string]string
	// Membership returns what manages the nodes of the cluster, nil on a standalone
	// Log. Which of the two it is does not change.
	Membership() Membership
	// LogDir describes where this node keeps its partitions.
	LogDir(ctx context.Context) (LogDir, error)

	// Topic and TopicByID return nil if there is no such topic; Topics returns all
	// in the order of their names.
	Topic(name string) Topic
	TopicByID(id [16]byte) Topic
	Topics() []Topic
	// UseTopic is Topic, and makes the topic where the Log is set to do so
	// (auto.create.topics.enable).
	UseTopic(ctx context.Context, name string) (Topic, error)
	// CreateTopic makes a topic, or with validateOnly checks what could be checked and
	// returns a nil Topic.
	CreateTopic(ctx context.Context, t NewTopic, validateOnly bool) (Topic, error)
	// DeleteTopic removes a topic, that one and not another of its name.
	DeleteTopic(ctx context.Context, t Topic) error
	// AddPartitions makes a topic have total partitions. assignment is nil, or has the
	// replicas of each new one.
	AddPartitions(ctx context.Context, name string, total int32, assignment [][]int32, validateOnly bool) error
	// AlterConfigs changes properties of a topic: all of the changes or none.
	AlterConfigs(ctx context.Context, name string, a ConfigAlteration) error
	// DeleteRecords moves the log start of a partition that this node leads and
	// returns where it is; -1 stands for the high watermark.
	DeleteRecords(ctx context.Context, t Topic, partition int32, before base.Offset) (base.Offset, error)

	// Append stores batches in partitions that this node leads. It returns when every
	// one of them is readable, and durable as its topic wants it, or has failed: an
	// error of the call is one of all batches whose Err is nil.
	//
	// hooks.Enqueued is called exactly once, in any case, when the order of the batches
	// against those of later calls is settled: a connection reads on then, so that
	// requests in flight keep their order. hooks.Applied may be called before the
	// batches are durable, for acks=0 and acks=1; a cluster does not, where acks=1 is
	// acks=all. timeout is the client's (timeout.ms) and bounds the wait for other nodes
	// by context.DeadlineExceeded; the batches may be stored all the same.
	Append(ctx context.Context, appends []*Append, timeout time.Duration, hooks store.AppendHooks) error
	// ReadBarrier returns when each of the replicas, which this node leads, shows all
	// that was acknowledged before the call, so that what it tells is linearizable. It
	// returns nil, or for each an error or nil; *NotLeaderError if this node leads no
	// longer. Standalone there is nothing to wait for.
	ReadBarrier(ctx context.Context, replicas []Replica) []error
	// NewProducerID returns an id that no producer ever has again.
	NewProducerID(ctx context.Context) (int64, error)

	// Coordinator returns the node that coordinates a group, or
	// ErrCoordinatorNotAvailable while there is none.
	Coordinator(ctx context.Context, group string) (node int32, err error)
	// ServeGroup answers a request to the group coordinator: one of the group APIs that
	// this package advertises. For each group that it names and this node does not
	// coordinate the answer has the code of ErrNotCoordinator, while its state is
	// loaded that of ErrCoordinatorLoading. ListGroups has this node's groups only.
	ServeGroup(ctx context.Context, c Client, req kmsg.Request) kmsg.Response

	// ElectLeaders moves leaders. partitions is nil for all: the result then has only
	// those for which there was something to do. A leader that is the right one already
	// is an *Error with ElectionNotNeeded.
	ElectLeaders(ctx context.Context, kind ElectionType, partitions []TopicPartition, timeout time.Duration) ([]PartitionResult, error)
	// AlterReassignments begins to move replicas to other nodes, or cancels that. It
	// returns an error or nil for each. What moves together (the partitions of one shard)
	// has to be asked for together, with the same replicas: a part of it is refused with
	// InvalidReplicaAssignment and a text that names the rest. The replicas that a
	// partition has already are no change, and no error.
	AlterReassignments(ctx context.Context, list []Reassignment, o ReassignOptions) (each []error, err error)
	// Reassignments returns what AlterReassignments began and has not ended yet, of
	// these partitions or, if the list is nil, of all.
	Reassignments(ctx context.Context, partitions []TopicPartition) ([]OngoingReassignment, error)
}

// Topic is a topic of the backend. It stays the handle of this very topic: once it is
// deleted, Locate says so.
type Topic interface {
	Name() string
	UniqueID() [16]byte
	IsInternal() bool
	NumPartitions() int
	// Placements tells for each partition, by its number, which nodes have it.
	Placements() []Placement
	// Locate tells who leads a partition and what this node has of it. The error is one
	// for UNKNOWN_TOPIC_OR_PARTITION, or for a replica of this node that cannot be used.
	Locate(partition int32) (Location, error)
	// Rules returns what produced batches have to obey now.
	Rules() Rules
	// Properties returns the effective config by Kafka's names. own tells those
	// that the topic itself sets.
	Properties() (all map[string]string, own map[string]bool)
	// Sizes returns what this node stores of the topic, by partition, in ascending
	// order. It may read from disk.
	Sizes(ctx context.Context) ([]ReplicaSize, error)
}

// Replica is what a node has of a partition. There is one per partition and node, so
// that replicas can be compared and be keys of a map.
type Replica interface {
	// Read finds the batches from the one that holds offset from on, up to the high
	// watermark and to about maxBytes; at least one batch if there is one. Errors are
	// those of the store's Partition.Read.
	Read(f *store.Fetch, from base.Offset, maxBytes int) error
	// HighWatermark is the offset after the last record that this replica may show: on
	// a follower, what it applied. LogStart is the first one.
	HighWatermark() base.Offset
	LogStart() base.Offset
	// MaxTimestamp is the highest timestamp of a record in milliseconds, or -1.
	MaxTimestamp() int64
	// RecordForTime returns the first record whose timestamp is ms or later; found is
	// false without one.
	RecordForTime(ms int64) (at base.Offset, timestamp int64, found bool, err error)
	// EpochEnd returns the largest leader epoch that is not above the given one and has
	// records, and the offset after its last; -1 and -1 without such (KIP-101).
	EpochEnd(epoch base.LeaderEpoch) (base.LeaderEpoch, base.Offset, error)
	// Producers returns the idempotent producers that are remembered, by ascending id.
	Producers(ctx context.Context) ([]ProducerState, error)
	// Watch makes the replica send on c, without blocking, whenever the high watermark
	// or the log start moved, the leader or its epoch changed, or the replica went away.
	// c has room for one. Unwatch ends one Watch of c.
	Watch(c chan<- struct{})
	Unwatch(c chan<- struct{})
}

// Client is who sent a request.
type Client struct {
	ID   string // what it calls itself
	Host string // its address, without the port
}
