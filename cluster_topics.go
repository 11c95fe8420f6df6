package leat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/raftmeta"
	"github.com/leatlog/leat/replication"
)

// metaTopics keeps the topics in the metadata of the cluster. The catalog follows
// its images.
type metaTopics struct {
	catalog *catalog
	cluster *cluster

	mu   sync.Mutex
	last *raftmeta.Image // that the catalog has; nil before the first
}

var _ topicStore = (*metaTopics)(nil)

// load fills the catalog with what the node knows when it has registered.
func (m *metaTopics) load() error {
	m.adopt(m.cluster.machine.Image())
	return nil
}

// adopt makes the catalog that of an image, unless it has a newer one.
func (m *metaTopics) adopt(img *raftmeta.Image) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last != nil && img.Index() <= m.last.Index() {
		return
	}
	log := m.catalog.log
	each := func(old, new *raftmeta.Topic) {
		if old != nil && (new == nil || new.ID != old.ID) {
			if t := m.catalog.topicByID(TopicID(old.ID)); t != nil {
				m.catalog.drop(t)
				log.topicDeleted(t.name)
			}
		}
		if new == nil {
			return
		}
		r := m.record(new)
		if t := m.catalog.topicByID(r.ID); t != nil {
			m.catalog.update(t, r)
			return
		}
		m.catalog.add(newTopic(log, r))
		log.topicCreated(r.Name, len(r.PartitionIDs))
	}
	if m.last == nil {
		for t := range img.Topics() {
			each(nil, t)
		}
	} else {
		for c := range (raftmeta.Delta{From: m.last, To: img}).Topics() {
			each(c.Old, c.New)
		}
	}
	m.last = img
}

// record is a topic of the metadata as the catalog has it.
func (m *metaTopics) record(t *raftmeta.Topic) topicRecord {
	r := topicRecord{Version: topicRecordVersion, Name: t.Name, ID: TopicID(t.ID), Created: time.UnixMilli(t.CreatedMs).UTC()}
	for name, value := range t.Configs {
		if err := r.Config.SetProperty(name, value); err != nil {
			// A newer version of leat on another node may know more of them.
			m.catalog.log.cfg.Logger.Warn("a topic's property is not understood by this version", "topic", t.Name, "property", name, "err", err)
		}
	}
	r.Config.Partitions = len(t.Partitions)
	r.Config.ReplicationFactor = t.Factor
	r.PartitionIDs, r.shards = make([]base.PartitionID, len(t.Partitions)), make([]base.ShardID, len(t.Partitions))
	for i, p := range t.Partitions {
		r.PartitionIDs[i], r.shards[i] = p.ID, p.Shard
	}
	return r
}

func (m *metaTopics) create(ctx context.Context, name string, cfg TopicConfig) (*Topic, error) {
	log := m.catalog.log
	effective := effectiveTopicConfig(log, cfg)
	if err := checkReplicable(name, &effective); err != nil {
		return nil, err
	}
	req := raftmeta.CreateTopicRequest{
		Name:              name,
		ID:                raftmeta.TopicID(newTopicID()),
		Internal:          isInternalTopic(name),
		Partitions:        effective.Partitions,
		ReplicationFactor: effective.ReplicationFactor, // 0 is the cluster's default
		Configs:           metaConfigs(cfg),
		CreatedMs:         log.cfg.Clock.Now().UnixMilli(),
	}
	decide := func(img *raftmeta.Image) (raftmeta.Command, error) {
		if t := img.TopicByID(req.ID); t != nil {
			return nil, nil // an attempt whose outcome was not known
		}
		return raftmeta.PlanCreateTopic(img, req)
	}
	_, err := m.change(ctx, decide)
	if errors.Is(err, raftmeta.NotEnoughBrokers) && m.cluster.awaitNodes(ctx, req.ReplicationFactor) {
		_, err = m.change(ctx, decide)
	}
	if err != nil {
		return nil, m.mapError(name, err)
	}
	t := m.catalog.topicByID(TopicID(req.ID))
	if t == nil {
		return nil, topicError(name, ErrTopicDeleted)
	}
	m.cluster.awaitReady(ctx, t)
	m.cluster.spread(ctx, m.cluster.machine.Image(), &t.id)
	return t, nil
}

// awaitNodes waits, if the cluster has enough nodes for a replication factor and some of
// them are only starting or were missed for a moment, until enough are there; it reports
// whether they are.
func (c *cluster) awaitNodes(ctx context.Context, factor int) bool {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	w := c.machine.Watch(nil)
	defer w.Close()
	for {
		img := c.machine.Image()
		known, active := 0, 0
		for b := range img.Brokers() {
			if known++; b.Eligible() {
				active++
			}
		}
		want := cmp.Or(factor, img.Settings().DefaultReplicationFactor)
		switch {
		case active >= want:
			return true
		case known < want:
			return false
		}
		if _, err := w.Next(ctx); err != nil {
			return false
		}
	}
}

// replicatedBatchBytesMax is what a batch of a cluster may have at most: it goes between
// nodes in one frame.
const replicatedBatchBytesMax = replication.DefaultMaxFrameBytes - 4<<10

// checkReplicable returns a *ConfigError for what a cluster cannot do.
func checkReplicable(topic string, c *TopicConfig) error {
	if c.MaxMessageBytes > replicatedBatchBytesMax {
		return topicError(topic, &ConfigError{Property: "max.message.bytes", Value: strconv.Itoa(c.MaxMessageBytes),
			Rule: fmt.Sprintf("must be at most %d in a cluster", replicatedBatchBytesMax)})
	}
	return nil
}

// metaConfigs is what a topic sets, as the metadata keeps it: no shards of its own is
// nothing said there.
func metaConfigs(c TopicConfig) map[string]string {
	if c.DedicatedShards < 0 {
		c.DedicatedShards = 0
	}
	return c.given()
}

func (m *metaTopics) alter(ctx context.Context, t *Topic, fn func(cfg *TopicConfig) error) error {
	_, err := m.change(ctx, func(img *raftmeta.Image) (raftmeta.Command, error) {
		now := img.TopicByID(raftmeta.TopicID(t.id))
		if now == nil {
			return nil, topicError(t.name, ErrTopicDeleted)
		}
		r := m.record(now)
		if err := fn(&r.Config); err != nil {
			return nil, err
		}
		effective := effectiveTopicConfig(m.catalog.log, r.Config)
		if err := checkReplicable(t.name, &effective); err != nil {
			return nil, err
		}
		c := &raftmeta.SetTopicConfigs{Topic: now.ID, Version: now.Version, Set: metaConfigs(r.Config)}
		for name := range now.Configs {
			if _, stays := c.Set[name]; !stays && isTopicProperty(name) {
				c.Delete = append(c.Delete, name)
			}
		}
		return c, nil
	})
	return m.mapError(t.name, err)
}

func (m *metaTopics) addPartitions(ctx context.Context, t *Topic, total int) error {
	_, err := m.change(ctx, func(img *raftmeta.Image) (raftmeta.Command, error) {
		now := img.TopicByID(raftmeta.TopicID(t.id))
		if now == nil {
			return nil, topicError(t.name, ErrTopicDeleted)
		}
		if err := checkPartitionsTotal(t.name, len(now.Partitions), total); err != nil {
			return nil, err
		}
		return raftmeta.PlanAddPartitions(img, now.Name, total)
	})
	return m.mapError(t.name, err)
}

func (m *metaTopics) remove(ctx context.Context, t *Topic) error {
	_, err := m.change(ctx, func(img *raftmeta.Image) (raftmeta.Command, error) {
		if img.TopicByID(raftmeta.TopicID(t.id)) == nil {
			return nil, topicError(t.name, ErrTopicDeleted)
		}
		return &raftmeta.DeleteTopic{ID: raftmeta.TopicID(t.id)}, nil
	})
	return m.mapError(t.name, err)
}

func (m *metaTopics) reserveProducerIDs(ctx context.Context) (first int64, err error) {
	res, err := m.change(ctx, func(*raftmeta.Image) (raftmeta.Command, error) {
		return &raftmeta.AllocateProducerIDs{BrokerEpoch: m.cluster.brokerEpoch()}, nil
	})
	return res.FirstProducerID, m.mapError("", err)
}

func (m *metaTopics) clusterID(context.Context) (string, error) {
	return m.cluster.identity.ClusterID, nil
}

// change makes a change of the metadata that decide decides on an image, and returns
// when the catalog has it. What has become stale meanwhile is decided anew, so decide
// may be called again; also when the outcome of an attempt is not known. A nil command
// is no change.
func (m *metaTopics) change(ctx context.Context, decide func(img *raftmeta.Image) (raftmeta.Command, error)) (raftmeta.Result, error) {
	res, img, err := m.cluster.changeMetadata(ctx, decide)
	if img != nil {
		m.adopt(img)
	}
	return res, err
}

// mapError tells a refusal of the metadata in the package's terms.
func (m *metaTopics) mapError(topic string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raftmeta.TopicExists):
		return topicError(topic, ErrTopicExists)
	case errors.Is(err, raftmeta.UnknownTopic):
		return topicError(topic, ErrTopicDeleted)
	case errors.Is(err, raftmeta.NotEnoughBrokers):
		return fmt.Errorf("leat: topic %q: %w: %w", topic, ErrTooFewNodes, err)
	}
	return err
}
