package raftmeta

import "fmt"

// MetadataVersion says which commands and which forms of them the cluster uses
// (Kafka's metadata.version). It is raised by hand once every broker understands
// the new one, so that brokers of two releases never differ about a command.
type MetadataVersion uint16

const (
	// MetadataV1 is the first metadata version.
	MetadataV1 MetadataVersion = 1

	// MetadataVersionMin and MetadataVersionMax are what this software understands.
	MetadataVersionMin = MetadataV1
	MetadataVersionMax = MetadataV1
)

// Settings is what holds for the whole cluster.
type Settings struct {
	// ShardsPerFactor is how many shared shards there are for each replication
	// factor, once as many partitions need them. Default 12.
	ShardsPerFactor int
	// DefaultReplicationFactor is of topics that name none
	// (default.replication.factor). Default 3.
	DefaultReplicationFactor int
	// MinInsyncReplicas is of topics that set none (min.insync.replicas). Default 1.
	MinInsyncReplicas int
	// MetadataVersion is the version in use; it only grows.
	MetadataVersion MetadataVersion
}

// DefaultSettings returns what a new cluster has.
func DefaultSettings() Settings {
	return Settings{ShardsPerFactor: 12, DefaultReplicationFactor: 3, MinInsyncReplicas: 1, MetadataVersion: MetadataV1}
}

// Setting names one of the Settings in a command. The numbers are stored.
type Setting uint8

// The settings of a cluster.
const (
	SettingShardsPerFactor          Setting = 1
	SettingDefaultReplicationFactor Setting = 2
	SettingMinInsyncReplicas        Setting = 3
	SettingMetadataVersion          Setting = 4
)

const (
	shardsPerFactorMax   = 1024
	replicationFactorMax = 64
)

// String returns the setting's property name.
func (s Setting) String() string {
	switch s {
	case SettingShardsPerFactor:
		return "leat.shards.per.factor"
	case SettingDefaultReplicationFactor:
		return "default.replication.factor"
	case SettingMinInsyncReplicas:
		return "min.insync.replicas"
	case SettingMetadataVersion:
		return "metadata.version"
	}
	return fmt.Sprintf("Setting(%d)", uint8(s))
}

// highest returns the highest value of the setting, 0 for an unknown one. The
// lowest is 1.
func (s Setting) highest() uint64 {
	switch s {
	case SettingShardsPerFactor:
		return shardsPerFactorMax
	case SettingDefaultReplicationFactor, SettingMinInsyncReplicas:
		return replicationFactorMax
	case SettingMetadataVersion:
		return 1<<16 - 1
	}
	return 0
}

func (s *Settings) encode(e *encoder) {
	e.uvarint(uint64(s.ShardsPerFactor))
	e.uvarint(uint64(s.DefaultReplicationFactor))
	e.uvarint(uint64(s.MinInsyncReplicas))
	e.uvarint(uint64(s.MetadataVersion))
}

func decodeSettings(d *decoder) Settings {
	return Settings{
		ShardsPerFactor:          int(d.int32()),
		DefaultReplicationFactor: int(d.int32()),
		MinInsyncReplicas:        int(d.int32()),
		MetadataVersion:          takeNumber[MetadataVersion](d),
	}
}
