package leat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Topic is a named stream of records, split into partitions. It stays the
// handle of this very topic: when that is deleted, its calls return
// ErrTopicDeleted, also if one of the same name is created later. All methods
// may be called concurrently.
type Topic struct {
	log     *Log
	name    string
	id      TopicID
	state   atomic.Pointer[topicState]
	deleted atomic.Bool
}

// topicState is replaced as a whole when the topic is altered.
type topicState struct {
	record     topicRecord
	config     TopicConfig // effective: no field is zero
	partitions []*Partition
}

// TopicInfo describes a topic.
type TopicInfo struct {
	Name    string
	ID      TopicID
	Created time.Time
	// Config is effective: what the topic leaves open is filled in.
	Config TopicConfig
	// Internal says that the topic is the library's own.
	Internal bool
}

func newTopic(l *Log, r topicRecord) *Topic {
	t := &Topic{log: l, name: r.Name, id: r.ID}
	t.setRecord(r)
	return t
}

func (t *Topic) setRecord(r topicRecord) {
	s := &topicState{record: r, config: effectiveTopicConfig(t.log, r.Config)}
	s.config.Partitions = len(r.PartitionIDs)
	if old := t.state.Load(); old != nil {
		s.partitions = append(s.partitions, old.partitions...)
	}
	for i := len(s.partitions); i < len(r.PartitionIDs); i++ {
		s.partitions = append(s.partitions, &Partition{topic: t, number: int32(i), id: r.PartitionIDs[i]})
	}
	t.state.Store(s)
}

func effectiveTopicConfig(l *Log, c TopicConfig) TopicConfig {
	return c.inherit(l.cfg.TopicDefaults).withDefaults()
}

// CreateTopic makes a topic and returns when it is durable. It returns
// ErrTopicExists, a *InvalidNameError or a *ConfigError.
func (l *Log) CreateTopic(ctx context.Context, name string, cfg TopicConfig) (*Topic, error) {
	if err := validateNewTopicName(name); err != nil {
		return nil, err
	}
	return l.createTopic(ctx, name, cfg)
}

// createTopic is CreateTopic for internal topics too.
func (l *Log) createTopic(ctx context.Context, name string, cfg TopicConfig) (*Topic, error) {
	if err := l.begin(ctx); err != nil {
		return nil, err
	}
	defer l.end()
	if err := cfg.validate(); err != nil {
		return nil, topicError(name, err)
	}
	if err := effectiveTopicConfig(l, cfg).validate(); err != nil {
		return nil, topicError(name, err)
	}
	t, err := l.catalog.store.create(ctx, name, cfg)
	if err != nil {
		return nil, l.mapError(err)
	}
	if l.cluster == nil {
		l.topicCreated(name, t.NumPartitions())
	}
	return t, nil
}

// topicCreated and topicDeleted tell the program of what is durable; of a cluster's
// topics on every node.
func (l *Log) topicCreated(name string, partitions int) {
	l.cfg.Logger.Info("topic created", "topic", name, "partitions", partitions)
	if h := l.cfg.Hooks.TopicCreated; h != nil {
		h(name)
	}
}

func (l *Log) topicDeleted(name string) {
	l.cfg.Logger.Info("topic deleted", "topic", name)
	if h := l.cfg.Hooks.TopicDeleted; h != nil {
		h(name)
	}
}

// Topic returns an existing topic, or ErrUnknownTopic.
func (l *Log) Topic(ctx context.Context, name string) (*Topic, error) {
	if err := l.begin(ctx); err != nil {
		return nil, err
	}
	defer l.end()
	if err := validateTopicName(name); err != nil {
		return nil, err
	}
	if t := l.catalog.topic(name); t != nil {
		return t, nil
	}
	return nil, topicError(name, ErrUnknownTopic)
}

// Topics describes all topics in the order of their names, internal ones too.
func (l *Log) Topics(ctx context.Context) ([]TopicInfo, error) {
	if err := l.begin(ctx); err != nil {
		return nil, err
	}
	defer l.end()
	var infos []TopicInfo
	for _, t := range l.catalog.all() {
		infos = append(infos, t.Info())
	}
	return infos, nil
}

// AlterTopic changes a topic's config: alter gets what the topic was given, with
// zero in the fields that it inherits, and changes it; it must be quick and may
// not call the Log. Partitions cannot be changed here, see AddPartitions. The
// change is durable when AlterTopic returns. If alter panics nothing changes and
// the panic is the error.
func (l *Log) AlterTopic(ctx context.Context, name string, alter func(*TopicConfig)) error {
	t, err := l.Topic(ctx, name)
	if err != nil {
		return err
	}
	return l.alterTopic(ctx, t, func(cfg *TopicConfig) error { return runAlter(alter, cfg) }, false)
}

// errValidateOnly keeps alterTopic from storing what it found right.
var errValidateOnly = errors.New("only validated")

// alterTopic is AlterTopic with an alter that may fail. With validateOnly nothing is
// stored.
func (l *Log) alterTopic(ctx context.Context, t *Topic, alter func(*TopicConfig) error, validateOnly bool) error {
	name := t.name
	err := l.catalog.store.alter(ctx, t, func(given *TopicConfig) error {
		cfg := *given
		if err := alter(&cfg); err != nil {
			return topicError(name, err)
		}
		if cfg.Partitions != given.Partitions {
			return topicError(name, &ConfigError{Property: "partitions", Value: fmt.Sprint(cfg.Partitions),
				Rule: "cannot be altered; AddPartitions adds some"})
		}
		if err := cmp.Or(cfg.validate(), effectiveTopicConfig(l, cfg).validate()); err != nil {
			return topicError(name, err)
		}
		if policy := effectiveTopicConfig(l, cfg).CleanupPolicy; isInternalTopic(name) && policy != Compact {
			return topicError(name, &ConfigError{Property: "cleanup.policy", Value: policy.String(),
				Rule: "must be compact for a topic of the library's own, which would forget otherwise"})
		}
		if validateOnly {
			return errValidateOnly
		}
		*given = cfg
		return nil
	})
	if validateOnly && errors.Is(err, errValidateOnly) {
		return nil
	}
	return l.mapError(err)
}

// runAlter makes a panic of the user's function an error: it runs on whoever
// leads the commit.
func runAlter(alter func(*TopicConfig), cfg *TopicConfig) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("leat: the function given to AlterTopic panicked: %v", r)
		}
	}()
	alter(cfg)
	return nil
}

// AddPartitions makes a topic have total partitions. Keys may land in other
// partitions from then on. It returns a *ConfigError when total is not above
// what the topic has, and an *InvalidNameError for an internal topic.
func (l *Log) AddPartitions(ctx context.Context, name string, total int) error {
	t, err := l.Topic(ctx, name)
	if err != nil {
		return err
	}
	if err := refuseInternal(name, "keeps its partitions: what it holds is found by their number"); err != nil {
		return err
	}
	return l.mapError(l.catalog.store.addPartitions(ctx, t, total))
}

// checkPartitionsTotal returns a *ConfigError if a topic of n partitions cannot get
// that many.
func checkPartitionsTotal(name string, n, total int) error {
	if total > n && total <= partitionsMax {
		return nil
	}
	return topicError(name, &ConfigError{Property: "partitions", Value: fmt.Sprint(total),
		Rule: fmt.Sprintf("must be more than the %d that there are, and at most %d", n, partitionsMax)})
}

// DeleteTopic removes a topic with all its records and returns when that is
// durable. Its consumers and producers get ErrTopicDeleted or ErrUnknownTopic.
func (l *Log) DeleteTopic(ctx context.Context, name string) error {
	t, err := l.Topic(ctx, name)
	if err != nil {
		return err
	}
	return l.deleteTopic(ctx, t)
}

// deleteTopic is DeleteTopic for this very topic.
func (l *Log) deleteTopic(ctx context.Context, t *Topic) error {
	if err := refuseInternal(t.name, "cannot be deleted"); err != nil {
		return err
	}
	if err := l.catalog.store.remove(ctx, t); err != nil {
		return l.mapError(err)
	}
	if l.cluster == nil {
		l.topicDeleted(t.name)
	}
	return nil
}

// Name returns the topic's name.
func (t *Topic) Name() string { return t.name }

// ID returns the topic's unique id.
func (t *Topic) ID() TopicID { return t.id }

// Config returns the effective config: what the topic leaves open is filled in.
func (t *Topic) Config() TopicConfig { return t.state.Load().config }

// Info describes the topic.
func (t *Topic) Info() TopicInfo {
	s := t.state.Load()
	return TopicInfo{Name: t.name, ID: t.id, Created: s.record.Created, Config: s.config, Internal: isInternalTopic(t.name)}
}

// NumPartitions returns the number of partitions, which may grow.
func (t *Topic) NumPartitions() int { return len(t.state.Load().partitions) }

// Partition returns a partition, or ErrUnknownPartition.
func (t *Topic) Partition(number int32) (*Partition, error) {
	s := t.state.Load()
	if t.deleted.Load() {
		return nil, topicError(t.name, ErrTopicDeleted)
	}
	if number < 0 || int(number) >= len(s.partitions) {
		return nil, fmt.Errorf("%w: topic %q has partitions 0 to %d, not %d", ErrUnknownPartition, t.name, len(s.partitions)-1, number)
	}
	return s.partitions[number], nil
}
