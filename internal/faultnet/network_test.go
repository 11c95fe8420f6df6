package faultnet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// hears returns which of nodes hear which, as "ab" for what goes from a to b.
func hears(n *Network, nodes ...string) []string {
	var pairs []string
	for _, from := range nodes {
		for _, to := range nodes {
			if from != to && !n.cut(from, to) {
				pairs = append(pairs, from+to)
			}
		}
	}
	return pairs
}

func TestCuts(t *testing.T) {
	t.Parallel()
	three := []string{"a", "b", "c"}
	all := []string{"ab", "ac", "ba", "bc", "ca", "cb"}
	for _, tt := range []struct {
		name string
		do   func(*Network)
		want []string
	}{
		{"nothing", func(*Network) {}, all},
		{"cut", func(n *Network) { n.Cut("a", "b") }, []string{"ac", "bc", "ca", "cb"}},
		{"one way", func(n *Network) { n.CutOneWay("a", "b") }, []string{"ac", "ba", "bc", "ca", "cb"}},
		{"join", func(n *Network) { n.CutOneWay("a", "b"); n.Cut("b", "c"); n.Join("b", "a") }, []string{"ab", "ac", "ba", "ca"}},
		{"isolate", func(n *Network) { n.Isolate("a") }, []string{"bc", "cb"}},
		{"isolate two", func(n *Network) { n.Isolate("a"); n.Isolate("b"); n.Rejoin("a") }, []string{"ac", "ca"}},
		{"partition", func(n *Network) { n.Partition([]string{"a", "b"}, []string{"c"}) }, []string{"ab", "ba"}},
		{"partition with one beside", func(n *Network) { n.Partition([]string{"a"}, []string{"c"}) }, []string{"ab", "ba", "bc", "cb"}},
		{"chain", func(n *Network) { n.Chain(three...) }, []string{"ab", "ba", "bc", "cb"}},
		{"ring of three", func(n *Network) { n.Ring(three...) }, all},
		{"one-way ring", func(n *Network) { n.OneWayRing(three...) }, []string{"ab", "bc", "ca"}},
		{"heal", func(n *Network) { n.OneWayRing(three...); n.Isolate("a"); n.Heal() }, all},
	} {
		n := New(1)
		tt.do(n)
		require.Equal(t, tt.want, hears(n, three...), tt.name)
		require.False(t, n.cut("a", "a"), tt.name)
	}
	n := New(1)
	n.Ring("a", "b", "c", "d")
	require.Equal(t, []string{"ab", "ad", "ba", "bc", "cb", "cd", "da", "dc"}, hears(n, "a", "b", "c", "d"))
}

func TestListen(t *testing.T) {
	t.Parallel()
	n := New(1)
	l, err := n.Node("a").Listen("a:9001")
	require.NoError(t, err)
	require.Equal(t, "a:9001", l.Addr().String())
	require.Equal(t, "tcp", l.Addr().Network())
	for addr, want := range map[string]error{
		"a:9001": syscall.EADDRINUSE,
		":9001":  syscall.EADDRINUSE,
		"b:9001": syscall.EADDRNOTAVAIL,
	} {
		_, err := n.Node("a").Listen(addr)
		require.ErrorIs(t, err, want, addr)
	}
	for _, addr := range []string{"", "a", "a:", "a:-1", "a:65536", "a:http"} {
		_, err := n.Node("a").Listen(addr)
		require.Error(t, err, addr)
	}
	seen := map[string]bool{}
	for range 10 {
		l, err := n.Node("a").Listen(":0")
		require.NoError(t, err)
		require.False(t, seen[l.Addr().String()])
		seen[l.Addr().String()] = true
		defer l.Close()
	}
	require.NoError(t, l.Close())
	require.ErrorIs(t, l.Close(), net.ErrClosed)
	_, err = l.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	l, err = n.Node("a").Listen("a:9001")
	require.NoError(t, err, "the address is free again")
	require.NoError(t, l.Close())
	require.Zero(t, n.Open())
}

func TestDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		a := n.Node("a")
		_, err := a.Dial(t.Context(), "nowhere:1")
		var dns *net.DNSError
		require.ErrorAs(t, err, &dns)
		n.Node("b")
		_, err = a.Dial(t.Context(), "b:1")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		_, err = a.Dial(t.Context(), "b")
		require.Error(t, err)

		l, err := n.Node("b").Listen("b:1")
		require.NoError(t, err)
		own, err := n.Node("b").Dial(t.Context(), ":1")
		require.NoError(t, err)
		require.NoError(t, own.Close())
		far, err := l.Accept()
		require.NoError(t, err)
		require.NoError(t, far.Close())

		for _, cut := range []func(){
			func() { n.CutOneWay("a", "b") }, func() { n.CutOneWay("b", "a") }, func() { n.Isolate("b") },
		} {
			cut()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			begun := time.Now()
			_, err = a.Dial(ctx, "b:1")
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, time.Minute, time.Since(begun))
			var timeout net.Error
			require.ErrorAs(t, err, &timeout)
			require.True(t, timeout.Timeout())

			connected := make(chan net.Conn, 1)
			go func() {
				c, err := a.Dial(t.Context(), "b:1")
				require.NoError(t, err)
				connected <- c
			}()
			synctest.Wait()
			require.Empty(t, connected)
			n.Heal()
			c := <-connected
			require.NoError(t, c.Close())
		}
		require.NoError(t, l.Close())
		require.Zero(t, n.Open())
	})
}

// TestBacklog sees that a listener that does not accept makes dialers wait.
func TestBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		l, err := n.Node("b").Listen("b:1")
		require.NoError(t, err)
		for range backlog {
			c, err := n.Node("a").Dial(t.Context(), "b:1")
			require.NoError(t, err)
			defer c.Close()
		}
		connected := make(chan error, 1)
		go func() {
			c, err := n.Node("a").Dial(t.Context(), "b:1")
			if err == nil {
				defer c.Close()
			}
			connected <- err
		}()
		synctest.Wait()
		require.Empty(t, connected)
		c, err := l.Accept()
		require.NoError(t, err)
		require.NoError(t, <-connected)
		require.NoError(t, c.Close())

		go func() { // waits again, until the listener is gone
			c, err := n.Node("a").Dial(t.Context(), "b:1")
			if err == nil {
				c.Close()
				c, err = n.Node("a").Dial(t.Context(), "b:1")
			}
			connected <- err
			_ = c
		}()
		synctest.Wait()
		require.NoError(t, l.Close())
		require.ErrorIs(t, <-connected, syscall.ECONNREFUSED)
	})
}

func TestCrash(t *testing.T) {
	t.Parallel()
	n := New(1)
	l, err := n.Node("b").Listen("b:1")
	require.NoError(t, err)
	accepting := make(chan error, 1)
	a, err := n.Node("a").Dial(t.Context(), "b:1")
	require.NoError(t, err)
	b, err := l.Accept()
	require.NoError(t, err)
	waiting, err := n.Node("a").Dial(t.Context(), "b:1")
	require.NoError(t, err)
	beside, besideFar := connect2(t, n, "a", "c")

	n.Node("b").Crash()
	go func() { _, err := l.Accept(); accepting <- err }()
	require.ErrorIs(t, <-accepting, net.ErrClosed)
	for _, c := range []net.Conn{a, b, waiting} {
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		_, err = c.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.NoError(t, c.Close())
	}
	_, err = n.Node("a").Dial(t.Context(), "b:1")
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	write(t, beside, "others go on")
	read(t, besideFar, "others go on")

	l, err = n.Node("b").Listen("b:1")
	require.NoError(t, err, "the machine starts again")
	require.NoError(t, l.Close())
	require.Equal(t, 1, n.Open())
}

func connect2(t *testing.T, n *Network, from, to string) (net.Conn, net.Conn) {
	t.Helper()
	l, err := n.Node(to).Listen(":0")
	require.NoError(t, err)
	a, err := n.Node(from).Dial(t.Context(), l.Addr().String())
	require.NoError(t, err)
	b, err := l.Accept()
	require.NoError(t, err)
	require.NoError(t, l.Close())
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	return a, b
}

// TestProcess sees that a program that was killed reaches nobody, and that the
// next one on its machine does.
func TestProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		_ = n.Node("a")
		first := n.Node("b").Process()
		l, err := first.Listen("b:1")
		require.NoError(t, err)
		n.Isolate("b")
		dialled := make(chan error, 1)
		go func() {
			_, err := first.Dial(t.Context(), "a:1")
			dialled <- err
		}()
		synctest.Wait()
		require.Empty(t, dialled)
		n.Node("b").Crash()
		require.ErrorIs(t, <-dialled, net.ErrClosed)
		require.ErrorIs(t, l.Close(), net.ErrClosed)
		_, err = first.Listen("b:1")
		require.ErrorIs(t, err, net.ErrClosed)
		n.Heal()
		_, err = first.Dial(t.Context(), "a:1")
		require.ErrorIs(t, err, net.ErrClosed)

		second := n.Node("b").Process()
		l, err = second.Listen("b:1")
		require.NoError(t, err)
		c, err := n.Node("a").Process().Dial(t.Context(), "b:1")
		require.NoError(t, err)
		require.NoError(t, c.Close())
		require.NoError(t, l.Close())
	})
}

// TestTLS runs a protocol that needs both directions at once over a slow link.
func TestTLS(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"b"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)

	n := New(1)
	n.SlowAll(Conditions{Latency: time.Millisecond, Jitter: time.Millisecond})
	a, b := connect(t, n)
	client := tls.Client(a, &tls.Config{ServerName: "b", RootCAs: pool})
	server := tls.Server(b, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(server, io.LimitReader(server, 1<<20))
		done <- err
	}()
	go func() { _, err := client.Write(make([]byte, 1<<20)); done <- err }()
	_, err = io.ReadFull(client, make([]byte, 1<<20))
	require.NoError(t, err)
	require.NoError(t, <-done)
	require.NoError(t, <-done)
}

// TestFaultsBesideTraffic changes everything while nodes talk, for the race
// detector, and sees that what arrives is what was sent and that nobody waits
// once all is healed.
func TestFaultsBesideTraffic(t *testing.T) {
	t.Parallel()
	const seed = 42
	n := New(seed)
	names := []string{"a", "b", "c"}
	ctx, stop := context.WithCancel(t.Context())
	var servers, clients sync.WaitGroup
	for _, name := range names {
		l, err := n.Node(name).Listen(name + ":1")
		require.NoError(t, err)
		servers.Go(func() {
			defer l.Close()
			var conns sync.WaitGroup
			defer conns.Wait()
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				conns.Go(func() {
					defer c.Close()
					_, _ = io.Copy(c, c) // ends with the connection, however that ends
				})
			}
		})
		t.Cleanup(func() { l.Close() })
	}
	var mu sync.Mutex
	echoed := map[string]int{}
	for _, from := range names {
		for _, to := range names {
			clients.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					c, err := n.Node(from).Dial(ctx, to+":1")
					if err != nil {
						continue
					}
					for j := 0; ctx.Err() == nil; j++ {
						_ = c.SetDeadline(time.Now().Add(20 * time.Millisecond))
						msg := fmt.Sprintf("%s->%s %d %d", from, to, i, j)
						got := make([]byte, len(msg))
						if _, err := io.WriteString(c, msg); err != nil {
							break
						}
						if _, err := io.ReadFull(c, got); err != nil {
							break
						}
						if string(got) != msg {
							t.Errorf("sent %q, got %q", msg, got)
						}
						mu.Lock()
						echoed[from+to]++
						mu.Unlock()
					}
					c.Close()
				}
			})
		}
	}
	rng := mathrand.New(mathrand.NewPCG(seed, 1))
	for range 200 {
		x, y := names[rng.IntN(3)], names[rng.IntN(3)]
		switch rng.IntN(10) {
		case 0:
			n.Cut(x, y)
		case 1:
			n.CutOneWay(x, y)
		case 2:
			n.Isolate(x)
		case 3:
			n.Reset(x, y)
		case 4:
			n.Slow(x, y, Conditions{Latency: time.Millisecond, Jitter: time.Millisecond, BytesPerSecond: 1 << 20, BreakChance: 0.01})
		case 5:
			n.Fast()
		case 6:
			n.ResetAll()
		case 7:
			n.Partition([]string{x}, []string{y})
		default:
			n.Heal()
		}
		time.Sleep(500 * time.Microsecond) // the pace of the faults
	}
	n.Fast()
	n.Heal()
	mu.Lock()
	before := fmt.Sprint(echoed)
	clear(echoed)
	mu.Unlock()
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(echoed) == 9
	}, 10*time.Second, time.Millisecond, "before: %s", before)
	stop()
	clients.Wait()
	for _, name := range names {
		n.Node(name).Crash()
	}
	servers.Wait()
	require.Zero(t, n.Open(), "no connection is left")
}
