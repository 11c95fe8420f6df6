package base

// Offset is the position of a record in a partition, counted from 0. Offsets
// of a partition only grow and are never used again. It is Kafka's offset, and
// is never a Raft index.
type Offset int64

// LeaderEpoch counts the leaders that a partition has had. Kafka's
// partitionLeaderEpoch; -1 means unknown.
type LeaderEpoch int32

// RaftIndex is the position of an entry in a shard's Raft log. It is never an
// Offset.
type RaftIndex uint64

// PartitionID names a partition within a node for ever: it is given out once
// and not used again, so that a topic that is deleted and created anew under
// the same name shares no key with the old one. It is not the number of a
// partition within its topic.
type PartitionID uint64

// NoOffset is the offset of nothing: what an acks=0 produce reports.
const NoOffset Offset = -1

// NodeID names a node of a cluster, counted from 1; 0 means none. It is Kafka's
// broker id, which is an int32 on the wire: larger ones are refused where a
// cluster is configured.
type NodeID uint64

// ShardID names a shard: a Raft group. 0 means none.
type ShardID uint64

// ReplicaID names a replica of a shard within it, counted from 1; 0 means none.
// A replica that was removed or lost its disk comes back under another: ids are
// never used again.
type ReplicaID uint64
