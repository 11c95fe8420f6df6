package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrMalformed is what every error about the bytes of a message is.
var ErrMalformed = errors.New("malformed message")

// What a part of a message takes at most when it is decoded, beside the bytes of its
// strings.
const (
	// StructBytes is for an element of an array of structs.
	StructBytes = 288
	// ListBytes is for an element of an array of a plain type.
	ListBytes = 16
	// TagBytes is for a tagged field that is kept as bytes, with its map.
	TagBytes = 512
)

// Check reports whether b can be decoded as a message of the given version: all that
// its counts and lengths promise is there, nothing is left over, and what is
// decoded takes no more than limit bytes beside those of its strings, by the
// package's constants. It returns what it takes. An error is ErrMalformed.
func (l *Layout) Check(version int16, b []byte, limit int64) (cost int64, err error) {
	w := walker{in: b, version: version, flexible: l.Flexible(version), limit: limit}
	w.body(&l.body)
	if w.err == nil && len(w.in) > 0 {
		w.fail("%d bytes too many", len(w.in))
	}
	return w.cost, w.err
}

// SkipTags returns what is behind the tagged fields at the beginning of b, such as
// those of a header.
func SkipTags(b []byte) ([]byte, error) {
	w := walker{in: b, flexible: true, limit: int64(len(b)) * TagBytes}
	w.tags(nil)
	return w.in, w.err
}

// walker goes over the bytes of a message. The first thing that does not fit sets
// err, and nothing is left to go over.
type walker struct {
	in          []byte
	version     int16
	flexible    bool
	cost, limit int64
	err         error
}

func (w *walker) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
	w.in = nil
}

// take returns the next n bytes, nil if they are not there.
func (w *walker) take(n int) []byte {
	if n < 0 || n > len(w.in) {
		w.fail("%d bytes are needed, %d are left", n, len(w.in))
		return nil
	}
	b := w.in[:n]
	w.in = w.in[n:]
	return b
}

// charge adds what n parts take.
func (w *walker) charge(n int, each int64) {
	if w.cost += int64(n) * each; w.cost > w.limit {
		w.fail("decoded it takes more than %d bytes", w.limit)
	}
}

// uvarint reads Kafka's unsigned varint: 32 bits in at most five bytes.
func (w *walker) uvarint() uint32 {
	v, n := binary.Uvarint(w.in[:min(len(w.in), 5)])
	if n <= 0 || v > math.MaxUint32 {
		w.fail("a varint is cut short or over 32 bits")
		return 0
	}
	w.in = w.in[n:]
	return uint32(v)
}

// length reads the length of a string, bytes or array; -1 is null.
func (w *walker) length(wide bool) int {
	switch {
	case w.flexible:
		return int(w.uvarint()) - 1
	case wide:
		if b := w.take(4); b != nil {
			return int(int32(binary.BigEndian.Uint32(b)))
		}
	default:
		if b := w.take(2); b != nil {
			return int(int16(binary.BigEndian.Uint16(b)))
		}
	}
	return 0
}

// skip passes over the bytes of a string or bytes.
func (w *walker) skip(n int) {
	if n != -1 {
		w.take(n)
	}
}

// body passes over a struct, with the tagged fields at its end.
func (w *walker) body(b *body) {
	w.fields(b.fields)
	if w.flexible && w.err == nil {
		w.tags(b.tagged)
	}
}

func (w *walker) fields(fields []field) {
	for i := range fields {
		if w.err != nil {
			return
		}
		if f := &fields[i]; f.in(w.version) {
			w.field(f)
		}
	}
}

func (w *walker) field(f *field) {
	switch f.kind {
	case kindFixed:
		w.take(f.size)
	case kindString:
		w.skip(w.length(false))
	case kindBytes:
		w.skip(w.length(true))
	case kindStruct:
		w.body(&f.body)
	case kindNullable:
		if b := w.take(1); b != nil && int8(b[0]) != -1 {
			w.charge(1, StructBytes)
			w.body(&f.body)
		}
	case kindArray, kindList:
		n := w.length(true)
		if n < -1 || n > len(w.in) { // an element has a byte at least
			w.fail("an array of %d elements in %d bytes", n, len(w.in))
			return
		}
		if n <= 0 {
			return
		}
		if f.kind == kindArray {
			w.charge(n, StructBytes)
		} else {
			w.charge(n, ListBytes)
			if size := f.body.fields[0].size; size > 0 {
				w.take(n * size)
				return
			}
		}
		for range n {
			if w.err != nil {
				return
			}
			if f.kind == kindArray {
				w.body(&f.body)
			} else {
				w.field(&f.body.fields[0])
			}
		}
	}
}

// tags passes over tagged fields; those in known are looked into.
func (w *walker) tags(known []taggedField) {
	n := w.uvarint()
	if int64(n) > int64(len(w.in)/2) {
		w.fail("%d tagged fields in %d bytes", n, len(w.in))
		return
	}
	if n > 0 {
		w.charge(int(n), TagBytes)
	}
	for range n {
		tag := w.uvarint()
		b := w.take(int(w.uvarint()))
		if w.err != nil {
			return
		}
		for i := range known {
			if known[i].tag == tag {
				w.inside(&known[i], b)
			}
		}
	}
}

// inside passes over what a known tagged field has.
func (w *walker) inside(t *taggedField, b []byte) {
	inner := walker{in: b, version: w.version, flexible: true, cost: w.cost, limit: w.limit}
	if t.plain {
		inner.fields(t.inside.fields)
	} else {
		inner.body(&t.inside)
	}
	if inner.err == nil && len(inner.in) > 0 {
		inner.fail("%d bytes too many in the tagged field %d", len(inner.in), t.tag)
	}
	if w.cost = inner.cost; inner.err != nil {
		w.err, w.in = inner.err, nil
	}
}
