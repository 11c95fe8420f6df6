package leat

import (
	"errors"
	"fmt"
)

var (
	// ErrNotAssigned is returned for a partition that the consumer does not read.
	ErrNotAssigned = errors.New("leat: partition is not assigned to the consumer")
	// ErrConcurrentPoll is returned to a Poll while another of the same consumer is
	// under way (Kafka's ConcurrentModificationException).
	ErrConcurrentPoll = errors.New("leat: consumer is being polled by another goroutine")
)

// CorruptRecordsError says that stored records are damaged and cannot be read.
// The consumer's position stays before them; Seek to Next leaves them out. It is
// ErrCorrupt.
type CorruptRecordsError struct {
	Topic     string
	Partition int32
	// Offset is the first that cannot be read.
	Offset Offset
	// Next is where the batch behind the damaged one begins.
	Next Offset
	// Err is what was found.
	Err error
}

// Error implements error.
func (e *CorruptRecordsError) Error() string {
	return fmt.Sprintf("topic %q partition %d: records from offset %d to before %d cannot be read, seek to %d to go on behind them: %v",
		e.Topic, e.Partition, e.Offset, e.Next, e.Next, e.Err)
}

// Unwrap returns ErrCorrupt and the cause.
func (e *CorruptRecordsError) Unwrap() []error { return []error{ErrCorrupt, e.Err} }

func notAssigned(tp TopicPartition) error { return fmt.Errorf("%w: %v", ErrNotAssigned, tp) }
