package leat

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/raftmeta"
)

// A topic whose shard is there already is ready as soon as its partition is.
func TestClusterTopicIsReadyAtOnce(t *testing.T) {
	c := newTestCluster(t, 3)
	_, err := c.logs[0].CreateTopic(t.Context(), "first", TopicConfig{Partitions: 12}) // all shards
	require.NoError(t, err)
	for i, l := range c.logs {
		began := time.Now()
		topic, err := l.CreateTopic(t.Context(), fmt.Sprintf("t%d", i), TopicConfig{Partitions: 3})
		require.NoError(t, err)
		require.Less(t, time.Since(began), readyTimeout, "it waited in vain")
		require.True(t, l.cluster.ready(topic))
	}
}

// Who changes the metadata through one node finds the change at every other.
func TestClusterChangesAreSeenEverywhere(t *testing.T) {
	c := newTestCluster(t, 3)
	for i, l := range c.logs {
		name := fmt.Sprintf("t%d", i)
		seen := func(what string, ok func(*Topic) bool) {
			t.Helper()
			for n, other := range c.logs {
				topic, err := other.Topic(t.Context(), name)
				if ok == nil {
					require.ErrorIs(t, err, ErrUnknownTopic, "node %d: %s", n+1, what)
					continue
				}
				require.NoError(t, err, "node %d: %s", n+1, what)
				require.True(t, ok(topic), "node %d: %s", n+1, what)
			}
		}
		_, err := l.CreateTopic(t.Context(), name, TopicConfig{Partitions: 2})
		require.NoError(t, err)
		seen("created", func(*Topic) bool { return true })
		for round := range 20 {
			want := time.Duration(round+1) * time.Hour
			require.NoError(t, l.AlterTopic(t.Context(), name, func(cfg *TopicConfig) { cfg.Retention = want }))
			seen("altered", func(other *Topic) bool { return other.Config().Retention == want })
		}
		require.NoError(t, l.AddPartitions(t.Context(), name, 3))
		seen("partitions added", func(other *Topic) bool { return other.NumPartitions() == 3 })
		require.NoError(t, l.DeleteTopic(t.Context(), name))
		seen("deleted", nil)
	}
}

// A node that starts knows the leaders when it takes requests, and is not given the lead
// of shards before it hears those who have it.
func TestClusterNodeThatStartsKnowsTheLeaders(t *testing.T) {
	c := newTestCluster(t, 3)
	_, err := c.logs[0].CreateTopic(t.Context(), "t", TopicConfig{Partitions: 12})
	require.NoError(t, err)
	for i := range c.logs {
		c.stop(i)
		c.open(i)
		l := c.logs[i]
		require.NotNil(t, l)
		topic, err := l.Topic(t.Context(), "t")
		require.NoError(t, err)
		for _, p := range l.cluster.placements(topic) {
			require.Positive(t, p.Leader)
		}
		for s := range l.cluster.machine.Image().Shards() {
			require.NotZero(t, l.cluster.leaders.get(s.ID).Node, "shard %d", s.ID)
		}
	}
}

// The lead of a shard is handed to a replica that hears the leader, of a node that serves.
func TestClusterHandsOverToWhoServes(t *testing.T) {
	c := newTestCluster(t, 3)
	_, err := c.logs[0].CreateTopic(t.Context(), "t", TopicConfig{})
	require.NoError(t, err)
	leader := c.logs[c.leaderOf("t")].cluster
	img := leader.machine.Image()
	p, ok := img.Partition("t", 0)
	require.True(t, ok)
	for _, l := range c.logs {
		other := l.cluster
		if other == leader {
			continue
		}
		r, ok := img.Shard(p.Shard).On(other.self)
		require.True(t, ok)
		require.Equal(t, raftmeta.ReplicaVoter, r.State)
		follows := func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			ok, err := leader.shards.get(p.Shard).follows(ctx, r)
			require.NoError(t, err)
			return ok
		}
		require.Eventually(t, follows, 5*time.Second, 10*time.Millisecond)
		other.serving.Store(false)
		require.False(t, follows())
		other.serving.Store(true)
	}
}
