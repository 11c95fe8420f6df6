package recordbatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// xerialFrame packs each block as one of a xerial frame.
func xerialFrame(t testing.TB, blocks ...[]byte) []byte {
	t.Helper()
	out := append([]byte(xerialMagic), 0, 0, 0, 1, 0, 0, 0, 1)
	for _, b := range blocks {
		packed := s2.EncodeSnappy(nil, b)
		out = binary.BigEndian.AppendUint32(out, uint32(len(packed)))
		out = append(out, packed...)
	}
	return out
}

func pack(t testing.TB, codec Codec, b []byte) []byte {
	t.Helper()
	var c Compressor
	out, err := c.compress(nil, b, codec, 0)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// allocated returns the bytes that f allocates.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

func TestBombs(t *testing.T) {
	const limit = 1 << 20
	zeros := make([]byte, 64<<20)
	stream := func() []byte {
		// Without the size in its header.
		var out bytes.Buffer
		w, err := zstd.NewWriter(&out)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	many := make([][]byte, 64)
	for i := range many {
		many[i] = zeros[:1<<20-1]
	}
	snappyClaim := binary.AppendUvarint(nil, 1<<31)
	for _, c := range []struct {
		name  string
		codec Codec
		bomb  []byte
		want  error
		// What one frame may make the codec's library allocate besides.
		overhead int64
	}{
		{"gzip", Gzip, pack(t, Gzip, zeros), ErrDecompressedTooLarge, 1 << 20},
		{"gzip, many members", Gzip, bytes.Repeat(pack(t, Gzip, zeros[:limit-1]), 64), ErrDecompressedTooLarge, 1 << 20},
		{"lz4", LZ4, pack(t, LZ4, zeros), ErrDecompressedTooLarge, 2 << 20},
		{"zstd", Zstd, pack(t, Zstd, zeros), ErrDecompressedTooLarge, 2 << 20},
		{"zstd, size unknown", Zstd, stream(), ErrDecompressedTooLarge, 4 << 20},
		{"zstd, many frames", Zstd, bytes.Repeat(pack(t, Zstd, zeros[:limit-1]), 64), ErrDecompressedTooLarge, 4 << 20},
		{"snappy", Snappy, pack(t, Snappy, zeros), ErrDecompressedTooLarge, 0},
		{"snappy, claim of 2 GiB", Snappy, append(snappyClaim, 0), ErrDecompressedTooLarge, 0},
		{"snappy, claim within the bound", Snappy, append(binary.AppendUvarint(nil, limit), 0), ErrCorrupt, -limit},
		{"xerial", Snappy, xerialFrame(t, many...), ErrDecompressedTooLarge, 1 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			var err error
			got := allocated(func() { _, err = NewDecompressor(limit).Decompress(c.codec, c.bomb) })
			if !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			var tooLarge *DecompressedTooLargeError
			if errors.As(err, &tooLarge) && (tooLarge.Limit != limit || tooLarge.Codec != c.codec) {
				t.Fatalf("%+v", tooLarge)
			}
			// Growing by doubling allocates twice the bound in sum.
			if most := 2*limit + c.overhead + 64<<10; got > most+limit {
				t.Fatalf("allocated %d bytes, want at most %d", got, most)
			}
			t.Logf("%d bytes of input, %d allocated", len(c.bomb), got)
		})
	}
}

// A batch that is a bomb is refused by Validate and Iterator alike.
func TestBombInBatch(t *testing.T) {
	for _, codec := range allCodecs[1:] {
		batch := mustBuild(t, []testRecord{{0, 1, []byte("k"), make([]byte, 8<<20), nil}}, FinishOptions{Codec: codec})
		_, err := Validate(batch, Limits{MaxDecompressedBytes: 1 << 20})
		if !errors.Is(err, ErrDecompressedTooLarge) {
			t.Fatal(codec, err)
		}
		var it Iterator
		if err = it.Reset(batch, NewDecompressor(1<<20)); !errors.Is(err, ErrDecompressedTooLarge) || it.Next() {
			t.Fatal(codec, err)
		}
		if _, err = Validate(batch, Limits{}); err != nil {
			t.Fatal(codec, err)
		}
	}
}

// Exactly the bound is allowed, a byte more is not.
func TestDecompressBound(t *testing.T) {
	for _, codec := range allCodecs[1:] {
		for _, n := range []int{0, 1, 63, 64, 4095, 4096, 4097, 10_000, 65536, 200_000} {
			data := bytes.Repeat([]byte("leat "), n/5+1)[:n]
			packed := pack(t, codec, data)
			d := NewDecompressor(max(n, 1))
			for range 2 {
				if got, err := d.Decompress(codec, packed); err != nil || !bytes.Equal(got, data) {
					t.Fatalf("%v of %d bytes: %d, %v", codec, n, len(got), err)
				}
			}
			if n > 1 {
				if _, err := NewDecompressor(n-1).Decompress(codec, packed); !errors.Is(err, ErrDecompressedTooLarge) {
					t.Fatalf("%v of %d bytes: %v", codec, n, err)
				}
			}
		}
	}
}

// Every cut and every byte behind is an error or, for formats that may be
// continued, less data; a Decompressor works on after it.
func TestDecompressDamaged(t *testing.T) {
	data := bytes.Repeat([]byte("the mill turns, "), 100)
	for _, codec := range allCodecs[1:] {
		packed := pack(t, codec, data)
		d := NewDecompressor(1 << 16)
		for n := range packed {
			if got, err := d.Decompress(codec, packed[:n]); n > 0 && !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%v cut to %d of %d: %d bytes, %v", codec, n, len(packed), len(got), err)
			}
		}
		if _, err := d.Decompress(codec, append(bytes.Clone(packed), 1)); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%v with a byte behind: %v", codec, err)
		}
		if got, err := d.Decompress(codec, packed); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%v after errors: %v", codec, err)
		}
	}
	frame := xerialFrame(t, data[:1000], data[1000:])
	d := NewDecompressor(1 << 16)
	if got, err := d.Decompress(Snappy, frame); err != nil || !bytes.Equal(got, data) {
		t.Fatal("xerial:", err)
	}
	if got, err := d.Decompress(Snappy, append(bytes.Clone(frame), frame...)); err != nil || len(got) != 2*len(data) {
		t.Fatal("two xerial streams:", err)
	}
	frame[15] = 2
	if _, err := d.Decompress(Snappy, frame); !errors.Is(err, ErrCorrupt) {
		t.Fatal("xerial that only a newer version reads:", err)
	}
}

// Frames that follow each other are one stream, in the formats that say so.
func TestManyFrames(t *testing.T) {
	a, b := []byte("first frame, "), []byte("second frame")
	for _, codec := range []Codec{Gzip, Zstd} {
		got, err := NewDecompressor(100).Decompress(codec, append(pack(t, codec, a), pack(t, codec, b)...))
		if err != nil || string(got) != "first frame, second frame" {
			t.Fatalf("%v: %q, %v", codec, got, err)
		}
	}
}

func TestLevels(t *testing.T) {
	data := bytes.Repeat([]byte("the mill turns, "), 1000)
	var c Compressor
	for _, tc := range []struct {
		codec  Codec
		levels []int
	}{{Gzip, []int{1, 9, 0, 1}}, {LZ4, []int{1, 9, 0, 1}}, {Zstd, []int{1, 22, 0, 1}}, {Snappy, []int{0, 5}}} {
		for _, level := range tc.levels {
			packed, err := c.compress(nil, data, tc.codec, level)
			if err != nil {
				t.Fatal(tc.codec, level, err)
			}
			if got, err := NewDecompressor(0).Decompress(tc.codec, packed); err != nil || !bytes.Equal(got, data) {
				t.Fatal(tc.codec, level, err)
			}
		}
	}
	for _, tc := range []struct {
		codec Codec
		level int
	}{{Gzip, 10}, {Gzip, -5}, {LZ4, 10}, {LZ4, -1}} {
		var b Builder
		if err := b.Append(0, nil, data, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Finish(FinishOptions{Codec: tc.codec, Level: tc.level, Compressor: &c}); err == nil || b.Len() != 1 {
			t.Fatal(tc.codec, tc.level, "accepted")
		}
		if out, err := b.Finish(FinishOptions{Codec: tc.codec, Compressor: &c}); err != nil || len(out) == 0 {
			t.Fatal(tc.codec, "after a wrong level:", err)
		}
	}
}

// Random bytes do not get smaller, and stay as they are.
func TestIncompressibleStaysUncompressed(t *testing.T) {
	noise := make([]byte, 100)
	for i := range noise {
		noise[i] = byte(i*i*7 + i*131)
	}
	for _, codec := range allCodecs[1:] {
		batch := mustBuild(t, []testRecord{{0, 1, nil, noise[:20], nil}}, FinishOptions{Codec: codec})
		h, err := Verify(batch)
		if err != nil || h.Codec() != None {
			t.Fatal(codec, h.Codec(), err)
		}
	}
}

func TestCompressorIsReusable(t *testing.T) {
	var c Compressor
	d := NewDecompressor(0)
	var dst []byte
	for i := range 20 {
		for _, codec := range allCodecs {
			recs := plainRecords(i + 1)
			var b Builder
			for _, r := range recs {
				if err := b.Append(r.ts, r.key, r.value, nil); err != nil {
					t.Fatal(err)
				}
			}
			out, err := b.Finish(FinishOptions{Codec: codec, Compressor: &c, Dst: dst})
			if err != nil {
				t.Fatal(err)
			}
			if err := diffRecords(collect(t, out, d), recs); err != nil {
				t.Fatal(fmt.Sprint(codec, i), err)
			}
			if codec == Zstd {
				dst = out
			}
		}
	}
}

func TestDetach(t *testing.T) {
	d := NewDecompressor(0)
	a, err := d.Decompress(Zstd, pack(t, Zstd, []byte("aaaaaaaa")))
	if err != nil {
		t.Fatal(err)
	}
	d.Detach()
	if _, err := d.Decompress(Zstd, pack(t, Zstd, []byte("bbbbbbbb"))); err != nil {
		t.Fatal(err)
	}
	if string(a) != "aaaaaaaa" {
		t.Fatalf("%q was overwritten", a)
	}
}

// A zstd frame that claims much and holds nothing gets no memory; frames that
// hold nothing for a decoder are skipped; a window larger than the bound is no
// matter.
func TestZstdClaims(t *testing.T) {
	const limit = 32 << 20
	claim := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 1, 1, 0, 0} // 16 MiB, then an empty raw block
	var err error
	if got := allocated(func() { _, err = NewDecompressor(limit).Decompress(Zstd, claim) }); got > 64<<10 || !errors.Is(err, ErrCorrupt) {
		t.Fatal(got, err)
	}
	skip := []byte{0x51, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'}
	packed := pack(t, Zstd, []byte("hello hello hello"))
	all := append(bytes.Clone(skip), packed...)
	all = append(all, skip...)
	got, err := NewDecompressor(100).Decompress(Zstd, all)
	if err != nil || string(got) != "hello hello hello" {
		t.Fatalf("%q, %v", got, err)
	}
	if _, err = NewDecompressor(100).Decompress(Zstd, all[:len(all)-1]); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
	// No size, a window of 8 MiB, one raw block of five bytes.
	wide := append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 13 << 3, 5<<3 | 1, 0, 0}, "hello"...)
	if got, err = NewDecompressor(100).Decompress(Zstd, wide); err != nil || string(got) != "hello" {
		t.Fatalf("%q, %v", got, err)
	}
}

// S2, which our decoder takes too, is not Kafka's snappy: other clients could
// not read it.
func TestValidateRefusesS2(t *testing.T) {
	records := mustBuild(t, benchRecords(2000), FinishOptions{ProducerID: NoProducerID})
	repack := func(packed []byte) []byte {
		b := append(bytes.Clone(records[:HeaderSize]), packed...)
		b[posAttributes+1] = byte(Snappy)
		return fitted(b)
	}
	// The level best uses repeats where it can.
	s2Batch := repack(s2.EncodeBest(nil, records[HeaderSize:]))
	if got := collect(t, s2Batch, nil); len(got) != 2000 {
		t.Fatal("the decoder takes no S2: this test is pointless")
	}
	if _, err := Validate(s2Batch, Limits{}); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
	for _, packed := range [][]byte{
		s2.EncodeSnappy(nil, records[HeaderSize:]),
		s2.EncodeSnappyBest(nil, records[HeaderSize:]),
		xerialFrame(t, records[HeaderSize:5000], records[5000:]),
		append(xerialFrame(t, records[HeaderSize:5000]), xerialFrame(t, records[5000:])...),
	} {
		if _, err := Validate(repack(packed), Limits{}); err != nil {
			t.Fatal(err)
		}
	}
	// A literal of every length's length, and what is no literal.
	noise := make([]byte, 1<<17)
	x := uint32(1)
	for i := range noise {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	for _, n := range []int{1, 59, 60, 61, 255, 256, 257, 65535, 65536, 65537, len(noise)} {
		if !snappyOnly(s2.EncodeSnappy(nil, noise[:n])) {
			t.Fatal(n, "bytes of noise")
		}
	}
}

// benchRecords are n records whose fields are alike but not the same.
func benchRecords(n int) []testRecord {
	out := make([]testRecord, n)
	for i := range out {
		out[i] = testRecord{int32(i), 1_700_000_000_000 + int64(i), fmt.Appendf(nil, "key-%d", i%97),
			fmt.Appendf(nil, `{"id":%d,"name":"mill %d","state":"turning","water":%d}`, i, i*7%1000, i%10), nil}
	}
	return out
}

// An lz4 frame may announce blocks of up to 8 MiB, the old format's; that is
// all that it is believed.
func TestLZ4Claims(t *testing.T) {
	d := NewDecompressor(64 << 20)
	for name, frame := range map[string][]byte{
		"4 MiB blocks":                {0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73, 0xff, 0xff, 0x3f, 0x80},
		"block longer than announced": {0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82, 0xff, 0xff, 0xff, 0x7f},
		"legacy":                      {0x02, 0x21, 0x4c, 0x18, 0xff, 0xff, 0x7f, 0x00},
	} {
		var err error
		got := allocated(func() { _, err = d.Decompress(LZ4, frame) })
		if !errors.Is(err, ErrCorrupt) || got > 18<<20 {
			t.Fatalf("%s: allocated %d, %v", name, got, err)
		}
		t.Logf("%s: allocated %d: %v", name, got, err)
	}
}

// Only lz4 that Kafka's own clients read is stored.
func TestValidateRefusesOtherLZ4(t *testing.T) {
	records := mustBuild(t, benchRecords(2000), FinishOptions{ProducerID: NoProducerID})
	body := records[HeaderSize:]
	validate := func(packed []byte) error {
		b := append(bytes.Clone(records[:HeaderSize]), packed...)
		b[posAttributes+1] = byte(LZ4)
		_, err := Validate(fitted(b), Limits{})
		return err
	}
	with := func(opts ...lz4.Option) []byte {
		var out bytes.Buffer
		w := lz4.NewWriter(&out)
		if err := w.Apply(opts...); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	for i, packed := range [][]byte{
		with(),
		with(lz4.BlockChecksumOption(true), lz4.SizeOption(uint64(len(body)))),
		with(lz4.ChecksumOption(true), lz4.BlockSizeOption(lz4.Block4Mb)),
		with(lz4.ChecksumOption(false), lz4.BlockChecksumOption(true), lz4.BlockSizeOption(lz4.Block64Kb)),
	} {
		if err := validate(packed); err != nil {
			t.Fatal(i, err)
		}
	}
	for name, packed := range map[string][]byte{
		"legacy":     with(lz4.LegacyOption(true)),
		"two frames": append(pack(t, LZ4, body[:1000]), pack(t, LZ4, body[1000:])...),
		"skippable":  append([]byte{0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9}, with()...),
	} {
		if got, err := NewDecompressor(0).Decompress(LZ4, packed); err != nil || !bytes.Equal(got, body) {
			t.Fatalf("%s: not unpacked, this test is pointless: %v", name, err)
		}
		if err := validate(packed); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if !kafkasLZ4(readFile(t, "frames", "checked.lz4")) {
		t.Fatal("the C library's frame of independent blocks is refused")
	}
	if kafkasLZ4(readFile(t, "frames", "linked.lz4")) {
		t.Fatal("linked blocks are accepted")
	}
}
