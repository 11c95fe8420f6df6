package recordbatch

import (
	"bytes"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/leatlog/leat/internal/base"
)

var genBytes = rapid.Custom(func(t *rapid.T) []byte {
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0, 1:
		return nil
	case 2:
		return []byte{}
	case 3: // around a length that takes a byte more
		return bytes.Repeat([]byte{'x'}, rapid.SampledFrom([]int{62, 63, 64, 65, 8190, 8191, 8192, 8193}).Draw(t, "len"))
	}
	return rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "bytes")
})

var genTimestamp = rapid.OneOf(
	rapid.Int64Range(1_700_000_000_000, 1_700_000_010_000),
	rapid.SampledFrom([]int64{-1, 0, 1, math.MaxInt64, math.MinInt64, math.MaxInt32}),
)

func genRecords(t *rapid.T, contiguous bool) []testRecord {
	n := rapid.IntRange(1, 150).Draw(t, "records")
	out := make([]testRecord, n)
	delta := int32(0)
	for i := range out {
		if i > 0 {
			delta++
			if !contiguous {
				delta += rapid.SampledFrom([]int32{0, 0, 1, 62, 8191, 1 << 20}).Draw(t, "gap")
			}
		}
		out[i] = testRecord{delta: delta, ts: genTimestamp.Draw(t, "ts"), key: genBytes.Draw(t, "key"), value: genBytes.Draw(t, "value")}
		for range rapid.SampledFrom([]int{0, 0, 0, 1, 3, 70}).Draw(t, "headers") {
			out[i].headers = append(out[i].headers, RecordHeader{
				Key: rapid.StringN(0, 10, 40).Draw(t, "header key"), Value: genBytes.Draw(t, "header value")})
		}
	}
	return out
}

// Whatever is built reads back, is valid, and is what kmsg encodes.
func TestPropertyRoundTrip(t *testing.T) {
	var c Compressor
	d := NewDecompressor(0)
	rapid.Check(t, func(t *rapid.T) {
		recs := genRecords(t, false)
		o := FinishOptions{
			Codec: rapid.SampledFrom(allCodecs).Draw(t, "codec"), Compressor: &c,
			BaseOffset:  base.Offset(rapid.Int64Range(0, 1<<60).Draw(t, "base offset")),
			LeaderEpoch: base.LeaderEpoch(rapid.Int32().Draw(t, "leader epoch")),
			ProducerID:  rapid.Int64Range(-1, math.MaxInt64).Draw(t, "producer id"),
			BaseSequence: rapid.OneOf(rapid.Int32Range(0, 100), rapid.Int32Range(math.MaxInt32-100, math.MaxInt32)).
				Draw(t, "sequence"),
			Transactional: rapid.Bool().Draw(t, "transactional"), Control: rapid.Bool().Draw(t, "control"),
		}
		var b Builder
		for _, r := range recs {
			bound := b.SizeWith(r.key, r.value, r.headers)
			if err := b.AppendDelta(r.delta, r.ts, r.key, r.value, r.headers); err != nil {
				t.Fatal(err)
			}
			if b.Size() > bound {
				t.Fatalf("size %d over its bound %d", b.Size(), bound)
			}
		}
		out, err := b.Finish(o)
		if err != nil {
			t.Fatal(err)
		}
		h, err := Verify(out)
		if err != nil {
			t.Fatal(err)
		}
		maxTS := int64(math.MinInt64)
		for _, r := range recs {
			maxTS = max(maxTS, r.ts)
		}
		if h.MaxTimestamp != maxTS || h.BaseTimestamp != recs[0].ts || h.LastOffsetDelta != recs[len(recs)-1].delta ||
			int(h.NumRecords) != len(recs) || h.BaseOffset != o.BaseOffset || h.LeaderEpoch != o.LeaderEpoch ||
			h.IsControl() != o.Control || h.IsTransactional() != o.Transactional || h.ProducerID != o.ProducerID ||
			(o.ProducerID >= 0) != (h.BaseSequence == o.BaseSequence && h.BaseSequence != NoSequence) {
			t.Fatalf("%+v of %+v", h, o)
		}
		var it Iterator
		if err := it.Reset(out, d); err != nil {
			t.Fatal(err)
		}
		var got []testRecord
		for it.Next() {
			r := it.Record()
			hs, err := r.Headers(nil)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, testRecord{int32(r.Offset - h.BaseOffset), r.Timestamp, r.Key, r.Value, hs})
		}
		if it.Err() != nil {
			t.Fatal(it.Err())
		}
		if err := diffRecords(got, recs); err != nil {
			t.Fatal(err)
		}
		if h.Codec() == None {
			if want := kmsgBatch(recs, h); !bytes.Equal(out, want) {
				t.Fatalf("%x, kmsg encodes\n%x", out, want)
			}
		}
	})
}

// Filter leaves exactly the chosen records, in one step or in two.
func TestPropertyFilter(t *testing.T) {
	var c Compressor
	d := NewDecompressor(0)
	rapid.Check(t, func(t *rapid.T) {
		recs := genRecords(t, false)
		var b Builder
		for _, r := range recs {
			if err := b.AppendDelta(r.delta, r.ts, r.key, r.value, r.headers); err != nil {
				t.Fatal(err)
			}
		}
		batch, err := b.Finish(FinishOptions{Codec: rapid.SampledFrom(allCodecs).Draw(t, "codec"), Compressor: &c,
			BaseOffset: 1000, ProducerID: 5, BaseSequence: 6})
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "log append time") {
			SetLogAppendTime(batch, 77)
			Reseal(batch)
			for i := range recs {
				recs[i].ts = 77
			}
		}
		for range 2 {
			var want []testRecord
			keep := map[int32]bool{}
			for _, r := range recs {
				if keep[r.delta] = rapid.IntRange(0, 3).Draw(t, "keep") > 0; keep[r.delta] {
					want = append(want, r)
				}
			}
			before := bytes.Clone(batch)
			seen := 0
			out, kept, err := Filter(batch, d, func(r *Record) bool {
				seen++
				k := keep[int32(r.Offset-1000)]
				*r = Record{} // it is keep's
				return k
			}, FilterOptions{Compressor: &c, KeepEmpty: true, DeleteHorizon: rapid.Int64Range(0, 1).Draw(t, "horizon") * 1_800_000_000_000})
			if err != nil || kept != len(want) || seen != len(recs) {
				t.Fatal(kept, len(want), seen, len(recs), err)
			}
			if !bytes.Equal(batch, before) {
				t.Fatal("the input was written to")
			}
			h, err := Verify(out)
			if err != nil || h.NextOffset() != 1001+base.Offset(must(ParseHeader(batch)).LastOffsetDelta) || h.BaseOffset != 1000 || h.LastSequence() < 0 {
				t.Fatal(h, err)
			}
			var got []testRecord
			var it Iterator
			if err := it.Reset(out, NewDecompressor(0)); err != nil {
				t.Fatal(err)
			}
			for it.Next() {
				r := it.Record()
				hs, err := r.Headers(nil)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, testRecord{int32(r.Offset - 1000), r.Timestamp, r.Key, r.Value, hs})
			}
			if it.Err() != nil {
				t.Fatal(it.Err())
			}
			if err := diffRecords(got, want); err != nil {
				t.Fatal(err)
			}
			batch, recs = out, want
		}
	})
}

func must(h Header, err error) Header {
	if err != nil {
		panic(err)
	}
	return h
}

// What an ordinary producer builds, Validate accepts.
func TestPropertyValidate(t *testing.T) {
	var c Compressor
	rapid.Check(t, func(t *rapid.T) {
		recs := genRecords(t, true)
		var b Builder
		invalid := false
		for _, r := range recs {
			invalid = invalid || r.ts < -1
			if err := b.Append(r.ts, r.key, r.value, r.headers); err != nil {
				t.Fatal(err)
			}
		}
		batch, err := b.Finish(FinishOptions{Codec: rapid.SampledFrom(allCodecs).Draw(t, "codec"), Compressor: &c, ProducerID: -1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = Validate(batch, Limits{}); (err != nil) != invalid {
			t.Fatal(err)
		}
		if _, err = Validate(batch, Limits{LogAppendTime: true}); err != nil {
			t.Fatal(err)
		}
	})
}
