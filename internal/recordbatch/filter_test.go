package recordbatch

import (
	"bytes"
	"errors"
	"testing"
)

func TestFilterKeepsOffsetsAndTimes(t *testing.T) {
	for _, codec := range allCodecs {
		recs := variedRecords()
		batch := mustBuild(t, recs, FinishOptions{Codec: codec, BaseOffset: 500, LeaderEpoch: 4,
			ProducerID: 8, ProducerEpoch: 1, BaseSequence: 77, Transactional: true})
		h, _ := ParseHeader(batch)
		out, kept, err := Filter(batch, NewDecompressor(0), func(r *Record) bool { return r.Offset%2 == 1 }, FilterOptions{})
		if err != nil || kept != 3 {
			t.Fatal(codec, kept, err)
		}
		g, err := Verify(out)
		if err != nil {
			t.Fatal(codec, err)
		}
		if g.BaseOffset != 500 || g.LastOffsetDelta != 6 || g.LeaderEpoch != 4 || g.ProducerID != 8 || g.ProducerEpoch != 1 ||
			g.BaseSequence != 77 || !g.IsTransactional() || g.NumRecords != 3 || g.LastSequence() != h.LastSequence() ||
			g.MaxTimestamp != 1_700_000_000_005 || g.HasDeleteHorizon() {
			t.Fatalf("%v: %+v", codec, g)
		}
		if g.Codec() != codec && len(out) > 300 {
			t.Fatal(codec, "became", g.Codec())
		}
		if err := diffRecords(collect(t, out, nil), []testRecord{recs[1], recs[3], recs[5]}); err != nil {
			t.Fatal(codec, err)
		}
	}
}

func TestFilterAllAndNone(t *testing.T) {
	batch := mustBuild(t, variedRecords(), FinishOptions{Codec: LZ4, BaseOffset: 10, ProducerID: 3, BaseSequence: 5})
	all := func(*Record) bool { return true }
	none := func(*Record) bool { return false }
	out, kept, err := Filter(batch, nil, all, FilterOptions{})
	if err != nil || kept != 7 || &out[0] != &batch[0] || len(out) != len(batch) {
		t.Fatal("all:", kept, err)
	}
	out, kept, err = Filter(batch, nil, none, FilterOptions{})
	if err != nil || kept != 0 || out != nil {
		t.Fatal("none:", out, kept, err)
	}
	out, kept, err = Filter(batch, nil, none, FilterOptions{KeepEmpty: true, DeleteHorizon: 5})
	if err != nil || kept != 0 {
		t.Fatal(err)
	}
	h, err := Verify(out)
	if err != nil || h.NumRecords != 0 || h.LastOffset() != 16 || h.LastSequence() != 11 || h.ProducerID != 3 ||
		h.MaxTimestamp != 1_700_000_100_000 || h.BaseTimestamp != -1 || h.Codec() != None || h.HasDeleteHorizon() {
		t.Fatalf("empty: %+v, %v", h, err)
	}
	if got := collect(t, out, nil); len(got) != 0 {
		t.Fatal(got)
	}
	// And once more: an empty batch goes through or goes away.
	again, _, err := Filter(out, nil, all, FilterOptions{KeepEmpty: true})
	if err != nil || !bytes.Equal(again, out) {
		t.Fatal(err)
	}
	if again, _, err = Filter(out, nil, all, FilterOptions{}); err != nil || again != nil {
		t.Fatal(again, err)
	}
}

func TestFilterDeleteHorizon(t *testing.T) {
	const horizon = 1_800_000_000_000
	recs := variedRecords()
	batch := mustBuild(t, recs, FinishOptions{BaseOffset: 10})
	all := func(*Record) bool { return true }
	out, kept, err := Filter(batch, nil, all, FilterOptions{DeleteHorizon: horizon})
	if err != nil || kept != 7 {
		t.Fatal(kept, err)
	}
	h, err := Verify(out)
	if err != nil || !h.HasDeleteHorizon() || h.BaseTimestamp != horizon || h.MaxTimestamp != 1_700_000_100_000 {
		t.Fatalf("%+v %v", h, err)
	}
	if err := diffRecords(collect(t, out, nil), recs); err != nil {
		t.Fatal(err)
	}
	// A horizon that is set stays, also when records go.
	out, _, err = Filter(out, nil, func(r *Record) bool { return r.Offset >= 12 }, FilterOptions{DeleteHorizon: horizon + 1})
	if err != nil {
		t.Fatal(err)
	}
	if h, _ = Verify(out); h.BaseTimestamp != horizon || !h.HasDeleteHorizon() || h.NumRecords != 5 {
		t.Fatalf("%+v", h)
	}
	if err := diffRecords(collect(t, out, nil), recs[2:]); err != nil {
		t.Fatal(err)
	}
	// No tombstone is kept: no horizon.
	out, _, err = Filter(batch, nil, func(r *Record) bool { return r.Value != nil }, FilterOptions{DeleteHorizon: horizon})
	if err != nil {
		t.Fatal(err)
	}
	if h, _ = Verify(out); h.HasDeleteHorizon() || h.NumRecords != 5 {
		t.Fatalf("%+v", h)
	}
}

func TestFilterLogAppendTime(t *testing.T) {
	batch := mustBuild(t, variedRecords(), FinishOptions{})
	SetLogAppendTime(batch, 99)
	Reseal(batch)
	out, _, err := Filter(batch, nil, func(r *Record) bool { return r.Offset == 2 }, FilterOptions{DeleteHorizon: 1000})
	if err != nil {
		t.Fatal(err)
	}
	h, err := Verify(out)
	if err != nil || h.TimestampType() != LogAppendTime || h.MaxTimestamp != 99 || h.BaseTimestamp != 1000 {
		t.Fatalf("%+v %v", h, err)
	}
	if got := collect(t, out, nil); len(got) != 1 || got[0].ts != 99 || got[0].delta != 2 {
		t.Fatal(got)
	}
}

func TestFilterControlBatch(t *testing.T) {
	recs := []testRecord{{0, 50, []byte{0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 0}, nil}}
	batch := mustBuild(t, recs, FinishOptions{BaseOffset: 5, ProducerID: 1, Control: true, Transactional: true})
	out, kept, err := Filter(batch, nil, func(*Record) bool { return true }, FilterOptions{DeleteHorizon: 500})
	if err != nil || kept != 1 {
		t.Fatal(err)
	}
	if h, err := Verify(out); err != nil || !h.IsControl() || h.BaseTimestamp != 500 || !h.HasDeleteHorizon() {
		t.Fatal(h, err)
	}
	if err := diffRecords(collect(t, out, nil), recs); err != nil {
		t.Fatal(err)
	}
}

func TestFilterCorrupt(t *testing.T) {
	batch := mustBuild(t, plainRecords(3), FinishOptions{})
	batch[HeaderSize]++
	out, kept, err := Filter(batch, nil, func(*Record) bool { return true }, FilterOptions{})
	if out != nil || kept != 0 || !errors.Is(err, ErrCorrupt) {
		t.Fatal(out, kept, err)
	}
}
