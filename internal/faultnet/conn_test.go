package faultnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/net/nettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect returns the ends of a new connection from a to b.
func connect(t *testing.T, n *Network) (a, b *conn) {
	t.Helper()
	x, y, _, err := pipe(n)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, _ = x.Close(), y.Close() // of which a test may have done either
	})
	return x, y
}

func pipe(n *Network) (a, b *conn, stop func(), err error) {
	l, err := n.Node("b").Listen("b:0")
	if err != nil {
		return nil, nil, nil, err
	}
	defer l.Close()
	x, err := n.Node("a").Dial(context.Background(), l.Addr().String())
	if err != nil {
		return nil, nil, nil, err
	}
	y, err := l.Accept()
	if err != nil {
		return nil, nil, nil, errors.Join(err, x.Close())
	}
	a, b = x.(*conn), y.(*conn)
	return a, b, func() { _, _ = a.Close(), b.Close() }, nil
}

// TestConn is the test of the net package for connections.
func TestConn(t *testing.T) {
	for name, c := range map[string]Conditions{
		"perfect": {},
		"slow":    {Latency: 100 * time.Microsecond, Jitter: 50 * time.Microsecond, BytesPerSecond: 200 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				n := New(1)
				n.SlowAll(c)
				return wrap(pipe(n))
			})
		})
	}
}

func wrap(a, b *conn, stop func(), err error) (net.Conn, net.Conn, func(), error) {
	return a, b, stop, err
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	k, err := io.WriteString(c, s)
	require.NoError(t, err)
	require.Equal(t, len(s), k)
}

func read(t *testing.T, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	_, err := io.ReadFull(c, b)
	require.NoError(t, err)
	require.Equal(t, want, string(b))
}

// readsNothing sees that c has nothing to read for a while.
func readsNothing(t *testing.T, c net.Conn, d time.Duration) {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(d)))
	k, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.Zero(t, k)
	require.NoError(t, c.SetReadDeadline(time.Time{}))
}

func TestHalfClose(t *testing.T) {
	a, b := connect(t, New(1))
	write(t, a, "question")
	require.NoError(t, a.CloseWrite())
	require.NoError(t, a.CloseWrite())
	_, err := a.Write([]byte("more"))
	require.ErrorIs(t, err, syscall.EPIPE)
	all, err := io.ReadAll(b)
	require.NoError(t, err)
	require.Equal(t, "question", string(all))
	write(t, b, "answer")
	read(t, a, "answer")
	require.NoError(t, b.Close())
	_, err = a.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, a.Close())
	require.ErrorIs(t, a.Close(), net.ErrClosed)
	require.ErrorIs(t, a.CloseWrite(), net.ErrClosed)
	require.ErrorIs(t, a.SetDeadline(time.Time{}), net.ErrClosed)
}

func TestClosedPeer(t *testing.T) {
	t.Run("what was written arrives", func(t *testing.T) {
		a, b := connect(t, New(1))
		write(t, a, "last words")
		require.NoError(t, a.Close())
		_, err := b.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.EPIPE)
		all, err := io.ReadAll(b)
		require.NoError(t, err)
		require.Equal(t, "last words", string(all))
	})
	t.Run("unread bytes break it", func(t *testing.T) {
		a, b := connect(t, New(1))
		write(t, b, "unread")
		require.NoError(t, a.Close())
		_, err := b.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		_, err = b.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.ECONNRESET)
	})
}

// TestBackPressure sees that a writer waits for its reader, and how much is
// under way meanwhile.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := connect(t, New(1))
		sent := bytes.Repeat([]byte("0123456789"), 100_000)
		var written int
		done := make(chan error, 1)
		go func() {
			n, err := a.Write(sent)
			written = n
			done <- errors.Join(err, a.CloseWrite())
		}()
		synctest.Wait()
		require.Empty(t, done, "the writer waits")
		require.Equal(t, bufferBytes, b.in.bytes)
		got, err := io.ReadAll(b)
		require.NoError(t, err)
		require.NoError(t, <-done)
		require.Equal(t, len(sent), written)
		require.True(t, bytes.Equal(sent, got))
	})
	t.Run("a deadline tells how much was taken", func(t *testing.T) {
		a, _ := connect(t, New(1))
		require.NoError(t, a.SetWriteDeadline(time.Now().Add(5*time.Millisecond)))
		k, err := a.Write(make([]byte, bufferBytes+1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, bufferBytes, k)
	})
}

// TestCut sees that what is written on a cut link arrives after it is healed,
// and that the other way is not touched.
func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		a, b := connect(t, n)
		n.CutOneWay("a", "b")
		write(t, a, "held")
		readsNothing(t, b, time.Hour)
		write(t, b, "passes")
		read(t, a, "passes")

		got := make(chan string, 1)
		go func() {
			buf := make([]byte, 10)
			k, err := b.Read(buf)
			require.NoError(t, err)
			got <- string(buf[:k])
		}()
		synctest.Wait()
		require.Empty(t, got)
		n.Heal()
		require.Equal(t, "held", <-got)
	})
}

// TestCutHidesTheEnd sees that neither a close nor a break is learned over a cut
// link, and that both are once it is healed.
func TestCutHidesTheEnd(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*Network, *conn)
		want error
	}{
		{"close", func(_ *Network, a *conn) { _ = a.Close() }, io.EOF},
		{"crash", func(n *Network, _ *conn) { n.Node("a").Crash() }, syscall.ECONNRESET},
		{"reset", func(n *Network, _ *conn) { n.Reset("b", "a") }, syscall.ECONNRESET},
		{"reset of all", func(n *Network, _ *conn) { n.ResetAll() }, syscall.ECONNRESET},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := New(1)
				a, b := connect(t, n)
				n.Isolate("a")
				tt.end(n, a)
				readsNothing(t, b, time.Minute)
				full := make(chan error, 1)
				go func() { // fills the buffer, waits
					_, err := b.Write(make([]byte, 2*bufferBytes))
					full <- err
				}()
				synctest.Wait()
				require.Empty(t, full)
				n.Rejoin("a")
				require.Error(t, <-full)
				_, err := b.Read(make([]byte, 1))
				require.ErrorIs(t, err, tt.want)
			})
		})
	}
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		n.SlowAll(Conditions{Latency: 30 * time.Millisecond})
		begun := time.Now()
		a, b := connect(t, n)
		require.Equal(t, 60*time.Millisecond, time.Since(begun), "a round trip to connect")

		begun = time.Now()
		write(t, a, "x")
		require.Zero(t, time.Since(begun), "the writer does not wait")
		read(t, b, "x")
		require.Equal(t, 30*time.Millisecond, time.Since(begun))

		n.SlowOneWay("a", "b", Conditions{Latency: time.Second})
		write(t, a, "slow")
		n.Fast()
		write(t, a, "fast")
		begun = time.Now()
		read(t, b, "slowfast")
		require.Equal(t, time.Second, time.Since(begun), "bytes do not overtake")

		n.Slow("a", "b", Conditions{Latency: time.Second})
		begun = time.Now()
		require.NoError(t, a.Close())
		_, err := b.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, time.Second, time.Since(begun), "an end takes its time too")
	})
}

func TestJitterIsOfTheSeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		delays := func(seed uint64) []time.Duration {
			n := New(seed)
			n.SlowAll(Conditions{Jitter: time.Second})
			a, b := connect(t, n)
			var d []time.Duration
			for range 10 {
				begun := time.Now()
				write(t, a, "x")
				read(t, b, "x")
				d = append(d, time.Since(begun))
				require.LessOrEqual(t, d[len(d)-1], time.Second)
			}
			return d
		}
		first := delays(7)
		require.Equal(t, first, delays(7))
		require.NotEqual(t, first, delays(8))
	})
}

func TestBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		n.Slow("a", "b", Conditions{BytesPerSecond: 100_000})
		a, b := connect(t, n)
		c, d := connect(t, n)
		begun := time.Now()
		var wg sync.WaitGroup
		for _, ends := range [][2]*conn{{a, b}, {c, d}} {
			wg.Go(func() {
				_, err := ends[0].Write(make([]byte, 500_000))
				require.NoError(t, err)
				require.NoError(t, ends[0].CloseWrite())
			})
			wg.Go(func() {
				k, err := io.Copy(io.Discard, ends[1])
				require.NoError(t, err)
				require.EqualValues(t, 500_000, k)
			})
		}
		wg.Wait()
		require.InDelta(t, 10, time.Since(begun).Seconds(), 0.5, "a million bytes share the link")
	})
}

func TestBreakChance(t *testing.T) {
	n := New(3)
	n.Slow("a", "b", Conditions{BreakChance: 0.05})
	var lived []int
	for range 20 {
		a, b := connect(t, n)
		for i := 0; ; i++ {
			if _, err := a.Write([]byte("x")); err != nil {
				require.ErrorIs(t, err, syscall.ECONNRESET)
				lived = append(lived, i)
				break
			}
		}
		_, err := io.ReadAll(b)
		require.ErrorIs(t, err, syscall.ECONNRESET)
	}
	total := 0
	for _, i := range lived {
		total += i
	}
	require.InDelta(t, 20, float64(total)/float64(len(lived)), 12, "one write of 20 breaks its connection")
}
