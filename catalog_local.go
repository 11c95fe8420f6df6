package leat

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/store"
)

// The settings of the store that the catalog owns.
const (
	topicSettingPrefix     = "topic/"
	nextPartitionIDSetting = "next-partition-id"
	producerIDsSetting     = "producer-ids"
	clusterIDSetting       = "cluster-id"
)

// topicRecord is what is stored of a topic, as JSON under "topic/<name>".
// Fields are only ever added.
type topicRecord struct {
	Version int         `json:"version"` // 1
	Name    string      `json:"name"`
	ID      TopicID     `json:"id"`
	Created time.Time   `json:"created"`
	Config  TopicConfig `json:"config"` // as given, without what is inherited
	// PartitionIDs are the store's names for partition 0, 1, ...
	PartitionIDs []base.PartitionID `json:"partition_ids"`
	shards       []base.ShardID     // of the partitions, in a cluster
}

const topicRecordVersion = 1

// localTopics keeps the topics in the settings of the Log's own store.
type localTopics struct {
	catalog *catalog
	store   *store.Store
}

var _ topicStore = localTopics{}

// load reads the topics from the store.
func (l localTopics) load() error {
	c := l.catalog
	return l.store.Scan(topicSettingPrefix, func(name string, value []byte) error {
		r, err := decodeTopicRecord(name, value)
		if err != nil {
			return err
		}
		t := newTopic(c.log, r)
		c.topics[t.name], c.byID[t.id] = t, t
		return nil
	})
}

func (l localTopics) create(_ context.Context, name string, cfg TopicConfig) (*Topic, error) {
	log := l.catalog.log
	if n := effectiveTopicConfig(log, cfg).ReplicationFactor; n > 1 {
		return nil, topicError(name, &ConfigError{Property: "replication.factor", Value: strconv.Itoa(n), Rule: "must be 1 on a Log without a cluster"})
	}
	now := log.cfg.Clock.Now()
	var t *Topic
	err := l.store.Update(func(tx *store.Tx) error {
		key := topicSettingPrefix + name
		if _, ok, err := tx.Get(key); err != nil || ok {
			if ok {
				err = topicError(name, ErrTopicExists)
			}
			return err
		}
		ids, err := takePartitionIDs(tx, effectiveTopicConfig(log, cfg).Partitions)
		if err != nil {
			return err
		}
		r := topicRecord{Version: topicRecordVersion, Name: name, ID: newTopicID(), Created: now.UTC(), Config: cfg, PartitionIDs: ids}
		if err := setTopicRecord(tx, r); err != nil {
			return err
		}
		t = newTopic(log, r)
		tx.OnDurable(func() { l.catalog.add(t) })
		return nil
	})
	return t, err
}

func (l localTopics) alter(_ context.Context, t *Topic, fn func(cfg *TopicConfig) error) error {
	return l.change(t, func(_ *store.Tx, r *topicRecord) error { return fn(&r.Config) })
}

func (l localTopics) addPartitions(_ context.Context, t *Topic, total int) error {
	return l.change(t, func(tx *store.Tx, r *topicRecord) error {
		if err := checkPartitionsTotal(t.name, len(r.PartitionIDs), total); err != nil {
			return err
		}
		ids, err := takePartitionIDs(tx, total-len(r.PartitionIDs))
		if err != nil {
			return err
		}
		r.PartitionIDs = append(r.PartitionIDs, ids...)
		r.Config.Partitions = total
		return nil
	})
}

// change stores a change of a topic: fn gets a copy of its record.
func (l localTopics) change(t *Topic, fn func(tx *store.Tx, r *topicRecord) error) error {
	return l.store.Update(func(tx *store.Tx) error {
		r, err := t.stored(tx)
		if err != nil {
			return err
		}
		if err := fn(tx, &r); err != nil {
			return err
		}
		if err := setTopicRecord(tx, r); err != nil {
			return err
		}
		tx.OnDurable(func() { l.catalog.update(t, r) })
		return nil
	})
}

// errPartitionsAdded says that a topic got partitions that remove did not know.
var errPartitionsAdded = errors.New("leat: partitions were added")

func (l localTopics) remove(_ context.Context, t *Topic) error {
	ids := t.state.Load().record.PartitionIDs
	for {
		replicas := make([]*store.Partition, len(ids))
		for i, id := range ids {
			var err error
			if replicas[i], err = l.store.Partition(id); err != nil {
				return fmt.Errorf("topic %q partition %d: %w", t.name, i, err)
			}
		}
		err := l.store.Update(func(tx *store.Tx) error {
			r, err := t.stored(tx)
			if err != nil {
				return err
			}
			if !slices.Equal(r.PartitionIDs, ids) {
				ids = r.PartitionIDs
				return errPartitionsAdded
			}
			if err := tx.Delete(topicSettingPrefix + t.name); err != nil {
				return err
			}
			// Before the store forgets the partitions, see Partition.replica.
			tx.OnDurable(func() { l.catalog.drop(t) })
			for _, p := range replicas {
				if err := tx.DropPartition(p); err != nil {
					return err
				}
			}
			return nil
		})
		if errors.Is(err, errPartitionsAdded) {
			continue
		}
		if errors.Is(err, ErrTopicDeleted) {
			for _, p := range replicas { // see Partition.replica
				l.store.Forget(p)
			}
		}
		return err
	}
}

// stored returns the topic's record as the changes before this one left it. The
// topic in memory does not tell: it changes when a change is durable, and the
// next one is made while that is awaited.
func (t *Topic) stored(tx *store.Tx) (r topicRecord, err error) {
	v, ok, err := tx.Get(topicSettingPrefix + t.name)
	if err != nil {
		return r, err
	}
	if ok {
		if r, err = decodeTopicRecord(topicSettingPrefix+t.name, v); err != nil {
			return r, err
		}
	}
	if !ok || r.ID != t.id {
		return r, topicError(t.name, ErrTopicDeleted)
	}
	return r, nil
}

// decodeTopicRecord reads the setting of the given name.
func decodeTopicRecord(setting string, value []byte) (r topicRecord, err error) {
	if err := json.Unmarshal(value, &r); err != nil {
		return r, fmt.Errorf("%w: setting %q: %w", ErrCorrupt, setting, err)
	}
	if r.Version > topicRecordVersion {
		return r, fmt.Errorf("%w: setting %q has version %d, this version reads up to %d", ErrNewerFormat, setting, r.Version, topicRecordVersion)
	}
	if topicSettingPrefix+r.Name != setting || len(r.PartitionIDs) == 0 {
		return r, fmt.Errorf("%w: setting %q is of topic %q with %d partitions", ErrCorrupt, setting, r.Name, len(r.PartitionIDs))
	}
	return r, nil
}

func setTopicRecord(tx *store.Tx, r topicRecord) error {
	v, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("topic %q: %w", r.Name, err)
	}
	return tx.Set(topicSettingPrefix+r.Name, v)
}

// takePartitionIDs returns n ids that were never given out.
func takePartitionIDs(tx *store.Tx, n int) ([]base.PartitionID, error) {
	next, err := settingUint64(tx.Get(nextPartitionIDSetting))
	if err != nil {
		return nil, fmt.Errorf("setting %q: %w", nextPartitionIDSetting, err)
	}
	next = max(next, 1)
	ids := make([]base.PartitionID, n)
	for i := range ids {
		ids[i] = base.PartitionID(next + uint64(i))
	}
	return ids, tx.Set(nextPartitionIDSetting, binary.BigEndian.AppendUint64(nil, next+uint64(n)))
}

func settingUint64(v []byte, ok bool, err error) (uint64, error) {
	switch {
	case err != nil || !ok:
		return 0, err
	case len(v) != 8:
		return 0, fmt.Errorf("%w: %d bytes, want 8", ErrCorrupt, len(v))
	}
	return binary.BigEndian.Uint64(v), nil
}

// reserveProducerIDs reserves ids in the store, so that none is given out twice over
// restarts (KIP-730).
func (l localTopics) reserveProducerIDs(context.Context) (first int64, err error) {
	err = l.store.Update(func(tx *store.Tx) error {
		v, err := settingUint64(tx.Get(producerIDsSetting))
		if err != nil {
			return fmt.Errorf("setting %q: %w", producerIDsSetting, err)
		}
		first = int64(v)
		return tx.Set(producerIDsSetting, binary.BigEndian.AppendUint64(nil, v+producerIDBlockSize))
	})
	return first, err
}

// clusterID returns the Log's own id, making it when it is asked for first (Kafka's
// cluster.id).
func (l localTopics) clusterID(context.Context) (id string, err error) {
	err = l.store.Update(func(tx *store.Tx) error {
		v, ok, err := tx.Get(clusterIDSetting)
		if err != nil || ok {
			id = string(v)
			return err
		}
		id = newTopicID().String()
		return tx.Set(clusterIDSetting, []byte(id))
	})
	return id, err
}
