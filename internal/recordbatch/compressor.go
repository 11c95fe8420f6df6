package recordbatch

import (
	"bytes"
	"fmt"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Compressor keeps the state of the codecs, which is costly to make, from one
// batch to the next. The zero value is ready. It must not be used by several
// goroutines at once: keep as many as batches are compressed at a time.
type Compressor struct {
	out       bytes.Buffer // refers to a caller's buffer only during compress
	gzip      *gzip.Writer
	gzipLevel int
	lz4       *lz4.Writer
	lz4Level  int
	zstd      *zstd.Encoder
	zstdLevel int
}

// compress appends src, packed, to dst. An error is a level that the codec
// does not have.
func (c *Compressor) compress(dst, src []byte, codec Codec, level int) ([]byte, error) {
	switch codec {
	case Gzip:
		return c.compressGzip(dst, src, level)
	case Snappy:
		n := s2.MaxEncodedLen(len(src))
		if n < 0 {
			return nil, &TooLargeError{Size: len(src), Limit: maxBatchBytes}
		}
		at := len(dst)
		dst = append(dst, make([]byte, n)...)
		// A bare snappy block, as librdkafka and kgo write it. Every client
		// reads it, and it is unpacked in one go.
		return dst[:at+len(s2.EncodeSnappy(dst[at:], src))], nil
	case LZ4:
		return c.compressLZ4(dst, src, level)
	case Zstd:
		if c.zstd == nil || c.zstdLevel != level {
			l := zstd.SpeedDefault
			if level != 0 {
				l = zstd.EncoderLevelFromZstd(level)
			}
			enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(l), zstd.WithEncoderConcurrency(1),
				zstd.WithEncoderCRC(false), zstd.WithZeroFrames(true))
			if err != nil {
				return nil, fmt.Errorf("recordbatch: zstd level %d: %w", level, err)
			}
			c.zstd, c.zstdLevel = enc, level
		}
		return c.zstd.EncodeAll(src, dst), nil
	}
	return nil, &CodecError{Codec: codec}
}

func (c *Compressor) compressGzip(dst, src []byte, level int) ([]byte, error) {
	c.out = *bytes.NewBuffer(dst)
	defer func() { c.out = bytes.Buffer{} }()
	if c.gzip == nil || c.gzipLevel != level {
		l := gzip.DefaultCompression
		if level != 0 {
			l = level
		}
		w, err := gzip.NewWriterLevel(&c.out, l)
		if err != nil {
			return nil, fmt.Errorf("recordbatch: gzip level %d: %w", level, err)
		}
		c.gzip, c.gzipLevel = w, level
	} else {
		c.gzip.Reset(&c.out)
	}
	if _, err := c.gzip.Write(src); err != nil {
		return nil, fmt.Errorf("recordbatch: gzip: %w", err)
	}
	if err := c.gzip.Close(); err != nil {
		return nil, fmt.Errorf("recordbatch: gzip: %w", err)
	}
	return c.out.Bytes(), nil
}

func (c *Compressor) compressLZ4(dst, src []byte, level int) ([]byte, error) {
	c.out = *bytes.NewBuffer(dst)
	defer func() { c.out = bytes.Buffer{} }()
	if c.lz4 == nil || c.lz4Level != level {
		if level < 0 || level > 9 {
			return nil, fmt.Errorf("recordbatch: lz4 level %d: not in 0 to 9", level)
		}
		l := lz4.Fast
		if level > 0 {
			l = lz4.CompressionLevel(1 << (8 + level))
		}
		w := lz4.NewWriter(&c.out)
		// Blocks of 64 KiB that do not refer to each other: what Kafka's own
		// reader takes (KIP-57).
		err := w.Apply(lz4.CompressionLevelOption(l), lz4.BlockSizeOption(lz4.Block64Kb),
			lz4.ChecksumOption(false), lz4.ConcurrencyOption(1))
		if err != nil {
			return nil, fmt.Errorf("recordbatch: lz4 level %d: %w", level, err)
		}
		c.lz4, c.lz4Level = w, level
	} else {
		c.lz4.Reset(&c.out)
	}
	if _, err := c.lz4.Write(src); err != nil {
		return nil, fmt.Errorf("recordbatch: lz4: %w", err)
	}
	if err := c.lz4.Close(); err != nil {
		return nil, fmt.Errorf("recordbatch: lz4: %w", err)
	}
	return c.out.Bytes(), nil
}
