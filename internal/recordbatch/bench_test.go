package recordbatch

import (
	"bytes"
	"fmt"
	"testing"
)

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{100, 1024} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			key, value := []byte("key-0001"), bytes.Repeat([]byte{'v'}, size-8)
			var bl Builder
			buf := make([]byte, 0, 1<<20)
			bl.Reset(buf)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			ts := int64(1_700_000_000_000)
			for b.Loop() {
				if bl.Size()+size+40 > 1<<20 {
					bl.Reset(buf)
				}
				if err := bl.Append(ts, key, value, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// benchBatch is a batch of n records of size bytes.
func benchBatch(b testing.TB, n, size int, codec Codec) []byte {
	var bl Builder
	for i := range n {
		key := fmt.Appendf(nil, "key-%04d", i)
		value := bytes.Repeat([]byte("leat."), size)[:size-len(key)]
		copy(value, fmt.Sprint(i*i))
		if err := bl.Append(1_700_000_000_000+int64(i), key, value, nil); err != nil {
			b.Fatal(err)
		}
	}
	out, err := bl.Finish(FinishOptions{Codec: codec, ProducerID: NoProducerID})
	if err != nil {
		b.Fatal(err)
	}
	return out
}

func BenchmarkFinish(b *testing.B) {
	for _, codec := range allCodecs {
		b.Run(fmt.Sprintf("size=100/records=1000/codec=%v", codec), func(b *testing.B) {
			key, value := []byte("key-0001"), bytes.Repeat([]byte("leat."), 20)[:92]
			var bl Builder
			var c Compressor
			var buf, dst []byte
			b.SetBytes(100_000)
			b.ReportAllocs()
			for b.Loop() {
				bl.Reset(buf)
				for i := range 1000 {
					if err := bl.Append(int64(i), key, value, nil); err != nil {
						b.Fatal(err)
					}
				}
				keep := bl.buf
				out, err := bl.Finish(FinishOptions{Codec: codec, Compressor: &c, Dst: dst})
				if err != nil {
					b.Fatal(err)
				}
				buf = keep
				if codec != None {
					dst = out
				}
			}
		})
	}
}

// BenchmarkIterate reports the time of one record.
func BenchmarkIterate(b *testing.B) {
	for _, size := range []int{100, 1024} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			batch := benchBatch(b, 1000, size, None)
			var it Iterator
			b.SetBytes(int64(size))
			b.ReportAllocs()
			sum := 0
			for b.Loop() {
				if !it.Next() {
					if err := it.Reset(batch, nil); err != nil {
						b.Fatal(err)
					}
					it.Next()
				}
				sum += len(it.Record().Value)
			}
		})
	}
}

// BenchmarkRead reports the time of a batch of 1,000 records from its bytes.
func BenchmarkRead(b *testing.B) {
	for _, codec := range allCodecs {
		b.Run(fmt.Sprintf("size=100/records=1000/codec=%v", codec), func(b *testing.B) {
			batch := benchBatch(b, 1000, 100, codec)
			d := NewDecompressor(0)
			var it Iterator
			b.SetBytes(100_000)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Verify(batch); err != nil {
					b.Fatal(err)
				}
				if err := it.Reset(batch, d); err != nil {
					b.Fatal(err)
				}
				for it.Next() {
				}
				if it.Err() != nil {
					b.Fatal(it.Err())
				}
			}
		})
	}
}

func BenchmarkValidate(b *testing.B) {
	batch := benchBatch(b, 1000, 100, None)
	b.SetBytes(100_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Validate(batch, Limits{RequireKeys: true}); err != nil {
			b.Fatal(err)
		}
	}
}
