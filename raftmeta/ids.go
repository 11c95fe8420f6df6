package raftmeta

import (
	"bytes"
	"encoding/base64"
	"math"

	"github.com/leatlog/leat/internal/base"
)

// The ids of package base, which are distinct types so that none is passed for
// another.
type (
	NodeID      = base.NodeID
	ShardID     = base.ShardID
	ReplicaID   = base.ReplicaID
	PartitionID = base.PartitionID
	RaftIndex   = base.RaftIndex
)

const (
	// NodeIDMax is the highest node id: Kafka's clients know a node by an int32.
	NodeIDMax NodeID = math.MaxInt32

	// MetadataShard is the Raft group that holds the metadata itself.
	MetadataShard ShardID = 1

	// FirstShard is the id of the first shard of partitions. The ids between the
	// metadata's and it are kept.
	FirstShard ShardID = 16

	// FirstPartition is the id of the first partition.
	FirstPartition PartitionID = 1
)

// TopicID is the 16 bytes by which Kafka's protocol names a topic (KIP-516). A
// topic that is deleted and created anew under the same name has another.
type TopicID [16]byte

// String returns the id as Kafka's tools write it: 22 characters of base64.
func (id TopicID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

func (id TopicID) compare(other TopicID) int { return bytes.Compare(id[:], other[:]) }

// Incarnation is drawn at random whenever a node starts: two lives of a node are
// told apart by it.
type Incarnation [16]byte

// String returns the incarnation as 22 characters of base64.
func (i Incarnation) String() string { return base64.RawURLEncoding.EncodeToString(i[:]) }

// Directory is drawn at random when a node's directory is first used, and is
// kept in it: a node that comes back under another has lost what it had
// (Kafka's directory.id).
type Directory [16]byte

// String returns the directory's id as 22 characters of base64.
func (d Directory) String() string { return base64.RawURLEncoding.EncodeToString(d[:]) }
