package leat

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// steadyProducer produces one record after the other until it is stopped.
type steadyProducer struct {
	stop chan struct{}
	done chan struct{}
	sent int
	err  error
	// worst is the longest time without an acknowledgement.
	worst time.Duration
}

func produceSteadily(t *testing.T, l *Log, topic string) *steadyProducer {
	t.Helper()
	p, err := l.NewProducer()
	require.NoError(t, err)
	s := &steadyProducer{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		for last := time.Now(); ; {
			var m []RecordMetadata
			if m, s.err = p.ProduceSync(context.Background(), Record{Topic: topic, Value: fmt.Append(nil, s.sent)}); s.err != nil {
				return
			}
			if m[0].Offset != Offset(s.sent) {
				s.err = fmt.Errorf("record %d has offset %d", s.sent, m[0].Offset)
				return
			}
			s.sent++
			now := time.Now()
			s.worst, last = max(s.worst, now.Sub(last)), now
			select {
			case <-s.stop:
				return
			case <-time.After(2 * time.Millisecond): // the machine is for others too
			}
		}
	}()
	return s
}

// end stops producing and checks that nothing was in its way.
func (s *steadyProducer) end(t *testing.T) {
	t.Helper()
	close(s.stop)
	<-s.done
	require.NoError(t, s.err)
	require.NotZero(t, s.sent)
	require.Less(t, s.worst, 10*time.Second, "the cluster was disturbed")
}

// intruder is the config of a node that is not of the cluster.
func (c *testCluster) intruder(t *testing.T, change func(cfg *Config)) Config {
	cfg := Config{Dir: t.TempDir(), Cluster: &ClusterConfig{NodeID: 9, RaftAddr: freeAddr(t), ClientAddr: freeAddr(t), Join: true,
		Seeds: c.cfgs[0].Cluster.Seeds, HeartbeatInterval: 200 * time.Millisecond, SessionTimeout: 2 * time.Second}}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

// openRefused opens a node and returns its error, which must come by itself.
func openRefused(t *testing.T, cfg Config) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	l, err := Open(ctx, cfg)
	if err == nil {
		require.NoError(t, l.Close())
		require.Fail(t, "the node was let in")
	}
	require.NoError(t, ctx.Err(), "it had to be told to give up: %v", err)
	return err
}

// usable opens and closes a directory as a standalone Log or a node of its own cluster.
func usable(t *testing.T, cfg Config) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	l, err := Open(ctx, cfg)
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

// own is the config of a cluster of one.
func own(t *testing.T, node uint64) Config {
	addr := freeAddr(t)
	return Config{Dir: t.TempDir(), Cluster: &ClusterConfig{NodeID: node, RaftAddr: addr, ClientAddr: freeAddr(t), Seeds: map[uint64]string{node: addr}}}
}

// TestClusterRefusesIntruders starts nodes that do not belong, while the cluster works.
func TestClusterRefusesIntruders(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, 3)
	_, err := c.logs[0].CreateTopic(t.Context(), "t", TopicConfig{})
	require.NoError(t, err)
	steady := produceSteadily(t, c.logs[0], "t")
	t.Run("intruders", func(t *testing.T) {
		for _, tc := range []struct {
			name  string
			cfg   func(t *testing.T) Config
			is    error
			has   []string // what the error must tell
			after func(t *testing.T, cfg Config)
		}{
			{name: "another cluster id", has: []string{"Cluster.ClusterID", "other"}, cfg: func(t *testing.T) Config {
				return c.intruder(t, func(cfg *Config) { cfg.Cluster.ClusterID = "other" })
			}},
			{name: "a directory of another cluster", is: ErrForeignDirectory, has: []string{"another cluster"}, cfg: func(t *testing.T) Config {
				first := own(t, 9)
				usable(t, first)
				return c.intruder(t, func(cfg *Config) { cfg.Dir, cfg.Cluster.RaftAddr = first.Dir, first.Cluster.RaftAddr })
			}},
			{name: "a directory at another address", is: ErrForeignDirectory, has: []string{"node 9", "RaftAddr"}, cfg: func(t *testing.T) Config {
				first := own(t, 9)
				usable(t, first)
				return c.intruder(t, func(cfg *Config) { cfg.Dir = first.Dir })
			}},
			{name: "a directory of another cluster, by its id", is: ErrForeignDirectory, has: []string{`"mine"`, `"other"`}, cfg: func(t *testing.T) Config {
				first := own(t, 9)
				first.Cluster.ClusterID = "mine"
				usable(t, first)
				first.Cluster.ClusterID = "other"
				return first
			}},
			{name: "a directory of another node", is: ErrForeignDirectory, has: []string{"node 8", "node 9"}, cfg: func(t *testing.T) Config {
				first := own(t, 8)
				usable(t, first)
				return c.intruder(t, func(cfg *Config) { cfg.Dir = first.Dir })
			}},
			{name: "a directory without a cluster", is: ErrForeignDirectory, has: []string{"standalone"}, cfg: func(t *testing.T) Config {
				dir := t.TempDir()
				l, err := Open(t.Context(), Config{Dir: dir})
				require.NoError(t, err)
				_, err = l.CreateTopic(t.Context(), "t", TopicConfig{})
				require.NoError(t, err)
				require.NoError(t, l.Close())
				return c.intruder(t, func(cfg *Config) { cfg.Dir = dir })
			}, after: func(t *testing.T, cfg Config) { usable(t, Config{Dir: cfg.Dir}) }},
			{name: "a node's directory without its cluster", is: ErrForeignDirectory, has: []string{"Config.Cluster"}, cfg: func(t *testing.T) Config {
				first := own(t, 9)
				usable(t, first)
				return Config{Dir: first.Dir}
			}},
			{name: "the directory of a running node", is: ErrLocked, cfg: func(t *testing.T) Config {
				return c.intruder(t, func(cfg *Config) { cfg.Dir = c.cfgs[1].Dir })
			}},
			{name: "the node id of a running node", has: []string{"node 2", c.cfgs[1].Cluster.RaftAddr}, cfg: func(t *testing.T) Config {
				return c.intruder(t, func(cfg *Config) {
					cfg.Cluster.NodeID = 2
					cfg.Cluster.Seeds = map[uint64]string{1: c.cfgs[0].Cluster.RaftAddr, 3: c.cfgs[2].Cluster.RaftAddr}
				})
			}},
			{name: "the Raft address of another", has: []string{"node 9", c.cfgs[1].Cluster.RaftAddr, "in use"}, cfg: func(t *testing.T) Config {
				return c.intruder(t, func(cfg *Config) { cfg.Cluster.RaftAddr = c.cfgs[1].Cluster.RaftAddr })
			}},
			{name: "the client address of another", has: []string{"node 9", c.cfgs[1].Cluster.ClientAddr, "in use"}, cfg: func(t *testing.T) Config {
				return c.intruder(t, func(cfg *Config) { cfg.Cluster.ClientAddr = c.cfgs[1].Cluster.ClientAddr })
			}, after: func(t *testing.T, cfg Config) {
				info, err := c.logs[0].ClusterInfo(t.Context())
				require.NoError(t, err)
				require.Len(t, info.Nodes, 3, "it came in all the same")
			}},
			{name: "an advertised client address of another", has: []string{"node 9", c.cfgs[1].Cluster.ClientAddr, "node 2"}, cfg: func(t *testing.T) Config {
				return c.intruder(t, func(cfg *Config) {
					cfg.Cluster.ClientAddr, cfg.Cluster.ClientListen = c.cfgs[1].Cluster.ClientAddr, freeAddr(t)
				})
			}},
			{name: "a seed's address that is another's", has: []string{"Seeds[1]", "node 2"}, cfg: func(t *testing.T) Config {
				return c.intruder(t, func(cfg *Config) { cfg.Cluster.Seeds = map[uint64]string{1: c.cfgs[1].Cluster.RaftAddr} })
			}},
			{name: "plain text to others", has: []string{"RaftAddr", "192.0.2.1", "Insecure"}, cfg: func(t *testing.T) Config {
				return c.intruder(t, func(cfg *Config) {
					cfg.Cluster.RaftAddr, cfg.Cluster.RaftListen = "192.0.2.1:7001", freeAddr(t)
				})
			}},
			{name: "plain text to clients", has: []string{"ClientListen", "0.0.0.0", "Insecure"}, cfg: func(t *testing.T) Config {
				return c.intruder(t, func(cfg *Config) { cfg.Cluster.ClientListen = "0.0.0.0:19092" })
			}},
		} {
			t.Run(tc.name, func(t *testing.T) {
				t.Parallel()
				cfg := tc.cfg(t)
				err := openRefused(t, cfg)
				t.Log(err)
				if tc.is != nil {
					require.ErrorIs(t, err, tc.is)
				}
				for _, s := range tc.has {
					require.ErrorContains(t, err, s)
				}
				if tc.after != nil {
					tc.after(t, cfg)
				}
			})
		}
	})
	_, err = c.logs[1].CreateTopic(t.Context(), "too-many", TopicConfig{ReplicationFactor: 4})
	require.ErrorIs(t, err, ErrTooFewNodes)
	require.ErrorContains(t, err, "too-many")
	steady.end(t)
	info, err := c.logs[2].ClusterInfo(t.Context())
	require.NoError(t, err)
	require.Len(t, info.Nodes, 3)
	for _, n := range info.Nodes {
		require.Equal(t, "active", n.State)
	}
	require.Len(t, readAll(t, c.logs[1], "t", steady.sent), steady.sent)
}

// TestClusterSeedsThatDiffer forms a cluster of nodes that are told different seeds.
func TestClusterSeedsThatDiffer(t *testing.T) {
	t.Parallel()
	a, b, x := own(t, 1), own(t, 2), own(t, 3)
	seeds := map[uint64]string{1: a.Cluster.RaftAddr, 2: b.Cluster.RaftAddr}
	a.Cluster.Seeds, b.Cluster.Seeds = seeds, seeds
	x.Cluster.Seeds = map[uint64]string{1: a.Cluster.RaftAddr, 3: x.Cluster.RaftAddr}
	opened := make(chan error)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var logs [2]*Log
	start := func(i int, cfg Config) {
		var err error
		logs[i], err = Open(ctx, cfg)
		opened <- err
	}
	go start(0, a)
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", a.Cluster.RaftAddr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, 10*time.Second, time.Millisecond)
	err := openRefused(t, x)
	require.ErrorContains(t, err, "Cluster.Seeds")
	require.ErrorContains(t, err, "node 1")
	go start(1, b)
	for range logs {
		require.NoError(t, <-opened)
	}
	for _, l := range logs {
		require.NoError(t, l.Close())
	}
}

// TestClusterOpenCancelled ends the waiting for other seeds, by ctx, in all of them that
// wait at once and one after the other. What is left behind TestMain finds.
func TestClusterOpenCancelled(t *testing.T) {
	t.Parallel()
	a, b := own(t, 1), own(t, 2)
	seeds := map[uint64]string{1: a.Cluster.RaftAddr, 2: b.Cluster.RaftAddr, 3: freeAddr(t)}
	a.Cluster.Seeds, b.Cluster.Seeds = seeds, seeds
	for range 2 {
		errs := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		for _, cfg := range []Config{a, b} {
			go func() {
				l, err := Open(ctx, cfg)
				if err == nil {
					err = errors.Join(errors.New("a cluster without node 3"), l.Close())
				}
				errs <- err
			}()
		}
		time.AfterFunc(300*time.Millisecond, cancel)
		for range 2 {
			select {
			case err := <-errs:
				require.ErrorIs(t, err, context.Canceled)
				require.ErrorContains(t, err, "has not entered its cluster: node ")
			case <-time.After(10 * time.Second):
				require.Fail(t, "Open hangs")
			}
		}
	}
}

// TestClusterGarbage sends what is no request to both ports of a node that works.
func TestClusterGarbage(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, 3)
	_, err := c.logs[0].CreateTopic(t.Context(), "t", TopicConfig{})
	require.NoError(t, err)
	lead := c.leaderOf("t")
	steady := produceSteadily(t, c.logs[(lead+1)%3], "t")
	raft, clients := c.cfgs[lead].Cluster.RaftAddr, c.cfgs[lead].Cluster.ClientAddr
	size := func(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }
	t.Run("frames", func(t *testing.T) {
		for name, junk := range map[string]string{
			"http":           "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
			"tls":            "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("x", 500),
			"zeros":          strings.Repeat("\x00", 4096),
			"ones":           strings.Repeat("\xff", 4096),
			"huge frame":     size(1<<31-1) + strings.Repeat("x", 4096),
			"negative":       size(1<<32-1) + strings.Repeat("x", 4096),
			"empty frame":    size(0),
			"a lot of noise": strings.Repeat("noise", 1<<20),
		} {
			for port, addr := range map[string]string{"raft": raft, "clients": clients} {
				t.Run(name+" to "+port, func(t *testing.T) {
					t.Parallel()
					conn, err := net.Dial("tcp", addr)
					require.NoError(t, err)
					defer conn.Close()
					require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
					_, _ = conn.Write([]byte(junk))      // it may have been closed half way
					_ = conn.(*net.TCPConn).CloseWrite() // so may this
					buf := make([]byte, 64<<10)
					for err == nil {
						_, err = conn.Read(buf)
					}
					require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the connection stays open")
				})
			}
		}
		for port, addr := range map[string]string{"raft": raft, "clients": clients} {
			t.Run("half frames to "+port, func(t *testing.T) {
				t.Parallel()
				conns := make([]net.Conn, 100)
				for i := range conns {
					var err error
					conns[i], err = net.Dial("tcp", addr)
					require.NoError(t, err)
					defer conns[i].Close()
				}
				for n := range 5 { // a byte at a time, while others are served
					for i := range conns {
						_, _ = conns[i].Write([]byte{"\x00\x00\x00\x20\x00"[n]})
					}
					time.Sleep(50 * time.Millisecond)
				}
			})
		}
	})
	steady.end(t)
	for _, l := range c.logs {
		require.Len(t, readAll(t, l, "t", steady.sent), steady.sent)
	}
}
