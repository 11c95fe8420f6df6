package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/leatlog/leat/internal/base"
)

// A shard's partitions travel as a stream of frames:
//
//	"leatshrd"  8 bytes
//	version     1 byte   1
//	frame ...
//
//	frame:   kind 1 byte | bytes of the body, 4 bytes | CRC-32C of kind, length and body, 4 bytes | body
//
//	kind  body
//	1     head: uvarint shard, uvarint applied index. The first frame.
//	2     partition: uvarint id, string state record, string producer snapshot, which
//	      may be empty
//	3     batches of that partition in the order of their offsets, each: uvarint base
//	      offset, string index entry, string data
//	4     setting of the shard: string name, string value
//	5     end: uvarint partitions, uvarint batches. The last frame.
//
// Integers are big-endian, a string is a uvarint length and that many bytes. The
// partitions are in the order of their ids; records, snapshots and index entries
// are as they are stored.
const (
	streamMagic   = "leatshrd"
	streamVersion = 1

	frameHead      byte = 1
	framePartition byte = 2
	frameBatches   byte = 3
	frameSetting   byte = 4
	frameEnd       byte = 5

	frameHeaderLen = 1 + 4 + 4
	// frameTarget is where a frame takes no more batches.
	frameTarget = 256 << 10
	// maxFrameBytes bounds what a frame may say of its length; memory is taken as
	// its bytes arrive only.
	maxFrameBytes = math.MaxInt32
)

// frameWriter writes a stream.
type frameWriter struct {
	w        io.Writer
	progress func(bytes int64)
	stop     <-chan struct{}
	written  int64
}

func (f *frameWriter) write(b []byte) error {
	select {
	case <-f.stop:
		return ErrStopped
	default:
	}
	n, err := f.w.Write(b)
	f.written += int64(n)
	if err == nil && f.progress != nil {
		f.progress(f.written)
	}
	return err
}

func (f *frameWriter) begin() error {
	return f.write(append([]byte(streamMagic), streamVersion))
}

// frame writes a frame whose body is b[frameHeaderLen:].
func (f *frameWriter) frame(kind byte, b []byte) error {
	if len(b)-frameHeaderLen > maxFrameBytes {
		return fmt.Errorf("%d bytes do not fit a frame", len(b))
	}
	b[0] = kind
	binary.BigEndian.PutUint32(b[1:], uint32(len(b)-frameHeaderLen))
	binary.BigEndian.PutUint32(b[5:], frameSum(b[:5], b[frameHeaderLen:]))
	return f.write(b)
}

func frameSum(head, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, body)
}

// newFrame returns room for a frame's header, for the body to be appended to.
func newFrame(b []byte) []byte { return append(b[:0], make([]byte, frameHeaderLen)...) }

func appendString(b, s []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// frameReader reads a stream.
type frameReader struct {
	r        io.Reader
	progress func(bytes int64)
	stop     <-chan struct{}
	read     int64
	body     bytes.Buffer
}

func (f *frameReader) full(b []byte) error {
	select {
	case <-f.stop:
		return ErrStopped
	default:
	}
	n, err := io.ReadFull(f.r, b)
	f.read += int64(n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // there is an end frame
	}
	return err
}

func (f *frameReader) begin() error {
	var b [len(streamMagic) + 1]byte
	if err := f.full(b[:]); err != nil {
		return err
	}
	if string(b[:len(streamMagic)]) != streamMagic {
		return fmt.Errorf("%w: the stream does not begin with a shard's partitions", ErrCorrupt)
	}
	if v := b[len(streamMagic)]; v != streamVersion {
		return fmt.Errorf("%w: the stream's version is %d, this version reads %d", ErrNewerFormat, v, streamVersion)
	}
	return nil
}

// frame reads a frame. The body is valid until the next call.
func (f *frameReader) frame() (kind byte, body []byte, err error) {
	var h [frameHeaderLen]byte
	if err := f.full(h[:]); err != nil {
		return 0, nil, err
	}
	n := int64(binary.BigEndian.Uint32(h[1:]))
	if n > maxFrameBytes || h[0] < frameHead || h[0] > frameEnd {
		return 0, nil, f.corrupt("frame of kind %d with %d bytes", h[0], n)
	}
	f.body.Reset()
	// The buffer grows with what arrives, not with what the header says.
	got, err := f.body.ReadFrom(io.LimitReader(f.r, n))
	f.read += got
	if err == nil && got < n {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return 0, nil, err
	}
	if frameSum(h[:5], f.body.Bytes()) != binary.BigEndian.Uint32(h[5:]) {
		return 0, nil, f.corrupt("frame of kind %d does not match its checksum", h[0])
	}
	if f.progress != nil {
		f.progress(f.read)
	}
	return h[0], f.body.Bytes(), nil
}

func (f *frameReader) corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: at byte %d of the stream: %s", ErrCorrupt, f.read, fmt.Sprintf(format, args...))
}

// string reads a length and that many bytes, which are a part of d's.
func (d *varintDecoder) string() []byte {
	n := d.uvarint(math.MaxInt32)
	if d.bad || n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	s := d.b[:n:n]
	d.b = d.b[n:]
	return s
}

// streamPartition is a frame that begins a partition.
type streamPartition struct {
	id               base.PartitionID
	state, producers []byte
}

func (p *streamPartition) appendTo(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(p.id))
	return appendString(appendString(b, p.state), p.producers)
}

func (p *streamPartition) decode(body []byte) bool {
	d := varintDecoder{b: body}
	p.id = base.PartitionID(d.uvarint(math.MaxUint64))
	p.state, p.producers = d.string(), d.string()
	return !d.bad && len(d.b) == 0
}

// streamBatch is one batch of a frame.
type streamBatch struct {
	at          base.Offset
	entry, data []byte
}

func (s *streamBatch) appendTo(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(s.at))
	return appendString(appendString(b, s.entry), s.data)
}

func (s *streamBatch) next(d *varintDecoder) bool {
	s.at = base.Offset(d.uvarint(math.MaxInt64))
	s.entry, s.data = d.string(), d.string()
	return !d.bad
}
