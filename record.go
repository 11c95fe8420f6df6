package leat

import (
	"fmt"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/recordbatch"
)

// Offset is the position of a record in its partition, counted from 0.
//
//	type Offset int64
type Offset = base.Offset

// LeaderEpoch counts the leaders that a partition has had; it is 0 without a
// cluster.
//
//	type LeaderEpoch int32
type LeaderEpoch = base.LeaderEpoch

// Header is one of a record's headers (KIP-82). Keys may repeat; a nil Value is
// stored as null and differs from an empty one.
//
//	type Header struct {
//		Key   string
//		Value []byte
//	}
type Header = recordbatch.RecordHeader

// Record is what a producer sends and a consumer receives.
type Record struct {
	// Topic is required when producing.
	Topic string
	// Partition is where the record is. When producing it is used with
	// ManualPartitioner only.
	Partition int32
	// Offset is set when consuming.
	Offset Offset
	// LeaderEpoch is set when consuming.
	LeaderEpoch LeaderEpoch
	// Timestamp is when the record was made, in milliseconds; when producing, the
	// zero time means now. With LogAppendTime it is when it was stored.
	Timestamp time.Time
	// Key decides the partition and what compaction keeps; nil means none.
	Key []byte
	// Value is the payload; nil is a tombstone, which deletes Key from a
	// compacted topic.
	Value []byte
	// Headers go along with the record.
	Headers []Header
}

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String returns "topic/partition".
func (tp TopicPartition) String() string { return fmt.Sprintf("%s/%d", tp.Topic, tp.Partition) }

// RecordMetadata is where a record was stored.
type RecordMetadata struct {
	Topic     string
	Partition int32
	// Offset is -1 where it is not known: with AcksNone, or for a record that
	// failed.
	Offset    Offset
	Timestamp time.Time
}
