package peer

import (
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/wire"
)

// randomize sets every field of a message to something, null included.
func randomize(r *rand.Rand, v reflect.Value) {
	if tags, ok := v.Addr().Interface().(*kmsg.Tags); ok {
		if r.IntN(3) == 0 {
			tags.Set(uint32(100+r.IntN(1000)), []byte("tagged"))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			randomize(r, v.Field(i))
		}
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			randomize(r, v.Elem())
		}
	case reflect.Slice:
		n := r.IntN(3)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			randomize(r, v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			randomize(r, v.Index(i))
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

// randomAnswer is what follows the correlation id of a valid answer.
func randomAnswer(r *rand.Rand, a *api, version int16) []byte {
	resp := kmsg.ResponseForKey(int16(a.key))
	randomize(r, reflect.ValueOf(resp).Elem())
	resp.SetVersion(version)
	var b []byte
	if a.response.Flexible(version) && a.key != kmsg.ApiVersions {
		b = append(b, 0)
	}
	return resp.AppendTo(b)
}

const testDecodedMax = 16 << 20

// The table of layouts says what kmsg writes, in every version of every API; and what
// is cut short or goes on is refused.
func TestLayouts(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for i := range apis {
		a := &apis[i]
		if i > 0 {
			require.Greater(t, a.key, apis[i-1].key)
		}
		require.LessOrEqual(t, a.max, kmsg.RequestForKey(int16(a.key)).MaxVersion())
		require.LessOrEqual(t, a.min, a.floor)
		require.LessOrEqual(t, a.floor, a.named)
		require.LessOrEqual(t, a.named, a.max)
		for version := a.min; version <= a.max; version++ {
			resp := kmsg.ResponseForKey(int16(a.key))
			resp.SetVersion(version)
			require.Equal(t, resp.IsFlexible(), a.response.Flexible(version), "%s %d", a.key.Name(), version)
			for range 30 {
				b := randomAnswer(r, a, version)
				got, err := decode(a, version, b, testDecodedMax)
				require.NoError(t, err, "%s %d", a.key.Name(), version)
				again := got.AppendTo(nil)
				if a.response.Flexible(version) && a.key != kmsg.ApiVersions {
					again = append([]byte{0}, again...)
				}
				require.Len(t, again, len(b), "%s %d", a.key.Name(), version)
				for cut := range b {
					_, err := decode(a, version, b[:cut], testDecodedMax)
					require.ErrorIs(t, err, ErrMalformed, "%s %d cut at %d of %d", a.key.Name(), version, cut, len(b))
				}
				_, err = decode(a, version, append(b, 0), testDecodedMax)
				require.ErrorIs(t, err, ErrMalformed)
			}
		}
	}
}

// allocated returns how many bytes fn allocates; other goroutines count too.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// FuzzAnswer decodes what a peer sends: it never panics, and takes no more memory than
// the layout says.
func FuzzAnswer(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range apis {
		for version := apis[i].floor; version <= apis[i].max; version++ {
			f.Add(uint8(i), uint8(version), randomAnswer(r, &apis[i], version))
		}
	}
	f.Fuzz(func(t *testing.T, which, version uint8, b []byte) {
		a := &apis[int(which)%len(apis)]
		v := a.min + int16(version)%(a.max-a.min+1)
		const limit = 1 << 20
		var resp kmsg.Response
		var err error
		bound := uint64(limit + 8192 + 8*len(b))
		if cost, err := a.response.Check(v, b, limit); err == nil {
			bound = uint64(cost) + 8192 + 8*uint64(len(b))
		}
		got := allocated(func() { resp, err = decode(a, v, b, limit) })
		// The figure is the process's: what other goroutines allocate meanwhile is
		// in it by chance, and not every time.
		for tries := 0; got > bound && tries < 10; tries++ {
			got = min(got, allocated(func() { resp, err = decode(a, v, b, limit) }))
		}
		if got > bound {
			t.Errorf("%s %d: %d bytes took %d bytes, more than %d", a.key.Name(), v, len(b), got, bound)
		}
		if err == nil {
			resp.AppendTo(nil)
		} else if resp != nil {
			t.Errorf("an answer beside the error %v", err)
		}
	})
}

// A request goes out in a version in which its topics are named as it names them.
func TestVersions(t *testing.T) {
	t.Parallel()
	id := [16]byte{1}
	produce := func(topics ...kmsg.ProduceRequestTopic) *kmsg.ProduceRequest {
		return &kmsg.ProduceRequest{Topics: topics}
	}
	fetchOffsets := func(topics ...kmsg.OffsetFetchRequestGroupTopic) *kmsg.OffsetFetchRequest {
		return &kmsg.OffsetFetchRequest{Groups: []kmsg.OffsetFetchRequestGroup{{Topics: topics}}}
	}
	for name, tt := range map[string]struct {
		req  kmsg.Request
		want versions
	}{
		"both":                     {produce(kmsg.ProduceRequestTopic{Topic: "t", TopicID: id}), versions{9, 13}},
		"name":                     {produce(kmsg.ProduceRequestTopic{Topic: "t"}), versions{9, 12}},
		"id":                       {produce(kmsg.ProduceRequestTopic{TopicID: id}), versions{13, 13}},
		"one by id, one by name":   {produce(kmsg.ProduceRequestTopic{TopicID: id}, kmsg.ProduceRequestTopic{Topic: "t"}), versions{13, 12}},
		"fetch by name":            {&kmsg.FetchRequest{Topics: []kmsg.FetchRequestTopic{{Topic: "t"}}}, versions{12, 12}},
		"fetch by id":              {&kmsg.FetchRequest{Topics: []kmsg.FetchRequestTopic{{TopicID: id}}}, versions{13, 18}},
		"commit by id":             {&kmsg.OffsetCommitRequest{Topics: []kmsg.OffsetCommitRequestTopic{{TopicID: id}}}, versions{10, 10}},
		"all offsets of a group":   {fetchOffsets(), versions{9, 9}},
		"offsets by id":            {fetchOffsets(kmsg.OffsetFetchRequestGroupTopic{TopicID: id}), versions{10, 10}},
		"an API with names only":   {&kmsg.ListOffsetsRequest{}, versions{6, 10}},
		"a request without topics": {&kmsg.HeartbeatRequest{}, versions{3, 4}},
	} {
		require.Equal(t, tt.want, findAPI(tt.req.Key()).versions(tt.req), name)
	}
	require.Nil(t, findAPI(int16(kmsg.LeaderAndISR)))
	require.Equal(t, wire.ErrMalformed, ErrMalformed)
}
