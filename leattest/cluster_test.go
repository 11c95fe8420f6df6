package leattest_test

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leatlog/leat"
	"github.com/leatlog/leat/leattest"
)

// produceAt produces n values by one node, each acknowledged before the next.
func produceAt(t *testing.T, l *leat.Log, topic string, from, to int) {
	t.Helper()
	p, err := l.NewProducer()
	require.NoError(t, err)
	defer p.Close()
	for i := from; i < to; i++ {
		_, err := p.ProduceSync(t.Context(), leat.Record{Topic: topic, Value: fmt.Append(nil, i)})
		require.NoError(t, err)
	}
}

// consumeAt reads n values of partition 0 from the start, by one node.
func consumeAt(t *testing.T, l *leat.Log, topic string, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := l.NewConsumer(leat.Assign(topic, 0), leat.StartAt(leat.Earliest))
	require.NoError(t, err)
	defer c.Close()
	var values []string
	for len(values) < n {
		rs, err := c.Poll(ctx, 100)
		require.NoError(t, err)
		for _, r := range rs {
			values = append(values, string(r.Value))
		}
	}
	return values
}

func numbers(n int) []string {
	var s []string
	for i := range n {
		s = append(s, fmt.Sprint(i))
	}
	return s
}

func TestCluster(t *testing.T) {
	c := leattest.NewCluster(t, 3)
	require.Equal(t, 3, c.Len())
	_, err := c.Node(1).CreateTopic(t.Context(), "t", leat.TopicConfig{})
	require.NoError(t, err)
	produceAt(t, c.Node(2), "t", 0, 50)
	first := c.Leader("t", 0)
	l := c.Node(first)
	require.False(t, c.Killed(l))
	c.Kill(first)
	require.True(t, c.Killed(l))
	require.Nil(t, c.Node(first))
	second := c.Leader("t", 0)
	require.NotEqual(t, first, second)
	produceAt(t, c.Node(second), "t", 50, 100)
	c.Start(first)
	for id := 1; id <= 3; id++ {
		require.Equal(t, numbers(100), consumeAt(t, c.Node(id), "t", 100), "node %d", id)
	}
	c.Kill(1, 2, 3)
	c.Start(1, 2, 3)
	for id := 1; id <= 3; id++ {
		require.Equal(t, numbers(100), consumeAt(t, c.Node(id), "t", 100), "node %d", id)
	}
}

// TestClusterExample runs what the documentation shows.
func TestClusterExample(t *testing.T) { testFailover(t) }

// TestClusterFaults cuts and heals, and sees that each does what it says.
func TestClusterFaults(t *testing.T) {
	failed := make(chan error, 10)
	c := leattest.NewCluster(t, 3, leattest.WithConfig(func(cfg *leat.Config) {
		cfg.Hooks.StorageFailed = func(err error) { failed <- err }
	}))
	_, err := c.Node(1).CreateTopic(t.Context(), "t", leat.TopicConfig{})
	require.NoError(t, err)
	first := c.Leader("t", 0)
	a, b := 1+first%3, 1+(first+1)%3
	produceAt(t, c.Node(a), "t", 0, 10)

	c.Partition([]int{first}, []int{a, b})
	require.Eventually(t, func() bool {
		id := c.Leader("t", 0)
		return id == a || id == b
	}, 30*time.Second, 10*time.Millisecond, "the others elect a leader")
	produceAt(t, c.Node(a), "t", 10, 20)
	c.Heal()
	require.Equal(t, numbers(20), consumeAt(t, c.Node(first), "t", 20))

	c.SlowAll(leattest.Link{Latency: 20 * time.Millisecond})
	begun := time.Now()
	produceAt(t, c.Node(a), "t", 20, 21)
	require.GreaterOrEqual(t, time.Since(begun), 20*time.Millisecond)
	c.Fast()

	c.FillDisk(b)
	n := 21
	for len(failed) == 0 {
		require.Less(t, n, 10_000, "a node with a full disk fails")
		produceAt(t, c.Node(a), "t", n, n+1)
		n++
	}
	require.ErrorIs(t, <-failed, syscall.ENOSPC)
	produceAt(t, c.Node(a), "t", n, n+10)
	n += 10
	c.RepairDisk(b)
	c.Restart(b)
	require.Equal(t, numbers(n), consumeAt(t, c.Node(b), "t", n))
}

// TestClusterGrows adds a node, which serves a topic whose replicas are elsewhere,
// and replaces one that lost its disk.
func TestClusterGrows(t *testing.T) {
	c := leattest.NewCluster(t, 3)
	_, err := c.Node(1).CreateTopic(t.Context(), "t", leat.TopicConfig{})
	require.NoError(t, err)
	produceAt(t, c.Node(1), "t", 0, 20)
	id := c.AddNode()
	require.Equal(t, 4, id)
	require.Equal(t, numbers(20), consumeAt(t, c.Node(id), "t", 20))
	produceAt(t, c.Node(id), "t", 20, 30)
	c.Wipe(2)
	require.Nil(t, c.Node(2))
	c.Start(2)
	require.Equal(t, numbers(30), consumeAt(t, c.Node(2), "t", 30))
}

// TestClusterClient reaches it by Kafka's protocol.
func TestClusterClient(t *testing.T) {
	c := leattest.NewCluster(t, 2, leattest.WithConfig(func(cfg *leat.Config) { cfg.AutoCreateTopics = true }))
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ClientAddrs()...), kgo.Dialer(c.Dial), kgo.AllowAutoTopicCreation(), kgo.ConsumeTopics("k"))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(t, client.ProduceSync(ctx, &kgo.Record{Topic: "k", Value: []byte("v")}).FirstErr())
	for {
		fetches := client.PollFetches(ctx)
		require.NoError(t, ctx.Err())
		if rs := fetches.Records(); len(rs) > 0 {
			require.Equal(t, "v", string(rs[0].Value))
			return
		}
	}
}

// TestClusterCloseCutOff sees that a node that reaches nobody closes soon, and that
// calls that wait for others end with it.
func TestClusterCloseCutOff(t *testing.T) {
	c := leattest.NewCluster(t, 3)
	_, err := c.Node(1).CreateTopic(t.Context(), "t", leat.TopicConfig{})
	require.NoError(t, err)
	l := c.Node(2)
	g, err := l.JoinGroup(t.Context(), "g", []string{"t"})
	require.NoError(t, err)
	c.Isolate(2)
	ended := make(chan error, 3)
	go func() { _, err := l.CreateTopic(context.Background(), "u", leat.TopicConfig{}); ended <- err }()
	go func() { _, err := l.JoinGroup(context.Background(), "h", []string{"t"}); ended <- err }()
	go func() { ended <- g.Commit(context.Background()) }()
	time.Sleep(200 * time.Millisecond) // most of them wait by then; all end in any case
	begun := time.Now()
	c.Stop(2)
	require.Less(t, time.Since(begun), 25*time.Second)
	for range 3 {
		if err := <-ended; err != nil { // a Commit of nothing is done at once
			require.True(t, errors.Is(err, leat.ErrClosed) || errors.Is(err, leat.ErrGroupNotAvailable), "%v", err)
		}
	}
	c.Heal()
	c.Start(2)
}
