package leat

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// topicStore keeps the topics of a Log: in the settings of its own store, or in the
// metadata of its cluster. When a change returns, it is durable, and the catalog has
// it. The names and configs that it is given are valid.
type topicStore interface {
	// load fills the catalog, once, when the Log opens.
	load() error
	// create makes a topic; it returns ErrTopicExists.
	create(ctx context.Context, name string, cfg TopicConfig) (*Topic, error)
	// alter changes the config of a topic, by fn that gets what it was given; an
	// error of fn ends it.
	alter(ctx context.Context, t *Topic, fn func(cfg *TopicConfig) error) error
	// addPartitions makes the topic have total partitions; it returns a
	// *ConfigError where it has as many.
	addPartitions(ctx context.Context, t *Topic, total int) error
	// remove deletes a topic with all its records.
	remove(ctx context.Context, t *Topic) error
	// reserveProducerIDs returns the first of producerIDBlockSize ids that nobody
	// else gets.
	reserveProducerIDs(ctx context.Context) (first int64, err error)
	// clusterID returns Kafka's cluster.id.
	clusterID(ctx context.Context) (string, error)
}

// catalog holds the topics of a Log in memory, as its topicStore keeps them.
// A change is made there first, and is here once it is durable.
type catalog struct {
	log   *Log
	store topicStore

	mu       sync.RWMutex
	topics   map[string]*Topic
	byID     map[TopicID]*Topic
	version  uint64 // grows with every change
	watchers []chan<- struct{}
	changed  chan struct{} // closed at the next change; nil until asked for

	producerIDs producerIDBlock
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

// add makes a topic known.
func (c *catalog) add(t *Topic) {
	c.mu.Lock()
	c.topics[t.name], c.byID[t.id] = t, t
	c.changedLocked()
	c.mu.Unlock()
}

// update gives a topic another record.
func (c *catalog) update(t *Topic, r topicRecord) {
	t.setRecord(r)
	c.mu.Lock()
	c.changedLocked()
	c.mu.Unlock()
}

// drop forgets a topic that was deleted.
func (c *catalog) drop(t *Topic) {
	t.deleted.Store(true)
	c.mu.Lock()
	if c.topics[t.name] == t {
		delete(c.topics, t.name)
	}
	delete(c.byID, t.id)
	c.changedLocked()
	c.mu.Unlock()
}

// producerIDBlock hands out producer ids from a block that was reserved in the
// store, so that no id is given out twice over restarts (KIP-730).
type producerIDBlock struct {
	mu        sync.Mutex
	next, end int64
}

const producerIDBlockSize = 1000

// newProducerID returns an id that no other producer of this Log ever has.
func (c *catalog) newProducerID(ctx context.Context) (int64, error) {
	b := &c.producerIDs
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == b.end {
		from, err := c.store.reserveProducerIDs(ctx)
		if err != nil {
			return 0, err
		}
		b.next, b.end = from, from+producerIDBlockSize
	}
	id := b.next
	b.next++
	return id, nil
}
