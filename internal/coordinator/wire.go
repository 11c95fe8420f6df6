package coordinator

import (
	"encoding/binary"
	"fmt"
	"math"
)

// maxStringBytes is the longest string that Kafka's formats hold.
const maxStringBytes = math.MaxInt16

// encoder appends Kafka's primitive types.
type encoder []byte

func (e *encoder) int8(v int8)   { *e = append(*e, byte(v)) }
func (e *encoder) int16(v int16) { *e = binary.BigEndian.AppendUint16(*e, uint16(v)) }
func (e *encoder) int32(v int32) { *e = binary.BigEndian.AppendUint32(*e, uint32(v)) }
func (e *encoder) int64(v int64) { *e = binary.BigEndian.AppendUint64(*e, uint64(v)) }
func (e *encoder) uvarint(v int) { *e = binary.AppendUvarint(*e, uint64(v)) }
func (e *encoder) id(v TopicID)  { *e = append(*e, v[:]...) }

// string is a string with an int16 length.
func (e *encoder) string(v string) {
	e.int16(int16(len(v)))
	*e = append(*e, v...)
}

// compact is a string with its length plus one as a varint.
func (e *encoder) compact(v string) {
	e.uvarint(len(v) + 1)
	*e = append(*e, v...)
}

// nullable is compact, with the empty string as null.
func (e *encoder) nullable(v string) {
	if v == "" {
		e.uvarint(0)
		return
	}
	e.compact(v)
}

// nullableString is string, with the empty one as null.
func (e *encoder) nullableString(v string) {
	if v == "" {
		e.int16(-1)
		return
	}
	e.string(v)
}

// bytes is bytes with an int32 length.
func (e *encoder) bytes(v []byte) {
	e.int32(int32(len(v)))
	*e = append(*e, v...)
}

// tag64 is a tagged field that holds an int64.
func (e *encoder) tag64(tag int, v int64) {
	e.uvarint(tag)
	e.uvarint(8)
	e.int64(v)
}

// decoder reads Kafka's primitive types from bytes that nobody vouches for. The
// first thing that does not fit sets err, and everything after it reads as zero;
// nothing is allocated beyond the length of the input.
type decoder struct {
	in  []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
		d.in = nil
	}
}

func (d *decoder) take(n int, what string) []byte {
	if n < 0 || n > len(d.in) {
		d.fail("%s needs %d bytes, %d are left", what, n, len(d.in))
		return nil
	}
	b := d.in[:n]
	d.in = d.in[n:]
	return b
}

func (d *decoder) int8() int8 {
	if b := d.take(1, "int8"); b != nil {
		return int8(b[0])
	}
	return 0
}

func (d *decoder) int16() int16 {
	if b := d.take(2, "int16"); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (d *decoder) int32() int32 {
	if b := d.take(4, "int32"); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (d *decoder) int64() int64 {
	if b := d.take(8, "int64"); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (d *decoder) id() (id TopicID) {
	copy(id[:], d.take(16, "uuid"))
	return id
}

// uvarint reads Kafka's unsigned varint: 32 bits in at most five bytes.
func (d *decoder) uvarint() int {
	v, n := binary.Uvarint(d.in[:min(len(d.in), 5)])
	if n <= 0 || v > math.MaxUint32 {
		d.fail("varint is cut short or over 32 bits")
		return 0
	}
	d.in = d.in[n:]
	return int(v)
}

func (d *decoder) string() string {
	n := d.int16()
	return string(d.take(int(n), "string"))
}

func (d *decoder) compact() string {
	n := d.uvarint()
	if n == 0 {
		d.fail("null where a string has to be")
		return ""
	}
	return string(d.take(n-1, "string"))
}

// nullable reads a string that may be null, as the empty one.
func (d *decoder) nullable() string {
	n := d.uvarint()
	if n == 0 {
		return ""
	}
	return string(d.take(n-1, "string"))
}

// nullableString reads a string with an int16 length that may be null, as the empty
// one.
func (d *decoder) nullableString() string {
	n := d.int16()
	if n == -1 {
		return ""
	}
	return string(d.take(int(n), "string"))
}

// bytes reads bytes with an int32 length, a copy; nil if there are none.
func (d *decoder) bytes() []byte {
	return append([]byte(nil), d.take(int(d.int32()), "bytes")...)
}

// compactBytes reads bytes with their length plus one as a varint, a copy; nil if
// there are none.
func (d *decoder) compactBytes() []byte {
	n := d.uvarint()
	if n == 0 {
		d.fail("null where bytes have to be")
		return nil
	}
	return append([]byte(nil), d.take(n-1, "bytes")...)
}

// count32 is count for an array with an int32 length.
func (d *decoder) count32(least int) int {
	n := int(d.int32())
	if n < 0 || n > len(d.in)/least {
		d.fail("array of %d elements in %d bytes", n, len(d.in))
		return 0
	}
	return n
}

// count reads the length of an array whose elements take at least least bytes
// each, so that it cannot promise more than there is.
func (d *decoder) count(least int) int {
	n := d.uvarint()
	if n == 0 {
		d.fail("null where an array has to be")
		return 0
	}
	if n--; n > len(d.in)/least {
		d.fail("array of %d elements in %d bytes", n, len(d.in))
		return 0
	}
	return n
}

// tags reads tagged fields; known gets those it wants, the others are skipped.
func (d *decoder) tags(known func(tag int, field *decoder)) {
	n := d.uvarint()
	if n > len(d.in)/2 {
		d.fail("%d tagged fields in %d bytes", n, len(d.in))
		return
	}
	last := -1
	for range n {
		tag := d.uvarint()
		field := decoder{in: d.take(d.uvarint(), "tagged field")}
		if d.err != nil {
			return
		}
		if tag <= last {
			d.fail("tag %d after tag %d", tag, last)
			return
		}
		last = tag
		if known == nil {
			continue
		}
		known(tag, &field)
		if field.err != nil {
			d.fail("tag %d: %w", tag, field.err)
		}
	}
}

// end returns the first error, or one if anything is left.
func (d *decoder) end() error {
	if d.err == nil && len(d.in) > 0 {
		d.fail("%d bytes too many", len(d.in))
	}
	return d.err
}
