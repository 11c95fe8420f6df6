package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// errMalformed is what every error about the bytes of a request is.
var errMalformed = errors.New("malformed request")

const (
	// elementsMax bounds the array elements and tagged fields of a request, all
	// levels together, and elementBytes is what one takes at most when decoded.
	elementsMax  = 1 << 18
	elementBytes = 256
)

// kind is the type of a field on the wire.
type kind uint8

const (
	kindFixed kind = iota // size bytes
	kindString
	kindBytes
	kindArray // of structs: fields
	kindList  // of a plain type: fields has that one
	kindMaybe // a struct or null: fields
)

// field is a part of a request, in the versions [lo, hi].
type field struct {
	kind   kind
	size   int
	lo, hi int16
	fields []field
}

func (f *field) in(version int16) bool { return version >= f.lo && version <= f.hi }

// shape is the layout of an API's request. It is walked before kmsg decodes, which
// allocates what an array's count says and loops as often as a tag count says.
type shape struct {
	fields   []field
	flexible int16 // the first version with compact types and tagged fields
	// tagged are the layouts of those tagged fields of the request that hold tagged
	// fields themselves.
	tagged map[uint32][]field
}

// parseFields reads the notation of the table in api.go: i8, i16, i32, i64, bool,
// uuid, str, bytes; *T is an array of T, [ ... ] one of structs and { ... } a struct that
// may be null; a suffix :a+, :a-b or :-b names the versions. It panics on what is not that: the table is ours.
func parseFields(notation string) []field {
	for _, s := range []string{"[", "]", "{", "}"} {
		notation = strings.ReplaceAll(notation, s, " "+s+" ")
	}
	notation = strings.ReplaceAll(notation, "]  :", "] :")
	tokens := strings.Fields(notation)
	fields, rest := parseTokens(tokens)
	if len(rest) > 0 {
		panic("unbalanced notation: " + notation)
	}
	return fields
}

func parseTokens(tokens []string) (fields []field, rest []string) {
	for len(tokens) > 0 {
		t := tokens[0]
		tokens = tokens[1:]
		f := field{hi: math.MaxInt16}
		switch {
		case t == "]", t == "}":
			return fields, append([]string{t}, tokens...)
		case t == "[", t == "{":
			f.kind = kindArray
			end := "]"
			if t == "{" {
				f.kind, end = kindMaybe, "}"
			}
			f.fields, tokens = parseTokens(tokens)
			if len(tokens) == 0 || tokens[0] != end {
				panic("missing " + end)
			}
			tokens = tokens[1:]
			if len(tokens) > 0 && strings.HasPrefix(tokens[0], ":") {
				f.lo, f.hi = parseVersions(tokens[0][1:])
				tokens = tokens[1:]
			}
		default:
			name, versions, limited := strings.Cut(t, ":")
			if limited {
				f.lo, f.hi = parseVersions(versions)
			}
			if plain, list := strings.CutPrefix(name, "*"); list {
				f.kind, f.fields = kindList, []field{plainField(plain)}
			} else {
				p := plainField(name)
				f.kind, f.size = p.kind, p.size
			}
		}
		fields = append(fields, f)
	}
	return fields, nil
}

func plainField(name string) field {
	f := field{hi: math.MaxInt16}
	switch name {
	case "i8", "bool":
		f.size = 1
	case "i16":
		f.size = 2
	case "i32":
		f.size = 4
	case "i64":
		f.size = 8
	case "uuid":
		f.size = 16
	case "str":
		f.kind = kindString
	case "bytes":
		f.kind = kindBytes
	default:
		panic("unknown type " + name)
	}
	return f
}

func parseVersions(s string) (lo, hi int16) {
	number := func(s string) int16 {
		n, err := strconv.ParseInt(s, 10, 16)
		if err != nil {
			panic(err)
		}
		return int16(n)
	}
	if from, ok := strings.CutSuffix(s, "+"); ok {
		return number(from), math.MaxInt16
	}
	from, to, _ := strings.Cut(s, "-")
	if from != "" {
		lo = number(from)
	}
	return lo, number(to)
}

// check reports whether body can be decoded as a request of the given version: all
// that its counts and lengths promise is there. It returns how many elements that
// are. It allocates nothing but an error. What follows the request is not looked at, as
// in Kafka: librdkafka 2.16 asks for the metadata of all topics with three bytes too
// many.
func (s *shape) check(version int16, body []byte) (elements int, err error) {
	w := walker{in: body, version: version, flexible: version >= s.flexible}
	w.fields(s.fields)
	if w.flexible {
		w.tags(s.tagged)
	}
	return w.elements, w.err
}

// walker goes over the bytes of a request. The first thing that does not fit sets
// err, and nothing is left to go over.
type walker struct {
	in       []byte
	version  int16
	flexible bool
	elements int
	err      error
}

func (w *walker) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("%w: %s", errMalformed, fmt.Sprintf(format, args...))
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

// count adds to the elements that the request has.
func (w *walker) count(n int) {
	if w.elements += n; w.elements > elementsMax {
		w.fail("more than %d elements", elementsMax)
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
	case kindMaybe:
		if there := w.take(1); there != nil && int8(there[0]) != -1 {
			w.count(1)
			w.fields(f.fields)
			if w.flexible {
				w.tags(nil)
			}
		}
	case kindArray, kindList:
		n := w.length(true)
		if n < -1 || n > len(w.in) { // an element has a byte at least
			w.fail("an array of %d elements in %d bytes", n, len(w.in))
			return
		}
		if n == -1 {
			return
		}
		w.count(n)
		for range n {
			if w.err != nil {
				return
			}
			w.fields(f.fields)
			if f.kind == kindArray && w.flexible {
				w.tags(nil)
			}
		}
	}
}

// tags passes over tagged fields; those in known are looked into.
func (w *walker) tags(known map[uint32][]field) {
	n := w.uvarint()
	if int64(n) > int64(len(w.in)/2) {
		w.fail("%d tagged fields in %d bytes", n, len(w.in))
		return
	}
	w.count(int(n))
	for range n {
		tag := w.uvarint()
		b := w.take(int(w.uvarint()))
		if w.err != nil {
			return
		}
		if fields, ok := known[tag]; ok {
			inner := walker{in: b, version: w.version, flexible: true, elements: w.elements}
			inner.fields(fields)
			inner.tags(nil)
			if w.elements = inner.elements; inner.err != nil {
				w.err = inner.err
				w.in = nil
				return
			}
		}
	}
}
