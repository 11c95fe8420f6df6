package leatprom_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat"
	"github.com/leatlog/leat/leatprom"
)

// newLog has topics a, with two partitions and three records, and b, with three
// partitions and none.
func newLog(t *testing.T) *leat.Log {
	t.Helper()
	l := openLog(t, nil)
	fillLog(t, l)
	return l
}

func openLog(t *testing.T, c *leat.ClusterConfig) *leat.Log {
	t.Helper()
	if c != nil {
		c.Seeds = map[uint64]string{c.NodeID: c.RaftAddr}
	}
	l, err := leat.Open(t.Context(), leat.Config{InMemory: true, RetentionCheckInterval: -1, CompactionInterval: -1, Cluster: c})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func fillLog(t *testing.T, l *leat.Log) {
	t.Helper()
	a, err := l.CreateTopic(t.Context(), "a", leat.TopicConfig{Partitions: 2})
	require.NoError(t, err)
	_, err = l.CreateTopic(t.Context(), "b", leat.TopicConfig{Partitions: 3})
	require.NoError(t, err)
	p, err := l.NewProducer(leat.WithPartitioner(leat.ManualPartitioner))
	require.NoError(t, err)
	r := leat.Record{Topic: "a", Partition: 1, Value: []byte("value")}
	for range 3 { // a batch each
		_, err = p.ProduceSync(t.Context(), r)
		require.NoError(t, err)
	}
	part, err := a.Partition(1)
	require.NoError(t, err)
	require.NoError(t, part.DeleteRecords(t.Context(), 2))
}

// newKafkaLog is newLog with a group that committed, and a listener that was asked.
func newKafkaLog(t *testing.T) *leat.Log {
	t.Helper()
	l := newLog(t)
	joinGroup(t, l, "billing")
	askKafka(t, l)
	return l
}

// newClusterLog is newKafkaLog as a cluster of one node.
func newClusterLog(t *testing.T) *leat.Log {
	t.Helper()
	l := openLog(t, &leat.ClusterConfig{NodeID: 1, RaftAddr: freeAddr(t), ClientAddr: freeAddr(t)})
	fillLog(t, l)
	joinGroup(t, l, "billing")
	askKafka(t, l)
	return l
}

// freeAddr returns a loopback address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	return ln.Addr().String()
}

// joinGroup commits the end of partition 1 of topic a.
func joinGroup(t *testing.T, l *leat.Log, name string) {
	t.Helper()
	g, err := l.JoinGroup(t.Context(), name, []string{"a"})
	require.NoError(t, err)
	records, err := g.Poll(t.Context(), 1)
	require.NoError(t, err)
	require.Len(t, records, 1)
	g.Mark(records...)
	require.NoError(t, g.Commit(t.Context()))
	require.NoError(t, g.Close())
}

// askKafka lets a client connect, be answered with an error, and go.
func askKafka(t *testing.T, l *leat.Log) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- l.ServeKafka(context.Background(), ln) }()
	t.Cleanup(func() {
		if err := <-ended; !errors.Is(err, leat.ErrClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	c, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	_, err = c.Write([]byte{0, 0, 0, 10, 0, 18, 0, 99, 0, 0, 0, 1, 0xff, 0xff}) // ApiVersions 99
	require.NoError(t, err)
	_, err = io.ReadFull(c, make([]byte, 4))
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.Eventually(t, func() bool {
		k := l.Metrics().Kafka
		return k.Connections == 0 && len(k.APIs) == 1
	}, 10*time.Second, time.Millisecond)
}

func TestKafkaMetrics(t *testing.T) {
	l := newKafkaLog(t)
	joinGroup(t, l, "accounting")
	joinGroup(t, l, "shipping")
	c := leatprom.NewCollector(l, leatprom.WithGroupLag(2, nil))
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(c))
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP leat_group_lag_records Records that a group is behind in a topic.
# TYPE leat_group_lag_records gauge
leat_group_lag_records{group="accounting",topic="a"} 0
leat_group_lag_records{group="billing",topic="a"} 0
# HELP leat_groups_omitted Groups without a lag of their own, for there are more than the collector's limit.
# TYPE leat_groups_omitted gauge
leat_groups_omitted 1
# HELP leat_kafka_accepted_connections_total Connections of Kafka's clients that came.
# TYPE leat_kafka_accepted_connections_total counter
leat_kafka_accepted_connections_total 1
# HELP leat_kafka_connections Open connections of Kafka's clients.
# TYPE leat_kafka_connections gauge
leat_kafka_connections 0
# HELP leat_kafka_received_bytes_total Bytes received from Kafka's clients.
# TYPE leat_kafka_received_bytes_total counter
leat_kafka_received_bytes_total 14
# HELP leat_kafka_request_errors_total Requests of Kafka's clients whose answers had an error code.
# TYPE leat_kafka_request_errors_total counter
leat_kafka_request_errors_total{api="ApiVersions"} 1
# HELP leat_kafka_requests_total Requests of Kafka's clients that were answered.
# TYPE leat_kafka_requests_total counter
leat_kafka_requests_total{api="ApiVersions"} 1
`), "leat_group_lag_records", "leat_groups_omitted", "leat_kafka_accepted_connections_total", "leat_kafka_connections",
		"leat_kafka_received_bytes_total", "leat_kafka_request_errors_total", "leat_kafka_requests_total"))

	// More of a group's topic than it has read.
	p, err := l.NewProducer(leat.WithPartitioner(leat.ManualPartitioner))
	require.NoError(t, err)
	for range 5 {
		_, err = p.ProduceSync(t.Context(), leat.Record{Topic: "a", Partition: 1, Value: []byte("v")})
		require.NoError(t, err)
	}
	c = leatprom.NewCollector(l, leatprom.WithGroupLag(10, func(g string) bool { return g == "billing" }))
	registry = prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(c))
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP leat_group_lag_records Records that a group is behind in a topic.
# TYPE leat_group_lag_records gauge
leat_group_lag_records{group="billing",topic="a"} 5
# HELP leat_groups_omitted Groups without a lag of their own, for there are more than the collector's limit.
# TYPE leat_groups_omitted gauge
leat_groups_omitted 0
`), "leat_group_lag_records", "leat_groups_omitted"))
}

func TestCollect(t *testing.T) {
	l := newLog(t)
	c := leatprom.NewCollector(l)
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(c))
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP leat_collect_errors_total Topics and groups that could not be described at a scrape.
# TYPE leat_collect_errors_total counter
leat_collect_errors_total 0
# HELP leat_partition_high_watermark_offset Offset after the last record that can be read.
# TYPE leat_partition_high_watermark_offset gauge
leat_partition_high_watermark_offset{partition="0",topic="a"} 0
leat_partition_high_watermark_offset{partition="1",topic="a"} 3
leat_partition_high_watermark_offset{partition="0",topic="b"} 0
leat_partition_high_watermark_offset{partition="1",topic="b"} 0
leat_partition_high_watermark_offset{partition="2",topic="b"} 0
# HELP leat_partition_log_start_offset First offset that can be read.
# TYPE leat_partition_log_start_offset gauge
leat_partition_log_start_offset{partition="0",topic="a"} 0
leat_partition_log_start_offset{partition="1",topic="a"} 2
leat_partition_log_start_offset{partition="0",topic="b"} 0
leat_partition_log_start_offset{partition="1",topic="b"} 0
leat_partition_log_start_offset{partition="2",topic="b"} 0
# HELP leat_partition_records Records stored.
# TYPE leat_partition_records gauge
leat_partition_records{partition="0",topic="a"} 0
leat_partition_records{partition="1",topic="a"} 1
leat_partition_records{partition="0",topic="b"} 0
leat_partition_records{partition="1",topic="b"} 0
leat_partition_records{partition="2",topic="b"} 0
# HELP leat_partitions Partitions of all topics.
# TYPE leat_partitions gauge
leat_partitions 5
# HELP leat_partitions_omitted Partitions without metrics of their own, for there are more than the collector's limit.
# TYPE leat_partitions_omitted gauge
leat_partitions_omitted 0
# HELP leat_produced_batches_total Record batches stored.
# TYPE leat_produced_batches_total counter
leat_produced_batches_total 3
# HELP leat_produced_records_total Records stored.
# TYPE leat_produced_records_total counter
leat_produced_records_total 3
# HELP leat_producers Open producers.
# TYPE leat_producers gauge
leat_producers 1
# HELP leat_storage_failed 1 once the disk failed and writes are refused, else 0.
# TYPE leat_storage_failed gauge
leat_storage_failed 0
`), "leat_collect_errors_total", "leat_partition_high_watermark_offset", "leat_partition_log_start_offset", "leat_partition_records",
		"leat_partitions", "leat_partitions_omitted", "leat_produced_batches_total", "leat_produced_records_total",
		"leat_producers", "leat_storage_failed"))

	families, err := registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "leat_produce_latency_seconds" {
			require.Equal(t, uint64(3), f.GetMetric()[0].GetHistogram().GetSampleCount())
		}
	}
	require.NoError(t, l.Close())
	_, err = registry.Gather()
	require.NoError(t, err)
}

// TestClusterMetrics of a node that is its cluster, and of a Log without one.
func TestClusterMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(leatprom.NewCollector(newClusterLog(t))))
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP leat_cluster_controller 1 on the node that leads the metadata, else 0.
# TYPE leat_cluster_controller gauge
leat_cluster_controller 1
# HELP leat_cluster_nodes Nodes of the cluster.
# TYPE leat_cluster_nodes gauge
leat_cluster_nodes 1
# HELP leat_cluster_offline_partitions Partitions of the cluster without a leader that the node knows of.
# TYPE leat_cluster_offline_partitions gauge
leat_cluster_offline_partitions 0
# HELP leat_cluster_partition_leaders Partitions that the node leads.
# TYPE leat_cluster_partition_leaders gauge
leat_cluster_partition_leaders 55
# HELP leat_cluster_proposal_errors_total Proposals that were refused as too much is waiting (busy), given up by Raft (dropped), or without an answer (timeout).
# TYPE leat_cluster_proposal_errors_total counter
leat_cluster_proposal_errors_total{error="busy"} 0
leat_cluster_proposal_errors_total{error="dropped"} 0
leat_cluster_proposal_errors_total{error="timeout"} 0
`), "leat_cluster_controller", "leat_cluster_nodes", "leat_cluster_offline_partitions", "leat_cluster_partition_leaders", "leat_cluster_proposal_errors_total"))

	registry = prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(leatprom.NewCollector(newLog(t))))
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		require.False(t, strings.HasPrefix(f.GetName(), "leat_cluster_"), f.GetName())
	}
}

func TestLint(t *testing.T) {
	problems, err := testutil.CollectAndLint(leatprom.NewCollector(newClusterLog(t)))
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestPartitionLimit(t *testing.T) {
	l := newLog(t)
	notA := leatprom.WithTopics(func(topic string) bool { return topic != "a" })
	for _, tt := range []struct {
		name           string
		opts           []leatprom.Option
		shown, omitted int
	}{
		{"default", nil, 5, 0},
		{"nil option", []leatprom.Option{nil}, 5, 0},
		{"all", []leatprom.Option{leatprom.WithPartitionLimit(-1)}, 5, 0},
		{"none", []leatprom.Option{leatprom.WithPartitionLimit(0)}, 0, 5},
		{"one topic fits", []leatprom.Option{leatprom.WithPartitionLimit(4)}, 2, 3},
		{"the later fits", []leatprom.Option{leatprom.WithPartitionLimit(1)}, 0, 5},
		{"filter", []leatprom.Option{notA}, 3, 0},
		{"filter and limit", []leatprom.Option{notA, leatprom.WithPartitionLimit(0)}, 0, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := leatprom.NewCollector(l, tt.opts...)
			require.Equal(t, tt.shown, testutil.CollectAndCount(c, "leat_partition_records"))
			registry := prometheus.NewRegistry()
			require.NoError(t, registry.Register(c))
			families, err := registry.Gather()
			require.NoError(t, err)
			found := false
			for _, f := range families {
				if f.GetName() == "leat_partitions_omitted" {
					found = true
					require.InDelta(t, tt.omitted, f.GetMetric()[0].GetGauge().GetValue(), 0)
				}
			}
			require.True(t, found)
		})
	}
}
