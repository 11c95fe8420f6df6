package leat

import (
	"strconv"
	"time"
)

const (
	// Forever is the duration without an end, in the fields of TopicConfig that
	// say they take it.
	Forever time.Duration = -1

	// AtOnce is the explicit zero of those fields of TopicConfig that say they
	// take it, whose 0 means "as inherited".
	AtOnce time.Duration = -2

	// Unlimited is the size without a limit.
	Unlimited int64 = -1
)

// The limits of TopicConfig.
const (
	partitionsMax        = 100_000
	messageBytesMax      = 256 << 20
	minInSyncReplicasMax = 1<<15 - 1
)

// TopicConfig is how a topic is kept. The zero value of a field takes what the
// Log's Config.TopicDefaults says, and where that is zero too, the default named at
// the field. Durations have a resolution of a millisecond and must be whole
// ones; sizes are in bytes.
//
// Each field but Partitions and ReplicationFactor is a property, Kafka's but for one,
// named at the field;
// SetProperty and Properties translate. As JSON, which is how a Log stores it,
// durations are nanoseconds and the names of fields never change.
type TopicConfig struct {
	// Partitions is the number of partitions, 1 to 100,000. Default 1.
	Partitions int `json:"partitions,omitempty"`

	// ReplicationFactor is how many nodes of a cluster store each partition: 1 to 64,
	// and not more than there are nodes when the topic is created. Default that of the
	// cluster, and 1 on a Log without one, which takes no other. It is given with the
	// creation; moving the topic's replicas may change it.
	ReplicationFactor int `json:"replication_factor,omitempty"`

	// CleanupPolicy says what is done with old records. Default Delete.
	// Kafka's cleanup.policy.
	CleanupPolicy CleanupPolicy `json:"cleanup_policy,omitempty"`

	// Retention is how long a record is kept at least, by its timestamp, with
	// CleanupPolicy Delete or CompactDelete: at least 1 ms, or Forever. Default
	// 7 days. Kafka's retention.ms, where -1 is Forever.
	Retention time.Duration `json:"retention_ns,omitempty"`

	// RetentionBytes is how large each partition may grow before its oldest
	// records go, with CleanupPolicy Delete or CompactDelete: at least 1, or
	// Unlimited, the default. Kafka's retention.bytes.
	RetentionBytes int64 `json:"retention_bytes,omitempty"`

	// MaxMessageBytes bounds a record batch as it is stored, compressed and
	// with its header: 1 to 256 MiB. Default 1,048,588. Kafka's
	// max.message.bytes.
	MaxMessageBytes int `json:"max_message_bytes,omitempty"`

	// MinCompactionLag is how long a record is safe from compaction: at least
	// 1 ms, or AtOnce, the default. Kafka's min.compaction.lag.ms.
	MinCompactionLag time.Duration `json:"min_compaction_lag_ns,omitempty"`

	// MaxCompactionLag is how long a record may wait for compaction even when
	// MinCleanableDirtyRatio is not reached: at least 1 ms and not less than
	// MinCompactionLag, or Forever, the default. Kafka's max.compaction.lag.ms,
	// where 9223372036854775807 is Forever.
	MaxCompactionLag time.Duration `json:"max_compaction_lag_ns,omitempty"`

	// DeleteRetention is how long compaction keeps a tombstone, a record
	// without a value: at least 1 ms, or AtOnce. A consumer that reads from the
	// start must be done with it in this time to learn of each deletion.
	// Default 24 hours. Kafka's delete.retention.ms.
	DeleteRetention time.Duration `json:"delete_retention_ns,omitempty"`

	// MinCleanableDirtyRatio is the share of a partition that must have been
	// written since the last compaction before the next one begins: above 0 to
	// 1, or -1 to compact whatever the share. Default 0.5. Kafka's
	// min.cleanable.dirty.ratio, where 0 is the -1 of this field.
	MinCleanableDirtyRatio float64 `json:"min_cleanable_dirty_ratio,omitempty"`

	// Compression is how batches are stored. Default ProducerCompression.
	// Kafka's compression.type.
	Compression Compression `json:"compression,omitempty"`

	// TimestampType says whose clock the records carry. Default CreateTime.
	// Kafka's message.timestamp.type.
	TimestampType TimestampType `json:"timestamp_type,omitempty"`

	// MessageTimestampBeforeMax is how far a producer's timestamp may lie
	// behind the clock of the Log: at least 1 ms, or Forever, the default. It
	// has no effect with LogAppendTime. Kafka's
	// message.timestamp.before.max.ms, where 9223372036854775807 is Forever.
	MessageTimestampBeforeMax time.Duration `json:"message_timestamp_before_max_ns,omitempty"`

	// MessageTimestampAfterMax is how far a producer's timestamp may lie ahead
	// of the clock of the Log: at least 1 ms, or Forever. It has no effect with
	// LogAppendTime. Default 1 hour. Kafka's message.timestamp.after.max.ms,
	// where 9223372036854775807 is Forever.
	MessageTimestampAfterMax time.Duration `json:"message_timestamp_after_max_ns,omitempty"`

	// MinInSyncReplicas is how many replicas must be there for a write with
	// acks=all: 1 to 32,767. Default 1. It is kept and shown, and has no effect
	// on a Log without a cluster. Kafka's min.insync.replicas.
	MinInSyncReplicas int `json:"min_insync_replicas,omitempty"`

	// DedicatedShards is how many Raft groups of a cluster replicate the partitions of
	// this topic alone: 1 to 1,024; -1, the default, is none, so that they share groups
	// with other topics. It counts when the topic is created, is kept and shown, and
	// has no effect on a Log without a cluster. The property is leat.dedicated.shards.
	DedicatedShards int `json:"dedicated_shards,omitempty"`
}

// defaultTopicConfig is what a topic has of which nothing was said. No field
// is zero.
func defaultTopicConfig() TopicConfig {
	return TopicConfig{
		Partitions:                1,
		CleanupPolicy:             Delete,
		Retention:                 7 * 24 * time.Hour,
		RetentionBytes:            Unlimited,
		MaxMessageBytes:           1_048_588,
		MinCompactionLag:          AtOnce,
		MaxCompactionLag:          Forever,
		DeleteRetention:           24 * time.Hour,
		MinCleanableDirtyRatio:    0.5,
		Compression:               ProducerCompression,
		TimestampType:             CreateTime,
		MessageTimestampBeforeMax: Forever,
		MessageTimestampAfterMax:  time.Hour,
		MinInSyncReplicas:         1,
		DedicatedShards:           -1,
	}
}

// inherit returns c with each zero field taken from parent.
func (c TopicConfig) inherit(parent TopicConfig) TopicConfig {
	if c.Partitions == 0 {
		c.Partitions = parent.Partitions
	}
	if c.ReplicationFactor == 0 {
		c.ReplicationFactor = parent.ReplicationFactor
	}
	for i := range topicProperties {
		topicProperties[i].inherit(&c, &parent)
	}
	return c
}

// withDefaults returns c with each zero field set to its default, so that no
// field of the result is zero. A Log's own defaults come in before:
// c.inherit(defaults).withDefaults().
func (c TopicConfig) withDefaults() TopicConfig { return c.inherit(defaultTopicConfig()) }

// validate returns a *ConfigError for the first field that breaks its rule.
// Zero fields pass. Rules between fields hold for what is set: validate the
// result of withDefaults to have them all checked.
func (c TopicConfig) validate() error {
	if c.Partitions < 0 || c.Partitions > partitionsMax {
		return &ConfigError{Property: "partitions", Value: strconv.Itoa(c.Partitions), Rule: "must be from 1 to 100000"}
	}
	if c.ReplicationFactor < 0 || c.ReplicationFactor > replicationFactorMax {
		return &ConfigError{Property: "replication.factor", Value: strconv.Itoa(c.ReplicationFactor), Rule: "must be from 1 to 64"}
	}
	for i := range topicProperties {
		p := &topicProperties[i]
		if p.valid(&c) {
			continue
		}
		return &ConfigError{Property: p.name, Value: p.show(&c), Rule: p.rule}
	}
	if c.MinCompactionLag > 0 && c.MaxCompactionLag > 0 && c.MinCompactionLag > c.MaxCompactionLag {
		return &ConfigError{
			Property: "min.compaction.lag.ms",
			Value:    strconv.FormatInt(c.MinCompactionLag.Milliseconds(), 10),
			Rule:     "must not be greater than max.compaction.lag.ms, which is " + strconv.FormatInt(c.MaxCompactionLag.Milliseconds(), 10),
		}
	}
	return nil
}
