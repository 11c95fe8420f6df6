package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memLog is a Log in memory that can be made to fail or to wait.
type memLog struct {
	mu      sync.Mutex
	records []KV
	appends int
	// fail, if not nil, is asked before each append; lost says that the records of
	// the failing append are in the log nevertheless.
	fail func() (err error, landed bool)
	// gate, if not nil, is received from before each append.
	gate chan struct{}
	// waiting gets a value when an append starts to wait at the gate.
	waiting chan struct{}
}

var _ Log = (*memLog)(nil)

func (l *memLog) Append(ctx context.Context, records []KV) error {
	if l.gate != nil {
		l.waiting <- struct{}{}
		select {
		case <-l.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	landed := true
	if l.fail != nil {
		err, landed = l.fail()
	}
	if err == nil || landed {
		l.appends++
		for _, kv := range records {
			l.records = append(l.records, KV{slices.Clone(kv.Key), slices.Clone(kv.Value)})
		}
	}
	return err
}

func (l *memLog) Replay(ctx context.Context, fn func(key, value []byte) error) error {
	l.mu.Lock()
	records := slices.Clone(l.records)
	l.mu.Unlock()
	for i, kv := range records {
		if err := fn(kv.Key, kv.Value); err != nil {
			return fmt.Errorf("offset %d: %w", i, err)
		}
	}
	return ctx.Err()
}

// compact keeps the last record of each key, and its tombstone only if asked.
func (l *memLog) compact(tombstones bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := map[string]int{}
	for i, kv := range l.records {
		last[string(kv.Key)] = i
	}
	var kept []KV
	for i, kv := range l.records {
		if last[string(kv.Key)] == i && (kv.Value != nil || tombstones) {
			kept = append(kept, kv)
		}
	}
	l.records = kept
}

func (l *memLog) appendCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.appends
}

// memTopics is a Topics that tests change.
type memTopics struct {
	mu      sync.Mutex
	topics  map[string]Topic
	changed chan struct{}
	last    byte // of the ids given out
}

var _ Topics = (*memTopics)(nil)

func newTopics() *memTopics {
	return &memTopics{topics: map[string]Topic{}, changed: make(chan struct{})}
}

func (t *memTopics) Topic(name string) (Topic, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	topic, ok := t.topics[name]
	return topic, ok
}

func (t *memTopics) Changed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

// set creates a topic, gives it another count, or (count 0) deletes it.
func (t *memTopics) set(name string, count int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	topic, ok := t.topics[name]
	switch {
	case count == 0:
		delete(t.topics, name)
	case ok:
		topic.Partitions = count
		t.topics[name] = topic
	default:
		t.last++
		t.topics[name] = Topic{ID: TopicID{15: t.last}, Partitions: count}
	}
	close(t.changed)
	t.changed = make(chan struct{})
}

// world is a coordinator with one group partition and what is around it.
type world struct {
	topics *memTopics
	log    *memLog
	opts   Options
	c      *Coordinator
}

func newWorld(t require.TestingT, change func(*Options)) *world {
	w := &world{topics: newTopics(), log: &memLog{}}
	w.opts = Options{
		Topics:     w.topics,
		Partitions: 1,
		Logs:       func(context.Context, int32) (Log, error) { return w.log, nil },
	}
	if change != nil {
		change(&w.opts)
	}
	w.start(t)
	return w
}

func (w *world) start(t require.TestingT) {
	c, err := New(w.opts)
	require.NoError(t, err)
	w.c = c
}

func (w *world) close(t require.TestingT) { require.NoError(t, w.c.Close()) }

// client is the member's side: what a member of this process remembers.
type client struct {
	c            *Coordinator
	group, id    string
	instance     string
	epoch        int32
	owned        []TopicPartitions // what it reads
	assigned     []TopicPartitions // what it was told last
	topics       []string
	needsAck     bool
	lastResponse HeartbeatResponse
}

func (m *client) take(resp HeartbeatResponse) {
	m.lastResponse = resp
	m.id, m.epoch = resp.Member, resp.Epoch
	if resp.Assignment != nil {
		m.assigned = resp.Assignment.Topics
		m.needsAck = true
	}
}

func (m *client) send(ctx context.Context, req HeartbeatRequest) (HeartbeatResponse, error) {
	req.Group, req.Member, req.InstanceID = m.group, m.id, m.instance
	resp, err := m.c.Heartbeat(ctx, req)
	if err == nil {
		m.take(resp)
	}
	return resp, err
}

func (m *client) join(ctx context.Context, topics ...string) (HeartbeatResponse, error) {
	m.topics = topics
	m.owned = nil
	return m.send(ctx, HeartbeatRequest{Topics: topics, RebalanceTimeout: minute})
}

// beat sends a heartbeat; it acknowledges what it was told if told is new.
func (m *client) beat(ctx context.Context) (HeartbeatResponse, error) {
	req := HeartbeatRequest{Epoch: m.epoch}
	if m.needsAck {
		m.owned = m.assigned
		req.Owned = append([]TopicPartitions{}, m.owned...)
		m.needsAck = false
	}
	return m.send(ctx, req)
}

func (m *client) leave(ctx context.Context, epoch int32) error {
	_, err := m.send(ctx, HeartbeatRequest{Epoch: epoch})
	return err
}

// show prints partitions as t:0,1 u:2.
func show(list []TopicPartitions) string {
	if len(list) == 0 {
		return "-"
	}
	var words []string
	for _, tp := range list {
		words = append(words, fmt.Sprintf("%s:%s", tp.Topic, strings.Trim(strings.ReplaceAll(fmt.Sprint(tp.Partitions), " ", ","), "[]")))
	}
	return strings.Join(words, " ")
}

// code is the first word of the sentinel that err wraps: Kafka's name.
func code(err error) string {
	for _, sentinel := range []error{ErrClosed, ErrNotCoordinator, ErrNotAvailable, ErrUnknownMember, ErrFencedMemberEpoch,
		ErrStaleMemberEpoch, ErrFencedInstance, ErrUnreleasedInstance, ErrGroupNotFound, ErrNonEmptyGroup, ErrGroupMaxSize,
		ErrGroupSubscribedToTopic, ErrUnsupportedAssignor, ErrInvalidRequest, ErrUnknownTopicOrPartition,
		ErrOffsetMetadataTooLarge, ErrIllegalGeneration, ErrRebalanceInProgress, ErrMemberIDRequired, ErrInconsistentProtocol,
		ErrInvalidSessionTimeout, ErrInvalidGroupID} {
		if errors.Is(err, sentinel) {
			return strings.TrimSuffix(strings.Fields(sentinel.Error())[0], ":")
		}
	}
	return err.Error()
}
