package recordbatch

import (
	"errors"

	"github.com/klauspost/compress/zstd"
)

const (
	// zstdBlockMax is the most that a zstd block unpacks to.
	zstdBlockMax = 128 << 10
	// zstdWindowMax is the largest window that is read: 128 MiB, what the
	// zstd tool itself takes unless told otherwise. No memory is allocated for it.
	zstdWindowMax = 128 << 20
	// zstdSpare is room behind the output with which the decoder is faster.
	zstdSpare = 16
)

var (
	errZstdCut   = errors.New("zstd frame is cut off")
	errZstdClaim = errors.New("zstd frame claims more than its blocks can hold")
)

func (d *Decompressor) unpackZstd(src []byte) ([]byte, error) {
	limit := d.MaxBytes()
	most, err := zstdBound(src, limit)
	if err != nil {
		return nil, err
	}
	if d.zstd == nil {
		// Output is bounded by the capacity of the buffer; the other bound
		// is also one of the window, which may be larger than its contents.
		d.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(zstdWindowMax),
			zstd.WithDecoderMaxMemory(max(2*uint64(limit)+zstdSpare, zstdWindowMax)))
		if err != nil {
			return nil, err
		}
	}
	buf := d.room(min(most, limit) + zstdSpare)
	out, err := d.zstd.DecodeAll(src, buf)
	// The decoder has several errors for a block that does not fit. Where one
	// might not have, that is what failed.
	if len(out) > limit || (err != nil && most > limit && len(out)+zstdBlockMax > limit) {
		return nil, errOverLimit
	}
	if err != nil {
		return nil, noEOF(err)
	}
	return out, nil
}

// zstdBound walks over the frames and blocks of src and returns what they
// unpack to at most, or limit+1. A frame that claims more than limit is
// errOverLimit. One that claims more than its blocks can hold is an error, so
// that a lie gets no memory.
func zstdBound(src []byte, limit int) (most int, err error) {
	for len(src) > 0 {
		var h zstd.Header
		if err := h.Decode(src); err != nil {
			return 0, noEOF(err)
		}
		src = src[h.HeaderSize:]
		if h.Skippable {
			if uint64(h.SkippableSize) > uint64(len(src)) {
				return 0, errZstdCut
			}
			src = src[h.SkippableSize:]
			continue
		}
		var frame uint64
		if frame, src, err = zstdBlocks(src); err != nil {
			return 0, err
		}
		if h.HasCheckSum {
			if len(src) < 4 {
				return 0, errZstdCut
			}
			src = src[4:]
		}
		if h.HasFCS {
			if h.FrameContentSize > frame {
				return 0, errZstdClaim
			}
			if frame = h.FrameContentSize; frame > uint64(limit-most) {
				return 0, errOverLimit
			}
		}
		if frame > uint64(limit-most) {
			return limit + 1, nil
		}
		most += int(frame)
	}
	return most, nil
}

// zstdBlocks returns what the blocks that src begins with unpack to at most,
// and what follows them.
func zstdBlocks(src []byte) (most uint64, rest []byte, err error) {
	for {
		if len(src) < 3 {
			return 0, nil, errZstdCut
		}
		h := int(src[0]) | int(src[1])<<8 | int(src[2])<<16
		src = src[3:]
		size := h >> 3
		packed := size
		switch h >> 1 & 3 {
		case 0: // raw
			most += uint64(size)
		case 1: // one byte, repeated
			most += uint64(size)
			packed = 1
		default:
			most += zstdBlockMax
		}
		if packed > len(src) {
			return 0, nil, errZstdCut
		}
		src = src[packed:]
		if h&1 != 0 {
			return most, src, nil
		}
	}
}
