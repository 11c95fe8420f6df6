package leat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// add starts one more node, which joins.
func (c *testCluster) add() int {
	c.t.Helper()
	i := len(c.cfgs)
	cfg := Config{Dir: c.t.TempDir(), Cluster: &ClusterConfig{NodeID: uint64(i + 1), RaftAddr: freeAddr(c.t), ClientAddr: freeAddr(c.t),
		Seeds: c.cfgs[0].Cluster.Seeds, Join: true, HeartbeatInterval: 200 * time.Millisecond, SessionTimeout: 2 * time.Second}}
	if os.Getenv("LEAT_TEST_LOG") != "" {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("n", i+1)
	}
	c.cfgs = append(c.cfgs, cfg)
	c.logs = append(c.logs, nil)
	c.open(i)
	require.NotNil(c.t, c.logs[i])
	return i
}

// settled waits until no shard moves.
func (c *testCluster) settled(l *Log) ClusterInfo {
	c.t.Helper()
	var info ClusterInfo
	require.Eventually(c.t, func() bool {
		var err error
		info, err = l.ClusterInfo(c.t.Context())
		require.NoError(c.t, err)
		return !slices.ContainsFunc(info.Shards, func(s ShardInfo) bool { return s.Moving })
	}, 60*time.Second, 50*time.Millisecond)
	return info
}

func TestClusterJoinDrainRemove(t *testing.T) {
	c := newTestCluster(t, 3)
	_, err := c.logs[0].CreateTopic(t.Context(), "t", TopicConfig{Partitions: 6})
	require.NoError(t, err)
	p, err := c.logs[1].NewProducer()
	require.NoError(t, err)
	sent := 0
	send := func(n int) {
		for range n {
			_, err := p.ProduceSync(t.Context(), Record{Topic: "t", Value: fmt.Append(nil, sent)})
			require.NoError(t, err)
			sent++
		}
	}
	send(100)
	four := c.add()
	send(100)
	require.Len(t, readAll(t, c.logs[four], "t", sent), sent, "the new node reads what it does not store")

	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	require.NoError(t, c.logs[1].DrainNode(ctx, 1))
	send(100)
	require.NoError(t, c.logs[1].RemoveNode(ctx, 1))
	require.Eventually(t, func() bool {
		_, err := c.logs[0].Topics(ctx)
		return errors.Is(err, ErrNodeRemoved)
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, c.logs[0].Close())
	c.logs[0] = nil
	send(100)
	info := c.settled(c.logs[1])
	require.Len(t, info.Nodes, 3)
	for _, s := range info.Shards {
		require.NotZero(t, s.Leader)
		require.NotContains(t, s.Replicas, ReplicaInfo{Node: 1, State: "voter"})
	}
	for _, l := range c.logs[1:] {
		require.Len(t, readAll(t, l, "t", sent), sent)
	}

	// A removed node is refused for good.
	_, err = Open(ctx, c.cfgs[0])
	require.ErrorIs(t, err, ErrNodeRemoved)
}

func TestClusterReplacesAWipedNode(t *testing.T) {
	c := newTestCluster(t, 3)
	_, err := c.logs[0].CreateTopic(t.Context(), "t", TopicConfig{Partitions: 3})
	require.NoError(t, err)
	p, err := c.logs[0].NewProducer()
	require.NoError(t, err)
	for n := range 200 {
		_, err := p.ProduceSync(t.Context(), Record{Topic: "t", Value: fmt.Append(nil, n)})
		require.NoError(t, err)
	}
	c.stop(2)
	c.cfgs[2].Dir = t.TempDir()
	c.open(2)
	require.NotNil(t, c.logs[2])
	for n := range 200 {
		_, err := p.ProduceSync(t.Context(), Record{Topic: "t", Value: fmt.Append(nil, 200+n)})
		require.NoError(t, err)
	}
	info := c.settled(c.logs[0])
	for _, s := range info.Shards {
		require.Contains(t, s.Replicas, ReplicaInfo{Node: 3, State: "voter"}, "shard %d", s.ID)
	}
	require.Len(t, readAll(t, c.logs[2], "t", 400), 400)
	topic, err := c.logs[2].Topic(t.Context(), "t")
	require.NoError(t, err)
	for n := range int32(3) {
		part, err := topic.Partition(n)
		require.NoError(t, err)
		require.Eventually(t, func() bool { return c.logs[2].cluster.stored(part) != nil }, 20*time.Second, 10*time.Millisecond)
	}
}

func TestClusterRollingRestart(t *testing.T) {
	c := newTestCluster(t, 3)
	_, err := c.logs[0].CreateTopic(t.Context(), "t", TopicConfig{Partitions: 3})
	require.NoError(t, err)
	var sent int
	for i := range c.logs {
		via := (i + 1) % 3
		p, err := c.logs[via].NewProducer()
		require.NoError(t, err)
		stop := make(chan struct{})
		done := make(chan time.Duration)
		go func() {
			var worst time.Duration
			defer func() { done <- worst }()
			for last := time.Now(); ; {
				if _, err := p.ProduceSync(context.Background(), Record{Topic: "t", Key: fmt.Append(nil, sent), Value: fmt.Append(nil, sent)}); err != nil {
					t.Error(err)
					return
				}
				sent++
				now := time.Now()
				worst, last = max(worst, now.Sub(last)), now
				select {
				case <-stop:
					return
				default:
				}
			}
		}()
		c.stop(i)
		c.open(i)
		time.Sleep(500 * time.Millisecond) // a while with all three
		close(stop)
		t.Logf("node %d restarted: longest pause %v", i+1, <-done)
		require.NoError(t, p.Close())
	}
	for _, l := range c.logs {
		require.Len(t, readAll(t, l, "t", sent), sent)
	}
}

func TestClusterRetention(t *testing.T) {
	c := newTestCluster(t, 3)
	_, err := c.logs[0].CreateTopic(t.Context(), "t", TopicConfig{RetentionBytes: 1 << 20})
	require.NoError(t, err)
	p, err := c.logs[0].NewProducer()
	require.NoError(t, err)
	value := make([]byte, 64<<10)
	for range 200 {
		p.Produce(t.Context(), Record{Topic: "t", Value: value}, nil)
	}
	require.NoError(t, p.Flush(t.Context()))
	lead := c.logs[c.leaderOf("t")]
	topic, err := lead.Topic(t.Context(), "t")
	require.NoError(t, err)
	res, err := topic.ApplyRetention(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, res.Partitions)
	for _, l := range c.logs {
		topic, err := l.Topic(t.Context(), "t")
		require.NoError(t, err)
		part, err := topic.Partition(0)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			info, err := part.Info(t.Context())
			require.NoError(t, err)
			return info.LogStart > 0 && info.Bytes < 2<<20 && info.HighWatermark == 200
		}, 10*time.Second, time.Millisecond)
		// What the Raft log still has in its tail waits; no more than was removed does.
		l.cluster.compactLogs(t.Context(), 1)
		n, err := l.store.DeferredBytes(part.shard())
		require.NoError(t, err)
		require.Less(t, n, int64(200*len(value)))
	}
	// From any node.
	other, err := c.logs[(c.leaderOf("t")+1)%3].Topic(t.Context(), "t")
	require.NoError(t, err)
	part, err := other.Partition(0)
	require.NoError(t, err)
	require.NoError(t, part.DeleteRecords(t.Context(), 195))
	require.Eventually(t, func() bool {
		info, err := part.Info(t.Context())
		require.NoError(t, err)
		return info.LogStart == 195
	}, 10*time.Second, time.Millisecond)
	require.ErrorIs(t, part.DeleteRecords(t.Context(), 1000), ErrOffsetOutOfRange)
}

func TestClusterOfFour(t *testing.T) {
	c := newTestCluster(t, 4)
	for i, l := range c.logs {
		_, err := l.CreateTopic(t.Context(), fmt.Sprint("t", i), TopicConfig{Partitions: 12})
		require.NoError(t, err)
	}
	info := c.settled(c.logs[3])
	require.Len(t, info.Shards[0].Replicas, 4)
	for _, r := range info.Shards[0].Replicas {
		require.Equal(t, "voter", r.State, "nobody who votes becomes an observer")
	}
	p, err := c.logs[3].NewProducer()
	require.NoError(t, err)
	for i := range c.logs {
		_, err := p.ProduceSync(t.Context(), Record{Topic: fmt.Sprint("t", i), Value: []byte("v")})
		require.NoError(t, err)
	}
}
