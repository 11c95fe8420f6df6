package leat

import (
	"errors"
	"fmt"

	"github.com/leatlog/leat/internal/store"
)

// Errors to branch on with errors.Is. ErrInvalidConfig and ErrInvalidName stand
// beside their struct errors.
var (
	// ErrClosed is returned by every call on a closed Log, Producer, Consumer or
	// ConsumerGroup.
	ErrClosed = errors.New("leat: closed")
	// ErrUnknownTopic is Kafka's UNKNOWN_TOPIC_OR_PARTITION for a topic.
	ErrUnknownTopic = errors.New("leat: unknown topic")
	// ErrUnknownPartition is Kafka's UNKNOWN_TOPIC_OR_PARTITION for a partition of
	// a topic that exists.
	ErrUnknownPartition = errors.New("leat: unknown partition")
	// ErrTopicExists is Kafka's TOPIC_ALREADY_EXISTS.
	ErrTopicExists = errors.New("leat: topic exists")
	// ErrTopicDeleted is returned for what belongs to a topic that was deleted,
	// also when one of the same name has been created since.
	ErrTopicDeleted = errors.New("leat: topic was deleted")
	// ErrBufferFull is returned by Produce with WithNonBlocking when the
	// producer's buffer has no room.
	ErrBufferFull = errors.New("leat: producer buffer is full")
	// ErrRecordTooLarge is what every *RecordTooLargeError is (Kafka's
	// MESSAGE_TOO_LARGE).
	ErrRecordTooLarge = errors.New("leat: record is too large")
	// ErrInvalidRecord is what every *InvalidRecordError is (Kafka's
	// INVALID_RECORD and INVALID_TIMESTAMP).
	ErrInvalidRecord = errors.New("leat: invalid record")
	// ErrOffsetOutOfRange is what every *OffsetOutOfRangeError is.
	ErrOffsetOutOfRange = errors.New("leat: offset out of range")
	// ErrDeliveryTimeout is returned for a record that could not be stored within
	// the producer's delivery timeout. Whether it is stored is not known.
	ErrDeliveryTimeout = errors.New("leat: delivery timed out")

	// ErrStorageFailed is returned by writes after the disk failed; it wraps the
	// cause. What is durable can be read; a Log that is opened anew, once the
	// disk is healthy, has all that was acknowledged.
	ErrStorageFailed = store.ErrFailed
	// ErrCorrupt is returned when stored bytes are damaged. They are never
	// returned as records.
	ErrCorrupt = store.ErrCorrupt
	// ErrLocked is returned by Open when another Log, in this process or another,
	// has the directory open.
	ErrLocked = store.ErrLocked
	// ErrNewerFormat is returned by Open for a directory of a later version.
	ErrNewerFormat = store.ErrNewerFormat
)

// RecordTooLargeError says that a record does not fit a batch of its topic
// (max.message.bytes) or the producer's buffer.
type RecordTooLargeError struct {
	Topic string
	// Bytes is what the record takes as a batch of its own, before compression.
	Bytes int
	// Limit is the largest that fits.
	Limit int
	// Setting is the name of the limit.
	Setting string
}

func (e *RecordTooLargeError) Error() string {
	return fmt.Sprintf("%v: topic %q: %d bytes with its batch header, %s allows %d", ErrRecordTooLarge, e.Topic, e.Bytes, e.Setting, e.Limit)
}

// Is reports whether target is ErrRecordTooLarge.
func (e *RecordTooLargeError) Is(target error) bool { return target == ErrRecordTooLarge }

// InvalidRecordError says which rule of its topic a record breaks.
type InvalidRecordError struct {
	Topic string
	Rule  string
}

func (e *InvalidRecordError) Error() string {
	return fmt.Sprintf("%v: topic %q: %s", ErrInvalidRecord, e.Topic, e.Rule)
}

// Is reports whether target is ErrInvalidRecord.
func (e *InvalidRecordError) Is(target error) bool { return target == ErrInvalidRecord }

// OffsetOutOfRangeError says that an offset is not in [LogStart, HighWatermark]
// of its partition: retention or DeleteRecords removed it, or it is in the
// future.
type OffsetOutOfRangeError struct {
	Topic         string
	Partition     int32
	Offset        Offset
	LogStart      Offset
	HighWatermark Offset
}

func (e *OffsetOutOfRangeError) Error() string {
	return fmt.Sprintf("%v: topic %q partition %d: offset %d is not in [%d, %d]",
		ErrOffsetOutOfRange, e.Topic, e.Partition, e.Offset, e.LogStart, e.HighWatermark)
}

// Is reports whether target is ErrOffsetOutOfRange.
func (e *OffsetOutOfRangeError) Is(target error) bool { return target == ErrOffsetOutOfRange }

// topicError says which topic an error is about.
func topicError(topic string, err error) error {
	return fmt.Errorf("topic %q: %w", topic, err)
}

// ErrForeignDirectory is what every *DirectoryError is.
var ErrForeignDirectory = errors.New("leat: the directory is not this node's")

// DirectoryError says that a directory cannot be opened as the config wants it: it
// belongs to another node, another cluster, or to a Log without one. Nothing in it was
// changed.
type DirectoryError struct {
	Dir  string
	Rule string // completes the sentence "The directory ...": why
}

func (e *DirectoryError) Error() string {
	return fmt.Sprintf("%v: %s: %s", ErrForeignDirectory, e.Dir, e.Rule)
}

// Is reports true for ErrForeignDirectory.
func (e *DirectoryError) Is(target error) bool { return target == ErrForeignDirectory }
