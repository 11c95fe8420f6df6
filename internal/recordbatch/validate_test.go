package recordbatch

import (
	"bytes"
	"errors"
	"testing"

	"encoding/binary"
)

// plainRecords are n records with keys, as a producer sends them.
func plainRecords(n int) []testRecord {
	out := make([]testRecord, n)
	for i := range out {
		out[i] = testRecord{int32(i), 1_700_000_000_000 + int64(i), []byte{'k', byte(i)}, bytes.Repeat([]byte{'v'}, 20), nil}
	}
	return out
}

func TestValidateAccepts(t *testing.T) {
	for _, codec := range allCodecs {
		batch := mustBuild(t, variedRecords(), FinishOptions{Codec: codec, ProducerID: 0, ProducerEpoch: 0, BaseSequence: 0})
		before := bytes.Clone(batch)
		h, err := Validate(batch, Limits{MaxBatchBytes: len(batch), MaxDecompressedBytes: 1 << 20})
		if err != nil || h.NumRecords != 7 || h.MaxTimestamp != 1_700_000_100_000 {
			t.Fatal(codec, h, err)
		}
		if !bytes.Equal(before, batch) {
			t.Fatal(codec, "was written to")
		}
	}
}

func TestValidateRules(t *testing.T) {
	good := func() []byte {
		return mustBuild(t, plainRecords(3), FinishOptions{ProducerID: 9, ProducerEpoch: 1, BaseSequence: 2})
	}
	be := binary.BigEndian
	attr := func(b []byte, a Attributes) { b[posAttributes+1] |= byte(a) }
	for _, c := range []struct {
		name   string
		limits Limits
		change func(b []byte)
		want   error
	}{
		{"control", Limits{}, func(b []byte) { attr(b, controlBit) }, ErrInvalidRecord},
		{"delete horizon", Limits{}, func(b []byte) { attr(b, deleteHorizonBit) }, ErrInvalidRecord},
		{"log append time", Limits{}, func(b []byte) { attr(b, logAppendTimeBit) }, ErrInvalidRecord},
		{"log append time in such a topic", Limits{LogAppendTime: true}, func(b []byte) { attr(b, logAppendTimeBit) }, nil},
		{"base offset", Limits{}, func(b []byte) { SetBaseOffset(b, 1) }, ErrInvalidRecord},
		{"leader epoch is not the producer's", Limits{}, func(b []byte) { SetLeaderEpoch(b, 5) }, nil},
		{"last offset delta high", Limits{}, func(b []byte) { be.PutUint32(b[posLastOffsetDelta:], 3) }, ErrInvalidRecord},
		{"last offset delta low", Limits{}, func(b []byte) { be.PutUint32(b[posLastOffsetDelta:], 1) }, ErrCorrupt},
		{"last offset delta negative", Limits{}, func(b []byte) { be.PutUint32(b[posLastOffsetDelta:], 1<<31) }, ErrCorrupt},
		{"count low", Limits{}, func(b []byte) { be.PutUint32(b[posNumRecords:], 2); be.PutUint32(b[posLastOffsetDelta:], 1) }, ErrCorrupt},
		{"count high", Limits{}, func(b []byte) { be.PutUint32(b[posNumRecords:], 4); be.PutUint32(b[posLastOffsetDelta:], 3) }, ErrCorrupt},
		{"count far too high", Limits{}, func(b []byte) {
			be.PutUint32(b[posNumRecords:], 1<<31-1)
			be.PutUint32(b[posLastOffsetDelta:], 1<<31-2)
		}, ErrCorrupt},
		{"count negative", Limits{}, func(b []byte) { be.PutUint32(b[posNumRecords:], 1<<31) }, ErrCorrupt},
		{"count zero", Limits{}, func(b []byte) { be.PutUint32(b[posNumRecords:], 0) }, ErrInvalidRecord},
		{"producer id", Limits{}, func(b []byte) { SetProducer(b, -2, 1, 1) }, ErrInvalidRecord},
		{"producer epoch", Limits{}, func(b []byte) { SetProducer(b, 1, -1, 1) }, ErrInvalidRecord},
		{"sequence", Limits{}, func(b []byte) { SetProducer(b, 1, 1, -1) }, ErrInvalidRecord},
		{"no producer", Limits{}, func(b []byte) { SetProducer(b, -1, -1, -1) }, nil},
		{"transactional", Limits{}, func(b []byte) { attr(b, transactionalBit) }, nil},
		{"transactional without producer", Limits{}, func(b []byte) { attr(b, transactionalBit); SetProducer(b, -1, -1, -1) }, ErrInvalidRecord},
		{"magic 0", Limits{}, func(b []byte) { b[posMagic] = 0 }, ErrUnsupportedMagic},
		{"magic 1", Limits{}, func(b []byte) { b[posMagic] = 1 }, ErrUnsupportedMagic},
		{"magic 9", Limits{}, func(b []byte) { b[posMagic] = 9 }, ErrUnsupportedMagic},
		{"codec 5", Limits{}, func(b []byte) { attr(b, 5) }, ErrUnsupportedCodec},
		{"codec 7", Limits{}, func(b []byte) { attr(b, 7) }, ErrUnsupportedCodec},
		{"not what the codec says", Limits{}, func(b []byte) { attr(b, Attributes(Gzip)) }, ErrCorrupt},
		{"offset deltas", Limits{}, func(b []byte) { b[HeaderSize+3] = 2 }, ErrInvalidRecord},
		{"offset delta negative", Limits{}, func(b []byte) { b[HeaderSize+3] = 1 }, ErrCorrupt},
		{"key length -2", Limits{}, func(b []byte) { b[HeaderSize+4] = 3 }, ErrCorrupt},
		{"record length", Limits{}, func(b []byte) { b[HeaderSize] += 2 }, ErrCorrupt},
		{"record length 0", Limits{}, func(b []byte) { b[HeaderSize] = 0 }, ErrCorrupt},
		{"record length -1", Limits{}, func(b []byte) { b[HeaderSize] = 1 }, ErrCorrupt},
		{"max batch bytes", Limits{MaxBatchBytes: len(good()) - 1}, func([]byte) {}, ErrTooLarge},
		{"max batch bytes met", Limits{MaxBatchBytes: len(good())}, func([]byte) {}, nil},
		{"too early", Limits{MinTimestamp: 1_700_000_000_001}, func([]byte) {}, ErrInvalidTimestamp},
		{"too late", Limits{MaxTimestamp: 1_700_000_000_001}, func([]byte) {}, ErrInvalidTimestamp},
		{"in time", Limits{MinTimestamp: 1_700_000_000_000, MaxTimestamp: 1_700_000_000_002}, func([]byte) {}, nil},
		{"time does not matter", Limits{LogAppendTime: true, MaxTimestamp: 1}, func([]byte) {}, nil},
		{"negative time", Limits{}, func(b []byte) { be.PutUint64(b[posBaseTimestamp:], 1<<63) }, ErrInvalidTimestamp},
		{"keys present", Limits{RequireKeys: true}, func([]byte) {}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := good()
			c.change(b)
			Reseal(b)
			h, err := Validate(b, c.limits)
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if err == nil && h.NumRecords != 3 {
				t.Fatalf("%+v", h)
			}
		})
	}
	b := good()
	b[len(b)-1] ^= 1
	if _, err := Validate(b, Limits{}); !errors.Is(err, ErrCorrupt) {
		t.Fatal("CRC:", err)
	}
	if _, err := Validate(append(good(), 0), Limits{}); !errors.Is(err, ErrCorrupt) {
		t.Fatal("trailing byte:", err)
	}
	if _, err := Validate(nil, Limits{}); !errors.Is(err, ErrCorrupt) {
		t.Fatal("nil:", err)
	}
}

// Bytes behind the last record, inside of the CRC, are no part of any record.
func TestValidateTrailingBytes(t *testing.T) {
	b := append(mustBuild(t, plainRecords(2), FinishOptions{}), 0)
	binary.BigEndian.PutUint32(b[posBatchLength:], uint32(len(b)-prefixSize))
	Reseal(b)
	if _, err := Verify(b); err != nil {
		t.Fatal(err)
	}
	if _, err := Validate(b, Limits{}); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
}

func TestValidateRequiresKeys(t *testing.T) {
	recs := plainRecords(3)
	recs[1].key = nil
	b := mustBuild(t, recs, FinishOptions{Codec: Zstd})
	_, err := Validate(b, Limits{RequireKeys: true})
	var ire *InvalidRecordError
	if !errors.As(err, &ire) || ire.Record != 1 {
		t.Fatal(err)
	}
	recs[1].key = []byte{}
	if _, err = Validate(mustBuild(t, recs, FinishOptions{}), Limits{RequireKeys: true}); err != nil {
		t.Fatal("an empty key is a key:", err)
	}
}

func TestValidateCorrectsMaxTimestamp(t *testing.T) {
	b := mustBuild(t, plainRecords(3), FinishOptions{})
	binary.BigEndian.PutUint64(b[posMaxTimestamp:], 5)
	Reseal(b)
	h, err := Validate(b, Limits{})
	if err != nil || h.MaxTimestamp != 1_700_000_000_002 {
		t.Fatal(h, err)
	}
	if again, err := Verify(b); err != nil || again != h {
		t.Fatal(again, err)
	}
}

// The headers of the last record are read by nobody else.
func TestValidateReadsHeaders(t *testing.T) {
	recs := []testRecord{{0, 1, nil, nil, []RecordHeader{{"abc", []byte("def")}}}}
	b := mustBuild(t, recs, FinishOptions{})
	at := bytes.Index(b, []byte("abc")) - 1
	for _, n := range []byte{0, 2, 4, 8, 1, 127} {
		b[at] = n
		Reseal(b)
		if _, err := Validate(b, Limits{}); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("header key length byte %d: %v", n, err)
		}
	}
}
