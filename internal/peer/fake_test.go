package peer_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fakePeer is a listener whose answers a test decides on.
type fakePeer struct {
	t      testing.TB
	ln     net.Listener
	serve  func(c *fakeConn) // on a goroutine of each connection; it is closed afterwards
	closed chan struct{}
	wg     sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
	made  int
}

// newFake serves until the test ends; serve nil answers all requests.
func newFake(t testing.TB, serve func(c *fakeConn)) *fakePeer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &fakePeer{t: t, ln: ln, serve: serve, closed: make(chan struct{})}
	if serve == nil {
		f.serve = func(c *fakeConn) { c.answerAll() }
	}
	f.wg.Go(f.accept)
	t.Cleanup(f.close)
	return f
}

func (f *fakePeer) addr() string { return f.ln.Addr().String() }

func (f *fakePeer) accept() {
	for {
		nc, err := f.ln.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns = append(f.conns, nc)
		n := f.made
		f.made++
		f.mu.Unlock()
		f.wg.Go(func() {
			defer nc.Close()
			f.serve(&fakeConn{Conn: nc, fake: f, number: n, versions: fakeVersions})
		})
	}
}

// breakAll closes all connections.
func (f *fakePeer) breakAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, nc := range f.conns {
		_ = nc.Close()
	}
	f.conns = nil
}

// connections is how many were made so far.
func (f *fakePeer) connections() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.made
}

func (f *fakePeer) close() {
	select {
	case <-f.closed:
		return
	default:
	}
	close(f.closed)
	_ = f.ln.Close()
	f.breakAll()
	f.wg.Wait()
}

// fakeVersions is what a fake says that it serves.
var fakeVersions = [][3]int16{{0, 0, 13}, {1, 4, 18}, {2, 1, 10}, {3, 0, 13}, {8, 2, 10}, {9, 1, 10}, {10, 0, 6}, {11, 0, 9}, {12, 0, 4},
	{13, 0, 5}, {14, 0, 5}, {15, 0, 6}, {16, 0, 5}, {18, 0, 4}, {21, 0, 2}, {23, 2, 4}, {42, 0, 2}, {47, 0, 0}, {68, 0, 1}, {69, 0, 1}}

// fakeConn is a connection to a fake.
type fakeConn struct {
	net.Conn
	fake     *fakePeer
	number   int // of the fake's connections
	versions [][3]int16
}

// fakeRequest is a request that came.
type fakeRequest struct {
	kmsg.Request
	correlation int32
	clientID    string
}

// next reads a request; false at the end.
func (c *fakeConn) next() (fakeRequest, bool) {
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return fakeRequest{}, false
	}
	frame := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, frame); err != nil {
		return fakeRequest{}, false
	}
	r := fakeRequest{Request: kmsg.RequestForKey(int16(binary.BigEndian.Uint16(frame)))}
	r.SetVersion(int16(binary.BigEndian.Uint16(frame[2:])))
	r.correlation = int32(binary.BigEndian.Uint32(frame[4:]))
	n := int(binary.BigEndian.Uint16(frame[8:]))
	r.clientID = string(frame[10 : 10+n])
	body := frame[10+n:]
	if r.IsFlexible() {
		body = body[1:]
	}
	if err := r.ReadFrom(body); err != nil {
		c.fake.t.Errorf("a request of the pool is malformed: %v", err)
		return fakeRequest{}, false
	}
	return r, true
}

// answer is the frame of the answer to r that says that all went well.
func (c *fakeConn) answer(r fakeRequest) []byte { return frameOf(r, c.response(r)) }

// frameOf is the frame of an answer to r.
func frameOf(r fakeRequest, resp kmsg.Response) []byte {
	resp.SetVersion(r.GetVersion())
	b := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 0}, uint32(r.correlation))
	if resp.IsFlexible() && resp.Key() != int16(kmsg.ApiVersions) {
		b = append(b, 0)
	}
	b = resp.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func (c *fakeConn) response(r fakeRequest) kmsg.Response {
	resp := r.ResponseKind()
	switch req := r.Request.(type) {
	case *kmsg.ApiVersionsRequest:
		for _, v := range c.versions {
			k := kmsg.NewApiVersionsResponseApiKey()
			k.ApiKey, k.MinVersion, k.MaxVersion = v[0], v[1], v[2]
			resp.(*kmsg.ApiVersionsResponse).ApiKeys = append(resp.(*kmsg.ApiVersionsResponse).ApiKeys, k)
		}
	case *kmsg.ProduceRequest:
		for _, t := range req.Topics {
			ot := kmsg.NewProduceResponseTopic()
			ot.Topic, ot.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				op := kmsg.NewProduceResponseTopicPartition()
				op.Partition = p.Partition
				ot.Partitions = append(ot.Partitions, op)
			}
			resp.(*kmsg.ProduceResponse).Topics = append(resp.(*kmsg.ProduceResponse).Topics, ot)
		}
	case *kmsg.FetchRequest:
		for _, t := range req.Topics {
			ot := kmsg.NewFetchResponseTopic()
			ot.Topic, ot.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				op := kmsg.NewFetchResponseTopicPartition()
				op.Partition = p.Partition
				ot.Partitions = append(ot.Partitions, op)
			}
			resp.(*kmsg.FetchResponse).Topics = append(resp.(*kmsg.FetchResponse).Topics, ot)
		}
	}
	return resp
}

// send writes a frame; false if the other side is gone.
func (c *fakeConn) send(frame []byte) bool {
	_, err := c.Write(frame)
	return err == nil
}

// negotiate answers the first request.
func (c *fakeConn) negotiate() bool {
	r, ok := c.next()
	return ok && c.send(c.answer(r))
}

// answerAll answers every request.
func (c *fakeConn) answerAll() {
	for {
		r, ok := c.next()
		if !ok || !c.send(c.answer(r)) {
			return
		}
	}
}

// drain reads until the other side is gone.
func (c *fakeConn) drain() {
	if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, net.ErrClosed) && !bytes.Contains([]byte(err.Error()), []byte("reset")) {
		c.fake.t.Errorf("draining: %v", err)
	}
}

// answerFast answers Produces with little work, for measurements.
func (c *fakeConn) answerFast() {
	if !c.negotiate() {
		return
	}
	r, ok := c.next()
	if !ok {
		return
	}
	frame := c.answer(r)
	in := bufio.NewReaderSize(c, 64<<10)
	out := bufio.NewWriterSize(c, 64<<10)
	for {
		if _, err := out.Write(frame); err != nil {
			return
		}
		if in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return
			}
		}
		size, err := in.Peek(4)
		if err != nil {
			return
		}
		if _, err := in.Discard(4 + int(binary.BigEndian.Uint32(size))); err != nil {
			return
		}
		binary.BigEndian.PutUint32(frame[4:], binary.BigEndian.Uint32(frame[4:])+1)
	}
}
