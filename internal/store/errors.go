package store

import (
	"errors"
	"fmt"

	"github.com/leatlog/leat/internal/base"
)

// Errors about a partition do not name it: its id means nothing to a user, and
// the caller knows the topic.

// Errors to branch on.
var (
	// ErrClosed is returned by every call on a closed Store.
	ErrClosed = errors.New("store is closed")
	// ErrFailed is wrapped by what every write returns after the disk failed.
	// The cause is wrapped beside it.
	ErrFailed = errors.New("storage has failed and takes no more writes; reopen the log once the disk is healthy")
	// ErrCorrupt is matched by a *CorruptBatchError and by errors about files
	// that cannot be decoded.
	ErrCorrupt = errors.New("corrupt data")
	// ErrNewerFormat is returned by Open for a directory that a later version wrote.
	ErrNewerFormat = errors.New("the directory was written by a newer version")
	// ErrLocked is returned by Open when another Store has the directory.
	ErrLocked = errors.New("the directory is in use by another process or Log")
	// ErrPartitionDropped is returned for a partition that was deleted.
	ErrPartitionDropped = errors.New("partition was deleted")

	// ErrLogApplied is returned for Raft log entries that would replace, or remove,
	// what was applied to the partitions.
	ErrLogApplied = errors.New("entries of the Raft log are applied already")
	// ErrNotApplied is returned for the removal of Raft log entries that were not
	// applied to the partitions yet.
	ErrNotApplied = errors.New("entries of the Raft log are not applied yet")
	// ErrStopped is returned by what was asked to stop before its end.
	ErrStopped = errors.New("stopped")
	// ErrReplicaExists is returned for the removal of a shard whose Raft log is
	// still there.
	ErrReplicaExists = errors.New("the shard still has a replica here; remove that first")
	// ErrUnknownPartition is what a command for a partition gets that its shard does
	// not have.
	ErrUnknownPartition = errors.New("the shard has no such partition")
	// ErrPartitionExists is what the creation of a partition gets whose id is taken
	// by another shard or by a partition that is not replicated.
	ErrPartitionExists = errors.New("the partition exists already, elsewhere")
	// ErrReplicated is returned for a change of a replicated partition that only its
	// shard may make.
	ErrReplicated = errors.New("the partition is replicated: only its shard's commands change it")
	// ErrAppliedRegressed is returned when a shard's partitions would go back: its
	// disk lost what was durable, or an entry is applied for the second time.
	ErrAppliedRegressed = errors.New("the applied index of the shard went backwards")
	// ErrShardImporting is returned by reads of a shard whose partitions are being
	// replaced by a Raft snapshot, or were half replaced when the process ended.
	ErrShardImporting = errors.New("the shard's partitions are being replaced by a snapshot")
	// ErrReplicaRemoved is returned for a write to a Raft log that was removed
	// meanwhile.
	ErrReplicaRemoved = errors.New("replica was removed")
	// ErrLogRange is matched by *LogRangeError.
	ErrLogRange = errors.New("outside of the Raft log")

	// ErrOutOfOrderSequence is Kafka's OUT_OF_ORDER_SEQUENCE_NUMBER.
	ErrOutOfOrderSequence = errors.New("out of order sequence number")
	// ErrInvalidProducerEpoch is Kafka's INVALID_PRODUCER_EPOCH.
	ErrInvalidProducerEpoch = errors.New("invalid producer epoch")
)

// OffsetOutOfRangeError is returned for a read outside
// [LogStart, HighWatermark].
type OffsetOutOfRangeError struct {
	Partition     base.PartitionID
	Offset        base.Offset
	LogStart      base.Offset
	HighWatermark base.Offset
}

func (e *OffsetOutOfRangeError) Error() string {
	return fmt.Sprintf("partition %d: offset %d is outside [%d, %d]", e.Partition, e.Offset, e.LogStart, e.HighWatermark)
}

// CorruptBatchError is returned when a stored batch does not match its
// checksum or its index entry cannot be read. It matches ErrCorrupt.
type CorruptBatchError struct {
	Partition base.PartitionID
	Offset    base.Offset
	Cause     error
}

func (e *CorruptBatchError) Error() string {
	return fmt.Sprintf("batch at offset %d is corrupt: %v", e.Offset, e.Cause)
}

func (e *CorruptBatchError) Unwrap() []error { return []error{ErrCorrupt, e.Cause} }

// SequenceError tells what an idempotent append should have brought. It
// matches ErrOutOfOrderSequence or ErrInvalidProducerEpoch.
type SequenceError struct {
	Partition     base.PartitionID
	ProducerID    int64
	Epoch         int16
	Sequence      int32
	ExpectedEpoch int16
	ExpectedNext  int32
	Rule          error
}

func (e *SequenceError) Error() string {
	return fmt.Sprintf("%v: producer %d sent epoch %d sequence %d, expected epoch %d sequence %d",
		e.Rule, e.ProducerID, e.Epoch, e.Sequence, e.ExpectedEpoch, e.ExpectedNext)
}

func (e *SequenceError) Unwrap() error { return e.Rule }

// LogRangeError is returned for a Raft log entry that the log of the replica does
// not have, or has no place for. It matches ErrLogRange.
type LogRangeError struct {
	Shard   base.ShardID
	Replica base.ReplicaID
	Index   base.RaftIndex
	First   base.RaftIndex // of the log
	Last    base.RaftIndex // First - 1 if it is empty
}

func (e *LogRangeError) Error() string {
	return fmt.Sprintf("shard %d replica %d: entry %d is %v, which has [%d, %d]", e.Shard, e.Replica, e.Index, ErrLogRange, e.First, e.Last)
}

func (e *LogRangeError) Unwrap() error { return ErrLogRange }

// CorruptLogError is returned when a Raft log's entry or record cannot be read.
// It matches ErrCorrupt.
type CorruptLogError struct {
	Shard   base.ShardID
	Replica base.ReplicaID
	Index   base.RaftIndex // 0: not an entry
	Cause   error
}

func (e *CorruptLogError) Error() string {
	return fmt.Sprintf("Raft log of shard %d replica %d, entry %d: %v", e.Shard, e.Replica, e.Index, e.Cause)
}

func (e *CorruptLogError) Unwrap() []error { return []error{ErrCorrupt, e.Cause} }
