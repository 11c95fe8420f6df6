package peer

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// memoryConn is a connection on which bytes came; its deadlines do nothing.
type memoryConn struct {
	net.Conn
	io.Reader
}

func (c *memoryConn) Read(b []byte) (int, error)      { return c.Reader.Read(b) }
func (c *memoryConn) SetReadDeadline(time.Time) error { return nil }
func (c *memoryConn) Close() error                    { return nil }

// connOn returns a connection on which b came, as the answers to Produces that were
// sent.
func connOn(t testing.TB, b []byte, limit, sent int) (*conn, []*Call) {
	t.Helper()
	p, err := New(Config{MaxResponseBytes: limit})
	require.NoError(t, err)
	t.Cleanup(p.Close)
	l := newLink(newNode(p, 1, "host:1"), sent+1)
	mc := &memoryConn{Reader: bytes.NewReader(b)}
	c := &conn{link: l, raw: mc, net: mc, in: bufio.NewReaderSize(mc, readBufferBytes), dead: make(chan struct{})}
	var calls []*Call
	for range sent {
		l.slots <- struct{}{}
		calls = append(calls, &Call{api: findAPI(int16(kmsg.Produce)), version: 13, link: l, done: make(chan struct{})})
	}
	c.sent = append(c.sent, calls...)
	return c, calls
}

// answerFrame is a valid answer to a Produce.
func answerFrame(r *rand.Rand, correlation uint32) []byte {
	body := randomAnswer(r, findAPI(int16(kmsg.Produce)), 13)
	b := binary.BigEndian.AppendUint32(nil, uint32(4+len(body)))
	return append(binary.BigEndian.AppendUint32(b, correlation), body...)
}

// Frames of all sizes come whole, also those for which memory is taken in steps.
func TestFrameSizes(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, frameBytesFirst - 1, frameBytesFirst, frameBytesFirst + 1, frameBytesFirst*frameGrowth + 7, 3 << 20} {
		body := make([]byte, size)
		for i := range body {
			body[i] = byte(i * 7)
		}
		b := binary.BigEndian.AppendUint32(nil, uint32(4+size))
		b = append(binary.BigEndian.AppendUint32(b, 9), body...)
		c, _ := connOn(t, b, 4<<20, 0)
		got, err := c.readFrame(9, 4<<20)
		require.NoError(t, err)
		require.True(t, bytes.Equal(body, got), size)
	}
}

// FuzzFrames reads what a peer sends: it never panics, answers calls in their order or
// not at all, and takes no memory but for bytes that came.
func FuzzFrames(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	f.Add(append(answerFrame(r, 0), answerFrame(r, 1)...))
	f.Add(append(answerFrame(r, 0), answerFrame(r, 7)...))
	f.Add([]byte{0x03, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 64 << 20
		var calls []*Call
		var err error
		run := func() uint64 {
			var c *conn
			c, calls = connOn(t, b, limit, 3)
			return allocated(func() {
				for err = nil; err == nil; {
					err = c.readAnswer()
				}
			})
		}
		// Each byte may be an element, and the frame grows once beyond what came.
		bound := uint64(4*frameBytesFirst+2*frameGrowth*len(b)) + 600*uint64(len(b))
		got := run()
		for tries := 0; got > bound && tries < 10; tries++ {
			got = min(got, run())
		}
		if got > bound {
			t.Errorf("%d bytes took %d bytes, more than %d", len(b), got, bound)
		}
		ended := false
		for i, c := range calls {
			select {
			case <-c.done:
				if ended || c.err != nil || c.resp == nil {
					t.Errorf("call %d was answered with %v, %v; one before was not: %v", i, c.resp, c.err, ended)
				}
			default:
				ended = true
			}
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrResponseTooLarge) {
			t.Errorf("unknown error: %v", err)
		}
	})
}
