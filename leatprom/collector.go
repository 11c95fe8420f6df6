package leatprom

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leatlog/leat"
)

// DefaultPartitionLimit is how many partitions a Collector shows one by one
// unless told otherwise.
const DefaultPartitionLimit = 1000

// Option sets something of a Collector.
type Option func(*Collector)

// WithPartitionLimit bounds the partitions that have metrics of their own, of
// which each has four time series. A topic of which not all fit has none, and its
// partitions are counted in leat_partitions_omitted; topics come in the order of
// their names. 0 shows none, a negative n all. Default DefaultPartitionLimit.
func WithPartitionLimit(n int) Option { return func(c *Collector) { c.limit = n } }

// WithTopics chooses the topics whose partitions have metrics of their own, by
// their names; it may be called concurrently. Default are all, internal topics
// too. The rest counts as not asked for and not as omitted.
func WithTopics(want func(topic string) bool) Option { return func(c *Collector) { c.want = want } }

// WithGroupLag exports how far groups are behind, by group and topic: those for which
// want, which may be called concurrently, returns true, all if it is nil, and at most
// limit of them, in the order of their names; the rest is counted in
// leat_groups_omitted. It reads the offsets of each group at each scrape; in a cluster
// it asks the other nodes, and what is not answered within 5 s is missing and counts in
// leat_collect_errors_total. Without this option there is none.
func WithGroupLag(limit int, want func(group string) bool) Option {
	return func(c *Collector) { c.groups, c.groupLimit, c.wantGroup = true, limit, want }
}

// Collector exports the metrics of a Log. It may be used concurrently. After the
// Log is closed it exports what is still known.
type Collector struct {
	log    *leat.Log
	limit  int
	want   func(topic string) bool
	errors atomic.Int64

	groups     bool
	groupLimit int
	wantGroup  func(group string) bool
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector returns a collector to be registered by the caller.
func NewCollector(log *leat.Log, opts ...Option) *Collector {
	c := &Collector{log: log, limit: DefaultPartitionLimit}
	for _, o := range opts {
		if o != nil {
			o(c)
		}
	}
	return c
}

// Describe sends the descriptors of all that Collect can send.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for i := range logMetrics {
		out <- logMetrics[i].desc
	}
	for i := range clusterMetrics {
		out <- clusterMetrics[i].desc
	}
	out <- proposalErrors.desc
	for i := range partitionMetrics {
		out <- partitionMetrics[i].desc
	}
	for i := range apiMetrics {
		out <- apiMetrics[i].desc
	}
	if c.groups {
		out <- groupLag.desc
		out <- groupsOmitted.desc
	}
	out <- closed.desc
	out <- omitted.desc
	out <- collectErrors.desc
}

// Collect looks at the Log and sends what it finds. It takes some microseconds,
// and some more for each partition that has metrics of its own.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	m := c.log.Metrics()
	for i := range logMetrics {
		d := &logMetrics[i]
		if d.histogram != nil {
			out <- histogram(d.desc, d.histogram(&m))
			continue
		}
		out <- prometheus.MustNewConstMetric(d.desc, d.kind, d.value(&m))
	}
	if m.Cluster.NodeID != 0 {
		collectCluster(&m, out)
	}
	for i := range m.Kafka.APIs {
		a := &m.Kafka.APIs[i]
		for j := range apiMetrics {
			d := &apiMetrics[j]
			if d.histogram != nil {
				out <- histogram(d.desc, d.histogram(a), a.Name)
				continue
			}
			out <- prometheus.MustNewConstMetric(d.desc, d.kind, float64(d.value(a)), a.Name)
		}
	}
	for reason, n := range m.Kafka.Closed {
		out <- prometheus.MustNewConstMetric(closed.desc, closed.kind, float64(n), reason)
	}
	if c.groups {
		c.collectGroups(out)
	}
	left := c.collectPartitions(out)
	out <- prometheus.MustNewConstMetric(omitted.desc, omitted.kind, float64(left))
	out <- prometheus.MustNewConstMetric(collectErrors.desc, collectErrors.kind, float64(c.errors.Load()))
}

// collectCluster sends what a node of a cluster has.
func collectCluster(m *leat.Metrics, out chan<- prometheus.Metric) {
	for i := range clusterMetrics {
		d := &clusterMetrics[i]
		out <- prometheus.MustNewConstMetric(d.desc, d.kind, d.value(m))
	}
	for _, e := range []struct {
		label string
		n     int64
	}{{"busy", m.Cluster.ProposalsBusy}, {"dropped", m.Cluster.ProposalsDropped}, {"timeout", m.Cluster.ProposalsTimedOut}} {
		out <- prometheus.MustNewConstMetric(proposalErrors.desc, proposalErrors.kind, float64(e.n), e.label)
	}
}

// collectPartitions returns how many partitions the limit left out.
func (c *Collector) collectPartitions(out chan<- prometheus.Metric) (left int) {
	ctx := context.Background()
	topics, err := c.log.Topics(ctx)
	if err != nil {
		return 0 // the Log is closed
	}
	shown := 0
	for i := range topics {
		name, n := topics[i].Name, topics[i].Config.Partitions
		if c.want != nil && !c.want(name) {
			continue
		}
		if c.limit >= 0 && shown+n > c.limit {
			left += n
			continue
		}
		t, err := c.log.Topic(ctx, name)
		if err != nil {
			continue // it was deleted meanwhile
		}
		infos, err := t.PartitionInfos(ctx)
		if err != nil {
			c.errors.Add(1)
		}
		shown += len(infos)
		for j := range infos {
			info := &infos[j]
			labels := []string{name, strconv.Itoa(int(info.Partition))}
			for k := range partitionMetrics {
				d := &partitionMetrics[k]
				out <- prometheus.MustNewConstMetric(d.desc, d.kind, d.value(info), labels...)
			}
		}
	}
	return left
}

// groupsTimeout bounds what a scrape waits for groups, whose offsets are with other
// nodes in a cluster.
const groupsTimeout = 5 * time.Second

// collectGroups sends the lag of groups.
func (c *Collector) collectGroups(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), groupsTimeout)
	defer cancel()
	groups, err := c.log.Groups(ctx)
	if err != nil && !errors.Is(err, leat.ErrClosed) {
		c.errors.Add(1)
	}
	shown, left := 0, 0
	for i := range groups {
		name := groups[i].Group
		if c.wantGroup != nil && !c.wantGroup(name) {
			continue
		}
		if shown >= c.groupLimit {
			left++
			continue
		}
		shown++
		lags, err := c.log.GroupLag(ctx, name)
		if err != nil {
			if !errors.Is(err, leat.ErrUnknownGroup) { // it was deleted meanwhile
				c.errors.Add(1)
			}
			continue
		}
		for len(lags) > 0 { // they are ordered by topic
			topic, sum := lags[0].Topic, int64(0)
			for len(lags) > 0 && lags[0].Topic == topic {
				sum += lags[0].Lag
				lags = lags[1:]
			}
			out <- prometheus.MustNewConstMetric(groupLag.desc, groupLag.kind, float64(sum), name, topic)
		}
	}
	out <- prometheus.MustNewConstMetric(groupsOmitted.desc, groupsOmitted.kind, float64(left))
}

func histogram(desc *prometheus.Desc, h leat.Histogram, labels ...string) prometheus.Metric {
	buckets := make(map[float64]uint64, len(h.Buckets))
	for _, b := range h.Buckets {
		buckets[b.UpperBound] = uint64(b.Count)
	}
	return prometheus.MustNewConstHistogram(desc, uint64(h.Count), h.Sum, buckets, labels...)
}
