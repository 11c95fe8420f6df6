package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

const (
	// negotiationBytesMax bounds the answer to the first request. Kafka's is below
	// 2 KiB.
	negotiationBytesMax = 64 << 10
	// frameBytesFirst is how much memory an answer gets before any of it is there; it
	// grows frameGrowth times whenever it is full.
	frameBytesFirst = 64 << 10
	frameGrowth     = 8
	// pieceBytes is how much of an answer has to come within one Config.Timeout.
	pieceBytes = 256 << 10
)

// readFrame reads an answer of at most limit bytes and returns what follows its
// correlation id, which has to be the one given. Memory is taken as bytes arrive and
// not by what the length says.
func (c *conn) readFrame(correlation int32, limit int) ([]byte, error) {
	var header [8]byte
	if _, err := io.ReadFull(c.in, header[:]); err != nil {
		return nil, cutShort(err)
	}
	n := int64(int32(binary.BigEndian.Uint32(header[:])))
	switch got := int32(binary.BigEndian.Uint32(header[4:])); {
	case n < 4:
		return nil, fmt.Errorf("%w: an answer of %d bytes", ErrMalformed, n)
	case got != correlation:
		return nil, fmt.Errorf("%w: the answer has correlation id %d, not %d", ErrMalformed, got, correlation)
	case n > int64(limit):
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d (Config.MaxResponseBytes)", ErrResponseTooLarge, n, limit)
	}
	size := int(n) - 4
	body := make([]byte, 0, min(size, frameBytesFirst))
	for len(body) < size {
		if len(body) == cap(body) {
			body = append(make([]byte, 0, min(size, frameGrowth*cap(body))), body...)
		}
		piece := body[len(body):min(cap(body), len(body)+pieceBytes)]
		if err := c.net.SetReadDeadline(time.Now().Add(c.link.node.pool.cfg.Timeout)); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(c.in, piece); err != nil {
			return nil, cutShort(err)
		}
		body = body[:len(body)+len(piece)]
	}
	return body, nil
}

// cutShort makes the end within an answer an error that is none between answers.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// decodedMax bounds what an answer takes beside its bytes when it is decoded.
func (p *Pool) decodedMax() int64 { return max(decodedBytesMin, 4*int64(p.cfg.MaxResponseBytes)) }

// decodedBytesMin lets an answer with many small parts be decoded also where
// MaxResponseBytes is small.
const decodedBytesMin = 16 << 20
