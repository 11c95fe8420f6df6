package peer_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/peer"
)

var orders = peer.TopicPartition{Topic: "orders", TopicID: [16]byte{1}}

func produce(t testing.TB, ctx context.Context, p *peer.Pool) error {
	t.Helper()
	_, err := p.Produce(ctx, node, peer.ProduceRequest{TopicPartition: orders, Batch: []byte("batch")})
	return err
}

// unreachable requires that err says so.
func unreachable(t testing.TB, err error, sent bool) *peer.UnreachableError {
	t.Helper()
	var u *peer.UnreachableError
	require.ErrorAs(t, err, &u)
	require.Equal(t, sent, u.Sent, "%v", err)
	require.Equal(t, sent, peer.Sent(err))
	require.Equal(t, node, u.Node)
	return u
}

// A connection that breaks after any byte fails what is on it, says whether it was
// sent, and the next is made.
func TestBrokenAtEveryByte(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	for whole, cut := false, 0; !whole; cut++ {
		var sent, left atomic.Bool
		f := newFake(t, func(c *fakeConn) {
			if c.number > 0 {
				c.answerAll()
				return
			}
			room := cut
			for {
				r, ok := c.next()
				if !ok {
					return
				}
				if _, ok := r.Request.(*kmsg.ProduceRequest); ok {
					sent.Store(true)
				}
				frame := c.answer(r)
				if room < len(frame) {
					c.send(frame[:room])
					return
				}
				room -= len(frame)
				left.Store(sent.Load()) // the whole answer is about to leave
				c.send(frame)
			}
		})
		p := newPool(t, f.addr(), peer.Config{BackoffMin: time.Millisecond})
		err := produce(t, ctx, p)
		if whole = left.Load(); whole {
			require.NoError(t, err)
			require.Greater(t, cut, 100)
		} else {
			u := unreachable(t, err, sent.Load())
			require.Equal(t, f.addr(), u.Addr)
			require.True(t, u.Retriable())
			require.NoError(t, produce(t, ctx, p), "cut at %d", cut)
		}
		p.Close()
		f.close()
	}
}

// What a peer sends that it should not ends the connection, and nothing is allocated
// for it.
func TestBadAnswers(t *testing.T) { // not parallel: it measures what is allocated
	frame := func(size, correlation uint32, rest ...byte) []byte {
		b := binary.BigEndian.AppendUint32(nil, size)
		b = binary.BigEndian.AppendUint32(b, correlation)
		return append(b, rest...)
	}
	for name, tt := range map[string]struct {
		negotiated bool // before it comes
		bytes      []byte
		hold       bool // keep the connection open then
		want       error
		retriable  bool
	}{
		"HTTP instead of the first answer":       {false, []byte("HTTP/1.1 400 Bad Request\r\n"), true, peer.ErrMalformed, true},
		"a first answer of 1 GiB":                {false, frame(1<<30, 0), true, peer.ErrMalformed, true},
		"a first answer with too large counts":   {false, frame(10, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff), true, peer.ErrMalformed, true},
		"silence instead of the first answer":    {false, nil, true, peer.ErrConnectTimeout, true},
		"a length of 0":                          {true, frame(0, 0), true, peer.ErrMalformed, true},
		"a length of -1":                         {true, frame(0xffffffff, 0), true, peer.ErrMalformed, true},
		"another correlation id":                 {true, frame(100, 5), true, peer.ErrMalformed, true},
		"an answer over the limit":               {true, frame(64<<20+1, 0), true, peer.ErrResponseTooLarge, false},
		"an answer of the limit that never ends": {true, frame(64<<20, 0), true, peer.ErrTimeout, true},
		"an answer of the limit that is cut off": {true, frame(64<<20, 0), false, io.ErrUnexpectedEOF, true},
		"silence":                                {true, nil, true, peer.ErrTimeout, true},
		"half a header":                          {true, []byte{0, 0, 0}, true, peer.ErrTimeout, true},
		"a count of tags of 2^32-1":              {true, frame(9, 0, 0xff, 0xff, 0xff, 0xff, 0x0f), true, peer.ErrMalformed, true},
		"an array of 2^32-2":                     {true, frame(10, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f), true, peer.ErrMalformed, true},
		"an answer with bytes left over":         {true, frame(12, 0, 0, 1, 0, 0, 0, 0, 0, 9), true, peer.ErrMalformed, true},
		"an answer of another API":               {true, frame(8, 0, 1, 2, 3, 4), true, peer.ErrMalformed, true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := testContext(t)
			f := newFake(t, func(c *fakeConn) {
				if c.number > 0 {
					c.answerAll()
					return
				}
				if tt.negotiated && !c.negotiate() {
					return
				}
				if _, ok := c.next(); ok && c.send(tt.bytes) && tt.hold {
					c.drain()
				}
			})
			cfg := peer.Config{BackoffMin: time.Millisecond}
			switch tt.want {
			case peer.ErrTimeout:
				cfg.Timeout = time.Second
			case peer.ErrConnectTimeout:
				cfg.ConnectTimeout = time.Second
			}
			p := newPool(t, f.addr(), cfg)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := produce(t, ctx, p)
			runtime.ReadMemStats(&after)
			require.ErrorIs(t, err, tt.want)
			require.Equal(t, tt.retriable, unreachable(t, err, tt.negotiated).Retriable(), "%v", err)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20))
			require.NoError(t, produce(t, ctx, p))
		})
	}
}

// Bytes that come without a request end the connection; the next request has another.
func TestUnaskedBytes(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	ended := make(chan struct{})
	f := newFake(t, func(c *fakeConn) {
		if c.number > 0 {
			c.answerAll()
			return
		}
		if r, ok := c.next(); !ok || !c.send(c.answer(r)) {
			return
		}
		r, ok := c.next()
		if ok && c.send(append(c.answer(r), 0)) {
			c.drain()
		}
		close(ended)
	})
	p := newPool(t, f.addr(), peer.Config{})
	require.NoError(t, produce(t, ctx, p))
	<-ended
	require.NoError(t, produce(t, ctx, p))
	require.Equal(t, 2, f.connections())
}

// A peer that does not read is given up on.
func TestPeerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	hold := make(chan struct{})
	f := newFake(t, func(c *fakeConn) {
		if c.negotiate() {
			<-hold
		}
	})
	defer close(hold)
	p := newPool(t, f.addr(), peer.Config{Timeout: time.Second})
	_, err := p.Produce(ctx, node, peer.ProduceRequest{TopicPartition: orders, Batch: make([]byte, 64<<20)})
	require.ErrorIs(t, err, peer.ErrTimeout)
	unreachable(t, err, true)
}

// An answer that trickles in is waited for as long as pieces of it come.
func TestSlowAnswer(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	f := newFake(t, func(c *fakeConn) {
		for {
			r, ok := c.next()
			if !ok {
				return
			}
			frame := c.answer(r)
			for i := range frame {
				if !c.send(frame[i : i+1]) {
					return
				}
			}
		}
	})
	p := newPool(t, f.addr(), peer.Config{})
	require.NoError(t, produce(t, ctx, p))
}

// When the connection breaks that some wait on, none of them is sent again, and what is
// behind an unanswered request fails with it.
func TestNoneOvertakes(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	got := make(chan int32, 100)
	broken := make(chan struct{})
	f := newFake(t, func(c *fakeConn) {
		if !c.negotiate() {
			return
		}
		for n := 0; ; n++ {
			r, ok := c.next()
			if !ok {
				return
			}
			got <- r.Request.(*kmsg.ProduceRequest).TimeoutMillis
			if c.number == 0 && n == 2 {
				<-broken
				return
			}
			if c.number > 0 {
				c.send(c.answer(r))
			}
		}
	})
	p := newPool(t, f.addr(), peer.Config{BackoffMin: time.Millisecond})
	var calls []*peer.ProduceCall
	start := func(n int) {
		c, err := p.StartProduce(ctx, node, peer.ProduceRequest{TopicPartition: orders, Batch: []byte("b"), Timeout: time.Duration(n) * time.Millisecond})
		require.NoError(t, err)
		calls = append(calls, c)
	}
	for n := 1; n <= 10; n++ {
		start(n)
	}
	for n := int32(1); n <= 3; n++ {
		require.Equal(t, n, <-got)
	}
	close(broken)
	for _, c := range calls {
		_, err := c.Wait(ctx)
		var u *peer.UnreachableError
		require.ErrorAs(t, err, &u)
	}
	calls = nil
	start(11)
	_, err := calls[0].Wait(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 11, <-got)
}

// A connection that the peer closed while there was nothing to do costs nothing.
func TestClosedWhileIdle(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	f := newFake(t, func(c *fakeConn) {
		if !c.negotiate() {
			return
		}
		if r, ok := c.next(); ok {
			c.send(c.answer(r))
		}
	})
	closed := make(chan struct{}, 10)
	p := newPool(t, f.addr(), peer.Config{Dial: func(ctx context.Context, addr string) (net.Conn, error) {
		var d net.Dialer
		nc, err := d.DialContext(ctx, "tcp", addr)
		return &tellClose{Conn: nc, told: closed}, err
	}})
	for n := range 5 {
		require.NoError(t, produce(t, ctx, p))
		<-closed
		require.Equal(t, n+1, f.connections())
	}
}

// tellClose tells once that it was closed.
type tellClose struct {
	net.Conn
	once atomic.Bool
	told chan<- struct{}
}

func (c *tellClose) Close() error {
	err := c.Conn.Close()
	if !c.once.Swap(true) {
		c.told <- struct{}{}
	}
	return err
}

// An idle connection is closed from this side.
func TestIdle(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	ended := make(chan struct{}, 1)
	f := newFake(t, func(c *fakeConn) {
		c.answerAll()
		ended <- struct{}{}
	})
	p := newPool(t, f.addr(), peer.Config{IdleTimeout: 20 * time.Millisecond})
	for range 3 {
		require.NoError(t, produce(t, ctx, p))
		<-ended
	}
	require.Equal(t, 3, f.connections())
}

var errDial = errors.New("no route")

// Each attempt to connect fails those that wait for it, and the next comes after a
// pause that doubles.
func TestBackoff(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	f := newFake(t, nil)
	clock := &recordingClock{}
	var attempts atomic.Int32
	p := newPool(t, f.addr(), peer.Config{Clock: clock, BackoffMin: 10 * time.Millisecond, BackoffMax: 100 * time.Millisecond,
		Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			if attempts.Add(1) <= 8 {
				return nil, errDial
			}
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}})
	for n := int32(1); n <= 8; n++ {
		err := produce(t, ctx, p)
		require.ErrorIs(t, err, errDial)
		require.True(t, unreachable(t, err, false).Retriable())
		require.Equal(t, n, attempts.Load())
	}
	require.NoError(t, produce(t, ctx, p))
	pauses := clock.pauses()
	for i, want := range []time.Duration{10, 20, 40, 80, 100, 100, 100, 100} {
		want *= time.Millisecond
		require.InDelta(t, want, pauses[i], 0.2*float64(want)+1, "pause %d", i)
	}
	// After an answer the next connection is made at once.
	before := len(clock.pauses())
	f.breakAll()
	require.Eventually(t, func() bool { return produce(t, ctx, p) == nil }, time.Minute, time.Millisecond)
	for _, d := range clock.pauses()[before:] {
		require.GreaterOrEqual(t, d, time.Minute, "a pause after an answer")
	}
}
