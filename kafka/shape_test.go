package kafka

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fill sets every field of a request to something, null included.
func fill(r *rand.Rand, v reflect.Value) {
	if tags, ok := v.Addr().Interface().(*kmsg.Tags); ok {
		if r.IntN(2) == 0 {
			tags.Set(uint32(100+r.IntN(1000)), []byte("tagged"))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(r, v.Field(i))
		}
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem())
		}
	case reflect.Slice:
		n := r.IntN(4)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(r, v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.String:
		v.SetString("name"[:r.IntN(5)])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(r.Uint64()) >> (64 - v.Type().Bits()))
	case reflect.Uint8:
		v.SetUint(uint64(r.Uint32() & 0xff))
	default:
		panic(v.Kind().String())
	}
}

// randomRequest is the frame of a valid request.
func randomRequest(r *rand.Rand, a *api, version int16) []byte {
	req := a.key.Request()
	fill(r, reflect.ValueOf(req).Elem())
	req.SetVersion(version)
	b := binary.BigEndian.AppendUint16(nil, uint16(a.key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, 7)
	b = append(b, 0, 2, 'm', 'e')
	if version >= a.shape.flexible {
		b = append(b, 0)
	}
	return req.AppendTo(b)
}

// The table of layouts says what kmsg writes, in every version of every API; and what
// is cut short is refused, and what follows a request ignored.
func TestShapes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range apis {
		a := &apis[i]
		if i > 0 {
			require.Greater(t, a.key, apis[i-1].key)
		}
		require.LessOrEqual(t, a.max, a.key.Request().MaxVersion())
		for version := a.min; version <= a.max; version++ {
			req := a.key.Request()
			req.SetVersion(version)
			require.Equal(t, req.IsFlexible(), version >= a.shape.flexible, "%s %d", a.key.Name(), version)
			for range 50 {
				frame := randomRequest(r, a, version)
				got, err := parseRequest(frame)
				require.NoError(t, err, "%s %d", a.key.Name(), version)
				require.Equal(t, "me", string(got.clientID))
				require.EqualValues(t, 7, got.correlationID)
				decoded, err := got.decode()
				require.NoError(t, err)
				again := decoded.AppendTo(nil)
				require.Equal(t, len(got.body), len(again), "%s %d", a.key.Name(), version)
				for cut := range frame {
					_, err := parseRequest(frame[:cut])
					require.ErrorIs(t, err, errMalformed, "%s %d cut at %d of %d", a.key.Name(), version, cut, len(frame))
				}
				longer, err := parseRequest(append(frame, 0, 1, 2))
				require.NoError(t, err)
				decoded, err = longer.decode()
				require.NoError(t, err)
				require.Equal(t, again, decoded.AppendTo(nil), "%s %d", a.key.Name(), version)
			}
		}
	}
}

// What makes kmsg spin or allocate is refused before it sees it.
func TestShapesRefuse(t *testing.T) {
	header := func(key kmsg.Key, version int16) []byte {
		b := []byte{0, byte(key), 0, byte(version), 0, 0, 0, 1, 0, 0}
		if version >= findAPI(int16(key)).shape.flexible {
			b = append(b, 0)
		}
		return b
	}
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0x0f}
	replica := append([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, huge...)
	fetch := append(header(kmsg.Fetch, 15), make([]byte, 4+4+4+1+4+4)...)
	fetch = append(fetch, 1, 1, 1, 1, 1, byte(len(replica)))
	for name, frame := range map[string][]byte{
		"tag count of the header":    append([]byte{0, 18, 0, 3, 0, 0, 0, 1, 0, 0}, huge...),
		"tag count of the request":   append(append(header(kmsg.ApiVersions, 3), 1, 1), huge...),
		"tag count within a tag":     append(fetch, replica...),
		"tag longer than the rest":   append(header(kmsg.ApiVersions, 3), 1, 1, 1, 5, 100),
		"array of -2":                append(header(kmsg.Metadata, 4), 0xff, 0xff, 0xff, 0xfe, 0),
		"array of 2^31-1":            append(header(kmsg.Metadata, 4), 0x7f, 0xff, 0xff, 0xff, 0),
		"array of what is left":      append(header(kmsg.Metadata, 4), 0, 0, 0, 4, 0, 0, 0, 0),
		"compact array of 2^32-2":    append(header(kmsg.Metadata, 9), huge...),
		"string beyond the end":      append(header(kmsg.FindCoordinator, 0), 0, 10, 'a'),
		"varint of six bytes":        append(header(kmsg.Metadata, 9), 0x80, 0x80, 0x80, 0x80, 0x80, 0),
		"varint of over 32 bits":     append(header(kmsg.Metadata, 9), 0xff, 0xff, 0xff, 0xff, 0x1f),
		"client id beyond the end":   {0, 18, 0, 0, 0, 0, 0, 1, 0, 9},
		"client id of length -2":     {0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xfe},
		"nothing":                    {},
		"too many elements to count": append(append(header(kmsg.Metadata, 3), 0, 8, 0, 0), make([]byte, 2<<19)...),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseRequest(frame)
			require.ErrorIs(t, err, errMalformed)
		})
	}
}

// librdkafka writes the null array of all topics in four bytes where one is right. Kafka
// reads the first and ignores the last three.
func TestMetadataOfLibrdkafka(t *testing.T) {
	frame := []byte("\x00\x03\x00\x0d\x00\x00\x00\x03\x00\x07rdkafka\x00\x00\x00\x00\x00\x01\x00\x00")
	req, err := parseRequest(frame)
	require.NoError(t, err)
	decoded, err := req.decode()
	require.NoError(t, err)
	require.Nil(t, decoded.(*kmsg.MetadataRequest).Topics)
}

func FuzzRequest(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range apis {
		for version := apis[i].min; version <= apis[i].max; version++ {
			f.Add(randomRequest(r, &apis[i], version))
		}
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		req, err := parseRequest(frame)
		if err != nil || req.api == nil || !req.supported {
			return
		}
		var decoded kmsg.Request
		// What is charged for a request is not less than what it takes.
		bound := 4096 + 4*len(frame) + elementBytes*req.elements
		got := allocated(func() { decoded, err = req.decode() })
		// The figure is the process's: what other goroutines allocate meanwhile is
		// in it by chance, and not every time.
		for tries := 0; got > uint64(bound) && tries < 10; tries++ {
			got = min(got, allocated(func() { decoded, err = req.decode() }))
		}
		if got > uint64(bound) {
			t.Errorf("%d bytes with %d elements took %d bytes, more than %d", len(frame), req.elements, got, bound)
		}
		if err == nil {
			decoded.AppendTo(nil)
		} else if decoded != nil {
			t.Error(fmt.Errorf("a request beside the error %w", err))
		}
	})
}
