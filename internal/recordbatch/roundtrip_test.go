package recordbatch

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

var allCodecs = []Codec{None, Gzip, Snappy, LZ4, Zstd}

// testRecord is what is put into a batch and expected out of it.
type testRecord struct {
	delta      int32
	ts         int64
	key, value []byte
	headers    []RecordHeader
}

// variedRecords has every kind of null, empty, short and long.
func variedRecords() []testRecord {
	long := bytes.Repeat([]byte("leat carries the stream to the mill. "), 300)
	return []testRecord{
		{0, 1_700_000_000_000, []byte("key"), []byte("value"), nil},
		{1, 1_700_000_000_005, nil, []byte("no key"), nil},
		{2, 1_699_999_999_000, []byte("tombstone"), nil, nil},
		{3, 1_700_000_000_001, nil, nil, nil},
		{4, 1_700_000_100_000, []byte{}, []byte{}, []RecordHeader{{"h", []byte("v")}}},
		{5, -1, []byte("k"), long, []RecordHeader{{"", nil}, {"null", nil}, {"empty", []byte{}}, {"null", long[:200]}}},
		{6, 1_700_000_000_002, long[:63], long[:64], nil},
	}
}

func mustBuild(t testing.TB, recs []testRecord, o FinishOptions) []byte {
	t.Helper()
	var b Builder
	for _, r := range recs {
		if err := b.AppendDelta(r.delta, r.ts, r.key, r.value, r.headers); err != nil {
			t.Fatal(err)
		}
	}
	out, err := b.Finish(o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func collect(t testing.TB, batch []byte, d *Decompressor) []testRecord {
	t.Helper()
	var it Iterator
	if err := it.Reset(batch, d); err != nil {
		t.Fatal(err)
	}
	var out []testRecord
	for it.Next() {
		r := it.Record()
		hs, err := r.Headers(nil)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, testRecord{int32(r.Offset - it.Header().BaseOffset), r.Timestamp, r.Key, r.Value, hs})
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func sameBytes(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func diffRecords(got, want []testRecord) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d records, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if g.delta != w.delta || g.ts != w.ts || !sameBytes(g.key, w.key) || !sameBytes(g.value, w.value) || len(g.headers) != len(w.headers) {
			return fmt.Errorf("record %d: %v, want %v", i, g, w)
		}
		for j, h := range w.headers {
			if g.headers[j].Key != h.Key || !sameBytes(g.headers[j].Value, h.Value) {
				return fmt.Errorf("record %d header %d: %v, want %v", i, j, g.headers[j], h)
			}
		}
	}
	return nil
}

func TestRoundTrip(t *testing.T) {
	for _, codec := range allCodecs {
		t.Run(codec.String(), func(t *testing.T) {
			recs := variedRecords()
			batch := mustBuild(t, recs, FinishOptions{
				Codec: codec, BaseOffset: 1000, LeaderEpoch: 7,
				ProducerID: 42, ProducerEpoch: 3, BaseSequence: 99, Transactional: true,
			})
			h, err := Verify(batch)
			if err != nil {
				t.Fatal(err)
			}
			want := Header{
				BaseOffset: 1000, BatchLength: int32(len(batch) - 12), LeaderEpoch: 7, Magic: 2, CRC: h.CRC,
				Attributes: Attributes(codec) | transactionalBit, LastOffsetDelta: 6,
				BaseTimestamp: 1_700_000_000_000, MaxTimestamp: 1_700_000_100_000,
				ProducerID: 42, ProducerEpoch: 3, BaseSequence: 99, NumRecords: 7,
			}
			if h != want {
				t.Fatalf("header\n%+v, want\n%+v", h, want)
			}
			if h.LastOffset() != 1006 || h.NextOffset() != 1007 || h.LastSequence() != 105 || h.Codec() != codec ||
				!h.IsTransactional() || h.IsControl() || h.HasDeleteHorizon() || h.Size() != len(batch) {
				t.Fatalf("derived fields of %+v", h)
			}
			if err := diffRecords(collect(t, batch, NewDecompressor(1<<20)), recs); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestStampKeepsCRC(t *testing.T) {
	batch := mustBuild(t, variedRecords(), FinishOptions{ProducerID: NoProducerID})
	SetBaseOffset(batch, 1<<40)
	SetLeaderEpoch(batch, 12)
	h, err := Verify(batch)
	if err != nil || h.BaseOffset != 1<<40 || h.LeaderEpoch != 12 {
		t.Fatalf("%+v, %v", h, err)
	}
	for i, set := range []func(){
		func() { SetProducer(batch, 5, 6, 7) },
		func() { SetLogAppendTime(batch, 12345) },
	} {
		set()
		if _, err := Verify(batch); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%d: before Reseal: %v", i, err)
		}
		Reseal(batch)
		if h, err = Verify(batch); err != nil {
			t.Fatalf("%d: after Reseal: %v", i, err)
		}
	}
	if h.ProducerID != 5 || h.ProducerEpoch != 6 || h.BaseSequence != 7 || h.TimestampType() != LogAppendTime || h.MaxTimestamp != 12345 {
		t.Fatalf("%+v", h)
	}
	for _, r := range collect(t, batch, nil) {
		if r.ts != 12345 {
			t.Fatalf("timestamp %d of a LogAppendTime batch", r.ts)
		}
	}
}

func TestNextSplits(t *testing.T) {
	a := mustBuild(t, variedRecords()[:2], FinishOptions{})
	b := mustBuild(t, variedRecords()[:3], FinishOptions{BaseOffset: 2, Codec: Zstd})
	all := append(bytes.Clone(a), b...)
	first, rest, err := Next(all)
	if err != nil || !bytes.Equal(first, a) || !bytes.Equal(rest, b) {
		t.Fatal("first batch", err)
	}
	second, rest, err := Next(rest)
	if err != nil || !bytes.Equal(second, b) || len(rest) != 0 {
		t.Fatal("second batch", err)
	}
	for n := range a {
		if _, _, err := Next(a[:n]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

// A single flipped bit behind the leader epoch is seen by Verify.
func TestVerifySeesEveryFlippedBit(t *testing.T) {
	batch := mustBuild(t, variedRecords()[:4], FinishOptions{})
	for i := range batch {
		if i < posBatchLength || (i >= posLeaderEpoch && i < posMagic) {
			continue
		}
		for bit := range 8 {
			batch[i] ^= 1 << bit
			if _, err := Verify(batch); err == nil {
				t.Fatalf("bit %d of byte %d", bit, i)
			}
			batch[i] ^= 1 << bit
		}
	}
}

func TestBuilderRefusesDeltas(t *testing.T) {
	var b Builder
	if _, err := b.Finish(FinishOptions{}); !errors.Is(err, ErrEmpty) {
		t.Fatal(err)
	}
	if err := b.AppendDelta(-1, 0, nil, nil, nil); !errors.Is(err, ErrOffsetDelta) {
		t.Fatal(err)
	}
	if err := b.AppendDelta(5, 0, nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	size := b.Size()
	if err := b.AppendDelta(5, 0, nil, nil, nil); !errors.Is(err, ErrOffsetDelta) || b.Size() != size || b.Len() != 1 {
		t.Fatal(err)
	}
	if err := b.Append(0, nil, nil, nil); err != nil || b.LastOffsetDelta() != 6 {
		t.Fatal(err)
	}
	if _, err := b.Finish(FinishOptions{Codec: 5}); !errors.Is(err, ErrUnsupportedCodec) || b.Len() != 2 {
		t.Fatal(err)
	}
	out, err := b.Finish(FinishOptions{})
	if err != nil || b.Len() != 0 {
		t.Fatal(err)
	}
	if h, err := Verify(out); err != nil || h.NumRecords != 2 || h.LastOffsetDelta != 6 {
		t.Fatal(h, err)
	}
}

func TestSizes(t *testing.T) {
	var b Builder
	b.Reset(make([]byte, 0, 100))
	for i, r := range variedRecords() {
		bound := b.SizeWith(r.key, r.value, r.headers)
		if err := b.Append(r.ts, r.key, r.value, r.headers); err != nil {
			t.Fatal(err)
		}
		if b.Size() > bound || b.Size() < bound-22 {
			t.Fatalf("record %d: size %d, bound %d", i, b.Size(), bound)
		}
	}
	size := b.Size()
	out, err := b.Finish(FinishOptions{})
	if err != nil || len(out) != size {
		t.Fatal(len(out), size, err)
	}
}
