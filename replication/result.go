package replication

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/lni/dragonboat/v4/statemachine"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/recordbatch"
	"github.com/leatlog/leat/internal/store"
)

// A command's result goes from the state machine to whoever proposed it on the
// same node; it is never stored. Its value is an offset. Its data are empty when
// all is well, or begin with what happened instead.
const (
	resultDuplicate        = 1
	resultSequence         = 2
	resultUnknownPartition = 3
	resultPartitionExists  = 4
	resultInvalidRecord    = 5
	resultOutOfRange       = 6
	resultFenced           = 7
)

// errFenced is the result of an append of an epoch that was fenced.
var errFenced = errors.New("a later leader has fenced the epoch of the append")

// The rules that a store.SequenceError may name.
const (
	ruleOutOfOrder   = 1
	ruleInvalidEpoch = 2
)

// encodeResult returns the result of a command; ok is false for an error that is
// no result but a failure.
func encodeResult(at base.Offset, duplicate bool, err error) (r statemachine.Result, ok bool) {
	r.Value = uint64(at)
	var sequence *store.SequenceError
	var outside *store.OffsetOutOfRangeError
	switch {
	case err == nil:
		if duplicate {
			r.Data = []byte{resultDuplicate}
		}
	case errors.As(err, &sequence):
		rule := byte(ruleOutOfOrder)
		if errors.Is(sequence.Rule, store.ErrInvalidProducerEpoch) {
			rule = ruleInvalidEpoch
		}
		b := []byte{resultSequence, rule}
		b = binary.BigEndian.AppendUint64(b, uint64(sequence.Partition))
		b = binary.BigEndian.AppendUint64(b, uint64(sequence.ProducerID))
		b = binary.BigEndian.AppendUint16(b, uint16(sequence.Epoch))
		b = binary.BigEndian.AppendUint32(b, uint32(sequence.Sequence))
		b = binary.BigEndian.AppendUint16(b, uint16(sequence.ExpectedEpoch))
		r.Data = binary.BigEndian.AppendUint32(b, uint32(sequence.ExpectedNext))
	case errors.As(err, &outside):
		b := []byte{resultOutOfRange}
		b = binary.BigEndian.AppendUint64(b, uint64(outside.Partition))
		b = binary.BigEndian.AppendUint64(b, uint64(outside.Offset))
		b = binary.BigEndian.AppendUint64(b, uint64(outside.LogStart))
		r.Data = binary.BigEndian.AppendUint64(b, uint64(outside.HighWatermark))
	case errors.Is(err, errFenced):
		r.Data = []byte{resultFenced}
	case errors.Is(err, store.ErrUnknownPartition):
		r.Data = []byte{resultUnknownPartition}
	case errors.Is(err, store.ErrPartitionExists):
		r.Data = []byte{resultPartitionExists}
	case errors.Is(err, recordbatch.ErrInvalidRecord), errors.Is(err, ErrBadFrame):
		r.Data = append([]byte{resultInvalidRecord}, err.Error()...)
	default:
		return r, false
	}
	return r, true
}

// decodeResult is the inverse.
func decodeResult(r statemachine.Result) (at base.Offset, duplicate bool, err error) {
	at = base.Offset(r.Value)
	if len(r.Data) == 0 {
		return at, false, nil
	}
	d := decoder{buf: r.Data}
	switch code := d.uint8(); code {
	case resultDuplicate:
		return at, true, nil
	case resultSequence:
		rule := store.ErrOutOfOrderSequence
		if d.uint8() == ruleInvalidEpoch {
			rule = store.ErrInvalidProducerEpoch
		}
		e := &store.SequenceError{
			Partition:     base.PartitionID(d.uint64()),
			ProducerID:    int64(d.uint64()),
			Epoch:         int16(d.uint16()),
			Sequence:      int32(d.uint32()),
			ExpectedEpoch: int16(d.uint16()),
			ExpectedNext:  int32(d.uint32()),
			Rule:          rule,
		}
		if err := d.finish(); err != nil {
			return 0, false, err
		}
		return 0, false, e
	case resultOutOfRange:
		e := &store.OffsetOutOfRangeError{
			Partition:     base.PartitionID(d.uint64()),
			Offset:        base.Offset(d.uint64()),
			LogStart:      base.Offset(d.uint64()),
			HighWatermark: base.Offset(d.uint64()),
		}
		if err := d.finish(); err != nil {
			return 0, false, err
		}
		return 0, false, e
	case resultFenced:
		return 0, false, errFenced
	case resultUnknownPartition:
		return 0, false, store.ErrUnknownPartition
	case resultPartitionExists:
		return 0, false, store.ErrPartitionExists
	case resultInvalidRecord:
		return 0, false, fmt.Errorf("%w: %s", recordbatch.ErrInvalidRecord, d.buf)
	default:
		return 0, false, fmt.Errorf("replication: a result of kind %d", code)
	}
}
