package raftmeta

import (
	"math"
	"slices"
)

// Bootstrap gives a new cluster its id and is its first command. A second one
// with the same id changes nothing.
type Bootstrap struct {
	// ClusterID is 1 to 64 bytes; Kafka's are 22 characters of base64.
	ClusterID string
	// Founders is the nodes that started the metadata's Raft group, with replica
	// ids 1, 2, ... in this order.
	Founders []NodeID
	// ShardsPerFactor, DefaultReplicationFactor and MinInsyncReplicas are the
	// Settings to begin with; 0 means the default.
	ShardsPerFactor          int
	DefaultReplicationFactor int
	MinInsyncReplicas        int
}

const clusterIDBytesMax = 64

func (*Bootstrap) header() (Kind, byte, MetadataVersion) { return KindBootstrap, 1, MetadataV1 }

func (c *Bootstrap) encode(e *encoder) {
	e.string(c.ClusterID)
	numbers(e, c.Founders)
	e.uvarint(uint64(c.ShardsPerFactor))
	e.uvarint(uint64(c.DefaultReplicationFactor))
	e.uvarint(uint64(c.MinInsyncReplicas))
}

func decodeBootstrap(d *decoder) *Bootstrap {
	return &Bootstrap{
		ClusterID:                d.string(),
		Founders:                 takeNumbers[NodeID](d),
		ShardsPerFactor:          int(d.int32()),
		DefaultReplicationFactor: int(d.int32()),
		MinInsyncReplicas:        int(d.int32()),
	}
}

func (c *Bootstrap) apply(img *Image, _ *Result) *Error {
	if c.ClusterID == "" || len(c.ClusterID) > clusterIDBytesMax {
		return refuse(InvalidRequest, "cluster id %q must have 1 to %d bytes", c.ClusterID, clusterIDBytesMax)
	}
	if img.clusterID == c.ClusterID {
		return nil
	}
	if img.clusterID != "" {
		return refuse(AlreadyBootstrapped, "the cluster has id %q already, not %q", img.clusterID, c.ClusterID)
	}
	if err := checkNodes(c.Founders); err != nil {
		return err
	}
	for _, set := range []SetClusterSetting{
		{SettingShardsPerFactor, uint64(c.ShardsPerFactor)},
		{SettingDefaultReplicationFactor, uint64(c.DefaultReplicationFactor)},
		{SettingMinInsyncReplicas, uint64(c.MinInsyncReplicas)},
	} {
		if set.Value != 0 {
			if err := set.set(img); err != nil {
				return err
			}
		}
	}
	img.clusterID = c.ClusterID
	img.putShard(newShard(MetadataShard, ShardMetadata, TopicID{}, c.Founders))
	return nil
}

// newShard returns a shard that the nodes start, the first of which should lead.
func newShard(id ShardID, kind ShardKind, topic TopicID, nodes []NodeID) *Shard {
	s := &Shard{
		ID: id, Kind: kind, Topic: topic, Factor: len(nodes),
		Initial: slices.Clone(nodes), Preferred: slices.Clone(nodes), NextReplica: 1, Version: 1,
	}
	for _, node := range nodes {
		s.add(node, ReplicaVoter)
	}
	return s
}

// checkNodes refuses lists of nodes that are empty, name one twice, or hold what
// is no node id.
func checkNodes(nodes []NodeID) *Error {
	if len(nodes) == 0 || len(nodes) > replicationFactorMax {
		return refuse(InvalidRequest, "%s: there must be 1 to %d", plural(len(nodes), "replica"), replicationFactorMax)
	}
	return checkDistinct(nodes)
}

func checkDistinct(nodes []NodeID) *Error {
	sorted := slices.Sorted(slices.Values(nodes))
	for i, node := range sorted {
		if node == 0 || node > NodeIDMax {
			return refuse(InvalidRequest, "node id %d is not within 1 and %d", node, NodeIDMax)
		}
		if i > 0 && sorted[i-1] == node {
			return refuse(InvalidRequest, "node %d is named twice", node)
		}
	}
	return nil
}

// SetClusterSetting sets one of the Settings. The metadata version only grows,
// and only to one that every broker understands; every node halts that does not.
type SetClusterSetting struct {
	Setting Setting
	Value   uint64
}

func (*SetClusterSetting) header() (Kind, byte, MetadataVersion) {
	return KindSetClusterSetting, 1, MetadataV1
}

func (c *SetClusterSetting) encode(e *encoder) {
	e.byte(byte(c.Setting))
	e.uvarint(c.Value)
}

func (c *SetClusterSetting) apply(img *Image, _ *Result) *Error { return c.set(img) }

func (c *SetClusterSetting) set(img *Image) *Error {
	if c.Setting.highest() == 0 {
		return refuse(Unsupported, "setting %d is not known", uint8(c.Setting))
	}
	if c.Value == 0 || c.Value > c.Setting.highest() {
		return refuse(InvalidRequest, "%v of %d is not within 1 and %d", c.Setting, c.Value, c.Setting.highest())
	}
	switch c.Setting {
	case SettingShardsPerFactor:
		img.settings.ShardsPerFactor = int(c.Value)
	case SettingDefaultReplicationFactor:
		img.settings.DefaultReplicationFactor = int(c.Value)
	case SettingMinInsyncReplicas:
		img.settings.MinInsyncReplicas = int(c.Value)
	case SettingMetadataVersion:
		v := MetadataVersion(c.Value)
		if v < img.settings.MetadataVersion {
			return refuse(UnsupportedVersion, "metadata version %d is in use and cannot become %d: it only grows", img.settings.MetadataVersion, v)
		}
		for b := range img.Brokers() {
			if v < b.MinVersion || v > b.MaxVersion {
				return refuse(UnsupportedVersion, "node %d (%s) understands metadata versions %d to %d, not %d", b.ID, b.Software, b.MinVersion, b.MaxVersion, v)
			}
		}
		img.settings.MetadataVersion = v
	}
	return nil
}

// AllocateProducerIDs gives the broker the next block of ProducerIDBlock producer
// ids. What it does not use is lost; no id is given out twice.
type AllocateProducerIDs struct {
	BrokerEpoch
}

func (*AllocateProducerIDs) header() (Kind, byte, MetadataVersion) {
	return KindAllocateProducerIDs, 1, MetadataV1
}

func (c *AllocateProducerIDs) apply(img *Image, result *Result) *Error {
	if _, err := c.broker(img); err != nil {
		return err
	}
	if img.nextProducerID > math.MaxInt64-ProducerIDBlock {
		return refuse(Exhausted, "all producer ids are given out")
	}
	result.FirstProducerID = img.nextProducerID
	img.nextProducerID += ProducerIDBlock
	return nil
}
