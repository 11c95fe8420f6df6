package kafka

import "github.com/leatlog/leat/internal/base"

// NoNode stands for a leader, controller or coordinator that there is not.
const NoNode int32 = -1

// Cluster is what a node knows of the nodes.
type Cluster struct {
	// ID is the cluster's id, which never changes.
	ID string
	// Controller is the node that leads the metadata, or NoNode.
	Controller int32
	// Nodes are those that serve, in the order of their ids.
	Nodes []Node
}

// Node is a node of the cluster as clients reach it (a broker).
type Node struct {
	ID int32
	// Host and Port are where it listens for clients. An empty Host is that of the
	// listener that the client came to: a node may leave its own open.
	Host string
	Port int32
	// Rack is where it stands (broker.rack), or empty. Clients that tell a rack are
	// sent to followers in theirs.
	Rack string
}

// node returns the node of an id, or nil.
func (c *Cluster) node(id int32) *Node {
	for i := range c.Nodes {
		if c.Nodes[i].ID == id {
			return &c.Nodes[i]
		}
	}
	return nil
}

// Placement tells which nodes have a partition. The first of Replicas is the preferred
// leader.
type Placement struct {
	Leader   int32 // or NoNode
	Epoch    base.LeaderEpoch
	Replicas []int32
	InSync   []int32 // those of Replicas that follow the leader closely (ISR)
	Offline  []int32 // those of Replicas whose node is down
}

// Location is a partition as this node sees it now.
type Location struct {
	// Leader leads in Epoch, or is NoNode while there is none.
	Leader int32
	Epoch  base.LeaderEpoch
	// Replica is what this node has of the partition; nil if nothing, or nothing that
	// can be shown yet.
	Replica Replica
	// InSync are the nodes from which a Fetch may be served as well, for a leader to
	// send clients of another rack to; nil if there are no others.
	InSync []int32
}

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// PartitionResult is what became of one partition of a request.
type PartitionResult struct {
	TopicPartition
	Err error
}

// LogDir describes where a node keeps its partitions.
type LogDir struct {
	Path string
	// TotalBytes and UsableBytes are of the volume, -1 where that is not known (KIP-827).
	TotalBytes, UsableBytes int64
	// Err is set once the disk failed.
	Err error
}

// ReplicaSize is what a node stores of a partition.
type ReplicaSize struct {
	Partition int32
	Bytes     int64
	// Lag is how many records this replica is behind, 0 for the leader's.
	Lag int64
}

// ProducerState is what is remembered of an idempotent producer in a partition.
type ProducerState struct {
	ID            int64
	Epoch         int16
	LastSequence  int32
	LastTimestamp int64 // of its last batch, in milliseconds
}

// ElectionType says which leader is wanted.
type ElectionType int8

const (
	// PreferredElection makes the first replica the leader.
	PreferredElection ElectionType = 0
	// UncleanElection makes any replica the leader of a partition that has none, also
	// one that misses records. Where a majority decides there is no such.
	UncleanElection ElectionType = 1
)

// Reassignment asks for other replicas of a partition.
type Reassignment struct {
	TopicPartition
	// Replicas are the wanted ones, nil to cancel what is under way.
	Replicas []int32
}

// ReassignOptions are those of a whole request.
type ReassignOptions struct {
	// FixedReplicationFactor refuses a list of replicas that is longer or shorter than
	// that of now (KIP-860).
	FixedReplicationFactor bool
}

// OngoingReassignment is a change of replicas that has not ended.
type OngoingReassignment struct {
	TopicPartition
	// Replicas are those of now, the ones to come included; Adding and Removing are
	// the difference.
	Replicas, Adding, Removing []int32
}
