package recordbatch

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/leatlog/leat/internal/base"
)

const (
	// HeaderSize is the size of a batch's header in bytes; the records follow.
	HeaderSize = 61
	// Magic is the message format that this package reads and writes.
	Magic = 2
	// NoProducerID is the producer id of a batch without one.
	NoProducerID = -1
	// NoProducerEpoch is the epoch that goes with NoProducerID.
	NoProducerEpoch = -1
	// NoSequence is the base sequence that goes with NoProducerID.
	NoSequence = -1

	// prefixSize is what BatchLength does not count: base offset and length.
	prefixSize = 12
	// minRecordSize is the smallest record: seven fields of a byte.
	minRecordSize = 7
)

// Where the fields of a header are. doc.go has the picture.
const (
	posBaseOffset      = 0
	posBatchLength     = 8
	posLeaderEpoch     = 12
	posMagic           = 16
	posCRC             = 17
	posAttributes      = 21
	posLastOffsetDelta = 23
	posBaseTimestamp   = 27
	posMaxTimestamp    = 35
	posProducerID      = 43
	posProducerEpoch   = 51
	posBaseSequence    = 53
	posNumRecords      = 57
)

// castagnoli is an immutable table.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header is the fixed part of a batch.
type Header struct {
	BaseOffset      base.Offset      // of the first record the batch had when it was appended
	BatchLength     int32            // bytes after this field; Size counts all
	LeaderEpoch     base.LeaderEpoch // of the leader that appended it
	Magic           int8
	CRC             uint32 // CRC-32C of everything from the attributes on
	Attributes      Attributes
	LastOffsetDelta int32 // of the last record the batch had when it was appended
	BaseTimestamp   int64 // milliseconds since 1970; with HasDeleteHorizon it is the horizon
	MaxTimestamp    int64 // milliseconds since 1970
	ProducerID      int64 // NoProducerID for none
	ProducerEpoch   int16
	BaseSequence    int32 // sequence of the first record
	NumRecords      int32 // fewer than LastOffsetDelta+1 once compaction took some
}

// Size returns the bytes of the whole batch, the header included.
func (h *Header) Size() int { return prefixSize + int(h.BatchLength) }

// LastOffset returns the offset of the last record that the batch was
// appended with.
func (h *Header) LastOffset() base.Offset { return h.BaseOffset + base.Offset(h.LastOffsetDelta) }

// NextOffset returns the offset after the batch.
func (h *Header) NextOffset() base.Offset { return h.LastOffset() + 1 }

// Codec returns the compression of the records.
func (h *Header) Codec() Codec { return h.Attributes.Codec() }

// TimestampType tells who set the timestamps.
func (h *Header) TimestampType() TimestampType {
	if h.Attributes&logAppendTimeBit != 0 {
		return LogAppendTime
	}
	return CreateTime
}

// IsTransactional reports whether the batch is part of a transaction (KIP-98).
func (h *Header) IsTransactional() bool { return h.Attributes&transactionalBit != 0 }

// IsControl reports whether the batch holds a marker instead of a user's
// records; consumers skip it (KIP-98).
func (h *Header) IsControl() bool { return h.Attributes&controlBit != 0 }

// HasDeleteHorizon reports whether BaseTimestamp is the time from which
// compaction may remove the tombstones of the batch (KIP-534).
func (h *Header) HasDeleteHorizon() bool { return h.Attributes&deleteHorizonBit != 0 }

// HasProducerID reports whether an idempotent producer wrote the batch.
func (h *Header) HasProducerID() bool { return h.ProducerID > NoProducerID }

// LastSequence returns the sequence of the last record, which wraps from
// math.MaxInt32 to 0, or NoSequence.
func (h *Header) LastSequence() int32 {
	if h.BaseSequence < 0 {
		return NoSequence
	}
	return int32((int64(h.BaseSequence) + int64(h.LastOffsetDelta)) & math.MaxInt32)
}

// ParseHeader reads the header of the batch that b begins with and checks that
// b holds all of it and that the counts are possible; it computes no CRC. More
// bytes may follow. The error is a *CorruptError, *MagicError or *CodecError.
// It retains nothing.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, &CorruptError{Record: NoRecord,
			Reason: fmt.Sprintf("%d bytes, a header has %d", len(b), HeaderSize)}
	}
	h := readHeader((*[HeaderSize]byte)(b))
	if h.Magic != Magic {
		// The length means another thing before format 2: look at magic first.
		return Header{}, &MagicError{Magic: h.Magic}
	}
	if h.BatchLength < HeaderSize-prefixSize || h.Size() > len(b) {
		return Header{}, h.corrupt("batch length %d: must be at least %d, and %d bytes are there",
			h.BatchLength, HeaderSize-prefixSize, len(b)-prefixSize)
	}
	if !h.Codec().Valid() {
		return Header{}, &CodecError{Codec: h.Codec()}
	}
	if h.LastOffsetDelta < 0 {
		return Header{}, h.corrupt("last offset delta %d is negative", h.LastOffsetDelta)
	}
	if h.NumRecords < 0 || int64(h.NumRecords) > int64(h.LastOffsetDelta)+1 {
		return Header{}, h.corrupt("%d records in %d offsets", h.NumRecords, int64(h.LastOffsetDelta)+1)
	}
	if h.Codec() == None && int64(h.NumRecords)*minRecordSize > int64(h.Size()-HeaderSize) {
		return Header{}, h.corrupt("%d records in %d bytes", h.NumRecords, h.Size()-HeaderSize)
	}
	return h, nil
}

// Verify is ParseHeader for a b that is one batch exactly, and checks its
// CRC-32C. It does not look into the records. The errors are ParseHeader's.
func Verify(b []byte) (Header, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return Header{}, err
	}
	if h.Size() != len(b) {
		return Header{}, h.corrupt("%d bytes follow the batch", len(b)-h.Size())
	}
	if got := checksum(b); got != h.CRC {
		return Header{}, h.corrupt("CRC-32C is %08x, the header says %08x", got, h.CRC)
	}
	return h, nil
}

// Next splits b behind its first batch, by the length alone: neither CRC nor
// records are checked. rest is empty after the last batch. A b that does not
// begin with a whole batch is an error, ParseHeader's, and splits nothing. The
// slices alias b.
func Next(b []byte) (batch, rest []byte, err error) {
	h, err := ParseHeader(b)
	if err != nil {
		return nil, b, err
	}
	n := h.Size()
	return b[:n:n], b[n:], nil
}

// SetBaseOffset sets the base offset of the batch b, which lies outside of the
// CRC. A b shorter than a header is left alone.
func SetBaseOffset(b []byte, o base.Offset) {
	if len(b) >= HeaderSize {
		binary.BigEndian.PutUint64(b[posBaseOffset:], uint64(o))
	}
}

// SetLeaderEpoch sets the leader epoch of the batch b, which lies outside of
// the CRC. A b shorter than a header is left alone.
func SetLeaderEpoch(b []byte, e base.LeaderEpoch) {
	if len(b) >= HeaderSize {
		binary.BigEndian.PutUint32(b[posLeaderEpoch:], uint32(e))
	}
}

// SetProducer sets who wrote the batch b. The CRC covers it: call Reseal when
// all is set. A b shorter than a header is left alone.
func SetProducer(b []byte, id int64, epoch int16, seq int32) {
	if len(b) >= HeaderSize {
		binary.BigEndian.PutUint64(b[posProducerID:], uint64(id))
		binary.BigEndian.PutUint16(b[posProducerEpoch:], uint16(epoch))
		binary.BigEndian.PutUint32(b[posBaseSequence:], uint32(seq))
	}
}

// SetLogAppendTime gives all records of the batch b the timestamp ms, in
// milliseconds since 1970: it sets the timestamp type's bit and MaxTimestamp,
// as Kafka does, and leaves the records alone. The CRC covers it: call Reseal
// when all is set. A b shorter than a header is left alone.
func SetLogAppendTime(b []byte, ms int64) {
	if len(b) >= HeaderSize {
		a := Attributes(binary.BigEndian.Uint16(b[posAttributes:])) | logAppendTimeBit
		binary.BigEndian.PutUint16(b[posAttributes:], uint16(a))
		binary.BigEndian.PutUint64(b[posMaxTimestamp:], uint64(ms))
	}
}

// Reseal computes the CRC of b, which must be one batch exactly, and stores it.
// A b shorter than a header is left alone.
func Reseal(b []byte) {
	if len(b) >= HeaderSize {
		binary.BigEndian.PutUint32(b[posCRC:], checksum(b))
	}
}

func checksum(b []byte) uint32 { return crc32.Checksum(b[posAttributes:], castagnoli) }

func readHeader(b *[HeaderSize]byte) Header {
	be := binary.BigEndian
	return Header{
		BaseOffset:      base.Offset(be.Uint64(b[posBaseOffset:])),
		BatchLength:     int32(be.Uint32(b[posBatchLength:])),
		LeaderEpoch:     base.LeaderEpoch(be.Uint32(b[posLeaderEpoch:])),
		Magic:           int8(b[posMagic]),
		CRC:             be.Uint32(b[posCRC:]),
		Attributes:      Attributes(be.Uint16(b[posAttributes:])),
		LastOffsetDelta: int32(be.Uint32(b[posLastOffsetDelta:])),
		BaseTimestamp:   int64(be.Uint64(b[posBaseTimestamp:])),
		MaxTimestamp:    int64(be.Uint64(b[posMaxTimestamp:])),
		ProducerID:      int64(be.Uint64(b[posProducerID:])),
		ProducerEpoch:   int16(be.Uint16(b[posProducerEpoch:])),
		BaseSequence:    int32(be.Uint32(b[posBaseSequence:])),
		NumRecords:      int32(be.Uint32(b[posNumRecords:])),
	}
}

// seal writes h over the first bytes of b, which is one batch exactly, with
// the length of b and the CRC of what results.
func (h *Header) seal(b []byte) {
	be := binary.BigEndian
	h.BatchLength = int32(len(b) - prefixSize)
	h.Magic = Magic
	be.PutUint64(b[posBaseOffset:], uint64(h.BaseOffset))
	be.PutUint32(b[posBatchLength:], uint32(h.BatchLength))
	be.PutUint32(b[posLeaderEpoch:], uint32(h.LeaderEpoch))
	b[posMagic] = byte(h.Magic)
	be.PutUint16(b[posAttributes:], uint16(h.Attributes))
	be.PutUint32(b[posLastOffsetDelta:], uint32(h.LastOffsetDelta))
	be.PutUint64(b[posBaseTimestamp:], uint64(h.BaseTimestamp))
	be.PutUint64(b[posMaxTimestamp:], uint64(h.MaxTimestamp))
	be.PutUint64(b[posProducerID:], uint64(h.ProducerID))
	be.PutUint16(b[posProducerEpoch:], uint16(h.ProducerEpoch))
	be.PutUint32(b[posBaseSequence:], uint32(h.BaseSequence))
	be.PutUint32(b[posNumRecords:], uint32(h.NumRecords))
	h.CRC = checksum(b)
	be.PutUint32(b[posCRC:], h.CRC)
}

func (h *Header) corrupt(format string, args ...any) error {
	return &CorruptError{BaseOffset: h.BaseOffset, Record: NoRecord, Reason: fmt.Sprintf(format, args...)}
}
