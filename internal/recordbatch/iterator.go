package recordbatch

import (
	"fmt"

	"github.com/leatlog/leat/internal/base"
)

// Iterator walks over the records of a batch without allocating. The zero
// value is an iterator at its end; Reset starts it. It must not be used by
// several goroutines at once.
//
//	var it recordbatch.Iterator
//	if err := it.Reset(batch, d); err != nil { ... }
//	for it.Next() {
//		use(it.Record())
//	}
//	if err := it.Err(); err != nil { ... }
type Iterator struct {
	buf    []byte // records, decompressed
	pos    int    // of the next record in buf
	left   int32  // records not yet returned
	last   int32  // last offset delta
	base   base.Offset
	baseTS int64
	// appendTS replaces all timestamps when logAppend.
	appendTS  int64
	logAppend bool
	rec       Record
	hdr       Header
	err       error
}

// Reset starts the iteration over a batch, which must be one batch exactly; its CRC
// is not checked (Verify does). A compressed batch is unpacked by d, to which
// the records then belong: they are valid until d is used again. A nil d unpacks
// into a buffer of its own, up to DefaultMaxDecompressedBytes. A batch that is
// not compressed must stay unchanged as long as its records are used.
//
// The error is ParseHeader's or Decompress's; Err repeats it.
func (it *Iterator) Reset(batch []byte, d *Decompressor) error {
	*it = Iterator{}
	h, err := ParseHeader(batch)
	if err == nil && h.Size() != len(batch) {
		err = h.corrupt("%d bytes follow the batch", len(batch)-h.Size())
	}
	if err != nil {
		it.err = err
		return err
	}
	body := batch[HeaderSize:]
	if c := h.Codec(); c != None && (h.NumRecords > 0 || len(body) > 0) {
		if d == nil {
			d = NewDecompressor(DefaultMaxDecompressedBytes)
		}
		if body, err = d.Decompress(c, body); err != nil {
			if ce, ok := err.(*CorruptError); ok {
				ce.BaseOffset = h.BaseOffset
			}
			it.err = err
			return err
		}
	}
	if int64(h.NumRecords)*minRecordSize > int64(len(body)) {
		it.err = h.corrupt("%d records in %d unpacked bytes", h.NumRecords, len(body))
		return it.err
	}
	it.hdr = h
	it.buf = body
	it.left = h.NumRecords
	it.last = h.LastOffsetDelta
	it.base = h.BaseOffset
	it.baseTS = h.BaseTimestamp
	it.appendTS = h.MaxTimestamp
	it.logAppend = h.TimestampType() == LogAppendTime
	return nil
}

// Header returns the header of the batch. It is valid until the next Reset.
func (it *Iterator) Header() *Header { return &it.hdr }

// Record returns the current record. The struct is overwritten by the next
// Next; its slices live as Reset says.
func (it *Iterator) Record() *Record { return &it.rec }

// Err returns what ended the iteration: nil at the end of an intact batch.
func (it *Iterator) Err() error { return it.err }

// Next goes to the next record and reports whether there is one. It returns
// false at the end and at the first malformed record: see Err.
func (it *Iterator) Next() bool {
	if it.left <= 0 {
		return it.end()
	}
	// The varints are read in place where they are short, as most are; key and
	// value are stored with the rest so that the garbage collector's write
	// barrier is asked for once.
	b := it.buf
	n, p := shortVarint(b, it.pos)
	if p == 0 {
		n, p = varintSlow(b, it.pos)
	}
	if p < 0 || n < minRecordSize-1 || n > int64(len(b)-p) {
		return it.fail("length is cut off, too small, or over the batch's end")
	}
	end := p + int(n)
	b = b[:end:end]
	attributes := int8(b[p])
	p++
	ts, q := shortVarint(b, p)
	if q == 0 {
		if ts, q = varintSlow(b, p); q < 0 {
			return it.fail("timestamp delta is malformed")
		}
	}
	delta, p := shortVarint(b, q)
	if p == 0 {
		delta, p = varintSlow(b, q)
	}
	if p < 0 || uint64(delta) > uint64(it.last) {
		return it.fail("offset delta is malformed or outside of the batch")
	}

	var key, value []byte
	n, q = shortVarint(b, p)
	if q == 0 {
		n, q = varintSlow(b, p)
	}
	if q < 0 || n < -1 || n > int64(len(b)-q) {
		return it.fail("key length is malformed or outside of the record")
	}
	if p = q; n >= 0 {
		p += int(n)
		key = b[q:p:p]
	}
	n, q = shortVarint(b, p)
	if q == 0 {
		n, q = varintSlow(b, p)
	}
	if q < 0 || n < -1 || n > int64(len(b)-q) {
		return it.fail("value length is malformed or outside of the record")
	}
	if p = q; n >= 0 {
		p += int(n)
		value = b[q:p:p]
	}

	var headers []byte
	n = 0
	if p+1 != end || b[p] != 0 {
		if n, p = varintSlow(b, p); p < 0 {
			return it.fail("header count is cut off")
		}
		// A header has at least two bytes, its lengths.
		if n < 0 || n > int64(len(b)-p)/2 || (n == 0 && p != end) {
			return it.fail("header count is not what the record holds")
		}
		headers = b[p:]
	}

	r := &it.rec
	r.Offset = it.base + base.Offset(delta)
	r.Timestamp = it.baseTS + ts
	if it.logAppend {
		r.Timestamp = it.appendTS
	}
	r.Attributes = attributes
	r.Key, r.Value = key, value
	r.NumHeaders, r.RawHeaders = int(n), headers
	it.pos = end
	it.left--
	return true
}

// end checks that nothing is behind the last record.
func (it *Iterator) end() bool {
	if it.err == nil && it.pos != len(it.buf) {
		it.fail(fmt.Sprintf("%d bytes behind the last record", len(it.buf)-it.pos))
	}
	return false
}

func (it *Iterator) fail(reason string) bool {
	if it.err == nil {
		it.err = &CorruptError{
			BaseOffset: it.base,
			Record:     int(it.hdr.NumRecords - it.left),
			Reason:     reason,
		}
	}
	it.left = 0
	it.rec = Record{}
	return false
}
