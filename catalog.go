package leat

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/store"
)

// TopicID is a topic's unique id; a topic that is deleted and created anew gets
// another (KIP-516).
type TopicID [16]byte

// String returns the id as Kafka's tools print it.
func (id TopicID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// MarshalText returns String.
func (id TopicID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what String returned.
func (id *TopicID) UnmarshalText(text []byte) error {
	b, err := base64.RawURLEncoding.DecodeString(string(text))
	if err != nil || len(b) != len(id) {
		return fmt.Errorf("topic id %s is not 16 bytes in base64", quoteShort(string(text)))
	}
	copy(id[:], b)
	return nil
}

func newTopicID() (id TopicID) {
	_, _ = rand.Read(id[:]) // never fails, by its documentation
	return id
}

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
}

const topicRecordVersion = 1

// catalog holds the topics of a Log: in memory, and in the settings of its
// store. Changes are made durable first.
type catalog struct {
	log   *Log
	store *store.Store

	mu       sync.RWMutex
	topics   map[string]*Topic
	byID     map[TopicID]*Topic
	version  uint64 // grows with every change
	watchers []chan<- struct{}
	changed  chan struct{} // closed at the next change; nil until asked for

	producerIDs producerIDBlock
}

// load reads the topics from the store.
func (c *catalog) load() error {
	c.topics, c.byID = make(map[string]*Topic), make(map[TopicID]*Topic)
	return c.store.Scan(topicSettingPrefix, func(name string, value []byte) error {
		r, err := decodeTopicRecord(name, value)
		if err != nil {
			return err
		}
		t := newTopic(c.log, r)
		c.topics[t.name], c.byID[t.id] = t, t
		return nil
	})
}

// topic returns a topic, or nil.
func (c *catalog) topic(name string) *Topic {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.topics[name]
}

// topicByID returns a topic, or nil.
func (c *catalog) topicByID(id TopicID) *Topic {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.byID[id]
}

// all returns the topics in the order of their names.
func (c *catalog) all() []*Topic {
	c.mu.RLock()
	defer c.mu.RUnlock()
	names := slices.Sorted(maps.Keys(c.topics))
	topics := make([]*Topic, len(names))
	for i, n := range names {
		topics[i] = c.topics[n]
	}
	return topics
}

// watch makes the catalog send on w, without blocking, after each change;
// unwatch ends it.
func (c *catalog) watch(w chan<- struct{}) {
	c.mu.Lock()
	c.watchers = append(c.watchers, w)
	c.mu.Unlock()
}

func (c *catalog) unwatch(w chan<- struct{}) {
	c.mu.Lock()
	if i := slices.Index(c.watchers, w); i >= 0 {
		c.watchers = slices.Delete(c.watchers, i, i+1)
	}
	c.mu.Unlock()
}

// nextChange returns a channel that is closed at the next change.
func (c *catalog) nextChange() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.changed
}

func (c *catalog) changedLocked() {
	c.version++
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
	for _, w := range c.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// create stores a new topic. The name and config are valid.
func (c *catalog) create(name string, cfg TopicConfig, now time.Time) (*Topic, error) {
	var t *Topic
	err := c.store.Update(func(tx *store.Tx) error {
		key := topicSettingPrefix + name
		if _, ok, err := tx.Get(key); err != nil || ok {
			if ok {
				err = topicError(name, ErrTopicExists)
			}
			return err
		}
		ids, err := takePartitionIDs(tx, effectiveTopicConfig(c.log, cfg).Partitions)
		if err != nil {
			return err
		}
		r := topicRecord{Version: topicRecordVersion, Name: name, ID: newTopicID(), Created: now.UTC(), Config: cfg, PartitionIDs: ids}
		if err := setTopicRecord(tx, r); err != nil {
			return err
		}
		t = newTopic(c.log, r)
		tx.OnDurable(func() {
			c.mu.Lock()
			c.topics[name], c.byID[t.id] = t, t
			c.changedLocked()
			c.mu.Unlock()
		})
		return nil
	})
	return t, err
}

// alter stores a change of a topic: fn gets a copy of its record.
func (c *catalog) alter(t *Topic, fn func(tx *store.Tx, r *topicRecord) error) error {
	return c.store.Update(func(tx *store.Tx) error {
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
		tx.OnDurable(func() {
			t.setRecord(r)
			c.mu.Lock()
			c.changedLocked()
			c.mu.Unlock()
		})
		return nil
	})
}

// errPartitionsAdded says that a topic got partitions that remove did not know.
var errPartitionsAdded = errors.New("leat: partitions were added")

// remove deletes a topic with all its records.
func (c *catalog) remove(t *Topic) error {
	ids := t.state.Load().record.PartitionIDs
	for {
		replicas := make([]*store.Partition, len(ids))
		for i, id := range ids {
			var err error
			if replicas[i], err = c.store.Partition(id); err != nil {
				return fmt.Errorf("topic %q partition %d: %w", t.name, i, err)
			}
		}
		err := c.store.Update(func(tx *store.Tx) error {
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
			tx.OnDurable(func() {
				t.deleted.Store(true)
				c.mu.Lock()
				delete(c.topics, t.name)
				delete(c.byID, t.id)
				c.changedLocked()
				c.mu.Unlock()
			})
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
				c.store.Forget(p)
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

// producerIDBlock hands out producer ids from a block that was reserved in the
// store, so that no id is given out twice over restarts (KIP-730).
type producerIDBlock struct {
	mu        sync.Mutex
	next, end int64
}

const producerIDBlockSize = 1000

// newProducerID returns an id that no other producer of this Log ever has.
func (c *catalog) newProducerID() (int64, error) {
	b := &c.producerIDs
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == b.end {
		var from int64
		err := c.store.Update(func(tx *store.Tx) error {
			v, err := settingUint64(tx.Get(producerIDsSetting))
			if err != nil {
				return fmt.Errorf("setting %q: %w", producerIDsSetting, err)
			}
			from = int64(v)
			return tx.Set(producerIDsSetting, binary.BigEndian.AppendUint64(nil, v+producerIDBlockSize))
		})
		if err != nil {
			return 0, err
		}
		b.next, b.end = from, from+producerIDBlockSize
	}
	id := b.next
	b.next++
	return id, nil
}

// clusterID returns the Log's own id, making it when it is asked for first (Kafka's
// cluster.id).
func (c *catalog) clusterID() (id string, err error) {
	err = c.store.Update(func(tx *store.Tx) error {
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
