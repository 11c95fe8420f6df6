package recordbatch

import "github.com/leatlog/leat/internal/base"

// RecordHeader is one of a record's headers (KIP-82). Keys may repeat; a nil
// Value is stored as null and differs from an empty one.
type RecordHeader struct {
	Key   string
	Value []byte
}

// Record is one record of a batch as an Iterator shows it. Its slices alias
// the batch or the Decompressor's buffer.
type Record struct {
	Offset     base.Offset
	Timestamp  int64  // milliseconds since 1970; -1 for none
	Attributes int8   // unused by Kafka so far
	Key        []byte // nil for null
	Value      []byte // nil for null: a tombstone in a compacted topic
	NumHeaders int    // at most half of len(RawHeaders)
	RawHeaders []byte // the headers as encoded, without their count; Headers decodes them
}

// Headers appends the headers to dst, which may be nil, and returns it. Values
// alias what Key and Value alias; keys are copies. A malformed header is a
// *CorruptError, with what came before it appended.
func (r *Record) Headers(dst []RecordHeader) ([]RecordHeader, error) {
	b := r.RawHeaders
	p := 0
	for i := 0; i < r.NumHeaders; i++ {
		k, v, next := rawHeader(b, p)
		if next < 0 {
			return dst, r.corruptHeaders()
		}
		dst = append(dst, RecordHeader{Key: string(k), Value: v})
		p = next
	}
	if p != len(b) {
		return dst, r.corruptHeaders()
	}
	return dst, nil
}

// checkHeaders reports whether Headers would succeed.
func (r *Record) checkHeaders() bool {
	p := 0
	for i := 0; i < r.NumHeaders; i++ {
		if _, _, p = rawHeader(r.RawHeaders, p); p < 0 {
			return false
		}
	}
	return p == len(r.RawHeaders)
}

func (r *Record) corruptHeaders() error {
	return &CorruptError{BaseOffset: r.Offset, Record: NoRecord, Reason: "malformed record headers"}
}

// rawHeader reads the header at b[p:] and returns the index behind it, or -1.
func rawHeader(b []byte, p int) (key, value []byte, next int) {
	n, p := varint(b, p)
	if p < 0 || n < 0 || n > int64(len(b)-p) {
		return nil, nil, -1
	}
	q := p + int(n)
	key = b[p:q:q]
	n, p = varint(b, q)
	if p < 0 || n < -1 || n > int64(len(b)-p) {
		return nil, nil, -1
	}
	if n >= 0 {
		q = p + int(n)
		return key, b[p:q:q], q
	}
	return key, nil, p
}
