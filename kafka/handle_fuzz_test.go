package kafka

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/store"
)

// sink is a connection whose client takes everything.
type sink struct{ net.Conn }

func (sink) Read([]byte) (int, error)         { return 0, io.EOF }
func (sink) Write(b []byte) (int, error)      { return len(b), nil }
func (sink) Close() error                     { return nil }
func (sink) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9092} }
func (sink) SetReadDeadline(time.Time) error  { return nil }
func (sink) SetWriteDeadline(time.Time) error { return nil }

// hastyClock's timers fire at once, so that no request waits.
type hastyClock struct{ base.SystemClock }

func (c hastyClock) NewTimer(time.Duration) base.Timer { return c.SystemClock.NewTimer(0) }

// fuzzNode is a node that knows the group APIs as far as their answers go.
type fuzzNode struct{ *fakeNode }

func (fuzzNode) Clock() base.Clock { return hastyClock{} }

func (fuzzNode) ServeGroup(_ context.Context, _ Client, req kmsg.Request) kmsg.Response {
	return req.ResponseKind()
}

// FuzzHandle gives a whole server requests that have the right shape and any values:
// none of them panics, none keeps memory or watches anything when it is answered, and
// what is allocated is bounded by what was sent and by what is stored.
func FuzzHandle(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for i := range apis {
		for version := apis[i].min; version <= apis[i].max; version++ {
			for range 3 {
				f.Add(randomRequest(r, &apis[i], version))
			}
		}
	}
	s, err := store.Open(store.Options{Dir: "node", FS: store.NewMemFS()})
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, s.Close()) })
	fc := &fakeCluster{coordinator: 1, deposed: make(map[int32]bool), draining: make(map[int32]bool)}
	node := &fakeNode{cluster: fc, id: 1, store: s, addr: "127.0.0.1:1"}
	fc.nodes = append(fc.nodes, node)
	// The random requests name "", "n", "na", ... and partitions of any number.
	for _, name := range []string{"n", "name"} {
		fc.addTopic(f, name, 3, 1)
	}
	server, err := NewServer(fuzzNode{node}, Options{Limits: Limits{FetchBytes: 1 << 20, FetchSessions: 10}})
	require.NoError(f, err)
	f.Cleanup(server.Close)
	f.Fuzz(func(t *testing.T, frame []byte) {
		parsed, err := parseRequest(frame)
		if err != nil || parsed.api == nil {
			return
		}
		c := newConn(server, sink{}, "fuzz")
		c.requests = share{newBudget(server.limits.MemoryBytesPerAddr), server.requests}
		c.answers = share{newBudget(server.limits.MemoryBytesPerAddr), server.answers}
		c.slots = make(chan struct{}, server.limits.InFlight)
		fc.mu.Lock()
		fc.moving = nil
		fc.mu.Unlock()
		got := allocated(func() {
			if err := c.handle(frame, 0); err == nil {
				c.wg.Wait()
			}
		})
		c.wg.Wait()
		c.close(ClosedByClient)
		server.sessions.drop(c)
		if bound := uint64(4<<20 + 16*len(frame) + 16*elementBytes*parsed.elements); got > bound && parsed.key != int16(kmsg.Produce) {
			t.Errorf("%s %d: %d bytes with %d elements took %d bytes, more than %d", parsed.api.key.Name(), parsed.version, len(frame), parsed.elements, got, bound)
		}
		require.Zero(t, c.requests.addr.used())
		require.Zero(t, c.answers.addr.used())
		require.Empty(t, c.line)
		for _, topic := range fc.topics {
			for _, p := range topic.parts {
				require.Empty(t, p.replicas[1].watchers)
			}
		}
	})
}
