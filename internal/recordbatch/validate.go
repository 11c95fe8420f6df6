package recordbatch

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/leatlog/leat/internal/base"
)

// Limits are the rules of Validate that differ from topic to topic. The zero
// value allows what every topic allows.
type Limits struct {
	// MaxBatchBytes is the most that a batch may have, header included, as
	// it was sent (max.message.bytes); 0 is no limit.
	MaxBatchBytes int
	// MaxDecompressedBytes is the most that it may unpack to; 0 is
	// DefaultMaxDecompressedBytes. A Decompressor that is given rules instead.
	MaxDecompressedBytes int
	// Decompressor unpacks compressed batches; nil makes one for the call.
	Decompressor *Decompressor
	// RequireKeys refuses records without a key, as a compacted topic does
	// (cleanup.policy=compact).
	RequireKeys bool
	// LogAppendTime says that the log will set the timestamps
	// (message.timestamp.type): those of the producer do not matter.
	LogAppendTime bool
	// MinTimestamp and MaxTimestamp, milliseconds since 1970, bound every
	// timestamp that is not -1, both included
	// (message.timestamp.before.max.ms, message.timestamp.after.max.ms). 0 is
	// no bound.
	MinTimestamp, MaxTimestamp int64
}

// InvalidRecordError says which rule an intact batch breaks. It is
// ErrInvalidRecord.
type InvalidRecordError struct {
	Record int    // index of the record in the batch, or NoRecord
	Rule   string // what was found, and what is right
}

// Error implements error.
func (e *InvalidRecordError) Error() string {
	if e.Record == NoRecord {
		return fmt.Sprintf("%v: %s", ErrInvalidRecord, e.Rule)
	}
	return fmt.Sprintf("%v: record %d of the batch: %s", ErrInvalidRecord, e.Record, e.Rule)
}

// Unwrap returns ErrInvalidRecord.
func (e *InvalidRecordError) Unwrap() error { return ErrInvalidRecord }

// TimestampError says which timestamp is outside of [Min, Max]. It is
// ErrInvalidTimestamp.
type TimestampError struct {
	Record    int   // index of the record in the batch
	Timestamp int64 // milliseconds since 1970
	Min, Max  int64 // milliseconds since 1970, both included
}

// Error implements error.
func (e *TimestampError) Error() string {
	return fmt.Sprintf("%v: record %d of the batch: %d ms is neither -1 nor in [%d, %d]",
		ErrInvalidTimestamp, e.Record, e.Timestamp, e.Min, e.Max)
}

// Unwrap returns ErrInvalidTimestamp.
func (e *TimestampError) Unwrap() error { return ErrInvalidTimestamp }

// Validate checks what a producer sent: that b is one intact batch (Verify)
// which obeys Kafka's rules for producers and l, down to the last header of the
// last record, through its compression. What it accepts may be stored once base
// offset and leader epoch are set.
//
// As Kafka does, and only once all else is found right, it corrects a
// MaxTimestamp that is not the largest of the records' (and the CRC with it):
// the index by time relies on it. Nothing else of b is written.
//
// The error is one of Verify, Decompressor.Decompress, a *TooLargeError,
// *InvalidRecordError or *TimestampError. Nothing is retained.
func Validate(b []byte, l Limits) (Header, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return Header{}, err
	}
	if l.MaxBatchBytes > 0 && h.Size() > l.MaxBatchBytes {
		return Header{}, &TooLargeError{Size: h.Size(), Limit: l.MaxBatchBytes}
	}
	if h, err = Verify(b); err != nil {
		return Header{}, err
	}
	if rule := producerRule(&h, &l); rule != "" {
		return Header{}, &InvalidRecordError{Record: NoRecord, Rule: rule}
	}
	d := l.Decompressor
	if d == nil && h.Codec() != None {
		d = NewDecompressor(l.MaxDecompressedBytes)
	}
	maxTS, err := validateRecords(b, d, &l)
	if err != nil {
		return Header{}, err
	}
	if !l.LogAppendTime && maxTS != h.MaxTimestamp {
		h.MaxTimestamp = maxTS
		binary.BigEndian.PutUint64(b[posMaxTimestamp:], uint64(maxTS))
		Reseal(b)
		h.CRC = binary.BigEndian.Uint32(b[posCRC:])
	}
	return h, nil
}

// producerRule returns the rule that the header of a producer's batch breaks,
// or "".
func producerRule(h *Header, l *Limits) string {
	switch {
	case h.IsControl():
		return "a control batch, which producers do not send"
	case h.HasDeleteHorizon():
		return "a delete horizon, which producers do not send"
	case h.TimestampType() == LogAppendTime && !l.LogAppendTime:
		return "timestamp type LogAppendTime, which producers do not set"
	case h.BaseOffset != 0:
		return fmt.Sprintf("base offset %d, a producer sends 0", h.BaseOffset)
	case h.NumRecords == 0:
		return "no records"
	case h.LastOffsetDelta != h.NumRecords-1:
		return fmt.Sprintf("last offset delta %d with %d records", h.LastOffsetDelta, h.NumRecords)
	case h.ProducerID < NoProducerID:
		return fmt.Sprintf("producer id %d is below -1", h.ProducerID)
	case h.HasProducerID() && h.ProducerEpoch < 0:
		return fmt.Sprintf("producer epoch %d of producer id %d is negative", h.ProducerEpoch, h.ProducerID)
	case h.HasProducerID() && h.BaseSequence < 0:
		return fmt.Sprintf("base sequence %d of producer id %d is negative", h.BaseSequence, h.ProducerID)
	case h.IsTransactional() && !h.HasProducerID():
		return "transactional without a producer id"
	}
	return ""
}

// validateRecords decodes all records and returns the largest timestamp.
func validateRecords(b []byte, d *Decompressor, l *Limits) (int64, error) {
	var it Iterator
	if err := it.Reset(b, d); err != nil {
		return 0, err
	}
	// What we unpack and Kafka's own clients do not must not be stored.
	switch packed := b[HeaderSize:]; it.hdr.Codec() {
	case Snappy:
		if !allSnappyOnly(packed) {
			return 0, it.hdr.corrupt("snappy data has elements that only S2 knows")
		}
	case LZ4:
		if !kafkasLZ4(packed) {
			return 0, it.hdr.corrupt("lz4 data is not one frame of independent blocks")
		}
	}
	lo, hi := max(l.MinTimestamp, 0), int64(math.MaxInt64)
	if l.MaxTimestamp > 0 {
		hi = l.MaxTimestamp
	}
	maxTS := int64(-1)
	for i := 0; it.Next(); i++ {
		r := it.Record()
		if r.Offset != base.Offset(i) {
			return 0, &InvalidRecordError{Record: i, Rule: fmt.Sprintf("offset delta %d, must be %d", r.Offset, i)}
		}
		if r.NumHeaders > 0 && !r.checkHeaders() {
			return 0, &CorruptError{Record: i, Reason: "malformed record headers"}
		}
		if l.RequireKeys && r.Key == nil {
			return 0, &InvalidRecordError{Record: i, Rule: "no key, which a compacted topic needs"}
		}
		if ts := r.Timestamp; !l.LogAppendTime && ts != -1 && (ts < lo || ts > hi) {
			return 0, &TimestampError{Record: i, Timestamp: ts, Min: lo, Max: hi}
		}
		maxTS = max(maxTS, r.Timestamp)
	}
	return maxTS, it.Err()
}
