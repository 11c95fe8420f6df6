package leatprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/leatlog/leat"
)

// descriptor is what every metric has.
type descriptor struct {
	name, help string
	labels     []string
	kind       prometheus.ValueType
	desc       *prometheus.Desc
}

func describe(kind prometheus.ValueType, name, help string, labels ...string) descriptor {
	return descriptor{
		name: name, help: help, labels: labels, kind: kind,
		desc: prometheus.NewDesc(name, help, labels, nil),
	}
}

// logMetric is a metric of a whole Log: one of value and histogram is set.
type logMetric struct {
	descriptor
	value     func(*leat.Metrics) float64
	histogram func(*leat.Metrics) leat.Histogram
}

func counter(name, help string, value func(*leat.Metrics) int64) logMetric {
	return logMetric{descriptor: describe(prometheus.CounterValue, name, help), value: toFloat(value)}
}

func gauge(name, help string, value func(*leat.Metrics) int64) logMetric {
	return logMetric{descriptor: describe(prometheus.GaugeValue, name, help), value: toFloat(value)}
}

func toFloat(value func(*leat.Metrics) int64) func(*leat.Metrics) float64 {
	return func(m *leat.Metrics) float64 { return float64(value(m)) }
}

func distribution(name, help string, value func(*leat.Metrics) leat.Histogram) logMetric {
	return logMetric{descriptor: describe(prometheus.UntypedValue, name, help), histogram: value}
}

// logMetrics is what is exported of a whole Log. It is never written to.
var logMetrics = []logMetric{
	gauge("leat_topics", "Topics, internal ones included.", func(m *leat.Metrics) int64 { return int64(m.Topics) }),
	gauge("leat_partitions", "Partitions of all topics.", func(m *leat.Metrics) int64 { return int64(m.Partitions) }),
	gauge("leat_producers", "Open producers.", func(m *leat.Metrics) int64 { return int64(m.Producers) }),
	gauge("leat_consumers", "Open consumers that are not members of a group.", func(m *leat.Metrics) int64 { return int64(m.Consumers) }),
	gauge("leat_group_members", "Open members of consumer groups.", func(m *leat.Metrics) int64 { return int64(m.GroupMembers) }),

	counter("leat_produced_batches_total", "Record batches stored.", func(m *leat.Metrics) int64 { return m.Produce.Batches }),
	counter("leat_produced_records_total", "Records stored.", func(m *leat.Metrics) int64 { return m.Produce.Records }),
	counter("leat_produced_bytes_total", "Bytes of record batches stored, compressed.", func(m *leat.Metrics) int64 { return m.Produce.Bytes }),
	counter("leat_produce_failed_records_total", "Records that a producer took and could not store, or that may not be stored.", func(m *leat.Metrics) int64 { return m.Produce.FailedRecords }),
	gauge("leat_producer_buffered_bytes", "Bytes of records that producers hold and have not stored yet.", func(m *leat.Metrics) int64 { return m.Produce.BufferedBytes }),
	distribution("leat_producer_batch_bytes", "Sizes of the producers' batches as they are stored.", func(m *leat.Metrics) leat.Histogram { return m.Produce.BatchBytes }),
	distribution("leat_produce_latency_seconds", "Time from the first record of a producer's batch to its acknowledgement.", func(m *leat.Metrics) leat.Histogram { return m.Produce.Latency }),

	counter("leat_fetches_total", "Reads of a partition by consumers that returned something.", func(m *leat.Metrics) int64 { return m.Fetch.Fetches }),
	counter("leat_fetched_records_total", "Records handed out by consumers.", func(m *leat.Metrics) int64 { return m.Fetch.Records }),
	counter("leat_fetched_bytes_total", "Bytes of record batches read by consumers, compressed.", func(m *leat.Metrics) int64 { return m.Fetch.Bytes }),

	counter("leat_group_committed_offsets_total", "Offsets that members of groups committed, by partition and commit.", func(m *leat.Metrics) int64 { return m.Groups.CommittedOffsets }),
	counter("leat_group_commit_errors_total", "Commits of members of groups that failed.", func(m *leat.Metrics) int64 { return m.Groups.CommitErrors }),
	counter("leat_group_partitions_assigned_total", "Partitions that members of groups took.", func(m *leat.Metrics) int64 { return m.Groups.PartitionsAssigned }),
	counter("leat_group_partitions_revoked_total", "Partitions that members of groups gave up in order.", func(m *leat.Metrics) int64 { return m.Groups.PartitionsRevoked }),
	counter("leat_group_partitions_lost_total", "Partitions that members of groups lost because they did not poll or were fenced.", func(m *leat.Metrics) int64 { return m.Groups.PartitionsLost }),

	counter("leat_retention_runs_total", "Topics that retention looked at, each time anew.", func(m *leat.Metrics) int64 { return m.Retention.Runs }),
	counter("leat_retention_removed_records_total", "Records removed by retention.", func(m *leat.Metrics) int64 { return m.Retention.RecordsRemoved }),
	counter("leat_retention_removed_bytes_total", "Bytes of record batches removed by retention.", func(m *leat.Metrics) int64 { return m.Retention.BytesRemoved }),
	counter("leat_retention_errors_total", "Partitions that retention failed for, each time anew.", func(m *leat.Metrics) int64 { return m.Retention.Errors }),

	counter("leat_compaction_runs_total", "Compactions of a partition by key.", func(m *leat.Metrics) int64 { return m.Compaction.Runs }),
	counter("leat_compaction_removed_records_total", "Records removed by compaction.", func(m *leat.Metrics) int64 { return m.Compaction.RecordsRemoved }),
	gauge("leat_compaction_removed_bytes", "Bytes by which compaction made the stored batches smaller since the Log was opened.", func(m *leat.Metrics) int64 { return m.Compaction.BytesRemoved }),
	counter("leat_compaction_read_bytes_total", "Bytes read by compaction.", func(m *leat.Metrics) int64 { return m.Compaction.BytesRead }),
	counter("leat_compaction_written_bytes_total", "Bytes written by compaction.", func(m *leat.Metrics) int64 { return m.Compaction.BytesWritten }),
	counter("leat_compaction_errors_total", "Compactions that failed.", func(m *leat.Metrics) int64 { return m.Compaction.Errors }),

	gauge("leat_kafka_connections", "Open connections of Kafka's clients.", func(m *leat.Metrics) int64 { return int64(m.Kafka.Connections) }),
	counter("leat_kafka_accepted_connections_total", "Connections of Kafka's clients that came.", func(m *leat.Metrics) int64 { return m.Kafka.Accepted }),
	counter("leat_kafka_received_bytes_total", "Bytes received from Kafka's clients.", func(m *leat.Metrics) int64 { return m.Kafka.BytesIn }),
	counter("leat_kafka_sent_bytes_total", "Bytes sent to Kafka's clients.", func(m *leat.Metrics) int64 { return m.Kafka.BytesOut }),
	gauge("leat_kafka_request_memory_bytes", "Bytes of the listeners' memory that requests take.", func(m *leat.Metrics) int64 { return m.Kafka.RequestBytes }),
	gauge("leat_kafka_answer_memory_bytes", "Bytes of the listeners' memory that answers take.", func(m *leat.Metrics) int64 { return m.Kafka.AnswerBytes }),
	gauge("leat_kafka_fetch_sessions", "Fetch sessions of Kafka's clients.", func(m *leat.Metrics) int64 { return int64(m.Kafka.FetchSessions) }),
	gauge("leat_kafka_fetch_session_partitions", "Partitions in the fetch sessions of Kafka's clients.", func(m *leat.Metrics) int64 { return int64(m.Kafka.FetchSessionPartitions) }),

	gauge("leat_storage_failed", "1 once the disk failed and writes are refused, else 0.", func(m *leat.Metrics) int64 { return flag(m.Storage.Failed) }),
	distribution("leat_commit_latency_seconds", "Time from the hand-over of a commit to the write-ahead log until it is durable.", func(m *leat.Metrics) leat.Histogram { return m.Storage.CommitLatency }),
	counter("leat_wal_written_bytes_total", "Bytes written to the write-ahead log.", func(m *leat.Metrics) int64 { return m.Storage.WALBytes }),
	counter("leat_flushed_bytes_total", "Bytes written from memory to files.", func(m *leat.Metrics) int64 { return m.Storage.FlushedBytes }),
	counter("leat_storage_compacted_bytes_total", "Bytes written again by the storage's own maintenance.", func(m *leat.Metrics) int64 { return m.Storage.CompactedBytes }),
	gauge("leat_disk_bytes", "Bytes that the files of the Log take.", func(m *leat.Metrics) int64 { return m.Storage.DiskBytes }),
	gauge("leat_garbage_bytes", "Bytes that were removed and may still take space on disk.", func(m *leat.Metrics) int64 { return m.Storage.GarbageBytes }),
	gauge("leat_memtable_bytes", "Bytes in memory that wait to be written to files.", func(m *leat.Metrics) int64 { return m.Storage.MemTableBytes }),
	gauge("leat_block_cache_bytes", "Bytes in the cache of blocks.", func(m *leat.Metrics) int64 { return m.Storage.CacheBytes }),
	counter("leat_block_cache_hits_total", "Blocks found in the cache.", func(m *leat.Metrics) int64 { return m.Storage.CacheHits }),
	counter("leat_block_cache_misses_total", "Blocks that had to be read.", func(m *leat.Metrics) int64 { return m.Storage.CacheMisses }),
	gauge("leat_tail_cache_bytes", "Bytes of the newest batches in memory.", func(m *leat.Metrics) int64 { return m.Storage.TailCacheBytes }),
	counter("leat_tail_cache_hits_total", "Reads served by the newest batches in memory.", func(m *leat.Metrics) int64 { return m.Storage.TailCacheHits }),
	counter("leat_tail_cache_misses_total", "Reads that went to the files.", func(m *leat.Metrics) int64 { return m.Storage.TailCacheMisses }),
}

// clusterMetrics is what is exported of a node of a cluster. It is never written to.
var clusterMetrics = []logMetric{
	gauge("leat_cluster_controller", "1 on the node that leads the metadata, else 0.", func(m *leat.Metrics) int64 { return flag(m.Cluster.Controller) }),
	gauge("leat_cluster_nodes", "Nodes of the cluster.", func(m *leat.Metrics) int64 { return int64(m.Cluster.Nodes) }),
	gauge("leat_cluster_fenced_nodes", "Nodes of the cluster that are taken for dead.", func(m *leat.Metrics) int64 { return int64(m.Cluster.FencedNodes) }),
	gauge("leat_cluster_draining_nodes", "Nodes of the cluster that lose their replicas.", func(m *leat.Metrics) int64 { return int64(m.Cluster.DrainingNodes) }),
	gauge("leat_cluster_shard_replicas", "Shards of partitions of which the node has a replica.", func(m *leat.Metrics) int64 { return int64(m.Cluster.ShardReplicas) }),
	gauge("leat_cluster_shard_leaders", "Shards of partitions that the node leads.", func(m *leat.Metrics) int64 { return int64(m.Cluster.ShardLeaders) }),
	gauge("leat_cluster_partition_leaders", "Partitions that the node leads.", func(m *leat.Metrics) int64 { return int64(m.Cluster.PartitionLeaders) }),
	gauge("leat_cluster_moving_shards", "Shards of the cluster that get or lose replicas.", func(m *leat.Metrics) int64 { return int64(m.Cluster.MovingShards) }),
	gauge("leat_cluster_under_replicated_partitions", "Partitions that the node leads and that have a replica on a node that is taken for dead.", func(m *leat.Metrics) int64 { return int64(m.Cluster.UnderReplicatedPartitions) }),
	gauge("leat_cluster_under_min_insync_partitions", "Partitions that the node leads and that refuse appends, for fewer replicas live than min.insync.replicas.", func(m *leat.Metrics) int64 { return int64(m.Cluster.UnderMinInSyncPartitions) }),
	gauge("leat_cluster_offline_partitions", "Partitions of the cluster without a leader that the node knows of.", func(m *leat.Metrics) int64 { return int64(m.Cluster.OfflinePartitions) }),
	counter("leat_cluster_leader_changes_total", "Changes of the leaders of shards that have a replica on the node.", func(m *leat.Metrics) int64 { return m.Cluster.LeaderChanges }),
	counter("leat_cluster_proposals_total", "Proposals that the node handed to Raft.", func(m *leat.Metrics) int64 { return m.Cluster.Proposals }),
	counter("leat_cluster_raft_snapshot_sent_bytes_total", "Bytes of Raft snapshots sent to other nodes.", func(m *leat.Metrics) int64 { return m.Cluster.SnapshotBytesSent }),
	counter("leat_cluster_raft_snapshot_received_bytes_total", "Bytes of Raft snapshots received from other nodes.", func(m *leat.Metrics) int64 { return m.Cluster.SnapshotBytesReceived }),
}

// proposalErrors is exported with the three values of its label.
var proposalErrors = describe(prometheus.CounterValue, "leat_cluster_proposal_errors_total", "Proposals that were refused as too much is waiting (busy), given up by Raft (dropped), or without an answer (timeout).", "error")

func flag(on bool) int64 {
	if on {
		return 1
	}
	return 0
}

// apiMetric is a metric of each of Kafka's APIs: one of value and histogram is set.
type apiMetric struct {
	descriptor
	value     func(*leat.KafkaAPIMetrics) int64
	histogram func(*leat.KafkaAPIMetrics) leat.Histogram
}

// apiMetrics is what is exported of each API that was asked for. It is never written
// to.
var apiMetrics = []apiMetric{
	{descriptor: describe(prometheus.CounterValue, "leat_kafka_requests_total", "Requests of Kafka's clients that were answered.", "api"), value: func(a *leat.KafkaAPIMetrics) int64 { return a.Requests }},
	{descriptor: describe(prometheus.CounterValue, "leat_kafka_request_errors_total", "Requests of Kafka's clients whose answers had an error code.", "api"), value: func(a *leat.KafkaAPIMetrics) int64 { return a.Errors }},
	{descriptor: describe(prometheus.UntypedValue, "leat_kafka_request_latency_seconds", "Time from when a request was read to when its answer was written, waiting for records included.", "api"), histogram: func(a *leat.KafkaAPIMetrics) leat.Histogram { return a.Latency }},
}

// partitionMetric is a metric of each partition.
type partitionMetric struct {
	descriptor
	value func(*leat.PartitionInfo) float64
}

func ofPartition(name, help string, value func(*leat.PartitionInfo) int64) partitionMetric {
	return partitionMetric{
		descriptor: describe(prometheus.GaugeValue, name, help, "topic", "partition"),
		value:      func(p *leat.PartitionInfo) float64 { return float64(value(p)) },
	}
}

// partitionMetrics is what is exported of each partition. It is never written to.
var partitionMetrics = []partitionMetric{
	ofPartition("leat_partition_log_start_offset", "First offset that can be read.", func(p *leat.PartitionInfo) int64 { return int64(p.LogStart) }),
	ofPartition("leat_partition_high_watermark_offset", "Offset after the last record that can be read.", func(p *leat.PartitionInfo) int64 { return int64(p.HighWatermark) }),
	ofPartition("leat_partition_records", "Records stored.", func(p *leat.PartitionInfo) int64 { return p.Records }),
	ofPartition("leat_partition_size_bytes", "Bytes of the record batches stored.", func(p *leat.PartitionInfo) int64 { return p.Bytes }),
}

// groupLag is exported where WithGroupLag asks for it.
var (
	groupLag      = describe(prometheus.GaugeValue, "leat_group_lag_records", "Records that a group is behind in a topic.", "group", "topic")
	groupsOmitted = describe(prometheus.GaugeValue, "leat_groups_omitted", "Groups without a lag of their own, for there are more than the collector's limit.")
)

var (
	closed        = describe(prometheus.CounterValue, "leat_kafka_closed_connections_total", "Connections of Kafka's clients that ended, by reason.", "reason")
	omitted       = describe(prometheus.GaugeValue, "leat_partitions_omitted", "Partitions without metrics of their own, for there are more than the collector's limit.")
	collectErrors = describe(prometheus.CounterValue, "leat_collect_errors_total", "Topics and groups that could not be described at a scrape.")
)
