package replication

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"
)

// preamble begins every connection, from both sides, before the first frame: it
// tells the protocol from others that come to the port by mistake.
const preamble = "LEAT"

// protocolVersion is raised with every change of what goes over a connection.
const protocolVersion = 1

// frameType says what a frame's body is.
type frameType uint8

const (
	frameHello    frameType = 1 // the dialling side's first frame
	frameWelcome  frameType = 2 // the accepting side's answer
	frameMessages frameType = 3 // Raft messages
	frameChunk    frameType = 4 // a piece of a Raft snapshot
	frameCall     frameType = 5 // a request
	frameReply    frameType = 6 // its answer
)

const (
	// frameHeaderBytes is a frame's header: the length of the body u32, the
	// CRC-32C of the body u32, the type u8.
	frameHeaderBytes = 9
	// maxHelloBytes bounds the frames before a peer is known.
	maxHelloBytes = 1024
	// frameStepBytes is how much of a body gets memory before any of it has
	// arrived: what a header claims costs its sender as much as the receiver.
	frameStepBytes = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// writeFrame writes a frame whose body is the parts, one after the other. The
// parts are not kept; bufs is scratch space to reuse.
func writeFrame(w io.Writer, t frameType, bufs *net.Buffers, parts ...[]byte) error {
	var size int
	var crc uint32
	for _, p := range parts {
		size += len(p)
		crc = crc32.Update(crc, castagnoli, p)
	}
	var h [frameHeaderBytes]byte
	binary.BigEndian.PutUint32(h[:], uint32(size))
	binary.BigEndian.PutUint32(h[4:], crc)
	h[8] = byte(t)
	*bufs = append((*bufs)[:0], h[:])
	*bufs = append(*bufs, parts...)
	out := *bufs // WriteTo advances its receiver
	_, err := out.WriteTo(w)
	clear((*bufs)[:cap(*bufs)])
	return err
}

// readFrameHeader reads a frame's header; an io.EOF says that the connection
// ended between two frames.
func readFrameHeader(r io.Reader) (frameHeader, error) {
	var b [frameHeaderBytes]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return frameHeader{}, err
	}
	return frameHeader{
		size: int64(binary.BigEndian.Uint32(b[:])),
		crc:  binary.BigEndian.Uint32(b[4:]),
		t:    frameType(b[8]),
	}, nil
}

type frameHeader struct {
	size int64
	crc  uint32
	t    frameType
}

// check refuses a frame of another type or of a larger body than expected.
func (h frameHeader) check(want frameType, limit int) error {
	if h.t != want {
		return fmt.Errorf("%w: type %d where %d is expected", ErrBadFrame, h.t, want)
	}
	if h.size > int64(limit) {
		return fmt.Errorf("%w: a body of %d bytes, over the limit of %d", ErrBadFrame, h.size, limit)
	}
	return nil
}

// readBody reads the body of a checked header into memory of its own, which
// grows with what has arrived.
func (h frameHeader) readBody(r io.Reader) ([]byte, error) {
	body := make([]byte, min(h.size, frameStepBytes))
	for filled := 0; ; {
		n, err := io.ReadFull(r, body[filled:])
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		filled += n
		if int64(filled) == h.size {
			break
		}
		grown := make([]byte, min(h.size, 4*int64(filled)))
		copy(grown, body)
		body = grown
	}
	if crc := crc32.Checksum(body, castagnoli); crc != h.crc {
		return nil, fmt.Errorf("%w: checksum %08x where the header has %08x", ErrBadFrame, crc, h.crc)
	}
	return body, nil
}

// readFrame reads a frame of one type.
func readFrame(r io.Reader, want frameType, limit int) ([]byte, error) {
	h, err := readFrameHeader(r)
	if err != nil {
		return nil, err
	}
	if err := h.check(want, limit); err != nil {
		return nil, err
	}
	return h.readBody(r)
}
