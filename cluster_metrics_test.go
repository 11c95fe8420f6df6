package leat

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestClusterMetrics(t *testing.T) {
	c := newTestCluster(t, 3)
	topic, err := c.logs[0].CreateTopic(t.Context(), "t", TopicConfig{Partitions: 6, MinInSyncReplicas: 3})
	require.NoError(t, err)
	p, err := c.logs[0].NewProducer()
	require.NoError(t, err)
	for n := range 6 {
		_, err := p.ProduceSync(t.Context(), Record{Topic: "t", Key: []byte{byte(n)}})
		require.NoError(t, err)
	}
	sum := func() (all ClusterMetrics) {
		for i, l := range c.logs {
			if l == nil {
				continue
			}
			m := l.Metrics().Cluster
			require.EqualValues(t, i+1, m.NodeID)
			all.Nodes = max(all.Nodes, m.Nodes)
			all.FencedNodes = max(all.FencedNodes, m.FencedNodes)
			all.OfflinePartitions = max(all.OfflinePartitions, m.OfflinePartitions)
			all.PartitionLeaders += m.PartitionLeaders
			all.ShardReplicas += m.ShardReplicas
			all.ShardLeaders += m.ShardLeaders
			all.UnderReplicatedPartitions += m.UnderReplicatedPartitions
			all.UnderMinInSyncPartitions += m.UnderMinInSyncPartitions
			all.Proposals += m.Proposals
			all.LeaderChanges += m.LeaderChanges
			if m.Controller {
				all.NodeID++
			}
		}
		return all
	}
	var m ClusterMetrics
	require.Eventually(t, func() bool {
		m = sum()
		return m.PartitionLeaders == topic.NumPartitions() && m.NodeID == 1 && m.OfflinePartitions == 0
	}, 20*time.Second, 10*time.Millisecond)
	require.Equal(t, 3, m.Nodes)
	require.Zero(t, m.FencedNodes)
	require.Equal(t, 3*m.ShardLeaders, m.ShardReplicas)
	require.Zero(t, m.UnderReplicatedPartitions)
	require.Zero(t, m.UnderMinInSyncPartitions)
	require.GreaterOrEqual(t, m.Proposals, int64(6))
	require.GreaterOrEqual(t, m.LeaderChanges, int64(m.ShardReplicas))

	c.stop(2)
	require.Eventually(t, func() bool {
		m = sum()
		return m.FencedNodes == 1 && m.PartitionLeaders == 6 && m.UnderReplicatedPartitions == 6 && m.UnderMinInSyncPartitions == 6 && m.OfflinePartitions == 0
	}, 20*time.Second, 10*time.Millisecond)
	// What it counts is refused, to producers of the library and to Kafka's clients.
	short, err := c.logs[0].NewProducer(WithDeliveryTimeout(time.Second))
	require.NoError(t, err)
	_, err = short.ProduceSync(t.Context(), Record{Topic: "t", Value: []byte("v")})
	require.ErrorIs(t, err, ErrNotEnoughReplicas)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.cfgs[0].Cluster.ClientAddr), kgo.RecordRetries(1))
	require.NoError(t, err)
	defer client.Close()
	require.ErrorIs(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("v")}).FirstErr(), kerr.NotEnoughReplicas)

	c.stop(1) // of two that live one is no majority
	require.Eventually(t, func() bool { return sum().OfflinePartitions == 6 }, 20*time.Second, 10*time.Millisecond)
}

func TestClusterMetricsOfAStandaloneLog(t *testing.T) {
	l, err := Open(t.Context(), Config{InMemory: true})
	require.NoError(t, err)
	require.Zero(t, l.Metrics().Cluster)
	require.NoError(t, l.Close())
}
