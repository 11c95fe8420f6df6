package leat

import (
	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/raftmeta"
)

// ClusterMetrics is about this node in its cluster. On a standalone Log all is zero.
type ClusterMetrics struct {
	// NodeID is this node's; Controller tells whether it leads the metadata.
	NodeID     uint64
	Controller bool
	// Nodes of the cluster as this node knows them; of these, Fenced are taken for dead,
	// and Draining lose their replicas.
	Nodes, FencedNodes, DrainingNodes int

	// ShardReplicas are the shards of partitions of which this node has a replica, and
	// ShardLeaders those that it leads, with PartitionLeaders partitions.
	ShardReplicas, ShardLeaders, PartitionLeaders int
	// MovingShards get or lose replicas, in the whole cluster.
	MovingShards int
	// UnderReplicatedPartitions are led by this node and have a replica on a node that is
	// taken for dead; UnderMinInSyncPartitions have so many that appends are refused for
	// their min.insync.replicas.
	UnderReplicatedPartitions, UnderMinInSyncPartitions int
	// OfflinePartitions have no leader that this node knows of, in the whole cluster.
	OfflinePartitions int

	// LeaderChanges counts how often another replica, or the same one anew, came to lead a
	// shard that has a replica here.
	LeaderChanges int64
	// Proposals were handed to Raft on this node. ProposalsBusy were not, for too much was
	// waiting; ProposalsDropped were given up, as when a leader changes; of
	// ProposalsTimedOut there was no answer. Producers try all of these again.
	Proposals, ProposalsBusy, ProposalsDropped, ProposalsTimedOut int64
	// SnapshotBytesSent and SnapshotBytesReceived went to and came from other nodes in
	// Raft snapshots, which build replicas that are new or far behind.
	SnapshotBytesSent, SnapshotBytesReceived int64
}

// count adds what the node knows of its cluster.
func (c *cluster) count(m *ClusterMetrics) {
	m.NodeID = uint64(c.self)
	img := c.machine.Image()
	m.Controller = c.leaders.get(raftmeta.MetadataShard).Node == c.self
	for b := range img.Brokers() {
		m.Nodes++
		if b.Fenced {
			m.FencedNodes++
		}
		if b.Draining {
			m.DrainingNodes++
		}
	}
	for s := range img.Shards() {
		if s.ID != raftmeta.MetadataShard {
			c.countShard(m, img, s)
		}
	}
	m.ShardReplicas = len(c.shards.all())
	m.LeaderChanges = c.leaderChanges.Load()
	if c.node != nil {
		n := c.node.Counters()
		m.Proposals, m.ProposalsBusy, m.ProposalsDropped, m.ProposalsTimedOut = n.Proposals, n.Busy, n.Dropped, n.TimedOut
	}
	if c.transport != nil {
		m.SnapshotBytesSent, m.SnapshotBytesReceived = c.transport.TransferredBytes()
	}
}

func (c *cluster) countShard(m *ClusterMetrics, img *raftmeta.Image, s *raftmeta.Shard) {
	live := func(n base.NodeID) bool {
		b := img.Broker(n)
		return b != nil && b.Live()
	}
	if s.Moving() {
		m.MovingShards++
	}
	at := c.leading(s.ID)
	if at.Node == 0 || !live(at.Node) {
		m.OfflinePartitions += s.Partitions
	}
	if at.Node != c.self {
		return
	}
	m.ShardLeaders++
	m.PartitionLeaders += s.Partitions
	voters, inSync := s.Voters(), 0
	for _, n := range voters {
		if live(n) {
			inSync++
		}
	}
	if inSync == len(voters) {
		return
	}
	m.UnderReplicatedPartitions += s.Partitions
	for _, ref := range img.PartitionsOf(s.ID) {
		if t := c.log.catalog.topicByID(TopicID(ref.Topic)); t != nil && !enoughInSync(inSync, len(voters), t.state.Load().config.MinInSyncReplicas) {
			m.UnderMinInSyncPartitions++
		}
	}
}
