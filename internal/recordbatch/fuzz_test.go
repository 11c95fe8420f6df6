package recordbatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/leatlog/leat/internal/base"
)

// fuzzLimit bounds what is unpacked while fuzzing.
const fuzzLimit = 1 << 20

// addBatches seeds f with all golden batches.
func addBatches(f *testing.F) {
	names, err := filepath.Glob(filepath.Join("testdata", "*", "*.batch"))
	if err != nil || len(names) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{})
	f.Add(mustBuild(f, plainRecords(3), FinishOptions{}))
	f.Add(mustBuild(f, plainRecords(200), FinishOptions{ProducerID: NoProducerID, Codec: Snappy}))
}

// known reports whether err is one of this package's errors.
func known(err error) bool {
	for _, s := range []error{ErrCorrupt, ErrUnsupportedMagic, ErrUnsupportedCodec, ErrInvalidRecord,
		ErrInvalidTimestamp, ErrTooLarge, ErrDecompressedTooLarge} {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}

// fitted makes length, magic and CRC of b right, so that fuzzing gets past them.
func fitted(b []byte) []byte {
	if len(b) < HeaderSize {
		return b
	}
	b = bytes.Clone(b)
	binary.BigEndian.PutUint32(b[posBatchLength:], uint32(len(b)-prefixSize))
	b[posMagic] = Magic
	Reseal(b)
	return b
}

func FuzzVerify(f *testing.F) {
	addBatches(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		if err != nil {
			if !known(err) {
				t.Fatal(err)
			}
			if _, verr := Verify(b); verr == nil {
				t.Fatal("Verify accepts what ParseHeader refuses:", err)
			}
			if _, rest, nerr := Next(b); nerr == nil || len(rest) != len(b) {
				t.Fatal("Next accepts what ParseHeader refuses:", err)
			}
			return
		}
		if h.Size() < HeaderSize || h.Size() > len(b) || h.LastOffsetDelta < 0 || h.NumRecords < 0 {
			t.Fatalf("%+v", h)
		}
		batch, rest, err := Next(b)
		if err != nil || len(batch)+len(rest) != len(b) {
			t.Fatal(len(batch), len(rest), err)
		}
		// What was parsed encodes to the same bytes, but for the CRC.
		again := bytes.Clone(batch)
		g := h
		g.seal(again)
		binary.BigEndian.PutUint32(again[posCRC:], h.CRC)
		if !bytes.Equal(again, batch) {
			t.Fatalf("%x encodes as\n%x", batch, again)
		}
		Reseal(again)
		if _, err := Verify(again); err != nil {
			t.Fatal("resealed:", err)
		}
	})
}

// naiveRecords decodes records in the plainest way: nil when one is malformed.
func naiveRecords(b []byte, h Header) ([]testRecord, bool) {
	var out []testRecord
	ok := true
	num := func(b *[]byte) int64 {
		v, n := binary.Varint(*b)
		if n <= 0 {
			ok = false
			return 0
		}
		*b = (*b)[n:]
		return v
	}
	field := func(b *[]byte, null bool) []byte {
		n := num(b)
		if !ok || n < -1 || n > int64(len(*b)) || (n == -1 && !null) {
			ok = false
			return nil
		}
		if n == -1 {
			return nil
		}
		f := (*b)[:n:n]
		*b = (*b)[n:]
		return f
	}
	for range h.NumRecords {
		n := num(&b)
		if !ok || n < 1 || n > int64(len(b)) {
			return nil, false
		}
		body := b[1:n]
		b = b[n:]
		var r testRecord
		r.ts = h.BaseTimestamp + num(&body)
		if h.TimestampType() == LogAppendTime {
			r.ts = h.MaxTimestamp
		}
		delta := num(&body)
		if delta < 0 || delta > int64(h.LastOffsetDelta) {
			return nil, false
		}
		r.delta = int32(delta)
		r.key = field(&body, true)
		r.value = field(&body, true)
		count := num(&body)
		if !ok || count < 0 || count > int64(len(body)) {
			return nil, false
		}
		for range count {
			k, v := field(&body, false), field(&body, true)
			if !ok {
				return nil, false
			}
			r.headers = append(r.headers, RecordHeader{Key: string(k), Value: v})
		}
		if len(body) > 0 {
			return nil, false
		}
		out = append(out, r)
	}
	return out, ok && len(b) == 0
}

func FuzzIterator(f *testing.F) {
	addBatches(f)
	shared := NewDecompressor(fuzzLimit)
	f.Fuzz(func(t *testing.T, b []byte) {
		b = fitted(b)
		var it Iterator
		if err := it.Reset(b, shared); err != nil {
			if !known(err) || it.Next() || it.Err() == nil {
				t.Fatal(err)
			}
			return
		}
		var got []testRecord
		headersOK := true
		for it.Next() {
			r := it.Record()
			hs, err := r.Headers(nil)
			if (err == nil) != r.checkHeaders() {
				t.Fatal("Headers and checkHeaders differ:", err)
			}
			if err != nil {
				headersOK = false
			}
			got = append(got, testRecord{int32(r.Offset - it.Header().BaseOffset), r.Timestamp, r.Key, r.Value, hs})
		}
		if err := it.Err(); err != nil && !known(err) {
			t.Fatal(err)
		}
		if it.Next() {
			t.Fatal("a record behind the end")
		}
		h, err := ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		var body []byte
		if h.NumRecords > 0 || len(b) > HeaderSize {
			if body, err = NewDecompressor(fuzzLimit).Decompress(h.Codec(), b[HeaderSize:]); err != nil {
				t.Fatal("a fresh Decompressor fails:", err)
			}
		}
		want, ok := naiveRecords(body, h)
		if ok != (it.Err() == nil && headersOK) {
			t.Fatalf("naive: %v, iterator: %v, headers %v", ok, it.Err(), headersOK)
		}
		if ok {
			if err := diffRecords(got, want); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzValidate(f *testing.F) {
	addBatches(f)
	shared := NewDecompressor(fuzzLimit)
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := Validate(bytes.Clone(b), Limits{Decompressor: shared}); err != nil && !known(err) {
			t.Fatal(err)
		}
		b = fitted(b)
		h, err := Validate(b, Limits{Decompressor: shared})
		if err != nil {
			if !known(err) {
				t.Fatal(err)
			}
			return
		}
		again, err := Verify(b)
		if err != nil || again != h {
			t.Fatalf("%+v, then %+v, %v", h, again, err)
		}
		if again, err = Validate(b, Limits{Decompressor: shared}); err != nil || again != h {
			t.Fatalf("%+v, then %+v, %v", h, again, err)
		}
		recs := collect(t, b, shared)
		if len(recs) != int(h.NumRecords) {
			t.Fatal(len(recs), h.NumRecords)
		}
		maxTS := int64(math.MinInt64)
		for i, r := range recs {
			if r.delta != int32(i) {
				t.Fatal("delta", r.delta)
			}
			maxTS = max(maxTS, r.ts)
		}
		if maxTS != h.MaxTimestamp {
			t.Fatal(maxTS, h.MaxTimestamp)
		}
	})
}

func FuzzFilter(f *testing.F) {
	addBatches(f)
	shared := NewDecompressor(fuzzLimit)
	var c Compressor
	f.Fuzz(func(t *testing.T, b []byte) {
		b = fitted(b)
		before := bytes.Clone(b)
		// A third goes, chosen by offset.
		keep := func(o base.Offset) bool { return uint64(o)%3 != 0 }
		out, kept, err := Filter(b, shared, func(r *Record) bool { return keep(r.Offset) },
			FilterOptions{Compressor: &c, KeepEmpty: true, DeleteHorizon: 1 << 40})
		if !bytes.Equal(b, before) {
			t.Fatal("the batch was written to")
		}
		if err != nil {
			// Offsets that do not grow are found by the Builder.
			if !known(err) && !errors.Is(err, ErrOffsetDelta) {
				t.Fatal(err)
			}
			return
		}
		h, err := ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		g, err := Verify(out)
		if err != nil {
			t.Fatal(err)
		}
		if g.BaseOffset != h.BaseOffset || g.LastOffsetDelta != h.LastOffsetDelta || g.ProducerID != h.ProducerID ||
			g.BaseSequence != h.BaseSequence || g.LeaderEpoch != h.LeaderEpoch || int(g.NumRecords) != kept {
			t.Fatalf("%+v became %+v", h, g)
		}
		var before2, after []testRecord
		for _, dst := range []struct {
			batch []byte
			to    *[]testRecord
		}{{b, &before2}, {out, &after}} {
			var it Iterator
			if err := it.Reset(dst.batch, NewDecompressor(fuzzLimit)); err != nil {
				t.Fatal(err)
			}
			for it.Next() {
				if r := it.Record(); keep(r.Offset) {
					*dst.to = append(*dst.to, testRecord{int32(r.Offset - h.BaseOffset), r.Timestamp, r.Key, r.Value,
						[]RecordHeader{{Value: r.RawHeaders}}})
				} else if dst.to == &after {
					t.Fatal("not filtered:", r.Offset)
				}
			}
			if it.Err() != nil {
				t.Fatal(it.Err())
			}
		}
		for _, r := range append(before2, after...) {
			if len(r.headers[0].Value) == 0 {
				r.headers[0].Value = nil
			}
		}
		if err := diffRecords(after, before2); err != nil {
			t.Fatal(err)
		}
	})
}

// fuzzCodec checks that unpacking stays in its bound, does not depend on what
// was unpacked before, and undoes packing.
func fuzzCodec(f *testing.F, codec Codec) {
	shared := NewDecompressor(fuzzLimit)
	tiny := NewDecompressor(100)
	var c Compressor
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := shared.Decompress(codec, b)
		if err != nil && !known(err) {
			t.Fatal(err)
		}
		if len(got) > fuzzLimit {
			t.Fatal(len(got), "bytes")
		}
		fresh, ferr := NewDecompressor(fuzzLimit).Decompress(codec, b)
		if (err == nil) != (ferr == nil) || !bytes.Equal(got, fresh) {
			t.Fatalf("used: %d bytes, %v; fresh: %d bytes, %v", len(got), err, len(fresh), ferr)
		}
		small, serr := tiny.Decompress(codec, b)
		if len(small) > 100 || (err == nil && len(got) <= 100) != (serr == nil) {
			t.Fatalf("%d bytes, %v; bounded: %d bytes, %v", len(got), err, len(small), serr)
		}
		if len(b) > fuzzLimit {
			return
		}
		packed, err := c.compress(nil, b, codec, 0)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := shared.Decompress(codec, packed); err != nil || !bytes.Equal(back, b) {
			t.Fatalf("%d bytes packed to %d come back as %d, %v", len(b), len(packed), len(back), err)
		}
	})
}

// addPacked seeds f with the records of the golden batches of a codec.
func addPacked(f *testing.F, codec Codec) {
	for _, dir := range []string{"kafka", "leat"} {
		f.Add(readFile(f, dir, codec.String()+".batch")[HeaderSize:])
	}
	frames, err := filepath.Glob(filepath.Join("testdata", "frames", "*."+codec.String()))
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range frames {
		f.Add(readFile(f, "frames", filepath.Base(name)))
	}
	f.Add([]byte{})
	var c Compressor
	b, err := c.compress(nil, make([]byte, 300), codec, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(append(bytes.Clone(b), b...))
}

func FuzzGzip(f *testing.F)   { addPacked(f, Gzip); fuzzCodec(f, Gzip) }
func FuzzSnappy(f *testing.F) { addPacked(f, Snappy); fuzzCodec(f, Snappy) }
func FuzzLZ4(f *testing.F)    { addPacked(f, LZ4); fuzzCodec(f, LZ4) }
func FuzzZstd(f *testing.F)   { addPacked(f, Zstd); fuzzCodec(f, Zstd) }

// FuzzXerial wraps its input as the blocks of a xerial frame.
func FuzzXerial(f *testing.F) {
	f.Add([]byte("some text some text"), []byte("and more text"), uint8(0))
	f.Add([]byte{}, make([]byte, 1000), uint8(3))
	d := NewDecompressor(fuzzLimit)
	f.Fuzz(func(t *testing.T, a, b []byte, cut uint8) {
		frame := xerialFrame(t, a, b)
		got, err := d.Decompress(Snappy, frame)
		want := append(bytes.Clone(a), b...)
		if len(want) > fuzzLimit {
			if !errors.Is(err, ErrDecompressedTooLarge) {
				t.Fatal(err)
			}
			return
		}
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%q, %v", got, err)
		}
		if n := int(cut); n > 0 && n < len(frame) {
			// Cut between two blocks it is a frame of one.
			if got, err = d.Decompress(Snappy, frame[:len(frame)-n]); err == nil && len(got) >= len(want) && len(want) > 0 && len(b) > 0 {
				t.Fatalf("cut by %d: %d of %d bytes", n, len(got), len(want))
			}
		}
	})
}
