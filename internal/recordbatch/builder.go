package recordbatch

import (
	"math"
	"slices"

	"github.com/leatlog/leat/internal/base"
)

// maxBatchBytes is the largest batch whose length fits its field, with room
// that makes the sums below safe.
const maxBatchBytes = math.MaxInt32 - 64

// Builder encodes records into a batch. The zero value is ready. It must not
// be used by several goroutines at once.
type Builder struct {
	buf   []byte // HeaderSize bytes of room, then the records; nil before the first
	n     int32
	last  int32 // offset delta of the last record; meaningful when n > 0
	base  int64 // timestamp of the first record, or what SetBaseTimestamp said
	max   int64 // largest timestamp; meaningful when n > 0
	fixed bool  // base was set and is not the first record's
}

// Reset drops what was built and takes buf, whose contents are overwritten and
// whose capacity is used; it may be nil. buf belongs to the Builder until
// Finish or the next Reset.
func (b *Builder) Reset(buf []byte) {
	*b = Builder{}
	if cap(buf) >= HeaderSize {
		b.buf = buf[:HeaderSize]
	}
}

// setBaseTimestamp makes base the base timestamp, in place of the first
// record's. It must come before the first record.
func (b *Builder) setBaseTimestamp(base int64) {
	b.base, b.fixed = base, true
}

// Len returns the number of records so far.
func (b *Builder) Len() int { return int(b.n) }

// Size returns the bytes that the batch has so far, uncompressed and with its
// header.
func (b *Builder) Size() int { return max(len(b.buf), HeaderSize) }

// Cap returns the bytes that the Builder's buffer has room for.
func (b *Builder) Cap() int { return cap(b.buf) }

// LastOffsetDelta returns the offset delta of the last record, or -1.
func (b *Builder) LastOffsetDelta() int32 {
	if b.n == 0 {
		return -1
	}
	return b.last
}

// MaxTimestamp returns the largest timestamp so far, or -1.
func (b *Builder) MaxTimestamp() int64 {
	if b.n == 0 {
		return -1
	}
	return b.max
}

// SizeWith returns an upper bound of what Size is after Append of such a
// record; it is at most 22 bytes too high.
func (b *Builder) SizeWith(key, value []byte, headers []RecordHeader) int {
	return b.Size() + RecordSizeMax(key, value, headers)
}

// RecordSizeMax returns an upper bound of the bytes that a record adds to a
// batch, at most 22 too high.
func RecordSizeMax(key, value []byte, headers []RecordHeader) int {
	// Lengths and counts of five bytes at most, a timestamp delta of ten.
	n := 5 + 1 + 10 + 5 + varintLen(uint64(len(key))<<1) + len(key) + varintLen(uint64(len(value))<<1) + len(value)
	return n + headersSize(headers)
}

// headersSize returns the bytes of the header count and the headers.
func headersSize(headers []RecordHeader) int {
	n := varintLen(uint64(len(headers)) << 1)
	for i := range headers {
		h := &headers[i]
		n += varintLen(uint64(len(h.Key))<<1) + len(h.Key) + varintLen(uint64(len(h.Value))<<1) + len(h.Value)
	}
	return n
}

// Append adds a record with the next offset. ts is in milliseconds since 1970;
// a nil key or value is stored as null. Nothing given is retained. An error, a
// *TooLargeError for what would end over 2 GiB, leaves the batch as it was.
func (b *Builder) Append(ts int64, key, value []byte, headers []RecordHeader) error {
	delta := b.last + 1
	if b.n == 0 {
		delta = 0
	}
	return b.AppendDelta(delta, ts, key, value, headers)
}

// AppendDelta is Append for a record whose offset is delta above the base
// offset. Deltas must grow from record to record, else it is ErrOffsetDelta.
// Compaction, which leaves gaps, needs it.
func (b *Builder) AppendDelta(delta int32, ts int64, key, value []byte, headers []RecordHeader) error {
	tail := 1
	if len(headers) > 0 {
		tail = headersSize(headers)
	}
	p, err := b.append(delta, ts, key, value, tail)
	if err != nil {
		return err
	}
	if len(headers) == 0 {
		b.buf[p] = 0
	} else {
		putHeaders(b.buf, p, headers)
	}
	return nil
}

// appendRecord is AppendDelta for a record that an Iterator returned, whose
// headers are copied as they are. Its attributes, unused in Kafka, become 0.
func (b *Builder) appendRecord(r *Record, delta int32) error {
	count := uint64(r.NumHeaders) << 1
	p, err := b.append(delta, r.Timestamp, r.Key, r.Value, varintLen(count)+len(r.RawHeaders))
	if err != nil {
		return err
	}
	p = putVarint(b.buf, p, count)
	copy(b.buf[p:], r.RawHeaders)
	return nil
}

// append adds a record but for its last tail bytes, header count and
// headers, for which it makes room at the returned index.
func (b *Builder) append(delta int32, ts int64, key, value []byte, tail int) (p int, err error) {
	if delta < 0 || (b.n > 0 && delta <= b.last) {
		return 0, ErrOffsetDelta
	}
	firstTS, maxTS := b.base, max(b.max, ts)
	if b.n == 0 {
		maxTS = ts
		if !b.fixed {
			firstTS = ts
		}
	}
	tsDelta := zigzag(ts - firstTS)
	// A length below zero is null. In zigzag that is 1.
	keyLen, valueLen := uint64(len(key))<<1, uint64(len(value))<<1
	if key == nil {
		keyLen = 1
	}
	if value == nil {
		valueLen = 1
	}
	body := 1 + varintLen(tsDelta) + varintLen(uint64(delta)<<1) +
		varintLen(keyLen) + len(key) + varintLen(valueLen) + len(value) + tail
	p = len(b.buf)
	if p == 0 {
		p = HeaderSize
	}
	end := p + varintLen(uint64(body)<<1) + body
	if uint(end) > maxBatchBytes {
		return 0, &TooLargeError{Size: end, Limit: maxBatchBytes}
	}
	if end > cap(b.buf) {
		b.grow(end)
	}
	b.buf = b.buf[:end]
	buf := b.buf
	p = putVarint(buf, p, uint64(body)<<1)
	buf[p] = 0 // attributes
	p = putVarint(buf, p+1, tsDelta)
	p = putVarint(buf, p, uint64(delta)<<1)
	p = putVarint(buf, p, keyLen)
	p += copy(buf[p:], key)
	p = putVarint(buf, p, valueLen)
	p += copy(buf[p:], value)
	b.base, b.max, b.last = firstTS, maxTS, delta
	b.n++
	return p, nil
}

// grow makes cap(b.buf) at least n.
func (b *Builder) grow(n int) {
	b.buf = slices.Grow(b.buf, n-len(b.buf))
}

func putHeaders(buf []byte, p int, headers []RecordHeader) {
	p = putVarint(buf, p, uint64(len(headers))<<1)
	for i := range headers {
		h := &headers[i]
		p = putVarint(buf, p, uint64(len(h.Key))<<1)
		p += copy(buf[p:], h.Key)
		if h.Value == nil {
			p = putVarint(buf, p, 1)
			continue
		}
		p = putVarint(buf, p, uint64(len(h.Value))<<1)
		p += copy(buf[p:], h.Value)
	}
}

// FinishOptions say what the header of a batch tells besides its records.
type FinishOptions struct {
	// Codec compresses the records; default None. Records that do not get
	// smaller are stored uncompressed.
	Codec Codec
	// Level is the codec's own compression level (gzip 1 to 9, lz4 1 to 9, zstd
	// 1 to 22; snappy has none); 0 is its default.
	Level int
	// Compressor keeps the codec's state from batch to batch; nil makes one for
	// this call, which is slow.
	Compressor *Compressor
	// Dst is where a compressed batch is written if it is large enough; it may
	// be nil. An uncompressed batch stays in the Builder's own buffer.
	Dst []byte

	// BaseOffset is the offset of delta 0. What a producer sends has 0.
	BaseOffset base.Offset
	// LeaderEpoch is the epoch of the leader; the log sets it on append.
	LeaderEpoch base.LeaderEpoch
	// ProducerID is the idempotent producer's id. None is -1, not 0.
	ProducerID int64
	// ProducerEpoch is that producer's epoch; ignored without an id.
	ProducerEpoch int16
	// BaseSequence is the sequence of the first record; ignored without an id.
	BaseSequence int32
	// Transactional marks the batch as part of a transaction (KIP-98).
	Transactional bool
	// Control marks the batch as one that holds a marker (KIP-98).
	Control bool
}

// Finish completes the batch: it compresses the records if asked, fills in the
// header and computes the CRC. The result belongs to the caller. The Builder
// is then empty; what it keeps of its buffer, when the result is not in
// it, serves the next batch.
//
// Without records the error is ErrEmpty, for an unknown codec a *CodecError;
// both leave the Builder as it was.
func (b *Builder) Finish(o FinishOptions) ([]byte, error) {
	if b.n == 0 {
		return nil, ErrEmpty
	}
	h := Header{
		BaseOffset:      o.BaseOffset,
		LeaderEpoch:     o.LeaderEpoch,
		LastOffsetDelta: b.last,
		MaxTimestamp:    b.max,
		ProducerID:      o.ProducerID,
		ProducerEpoch:   o.ProducerEpoch,
		BaseSequence:    o.BaseSequence,
	}
	if !h.HasProducerID() {
		h.ProducerID, h.ProducerEpoch, h.BaseSequence = NoProducerID, NoProducerEpoch, NoSequence
	}
	if o.Transactional {
		h.Attributes |= transactionalBit
	}
	if o.Control {
		h.Attributes |= controlBit
	}
	return b.finish(h, o.Codec, o.Level, o.Compressor, o.Dst)
}

// finish seals the batch with h, in which it sets what follows from the
// records alone.
func (b *Builder) finish(h Header, codec Codec, level int, c *Compressor, dst []byte) ([]byte, error) {
	if !codec.Valid() {
		return nil, &CodecError{Codec: codec}
	}
	h.BaseTimestamp = b.base
	h.NumRecords = b.n
	out := b.buf
	if codec != None {
		if c == nil {
			c = new(Compressor)
		}
		if cap(dst) < HeaderSize {
			dst = make([]byte, HeaderSize, HeaderSize+len(out)/2+64)
		}
		packed, err := c.compress(dst[:HeaderSize], out[HeaderSize:], codec, level)
		if err != nil {
			return nil, err
		}
		if len(packed) < len(out) {
			h.Attributes |= Attributes(codec)
			h.seal(packed)
			b.Reset(b.buf)
			return packed, nil
		}
	}
	h.seal(out)
	b.Reset(nil)
	return out, nil
}
