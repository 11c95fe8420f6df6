package replication

import (
	"encoding/binary"
	"fmt"
)

// decoder takes fields off the front of bytes. The first field that is not
// there fails it; what follows then is zero.
type decoder struct {
	buf []byte
	err error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrBadFrame, what)
		d.buf = nil
	}
}

func (d *decoder) uint8() uint8 {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint16() uint16 {
	if b := d.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if b := d.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.buf)
	if n <= 0 {
		d.fail("a varint is cut off or too long")
		return 0
	}
	d.buf = d.buf[n:]
	return v
}

// take returns the next n bytes, which alias the input.
func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.buf) {
		d.fail("it ends within a field")
		return nil
	}
	b := d.buf[:n:n]
	d.buf = d.buf[n:]
	return b
}

// bytes returns bytes with a uvarint length before them, which alias the input.
func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.buf)) {
		d.fail("it ends within a field")
		return nil
	}
	return d.take(int(n))
}

// string returns a string with a uvarint length before it.
func (d *decoder) string(limit int) string {
	b := d.bytes()
	if len(b) > limit {
		d.fail("a string is too long")
		return ""
	}
	return string(b)
}

// count returns a uvarint count of things of which each takes at least itemBytes
// of the input, and of which there are at most limit.
func (d *decoder) count(itemBytes, limit int) int {
	n := d.uvarint()
	if n > uint64(limit) || n > uint64(len(d.buf)/itemBytes) {
		d.fail("a count is larger than its limit or than the input")
		return 0
	}
	return int(n)
}

// finish fails a decoder that has bytes left, and returns its error.
func (d *decoder) finish() error {
	if d.err == nil && len(d.buf) != 0 {
		d.fail("bytes are left over")
	}
	return d.err
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}
