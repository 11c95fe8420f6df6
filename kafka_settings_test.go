package leat_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat"
	"github.com/leatlog/leat/leattest"
)

// The settings of the classic protocol: how long a group waits for its first members,
// and which session timeouts there are.
func TestKafkaClassicSettings(t *testing.T) {
	log := leattest.New(t, leattest.WithConfig(func(c *leat.Config) {
		c.Groups = leat.GroupsConfig{OffsetsPartitions: 1, InitialRebalanceDelay: -1,
			MinSessionTimeout: 2 * time.Second, MaxSessionTimeout: 5 * time.Second}
	}))
	c := dial(t, serveKafka(t, log))
	join := func(session time.Duration) *kmsg.JoinGroupResponse {
		req := kmsg.NewPtrJoinGroupRequest()
		req.Version, req.Group, req.ProtocolType = 3, "g", "consumer"
		req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = int32(session.Milliseconds()), 60_000
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name = "range"
		req.Protocols = append(req.Protocols, p)
		return roundTrip(t, c, req).(*kmsg.JoinGroupResponse)
	}
	for _, bad := range []time.Duration{1999 * time.Millisecond, 5001 * time.Millisecond} {
		require.Equal(t, kerr.InvalidSessionTimeout.Code, join(bad).ErrorCode)
	}
	begin := time.Now()
	joined := join(2 * time.Second)
	require.Zero(t, joined.ErrorCode)
	require.Less(t, time.Since(begin), 2*time.Second, "the default of the delay is 3 s")
	require.EqualValues(t, 1, joined.Generation)

	for _, bad := range []leat.GroupsConfig{{MinSessionTimeout: -1}, {MinSessionTimeout: 1}, {MaxSessionTimeout: -1},
		{MinSessionTimeout: time.Hour}, {MaxSessionTimeout: time.Second}, {MaxSessionTimeout: (math.MaxInt32 + 1) * time.Millisecond}} {
		_, err := leat.Open(t.Context(), leat.Config{InMemory: true, Groups: bad})
		require.ErrorIs(t, err, leat.ErrInvalidConfig)
	}
}

// What listeners counted stays after they have ended, and several are counted together.
func TestKafkaMetricsOfListeners(t *testing.T) {
	log := leattest.New(t)
	require.Empty(t, log.Metrics().Kafka.APIs)
	for i := range 2 {
		addr := serveKafka(t, log)
		c := dial(t, addr)
		roundTrip(t, c, kmsg.NewPtrApiVersionsRequest())
		require.Eventually(t, func() bool {
			m := log.Metrics().Kafka
			return len(m.APIs) == 1 && m.APIs[0].Requests == int64(i+1)
		}, 10*time.Second, time.Millisecond)
		m := log.Metrics().Kafka
		require.Equal(t, i+1, m.Connections)
		require.Equal(t, "ApiVersions", m.APIs[0].Name)
		require.EqualValues(t, i+1, m.APIs[0].Latency.Count)
		require.Positive(t, m.BytesIn)
		require.Positive(t, m.BytesOut)
	}
	require.NoError(t, log.Close())
	m := log.Metrics().Kafka
	require.Zero(t, m.Connections)
	require.EqualValues(t, 2, m.APIs[0].Requests)
	require.EqualValues(t, 2, m.Closed["listener"])
}
