package leat

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// freeAddr returns a loopback address that nobody listens on.
func freeAddr(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	return ln.Addr().String()
}

// testCluster is nodes of a cluster in this process.
type testCluster struct {
	t    testing.TB
	cfgs []Config
	logs []*Log
}

func newTestCluster(t testing.TB, n int) *testCluster {
	t.Helper()
	c := &testCluster{t: t, logs: make([]*Log, n)}
	seeds := make(map[uint64]string)
	for i := range n {
		seeds[uint64(i+1)] = freeAddr(t)
	}
	for i := range n {
		cfg := Config{Dir: t.TempDir(), Cluster: &ClusterConfig{NodeID: uint64(i + 1), RaftAddr: seeds[uint64(i+1)],
			ClientAddr: freeAddr(t), Seeds: seeds, HeartbeatInterval: 200 * time.Millisecond, SessionTimeout: 2 * time.Second}}
		if os.Getenv("LEAT_TEST_LOG") != "" {
			cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("n", i+1)
		}
		c.cfgs = append(c.cfgs, cfg)
	}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { c.open(i) })
	}
	wg.Wait()
	t.Cleanup(c.close)
	for i := range n {
		require.NotNil(t, c.logs[i])
	}
	for _, l := range c.logs { // each knows all
		require.Eventually(t, func() bool {
			info, err := l.ClusterInfo(t.Context())
			return err == nil && len(info.Nodes) == n
		}, 20*time.Second, time.Millisecond)
	}
	return c
}

func (c *testCluster) open(i int) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	l, err := Open(ctx, c.cfgs[i])
	if err != nil {
		c.t.Error(fmt.Errorf("node %d: %w", i+1, err))
		return
	}
	c.logs[i] = l
}

func (c *testCluster) stop(i int) {
	require.NoError(c.t, c.logs[i].Close())
	c.logs[i] = nil
}

func (c *testCluster) close() {
	var wg sync.WaitGroup
	for _, l := range c.logs {
		if l != nil {
			wg.Go(func() {
				if err := l.Close(); err != nil {
					c.t.Error(err)
				}
			})
		}
	}
	wg.Wait()
}

func TestClusterForms(t *testing.T) {
	c := newTestCluster(t, 3)
	for _, l := range c.logs {
		info, err := l.ClusterInfo(t.Context())
		require.NoError(t, err)
		require.Len(t, info.Nodes, 3)
	}
}

// leaderOf returns the index of the node that leads partition 0 of a topic.
func (c *testCluster) leaderOf(topic string) int {
	c.t.Helper()
	var at int
	require.Eventually(c.t, func() bool {
		for _, l := range c.logs {
			if l == nil {
				continue
			}
			t, err := l.Topic(c.t.Context(), topic)
			if err != nil {
				return false
			}
			p, err := t.Partition(0)
			if err != nil {
				return false
			}
			n := l.cluster.leaderOf(p).Node
			if n == 0 || c.logs[n-1] == nil {
				return false
			}
			at = int(n) - 1
		}
		return true
	}, 20*time.Second, 10*time.Millisecond)
	return at
}

// readAll consumes n records of a topic from the start, by one node.
func readAll(t testing.TB, l *Log, topic string, n int) []Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := l.NewConsumer(Assign(topic), StartAt(Earliest))
	require.NoError(t, err)
	defer c.Close()
	var all []Record
	for len(all) < n {
		rs, err := c.Poll(ctx, n-len(all))
		require.NoError(t, err)
		for _, r := range rs {
			r.Value = append([]byte(nil), r.Value...)
			all = append(all, r)
		}
	}
	return all
}

func TestClusterProducesAndConsumesOnEveryNode(t *testing.T) {
	c := newTestCluster(t, 3)
	_, err := c.logs[0].CreateTopic(t.Context(), "t", TopicConfig{Partitions: 6})
	require.NoError(t, err)
	const each = 300
	for i, l := range c.logs {
		require.Eventually(t, func() bool { _, err := l.Topic(t.Context(), "t"); return err == nil }, 10*time.Second, time.Millisecond)
		p, err := l.NewProducer()
		require.NoError(t, err)
		for n := range each {
			m, err := p.ProduceSync(t.Context(), Record{Topic: "t", Key: fmt.Appendf(nil, "k%d", n), Value: fmt.Appendf(nil, "%d-%d", i, n)})
			require.NoError(t, err)
			require.GreaterOrEqual(t, m[0].Offset, Offset(0))
		}
	}
	for _, l := range c.logs {
		seen := make(map[string]bool)
		for _, r := range readAll(t, l, "t", 3*each) {
			require.False(t, seen[string(r.Value)])
			seen[string(r.Value)] = true
		}
		require.Len(t, seen, 3*each)
	}
}

func TestClusterFailsOver(t *testing.T) {
	c := newTestCluster(t, 3)
	_, err := c.logs[0].CreateTopic(t.Context(), "t", TopicConfig{})
	require.NoError(t, err)
	first := c.leaderOf("t")
	via := (first + 1) % 3
	p, err := c.logs[via].NewProducer()
	require.NoError(t, err)
	send := func(from, to int) {
		for n := from; n < to; n++ {
			m, err := p.ProduceSync(t.Context(), Record{Topic: "t", Value: fmt.Appendf(nil, "%d", n)})
			require.NoError(t, err)
			require.Equal(t, Offset(n), m[0].Offset)
		}
	}
	send(0, 100)
	c.stop(first)
	send(100, 200)
	require.NotEqual(t, first, c.leaderOf("t"))
	c.open(first)
	send(200, 300)
	for _, l := range c.logs {
		for n, r := range readAll(t, l, "t", 300) {
			require.Equal(t, fmt.Sprint(n), string(r.Value))
		}
	}
}

func TestClusterGroups(t *testing.T) {
	c := newTestCluster(t, 3)
	_, err := c.logs[0].CreateTopic(t.Context(), "t", TopicConfig{Partitions: 4})
	require.NoError(t, err)
	const n = 200
	p, err := c.logs[0].NewProducer()
	require.NoError(t, err)
	for i := range n {
		_, err := p.ProduceSync(t.Context(), Record{Topic: "t", Key: fmt.Append(nil, i), Value: fmt.Append(nil, i)})
		require.NoError(t, err)
	}
	var mu sync.Mutex
	seen := make(map[string]int)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, l := range c.logs {
		wg.Go(func() {
			g, err := l.JoinGroup(ctx, "g", []string{"t"})
			if err != nil {
				if ctx.Err() == nil { // else the others were done before
					t.Error(err)
				}
				return
			}
			defer g.Close()
			for {
				rs, err := g.Poll(ctx, 10)
				if err != nil {
					if ctx.Err() == nil {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				for _, r := range rs {
					seen[string(r.Value)]++
					g.Mark(r)
				}
				if len(seen) == n {
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Len(t, seen, n)
	for i, l := range c.logs {
		lag, err := l.GroupLag(t.Context(), "g")
		require.NoError(t, err, i)
		for _, p := range lag {
			require.Zero(t, p.Lag, "%+v", p)
		}
	}
}
