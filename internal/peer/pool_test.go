package peer_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/peer"
)

func TestConfigRefused(t *testing.T) {
	t.Parallel()
	for field, cfg := range map[string]peer.Config{
		"Timeout":          {Timeout: -1},
		"ConnectTimeout":   {ConnectTimeout: -1},
		"MaxInFlight":      {MaxInFlight: -1},
		"MaxResponseBytes": {MaxResponseBytes: 10},
		"ConnsPerPeer":     {ConnsPerPeer: 101},
		"LongConnsPerPeer": {LongConnsPerPeer: -1},
		"IdleTimeout":      {IdleTimeout: -1},
		"BackoffMin":       {BackoffMin: -1},
		"BackoffMax":       {BackoffMin: 2, BackoffMax: 1},
		"ClientID":         {ClientID: string(make([]byte, 250))},
	} {
		_, err := peer.New(cfg)
		var ce *peer.ConfigError
		require.ErrorAs(t, err, &ce, field)
		require.Equal(t, field, ce.Field)
	}
}

func TestMisuse(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	p := newPool(t, "", peer.Config{})
	for _, addr := range []string{"", "host", ":9092", "host:", "a:b:c"} {
		require.ErrorIs(t, p.SetAddress(node, addr), peer.ErrInvalidRequest, addr)
	}
	require.ErrorIs(t, p.SetAddress(0, "host:1"), peer.ErrInvalidRequest)
	require.ErrorIs(t, p.SetAddress(math.MaxInt32+1, "host:1"), peer.ErrInvalidRequest)
	p.Remove(7)
	err := produce(t, ctx, p)
	require.ErrorIs(t, err, peer.ErrNoAddress)
	require.True(t, unreachable(t, err, false).Retriable())

	require.NoError(t, p.SetAddress(node, "127.0.0.1:1"))
	_, err = p.Do(ctx, node, nil)
	require.ErrorIs(t, err, peer.ErrInvalidRequest)
	_, err = p.Do(ctx, node, kmsg.NewPtrLeaderAndISRRequest())
	require.ErrorIs(t, err, peer.ErrUnknownAPI)
	for _, r := range []peer.ProduceRequest{{}, {TopicPartition: orders}, {Batch: []byte("b")},
		{TopicPartition: peer.TopicPartition{Topic: "t", Partition: -1}, Batch: []byte("b")}} {
		_, err = p.Produce(ctx, node, r)
		require.ErrorIs(t, err, peer.ErrInvalidRequest)
	}
	twice := peer.FetchPartition{TopicPartition: orders}
	_, err = p.Fetch(ctx, node, peer.FetchRequest{Partitions: []peer.FetchPartition{twice, twice}})
	require.ErrorIs(t, err, peer.ErrInvalidRequest)
	_, err = p.Fetch(ctx, node, peer.FetchRequest{Partitions: []peer.FetchPartition{
		{TopicPartition: peer.TopicPartition{Topic: "t"}}, {TopicPartition: peer.TopicPartition{TopicID: [16]byte{2}}}}})
	require.ErrorIs(t, err, peer.ErrInvalidRequest)
	_, err = p.ListOffsets(ctx, node, []peer.ListOffsetsPartition{{TopicPartition: peer.TopicPartition{TopicID: [16]byte{2}}}})
	require.ErrorIs(t, err, peer.ErrInvalidRequest)
	_, err = p.Metadata(ctx, node, "a", "a")
	require.ErrorIs(t, err, peer.ErrInvalidRequest)
	_, err = p.DeleteGroups(ctx, node, "g", "g")
	require.ErrorIs(t, err, peer.ErrInvalidRequest)

	gone, cancel := context.WithCancelCause(ctx)
	cause := errors.New("enough")
	cancel(cause)
	err = produce(t, gone, p)
	require.ErrorIs(t, err, cause)
	var i *peer.InterruptedError
	require.ErrorAs(t, err, &i)
	require.False(t, i.Sent)
}

// A request whose caller goes away before it is sent never is, and its batch may be
// used again.
func TestWithdrawn(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	got := make(chan string, 10)
	f := newFake(t, func(c *fakeConn) {
		for {
			r, ok := c.next()
			if !ok {
				return
			}
			if pr, ok := r.Request.(*kmsg.ProduceRequest); ok {
				got <- string(pr.Topics[0].Partitions[0].Records)
			}
			c.send(c.answer(r))
		}
	})
	hold := make(chan struct{})
	p := newPool(t, f.addr(), peer.Config{Dial: func(ctx context.Context, addr string) (net.Conn, error) {
		<-hold
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}})
	first, err := p.StartProduce(ctx, node, peer.ProduceRequest{TopicPartition: orders, Batch: []byte("first")})
	require.NoError(t, err)
	batch := []byte("never")
	second, err := p.StartProduce(ctx, node, peer.ProduceRequest{TopicPartition: orders, Batch: batch})
	require.NoError(t, err)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err = second.Wait(gone)
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, peer.Sent(err))
	<-second.Done()
	copy(batch, "XXXXX")
	_, again := second.Wait(ctx)
	require.Equal(t, err, again)
	close(hold)
	_, err = first.Wait(ctx)
	require.NoError(t, err)
	require.NoError(t, produce(t, ctx, p))
	require.Equal(t, "first", <-got)
	require.Equal(t, "batch", <-got)
}

// A caller that goes away ends its wait, not the connection.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	got, answer := make(chan struct{}), make(chan struct{})
	f := newFake(t, func(c *fakeConn) {
		if !c.negotiate() {
			return
		}
		if r, ok := c.next(); ok {
			close(got)
			<-answer
			c.send(c.answer(r))
		}
		c.answerAll()
	})
	p := newPool(t, f.addr(), peer.Config{})
	first, err := p.StartProduce(ctx, node, peer.ProduceRequest{TopicPartition: orders, Batch: []byte("b")})
	require.NoError(t, err)
	<-got
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err = first.Wait(gone)
	require.ErrorIs(t, err, context.Canceled)
	require.True(t, peer.Sent(err))
	second, err := p.StartProduce(ctx, node, peer.ProduceRequest{TopicPartition: orders, Batch: []byte("b")})
	require.NoError(t, err)
	close(answer)
	_, err = second.Wait(ctx)
	require.NoError(t, err)
	_, err = first.Wait(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, f.connections())
}

// More than MaxInFlight requests wait with their callers.
func TestInFlightBound(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	answer := make(chan struct{})
	f := newFake(t, func(c *fakeConn) {
		if c.negotiate() {
			<-answer
			c.answerAll()
		}
	})
	p := newPool(t, f.addr(), peer.Config{MaxInFlight: 4})
	r := peer.ProduceRequest{TopicPartition: orders, Batch: []byte("b")}
	var calls []*peer.ProduceCall
	for range 4 {
		c, err := p.StartProduce(ctx, node, r)
		require.NoError(t, err)
		calls = append(calls, c)
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	_, err := p.StartProduce(short, node, r)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.False(t, peer.Sent(err))
	close(answer)
	for range 4 {
		c, err := p.StartProduce(ctx, node, r)
		require.NoError(t, err)
		calls = append(calls, c)
	}
	for _, c := range calls {
		_, err := c.Wait(ctx)
		require.NoError(t, err)
	}
}

// Requests that wait at the peer have a connection each, as many as there may be; one
// that nobody waits for makes room for another.
func TestLongRequests(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	got := make(chan int, 10)
	f := newFake(t, func(c *fakeConn) {
		if !c.negotiate() {
			return
		}
		for {
			r, ok := c.next()
			if !ok {
				return
			}
			if fr, ok := r.Request.(*kmsg.FetchRequest); ok && fr.MinBytes > 0 {
				got <- c.number
				c.drain()
				return
			}
			c.send(c.answer(r))
		}
	})
	p := newPool(t, f.addr(), peer.Config{LongConnsPerPeer: 2})
	fetch := func(ctx context.Context, minBytes int) error {
		_, err := p.Fetch(ctx, node, peer.FetchRequest{MinBytes: minBytes, MaxWait: time.Minute, Partitions: []peer.FetchPartition{{TopicPartition: orders}}})
		return err
	}
	require.NoError(t, fetch(ctx, 0))
	require.NoError(t, fetch(ctx, 0))
	require.Equal(t, 1, f.connections())
	var wg sync.WaitGroup
	var cancels []context.CancelFunc
	for range 2 {
		gone, cancel := context.WithCancel(ctx)
		cancels = append(cancels, cancel)
		wg.Go(func() {
			if err := fetch(gone, 1); !errors.Is(err, context.Canceled) || !peer.Sent(err) {
				t.Errorf("the Fetch ended with %v", err)
			}
		})
		<-got
	}
	// Both are waited for: the next waits in line.
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, fetch(short, 0), context.DeadlineExceeded)
	require.NoError(t, produce(t, ctx, p)) // on another connection
	for _, cancel := range cancels {
		cancel()
	}
	wg.Wait()
	require.NoError(t, fetch(ctx, 0))
	require.NoError(t, fetch(ctx, 0))
}

func TestAddressChanges(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	got := make(chan struct{}, 1)
	silent := newFake(t, func(c *fakeConn) {
		if c.negotiate() {
			if _, ok := c.next(); ok {
				got <- struct{}{}
				c.drain()
			}
		}
	})
	p := newPool(t, silent.addr(), peer.Config{})
	call, err := p.StartProduce(ctx, node, peer.ProduceRequest{TopicPartition: orders, Batch: []byte("b")})
	require.NoError(t, err)
	<-got
	f := newFake(t, nil)
	require.NoError(t, p.SetAddress(node, silent.addr())) // no news
	require.NoError(t, p.SetAddress(node, f.addr()))
	_, err = call.Wait(ctx)
	require.ErrorIs(t, err, peer.ErrAddressChanged)
	unreachable(t, err, true)
	require.NoError(t, produce(t, ctx, p))

	p.Remove(node)
	require.ErrorIs(t, produce(t, ctx, p), peer.ErrNoAddress)
	require.NoError(t, p.SetAddress(node, f.addr()))
	require.NoError(t, produce(t, ctx, p))
}

// What waits for a connection to the former address goes to the new one.
func TestAddressChangesWhileConnecting(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	f := newFake(t, nil)
	dialing := make(chan struct{})
	p := newPool(t, "127.0.0.1:1", peer.Config{Dial: func(ctx context.Context, addr string) (net.Conn, error) {
		if addr == "127.0.0.1:1" {
			close(dialing)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}})
	call, err := p.StartProduce(ctx, node, peer.ProduceRequest{TopicPartition: orders, Batch: []byte("b")})
	require.NoError(t, err)
	<-dialing
	require.NoError(t, p.SetAddress(node, f.addr()))
	_, err = call.Wait(ctx)
	require.NoError(t, err)
}

// Disconnect ends what is sent and what waits for a connection; later requests connect
// again.
func TestDisconnect(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	sent := make(chan struct{}, 2)
	f := newFake(t, func(c *fakeConn) {
		if c.number >= 2 {
			c.answerAll()
			return
		}
		if c.negotiate() {
			if _, ok := c.next(); ok {
				sent <- struct{}{}
				c.drain()
			}
		}
	})
	dialing := make(chan struct{})
	var hang atomic.Bool
	p := newPool(t, f.addr(), peer.Config{Dial: func(ctx context.Context, addr string) (net.Conn, error) {
		if hang.Load() {
			close(dialing)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}})
	p.Disconnect(7)
	produced, err := p.StartProduce(ctx, node, peer.ProduceRequest{TopicPartition: orders, Batch: []byte("b")})
	require.NoError(t, err)
	<-sent
	fetched := make(chan error, 1)
	go func() {
		_, err := p.Fetch(ctx, node, peer.FetchRequest{MaxWait: time.Minute, MinBytes: 1, Partitions: []peer.FetchPartition{{TopicPartition: orders}}})
		fetched <- err
	}()
	<-sent
	hang.Store(true)
	listed := make(chan error, 1)
	go func() {
		_, err := p.ListGroups(ctx, node, nil, nil)
		listed <- err
	}()
	<-dialing
	hang.Store(false)
	p.Disconnect(node)
	_, err = produced.Wait(ctx)
	require.ErrorIs(t, err, peer.ErrDisconnected)
	unreachable(t, err, true)
	err = <-fetched
	require.ErrorIs(t, err, peer.ErrDisconnected)
	unreachable(t, err, true)
	err = <-listed
	require.ErrorIs(t, err, peer.ErrDisconnected)
	unreachable(t, err, false)
	require.NoError(t, produce(t, ctx, p))
}

// Close ends what is sent, what waits to be, what connects and what pauses.
func TestClose(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	sent, dialing, failed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	f := newFake(t, func(c *fakeConn) {
		if c.negotiate() {
			if _, ok := c.next(); ok {
				close(sent)
				c.drain()
			}
		}
	})
	p := newPool(t, f.addr(), peer.Config{BackoffMin: time.Hour, BackoffMax: time.Hour, Dial: func(ctx context.Context, addr string) (net.Conn, error) {
		switch addr {
		case "hang:1":
			close(dialing)
			<-ctx.Done()
			return nil, ctx.Err()
		case "fail:1":
			close(failed)
			return nil, errDial
		}
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}})
	require.NoError(t, p.SetAddress(2, "hang:1"))
	require.NoError(t, p.SetAddress(3, "fail:1"))
	r := peer.ProduceRequest{TopicPartition: orders, Batch: []byte("b")}
	_, err := p.Produce(ctx, 3, r)
	require.ErrorIs(t, err, errDial)
	<-failed
	var calls []*peer.ProduceCall
	for id := range base.NodeID(3) {
		c, err := p.StartProduce(ctx, id+1, r)
		require.NoError(t, err)
		calls = append(calls, c)
	}
	<-sent
	<-dialing
	p.Close()
	for i, c := range calls {
		_, err := c.Wait(ctx)
		require.ErrorIs(t, err, peer.ErrClosed)
		require.Equal(t, i == 0, peer.Sent(err), "%v", err)
		var u *peer.UnreachableError
		require.ErrorAs(t, err, &u)
		require.False(t, u.Retriable())
	}
	p.Close()
	require.ErrorIs(t, produce(t, ctx, p), peer.ErrClosed)
	require.ErrorIs(t, p.SetAddress(node, f.addr()), peer.ErrClosed)
}

// A peer of another version of leat is spoken to in what both have.
func TestVersionsMeet(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	version := make(chan int16, 1)
	offer := make(chan [][3]int16, 1)
	f := newFake(t, func(c *fakeConn) {
		c.versions = <-offer
		if !c.negotiate() {
			return
		}
		for {
			r, ok := c.next()
			if !ok {
				return
			}
			version <- r.GetVersion()
			c.send(c.answer(r))
		}
	})
	for name, tt := range map[string]struct {
		offer [][3]int16
		tp    peer.TopicPartition
		want  int16 // 0: refused
		text  string
	}{
		"the same":             {[][3]int16{{0, 0, 13}}, orders, 13, ""},
		"newer":                {[][3]int16{{0, 10, 20}}, orders, 13, ""},
		"older":                {[][3]int16{{0, 0, 10}}, orders, 10, ""},
		"older, by name":       {[][3]int16{{0, 0, 13}}, peer.TopicPartition{Topic: "t"}, 12, ""},
		"too old for ids":      {[][3]int16{{0, 0, 12}}, peer.TopicPartition{TopicID: [16]byte{1}}, 0, "needed in version 13 to 13, it serves 0 to 12: upgrade that node"},
		"too old":              {[][3]int16{{0, 0, 8}}, orders, 0, "it serves 0 to 8: upgrade that node"},
		"too new":              {[][3]int16{{0, 14, 20}}, orders, 0, "it serves 14 to 20: upgrade this node"},
		"without the API":      {[][3]int16{{18, 0, 4}}, orders, 0, "it does not serve it"},
		"with a strange range": {[][3]int16{{0, 5, -1}}, orders, 0, "it does not serve it"},
	} {
		p := newPool(t, f.addr(), peer.Config{})
		offer <- tt.offer
		_, err := p.Produce(ctx, node, peer.ProduceRequest{TopicPartition: tt.tp, Batch: []byte("b")})
		if tt.want != 0 {
			require.NoError(t, err, name)
			require.Equal(t, tt.want, <-version, name)
		} else {
			var v *peer.VersionError
			require.ErrorAs(t, err, &v, name)
			require.ErrorContains(t, err, tt.text, name)
		}
		p.Close()
	}
}

// Thousands of callers at once, on connections that break all the time, get their own
// answers or learn that they got none.
func TestStress(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	f := newFake(t, func(c *fakeConn) {
		left := 200 + c.number*37%500
		for ; left > 0; left-- {
			r, ok := c.next()
			if !ok || !c.send(c.answer(r)) {
				return
			}
		}
	})
	p := newPool(t, f.addr(), peer.Config{BackoffMin: time.Millisecond, BackoffMax: 5 * time.Millisecond, MaxInFlight: 32})
	var wg sync.WaitGroup
	var answered, broken, interrupted atomic.Int64
	for g := range 2000 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			for i := range 5 {
				ctx, cancel := context.WithTimeout(ctx, time.Minute)
				if r.IntN(10) == 0 {
					cancel()
				}
				var err error
				if r.IntN(4) == 0 {
					_, err = p.Fetch(ctx, node, peer.FetchRequest{Partitions: []peer.FetchPartition{{TopicPartition: peer.TopicPartition{Topic: "t", Partition: int32(g*10 + i)}}}})
				} else {
					_, err = p.Produce(ctx, node, peer.ProduceRequest{TopicPartition: peer.TopicPartition{Topic: "t", Partition: int32(g*10 + i)}, Batch: fmt.Appendf(nil, "%d", g)})
				}
				cancel()
				var u *peer.UnreachableError
				switch {
				case err == nil:
					answered.Add(1)
				case errors.As(err, &u):
					broken.Add(1)
				case errors.Is(err, context.Canceled):
					interrupted.Add(1)
				default:
					t.Errorf("call %d of %d: %v", i, g, err)
				}
			}
		})
	}
	// Meanwhile the address goes away and comes back.
	stop := make(chan struct{})
	var flip sync.WaitGroup
	flip.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			f.breakAll()
		}
	})
	wg.Wait()
	close(stop)
	flip.Wait()
	t.Logf("answered %d, broken %d, interrupted %d, over %d connections", answered.Load(), broken.Load(), interrupted.Load(), f.connections())
	require.Positive(t, answered.Load())
	require.Positive(t, interrupted.Load())
	require.NoError(t, p.SetAddress(node, newFake(t, nil).addr()))
	require.NoError(t, produce(t, ctx, p))
}
