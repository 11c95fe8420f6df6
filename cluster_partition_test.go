package leat

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestClusterPartitionInfo asks every node who has a partition, before and after its
// leader has gone.
func TestClusterPartitionInfo(t *testing.T) {
	c := newTestCluster(t, 3)
	_, err := c.logs[0].CreateTopic(t.Context(), "t", TopicConfig{})
	require.NoError(t, err)
	lead := c.leaderOf("t")
	agree := func(leader func(n uint64) bool) {
		t.Helper()
		require.Eventually(t, func() bool {
			var seen []uint64
			for _, l := range c.logs {
				if l == nil {
					continue
				}
				topic, err := l.Topic(t.Context(), "t")
				require.NoError(t, err)
				infos, err := topic.PartitionInfos(t.Context())
				require.NoError(t, err)
				require.ElementsMatch(t, []uint64{1, 2, 3}, infos[0].Replicas)
				p, err := topic.Partition(0)
				require.NoError(t, err)
				info, err := p.Info(t.Context())
				require.NoError(t, err)
				require.Equal(t, infos[0].Replicas, info.Replicas)
				if !leader(info.Leader) || len(seen) > 0 && seen[0] != info.Leader {
					return false
				}
				seen = append(seen, info.Leader)
			}
			return true
		}, 20*time.Second, 10*time.Millisecond)
	}
	agree(func(n uint64) bool { return n == uint64(lead+1) })
	c.stop(lead)
	agree(func(n uint64) bool { return n != 0 && n != uint64(lead+1) })
}
