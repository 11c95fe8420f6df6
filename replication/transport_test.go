package replication

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lni/dragonboat/v4/config"
	pb "github.com/lni/dragonboat/v4/raftpb"

	"github.com/leatlog/leat/internal/base"
)

// authority signs certificates for 127.0.0.1.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
	next int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool(), next: 2}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) sign(t *testing.T) (tls.Certificate, []byte, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.next++
	template := &x509.Certificate{SerialNumber: big.NewInt(a.next), Subject: pkix.Name{CommonName: "node"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return cert, certPEM, keyPEM
}

func (a *authority) source(t *testing.T) TLSSource {
	cert, _, _ := a.sign(t)
	return StaticTLS(&tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: a.pool})
}

func startTransport(t *testing.T, c TransportConfig) *Transport {
	t.Helper()
	return startTransportWith(t, c, timeouts{dial: 2 * time.Second, idle: time.Minute, frame: time.Second})
}

func startTransportWith(t *testing.T, c TransportConfig, limits timeouts) *Transport {
	t.Helper()
	if c.ListenAddr == "" {
		c.ListenAddr = "127.0.0.1:0"
	}
	if c.NodeID == 0 {
		c.NodeID = 1
	}
	tr, err := NewTransport(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	tr.timeouts = limits
	if err := tr.Listen(); err != nil {
		t.Fatal(err)
	}
	return tr
}

// raftEnd is dragonboat's end of a transport.
type raftEnd struct {
	*raftTransport
	messages chan pb.MessageBatch
	chunks   chan pb.Chunk
}

func startRaft(t *testing.T, tr *Transport) *raftEnd {
	t.Helper()
	e := &raftEnd{messages: make(chan pb.MessageBatch, 100), chunks: make(chan pb.Chunk, 100)}
	e.raftTransport = transportFactory{t: tr}.Create(config.NodeHostConfig{},
		func(b pb.MessageBatch) { e.messages <- b },
		func(c pb.Chunk) bool { e.chunks <- c; return true }).(*raftTransport)
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestTransportCarriesRaft(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for name, source := range map[string]func() TLSSource{
		"plain": func() TLSSource { return nil },
		"TLS":   func() TLSSource { return ca.source(t) },
	} {
		t.Run(name, func(t *testing.T) {
			a := startRaft(t, startTransport(t, TransportConfig{NodeID: 1, ClusterID: "c", TLS: source()}))
			b := startRaft(t, startTransport(t, TransportConfig{NodeID: 2, ClusterID: "c", TLS: source()}))

			mc, err := a.GetConnection(t.Context(), b.t.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer mc.Close()
			big := bytes.Repeat([]byte("x"), 3<<20)
			sent := []pb.Message{
				{Type: pb.Heartbeat, To: 2, From: 1, ShardID: 9, Term: 4, Commit: 5},
				{Type: pb.Replicate, To: 2, From: 1, ShardID: 9, LogIndex: 1, LogTerm: 1,
					Entries: []pb.Entry{{Index: 2, Term: 4, Cmd: big}, {Index: 3, Term: 4}}},
			}
			for range 3 {
				if err := mc.SendMessageBatch(pb.MessageBatch{Requests: sent}); err != nil {
					t.Fatal(err)
				}
				got := <-b.messages
				if !reflect.DeepEqual(got.Requests, sent) || got.SourceAddress != a.t.Addr() {
					t.Fatal("the messages are not those that were sent")
				}
			}

			sc, err := a.GetSnapshotConnection(t.Context(), b.t.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer sc.Close()
			for i := range uint64(3) {
				c := pb.Chunk{ShardID: 9, ReplicaID: 2, From: 1, ChunkId: i, ChunkCount: 3, Index: 77, Filepath: "/x/f", Data: big[:2<<20]}
				if err := sc.SendChunk(c); err != nil {
					t.Fatal(err)
				}
				got := <-b.chunks
				if !bytes.Equal(got.Data, c.Data) || got.ChunkId != i || got.Index != 77 {
					t.Fatalf("chunk %d became %d of index %d", i, got.ChunkId, got.Index)
				}
			}
			out := a.t.Transfers()
			if len(out) != 1 || out[0].State != TransferDone || out[0].Bytes != 6<<20 || out[0].Incoming ||
				out[0].Shard != 9 || out[0].Replica != 2 || out[0].Index != 77 || out[0].Peer != b.t.Addr() {
				t.Fatalf("outgoing: %+v", out)
			}
			// The receiver counts after its handler returned.
			waitFor(t, "the transfer to be counted", func() bool {
				in := b.t.Transfers()
				return len(in) == 1 && in[0].State == TransferDone && in[0].Bytes == 6<<20 && in[0].Incoming
			})
		})
	}
}

// waitFor polls for what has no event to wait for.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestTransportNoticesAPeerThatWentAway(t *testing.T) {
	t.Parallel()
	a := startRaft(t, startTransport(t, TransportConfig{NodeID: 1, ClusterID: "c"}))
	bt := startTransport(t, TransportConfig{NodeID: 2, ClusterID: "c"})
	b := startRaft(t, bt)
	mc, err := a.GetConnection(t.Context(), bt.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer mc.Close()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	<-mc.(*messageConn).ended
	heartbeat := pb.MessageBatch{Requests: []pb.Message{{Type: pb.Heartbeat, To: 1}}}
	if err := mc.SendMessageBatch(heartbeat); !errors.Is(err, ErrRefused) {
		t.Fatalf("sent to a closed node: %v", err)
	}
	// When it is back, no message is lost to the old connection.
	b = startRaft(t, bt)
	if err := mc.SendMessageBatch(heartbeat); err != nil {
		t.Fatal(err)
	}
	<-b.messages
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	var refused *RefusedError
	if _, err := a.GetConnection(t.Context(), bt.Addr()); !errors.As(err, &refused) || refused.Reason != RefusedNotReady {
		t.Fatalf("connect to a closed node: %v", err)
	}
}

func TestTransportRefuses(t *testing.T) {
	t.Parallel()
	b := startTransport(t, TransportConfig{NodeID: 2, ClusterID: "c"})
	startRaft(t, b)
	for _, tt := range []struct {
		name string
		cfg  TransportConfig
		want RefusalReason
	}{
		{"another cluster", TransportConfig{NodeID: 1, ClusterID: "d"}, RefusedCluster},
		{"no cluster", TransportConfig{NodeID: 1}, RefusedCluster},
		{"the same node id", TransportConfig{NodeID: 2, ClusterID: "c"}, RefusedNode},
	} {
		a := startRaft(t, startTransport(t, tt.cfg))
		var refused *RefusedError
		_, err := a.GetConnection(t.Context(), b.Addr())
		if !errors.As(err, &refused) || refused.Reason != tt.want || !strings.Contains(err.Error(), b.Addr()) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	b.seal()
	a := startRaft(t, startTransport(t, TransportConfig{NodeID: 1, ClusterID: "c"}))
	var refused *RefusedError
	if _, err := a.GetConnection(t.Context(), b.Addr()); !errors.As(err, &refused) || refused.Reason != RefusedFailed {
		t.Errorf("a sealed node: %v", err)
	}
}

func TestTransportCalls(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	b := startTransport(t, TransportConfig{NodeID: 2, ClusterID: "c", Call: func(ctx context.Context, from Peer, kind uint8, body []byte) ([]byte, error) {
		switch kind {
		case 1:
			return fmt.Appendf(nil, "%d %q %s", from.Node, from.ClusterID, body), nil
		case 2:
			return nil, &CallError{Code: 17, Message: "no"}
		case 3:
			<-ctx.Done()
			return nil, ctx.Err()
		case 4:
			close(entered)
			<-release
			return nil, nil
		}
		return make([]byte, MaxMaxFrameBytes/32), nil
	}})
	// One that belongs to no cluster yet may call.
	a := startTransport(t, TransportConfig{NodeID: 1})
	got, err := a.Call(t.Context(), b.Addr(), 1, []byte("body"))
	if err != nil || string(got) != `1 "" body` {
		t.Fatalf("%s, %v", got, err)
	}
	var remote *RemoteError
	if _, err := a.Call(t.Context(), b.Addr(), 2, nil); !errors.As(err, &remote) || remote.Code != 17 || remote.Message != "no" {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := a.Call(ctx, b.Addr(), 3, nil); !errors.Is(err, ErrTimeout) && !errors.Is(err, ErrRemote) {
		t.Fatal(err)
	}
	if _, err := a.Call(t.Context(), b.Addr(), 5, nil); !errors.Is(err, ErrRemote) {
		t.Fatalf("a reply that is too large: %v", err)
	}
	if _, err := a.Call(t.Context(), b.Addr(), 1, make([]byte, DefaultMaxFrameBytes)); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
	if err := a.SetClusterID("d"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Call(t.Context(), b.Addr(), 1, nil); !errors.Is(err, ErrRefused) {
		t.Fatalf("a call from another cluster: %v", err)
	}
	if err := a.SetClusterID("c"); err == nil {
		t.Fatal("the cluster id was changed")
	}
	done := make(chan error, 1)
	c := startTransport(t, TransportConfig{NodeID: 3, ClusterID: "c"})
	go func() {
		_, err := c.Call(context.Background(), b.Addr(), 4, nil)
		done <- err
	}()
	<-entered
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Fatalf("a call on a transport that was closed: %v", err)
	}
	if _, err := c.Call(t.Context(), b.Addr(), 1, nil); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestPlainTextIsForLoopback(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"0.0.0.0:0", "192.0.2.1:7001", ":7001", "example.org:7001", "[::]:1"} {
		if _, err := NewTransport(TransportConfig{NodeID: 1, ListenAddr: addr}); err == nil {
			t.Errorf("%s: allowed", addr)
		}
	}
	if _, err := NewTransport(TransportConfig{NodeID: 1, ListenAddr: "127.0.0.1:0", RaftAddr: "192.0.2.1:7001"}); !errors.Is(err, ErrInsecure) {
		t.Errorf("a foreign RaftAddr: %v", err)
	}
	if _, err := NewTransport(TransportConfig{NodeID: 1, ListenAddr: "0.0.0.0:0", Insecure: true}); err != nil {
		t.Error(err)
	}
	tr := startTransport(t, TransportConfig{NodeID: 1})
	if _, err := tr.Call(t.Context(), "192.0.2.1:7001", 1, nil); !errors.Is(err, ErrInsecure) {
		t.Errorf("dialled: %v", err)
	}
}

// What does not belong to the protocol ends its own connection and no other.
func TestBadInput(t *testing.T) {
	t.Parallel()
	frame := func(typ frameType, body []byte) []byte {
		var buf bytes.Buffer
		var bufs net.Buffers
		if err := writeFrame(&buf, typ, &bufs, body); err != nil {
			t.Fatal(err)
		}
		return buf.Bytes()
	}
	header := func(size uint32, typ frameType) []byte {
		b := make([]byte, frameHeaderBytes)
		binary.BigEndian.PutUint32(b, size)
		b[8] = byte(typ)
		return b
	}
	hi := func(p purpose) []byte {
		h := hello{purpose: p, peer: Peer{Node: 7, ClusterID: "c", Addr: "127.0.0.1:1"}}
		return append([]byte(preamble), frame(frameHello, h.append(nil))...)
	}
	flipped := frame(frameMessages, []byte{0})
	flipped[4] ^= 1
	inputs := map[string][]byte{
		"garbage":              bytes.Repeat([]byte{0x5a}, 4096),
		"HTTP":                 []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"TLS":                  {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3},
		"half a preamble":      []byte("LE"),
		"hello of 4 GiB":       append([]byte(preamble), header(1<<32-1, frameHello)...),
		"hello over the limit": append([]byte(preamble), frame(frameHello, make([]byte, maxHelloBytes+1))...),
		"not a hello":          append([]byte(preamble), frame(frameCall, []byte{1, 2})...),
		"empty hello":          append([]byte(preamble), frame(frameHello, nil)...),
		"half a hello":         hi(purposeMessages)[:20],
		"frame of 4 GiB":       append(hi(purposeMessages), header(1<<32-1, frameMessages)...),
		"frame over the limit": append(hi(purposeMessages), header(DefaultMaxFrameBytes+1, frameMessages)...),
		"wrong checksum":       append(hi(purposeMessages), flipped...),
		"wrong type":           append(hi(purposeMessages), frame(frameCall, []byte{1, 0, 0, 0, 0})...),
		"garbage as messages":  append(hi(purposeMessages), frame(frameMessages, bytes.Repeat([]byte{0xff}, 100))...),
		"garbage as chunk":     append(hi(purposeSnapshot), frame(frameChunk, bytes.Repeat([]byte{0xff}, 100))...),
		"garbage as call":      append(hi(purposeCalls), frame(frameCall, []byte{1})...),
		"frame that stalls":    append(hi(purposeMessages), header(1<<20, frameMessages)...),
	}
	for name, conf := range map[string]TransportConfig{
		"plain": {NodeID: 2, ClusterID: "c"},
		"TLS":   {NodeID: 2, ClusterID: "c", TLS: newAuthority(t).source(t)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startTransport(t, conf)
			end := startRaft(t, b)
			conf.NodeID = 1
			a := startRaft(t, startTransport(t, conf))
			good, err := a.GetConnection(t.Context(), b.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer good.Close()
			var wg sync.WaitGroup
			for what, input := range inputs {
				wg.Add(1)
				go func() {
					defer wg.Done()
					c, err := net.Dial("tcp", b.Addr())
					if err != nil {
						t.Error(err)
						return
					}
					defer c.Close()
					if _, err := c.Write(input); err != nil {
						return // closed already
					}
					if err := c.SetReadDeadline(time.Now().Add(15 * time.Second)); err != nil {
						t.Error(err)
					}
					if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("%s: the connection was kept", what)
					}
				}()
			}
			wg.Wait()
			if err := good.SendMessageBatch(pb.MessageBatch{Requests: []pb.Message{{Type: pb.Heartbeat, To: 2}}}); err != nil {
				t.Fatal(err)
			}
			<-end.messages
			if len(end.messages) != 0 || len(end.chunks) != 0 {
				t.Error("bad input got through")
			}
			waitFor(t, "the connections to be given back", func() bool {
				b.mu.Lock()
				defer b.mu.Unlock()
				return b.accepted == 1 && b.handshaking == 0
			})
		})
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	b := startTransportWith(t, TransportConfig{NodeID: 2, ClusterID: "c", MaxConnections: 8},
		timeouts{dial: time.Minute, idle: time.Minute, frame: time.Second})
	var conns []net.Conn
	for range 20 {
		c, err := net.Dial("tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	closed := 0
	for _, c := range conns[2:] { // a quarter may be in their handshake
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			closed++
		}
	}
	if closed != 18 {
		t.Errorf("%d of 18 connections over the bound were closed", closed)
	}
}

func TestStrangersAreNotLetIn(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t), newAuthority(t)
	b := startTransport(t, TransportConfig{NodeID: 2, ClusterID: "c", TLS: ours.source(t),
		Call: func(context.Context, Peer, uint8, []byte) ([]byte, error) { return nil, nil }})
	if _, err := startTransport(t, TransportConfig{NodeID: 1, ClusterID: "c", TLS: ours.source(t)}).Call(t.Context(), b.Addr(), 1, nil); err != nil {
		t.Fatal(err)
	}
	cert, _, _ := theirs.sign(t)
	for name, source := range map[string]TLSSource{
		"another authority's certificate": StaticTLS(&tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: ours.pool}),
		"another authority":               theirs.source(t),
		"plain text":                      nil,
	} {
		a := startTransport(t, TransportConfig{NodeID: 1, ClusterID: "c", TLS: source})
		if _, err := a.Call(t.Context(), b.Addr(), 1, nil); err == nil {
			t.Errorf("%s: let in", name)
		}
	}
	for name, c := range map[string]*tls.Config{
		"nothing":        nil,
		"no certificate": {RootCAs: ours.pool},
		"no authority":   {Certificates: []tls.Certificate{cert}},
		"no verifying":   {Certificates: []tls.Certificate{cert}, RootCAs: ours.pool, InsecureSkipVerify: true},
	} {
		tr, err := NewTransport(TransportConfig{NodeID: 1, ListenAddr: "127.0.0.1:0", TLS: StaticTLS(c)})
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.Listen(); err == nil {
			t.Errorf("%s: listens", name)
		}
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Certificates and authorities are replaced while a transport runs.
func TestTLSFilesAreReloaded(t *testing.T) {
	t.Parallel()
	first, second := newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	names := []string{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")}
	write := func(a *authority, at time.Time) {
		_, cert, key := a.sign(t)
		ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
		for i, b := range [][]byte{cert, key, ca} {
			if err := os.WriteFile(names[i], b, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(names[i], at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	source := TLSFiles(names[0], names[1], names[2])
	if _, err := source(); err == nil {
		t.Fatal("files that are not there")
	}
	write(first, time.Now())
	b := startTransport(t, TransportConfig{NodeID: 2, ClusterID: "c", TLS: source,
		Call: func(context.Context, Peer, uint8, []byte) ([]byte, error) { return nil, nil }})
	old := startTransport(t, TransportConfig{NodeID: 1, ClusterID: "c", TLS: first.source(t)})
	if _, err := old.Call(t.Context(), b.Addr(), 1, nil); err != nil {
		t.Fatal(err)
	}
	write(second, time.Now().Add(time.Minute))
	if _, err := old.Call(t.Context(), b.Addr(), 1, nil); err == nil {
		t.Error("the old authority is still trusted")
	}
	new := startTransport(t, TransportConfig{NodeID: 1, ClusterID: "c", TLS: second.source(t)})
	if _, err := new.Call(t.Context(), b.Addr(), 1, nil); err != nil {
		t.Error(err)
	}
	// A file that is cut off half way changes nothing.
	if err := os.WriteFile(names[0], []byte("-----BEGIN"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := new.Call(t.Context(), b.Addr(), 1, nil); err != nil {
		t.Error(err)
	}
}

func TestListenErrorNamesTheAddress(t *testing.T) {
	t.Parallel()
	a := startTransport(t, TransportConfig{NodeID: 1})
	b, err := NewTransport(TransportConfig{NodeID: 2, RaftAddr: a.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Listen(); err == nil || !strings.Contains(err.Error(), a.Addr()) {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error("closed again:", err)
	}
	if err := b.Listen(); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// fakeClock is a clock whose timers fire when its time is set.
type fakeClock struct {
	base.SystemClock
	now    time.Time
	slept  time.Duration
	timers int
}

func (c *fakeClock) Now() time.Time { return c.now }

// NewTimer returns a timer that fires at once and lets the time pass.
func (c *fakeClock) NewTimer(d time.Duration) base.Timer {
	c.now = c.now.Add(d)
	c.slept += d
	c.timers++
	return c.SystemClock.NewTimer(0)
}

func TestLimiterKeepsItsRate(t *testing.T) {
	t.Parallel()
	clock := &fakeClock{now: time.Unix(1000, 0)}
	l := newLimiter(clock, 10<<20)
	for range 50 {
		if !l.wait(1<<20, nil) {
			t.Fatal("stopped")
		}
	}
	if want := 4800 * time.Millisecond; clock.slept < want || clock.slept > want+200*time.Millisecond {
		t.Errorf("50 MiB at 10 MiB/s took %v", clock.slept)
	}
	real := newLimiter(base.SystemClock{}, 1)
	stop := make(chan struct{})
	close(stop)
	real.wait(100, stop)
	if real.wait(1, stop) {
		t.Error("let through after the stop")
	}
	if !newLimiter(clock, 0).wait(1<<40, stop) {
		t.Error("no limit held something up")
	}
}
