package raftmeta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// stringBytesMax bounds every string of the metadata, as Kafka's protocol does.
const stringBytesMax = math.MaxInt16

// errMalformed is what every error of a decoder is.
var errMalformed = errors.New("malformed")

// encoder appends fields: fixed bytes, uvarints, and strings and lists with their
// length in front.
type encoder []byte

func (e *encoder) byte(b byte)      { *e = append(*e, b) }
func (e *encoder) uvarint(v uint64) { *e = binary.AppendUvarint(*e, v) }
func (e *encoder) id(v [16]byte)    { *e = append(*e, v[:]...) }

// varint appends a number that may be negative.
func (e *encoder) varint(v int64) { *e = binary.AppendVarint(*e, v) }

func (e *encoder) bool(v bool) {
	if v {
		e.byte(1)
	} else {
		e.byte(0)
	}
}

func (e *encoder) string(s string) {
	e.uvarint(uint64(len(s)))
	*e = append(*e, s...)
}

// decoder takes fields off the front of b. After the first error everything reads
// as zero; finish tells it. It never allocates more than a small multiple of what
// b holds, whatever b claims.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", errMalformed, fmt.Sprintf(format, args...))
	}
	d.b = nil
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail("it ends too early")
		return 0
	}
	b := d.b[0]
	d.b = d.b[1:]
	return b
}

func (d *decoder) bool() bool {
	b := d.byte()
	if b > 1 {
		d.fail("%d is neither false nor true", b)
	}
	return b == 1
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || (n > 1 && d.b[n-1] == 0) { // a number has one form only
		d.fail("not a number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v := d.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// int32 takes a uvarint that fits an int32.
func (d *decoder) int32() int32 {
	v := d.uvarint()
	if v > math.MaxInt32 {
		d.fail("%d is too large", v)
		return 0
	}
	return int32(v)
}

func (d *decoder) id() (v [16]byte) {
	if len(d.b) < len(v) {
		d.fail("it ends in an id")
		return v
	}
	copy(v[:], d.b)
	d.b = d.b[len(v):]
	return v
}

func (d *decoder) string() string {
	n := d.uvarint()
	if n > uint64(len(d.b)) || n > stringBytesMax {
		d.fail("a string of %d bytes", n)
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	if !utf8.ValidString(s) {
		d.fail("a string that is not UTF-8")
		return ""
	}
	return s
}

// count takes the length of a list whose elements take elementBytes at least.
func (d *decoder) count(elementBytes int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/elementBytes) {
		d.fail("a list of %d elements in %d bytes", n, len(d.b))
		return 0
	}
	return int(n)
}

// finish returns the first error; bytes that are left over are one.
func (d *decoder) finish() error {
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes too many", len(d.b))
	}
	return d.err
}

// list appends a list whose elements put encodes.
func list[T any](e *encoder, elements []T, put func(*encoder, T)) {
	e.uvarint(uint64(len(elements)))
	for _, x := range elements {
		put(e, x)
	}
}

// takeList takes what list appended; an empty list is nil.
func takeList[T any](d *decoder, elementBytes int, take func(*decoder) T) []T {
	n := d.count(elementBytes)
	if n == 0 {
		return nil
	}
	elements := make([]T, 0, n)
	for range n {
		elements = append(elements, take(d))
		if d.err != nil {
			return nil
		}
	}
	return elements
}

// number is an id or another unsigned integer.
type number interface {
	~uint8 | ~uint16 | ~uint32 | ~uint64
}

func numbers[T number](e *encoder, list_ []T) {
	list(e, list_, func(e *encoder, v T) { e.uvarint(uint64(v)) })
}

func takeNumbers[T number](d *decoder) []T {
	return takeList(d, 1, func(d *decoder) T { return takeNumber[T](d) })
}

// takeNumber takes a uvarint that fits T.
func takeNumber[T number](d *decoder) T {
	v := d.uvarint()
	if uint64(T(v)) != v {
		d.fail("%d is too large", v)
		return 0
	}
	return T(v)
}
