package leatprom_test

import (
	"strings"
	"testing"

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
	l, err := leat.Open(t.Context(), leat.Config{InMemory: true, RetentionCheckInterval: -1, CompactionInterval: -1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
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
	return l
}

func TestCollect(t *testing.T) {
	l := newLog(t)
	c := leatprom.NewCollector(l)
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(c))
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP leat_collect_errors_total Topics whose partitions could not be described at a scrape.
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

func TestLint(t *testing.T) {
	problems, err := testutil.CollectAndLint(leatprom.NewCollector(newLog(t)))
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
