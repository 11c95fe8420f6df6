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
