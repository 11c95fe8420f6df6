package recordbatch

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// DefaultMaxDecompressedBytes bounds what a batch may unpack to where nothing
// else is said.
const DefaultMaxDecompressedBytes = 64 << 20

// minUnpackBytes is what a Decompressor allocates at least.
const minUnpackBytes = 4 << 10

// Decompressor unpacks the records of batches into a buffer that it keeps, and
// never into more than its bound. The zero value has
// DefaultMaxDecompressedBytes. It must not be used by several goroutines at
// once.
type Decompressor struct {
	limit int // 0 for the default
	buf   []byte
	in    bytes.Reader
	gzip  *gzip.Reader
	lz4   *lz4.Reader
	zstd  *zstd.Decoder
}

// NewDecompressor returns a Decompressor that unpacks up to maxBytes;
// 0 or less is DefaultMaxDecompressedBytes.
func NewDecompressor(maxBytes int) *Decompressor {
	return &Decompressor{limit: max(maxBytes, 0)}
}

// MaxBytes returns the most that a batch may unpack to.
func (d *Decompressor) MaxBytes() int {
	if d.limit <= 0 {
		return DefaultMaxDecompressedBytes
	}
	return d.limit
}

// Detach makes the last result of Decompress the caller's: the Decompressor
// forgets the buffer and makes another for the next batch.
func (d *Decompressor) Detach() { d.buf = nil }

// Decompress unpacks src, the records of a batch. The result is d's and valid
// until d is used again, unless Detach is called. src is not retained; None
// returns it as it is.
//
// The error is a *DecompressedTooLargeError for what unpacks to more than
// MaxBytes, a *CorruptError for malformed input, or a *CodecError.
func (d *Decompressor) Decompress(codec Codec, src []byte) ([]byte, error) {
	var out []byte
	var err error
	switch codec {
	case None:
		return src, nil
	case Gzip:
		out, err = d.unpackGzip(src)
	case Snappy:
		out, err = d.unpackSnappy(src)
	case LZ4:
		out, err = d.unpackLZ4(src)
	case Zstd:
		out, err = d.unpackZstd(src)
	default:
		return nil, &CodecError{Codec: codec}
	}
	d.in.Reset(nil)
	if err == nil {
		return out, nil
	}
	if errors.Is(err, errOverLimit) {
		return nil, &DecompressedTooLargeError{Codec: codec, Limit: d.MaxBytes()}
	}
	return nil, &CorruptError{Record: NoRecord, Reason: codec.String() + " data is malformed", Err: err}
}

// errOverLimit is what the unpackers say when the output passes the bound.
var errOverLimit = errors.New("over the limit")

func (d *Decompressor) unpackGzip(src []byte) ([]byte, error) {
	d.in.Reset(src)
	if d.gzip == nil {
		r, err := gzip.NewReader(&d.in)
		if err != nil {
			return nil, noEOF(err)
		}
		d.gzip = r
	} else if err := d.gzip.Reset(&d.in); err != nil {
		return nil, noEOF(err)
	}
	return d.readAll(d.gzip, len(src))
}

func (d *Decompressor) unpackLZ4(src []byte) ([]byte, error) {
	d.in.Reset(src)
	r := d.lz4
	switch {
	case !kafkasLZ4(src):
		// A reader keeps what blocks may refer to over Reset: a frame of blocks
		// that refer to others would see an earlier batch's bytes.
		r = lz4.NewReader(&d.in)
	case r == nil:
		r = lz4.NewReader(&d.in)
		d.lz4 = r
	default:
		r.Reset(&d.in)
	}
	out, err := d.readAll(r, len(src))
	if err == nil && d.in.Len() > 0 {
		err = errors.New("bytes follow the frame")
	}
	return out, err
}

// readAll reads r to its end. The buffer grows with what was really unpacked.
func (d *Decompressor) readAll(r io.Reader, packed int) ([]byte, error) {
	limit := d.MaxBytes()
	buf := d.room(min(4*packed, limit))
	for {
		if len(buf) == cap(buf) {
			if len(buf) >= limit {
				// Full: all must have been read.
				var one [1]byte
				switch n, err := r.Read(one[:]); {
				case n > 0:
					return nil, errOverLimit
				case err == io.EOF:
					return buf, nil
				case err != nil:
					return nil, err
				}
				continue
			}
			buf = slices.Grow(buf, min(cap(buf), limit-len(buf)))
			d.buf = buf
		}
		n, err := r.Read(buf[len(buf):min(cap(buf), max(limit, len(buf)+1))])
		buf = buf[:len(buf)+n]
		if len(buf) > limit {
			return nil, errOverLimit
		}
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (d *Decompressor) unpackSnappy(src []byte) ([]byte, error) {
	if blocks, ok := cutXerial(src); ok {
		return d.unpackXerial(blocks)
	}
	return d.appendSnappy(d.room(0), src)
}

// appendSnappy appends a snappy block, unpacked, to dst.
func (d *Decompressor) appendSnappy(dst, src []byte) ([]byte, error) {
	n, err := s2.DecodedLen(src)
	if err != nil {
		return nil, err
	}
	if n > d.MaxBytes()-len(dst) {
		return nil, errOverLimit
	}
	// Three bytes copy 64 at most: a claim over that is a lie, and gets no
	// memory.
	if n > 22*len(src)+64 {
		return nil, errors.New("claims more than snappy can pack")
	}
	at := len(dst)
	dst = slices.Grow(dst, n)[:at+n]
	d.buf = dst
	if n == 0 && len(src) == 1 {
		return dst, nil
	}
	if _, err := s2.Decode(dst[at:], src); err != nil {
		return nil, err
	}
	return dst, nil
}

// room returns the empty buffer with a capacity of n or more.
func (d *Decompressor) room(n int) []byte {
	if n = max(n, min(minUnpackBytes, d.MaxBytes())); cap(d.buf) < n {
		d.buf = make([]byte, 0, n)
	}
	return d.buf[:0]
}

// noEOF makes an end of input where there must be more a plain error.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
