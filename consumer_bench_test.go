package leat

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkConsume reports the time of one record of 100 bytes, from six
// partitions, again and again from the beginning. source=disk bypasses the
// batches in memory, source=tail has all of them there.
func BenchmarkConsume(b *testing.B) {
	const records, partitions = 600_000, 6
	for _, source := range []string{"disk", "tail"} {
		for _, codec := range []Compression{Uncompressed, LZ4, Zstd} {
			cfg := Config{Dir: b.TempDir(), TailCacheBytes: 1}
			if source == "tail" {
				cfg.TailCacheBytes = 1 << 30
			}
			l := openTest(b, cfg)
			mustTopic(b, l, "t", TopicConfig{Partitions: partitions})
			p, err := l.NewProducer(WithCompression(codec))
			require.NoError(b, err)
			value := make([]byte, 100)
			for i := range records {
				copy(value, fmt.Sprint(i))
				p.Produce(b.Context(), Record{Topic: "t", Value: value}, nil)
			}
			require.NoError(b, p.Close())
			for _, by := range []string{"poll", "records"} {
				b.Run(fmt.Sprintf("source=%s/codec=%v/by=%s", source, codec, by), func(b *testing.B) {
					c, err := l.NewConsumer(Assign("t"))
					require.NoError(b, err)
					defer c.Close()
					b.SetBytes(int64(len(value)))
					b.ReportAllocs()
					b.ResetTimer()
					left := records
					again := func(n int) {
						if left -= n; left == 0 {
							left = records
							require.NoError(b, c.SeekToBeginning())
						}
					}
					n := 0
					if by == "poll" {
						for n < b.N {
							rs, err := c.Poll(b.Context(), 0)
							if err != nil {
								b.Fatal(err)
							}
							n += len(rs)
							again(len(rs))
						}
						return
					}
					for _, err := range c.Records(b.Context()) {
						if err != nil {
							b.Fatal(err)
						}
						again(1)
						if n++; n >= b.N {
							break
						}
					}
				})
			}
		}
	}
}
