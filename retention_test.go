package leat_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat"
	"github.com/leatlog/leat/leattest"
)

var start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func open(t testing.TB, cfg leat.Config) *leat.Log {
	t.Helper()
	cfg.InMemory = cfg.Dir == ""
	l, err := leat.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func create(t testing.TB, l *leat.Log, name string, cfg leat.TopicConfig) *leat.Topic {
	t.Helper()
	topic, err := l.CreateTopic(t.Context(), name, cfg)
	require.NoError(t, err)
	return topic
}

// produce stores each value as a batch of its own.
func produce(t testing.TB, l *leat.Log, topic string, partition int32, values ...string) {
	t.Helper()
	p, err := l.NewProducer(leat.WithPartitioner(leat.ManualPartitioner))
	require.NoError(t, err)
	for _, v := range values {
		_, err := p.ProduceSync(t.Context(), leat.Record{Topic: topic, Partition: partition, Key: []byte(v), Value: []byte(v)})
		require.NoError(t, err)
	}
	require.NoError(t, p.Close())
}

// bounds are the log start and the high watermark of a partition.
func bounds(t testing.TB, topic *leat.Topic, partition int32) [2]leat.Offset {
	t.Helper()
	p, err := topic.Partition(partition)
	require.NoError(t, err)
	info, err := p.Info(t.Context())
	require.NoError(t, err)
	return [2]leat.Offset{info.LogStart, info.HighWatermark}
}

type removal struct {
	tp       leat.TopicPartition
	from, to leat.Offset
}

// TestRetentionByTimeInTheBackground lets days pass on a fake clock.
func TestRetentionByTimeInTheBackground(t *testing.T) {
	clock := leattest.NewClock(start)
	removed := make(chan removal, 10)
	l := open(t, leat.Config{
		Clock:              clock,
		CompactionInterval: -1,
		Hooks: leat.Hooks{RecordsRemoved: func(tp leat.TopicPartition, from, to leat.Offset) {
			removed <- removal{tp, from, to}
		}},
	})
	old := create(t, l, "old", leat.TopicConfig{Partitions: 2, Retention: 2 * day})
	kept := create(t, l, "kept", leat.TopicConfig{Retention: leat.Forever})
	compacted := create(t, l, "compacted", leat.TopicConfig{CleanupPolicy: leat.Compact, Retention: time.Hour})
	for _, topic := range []string{"old", "kept", "compacted"} {
		produce(t, l, topic, 0, "a", "b")
	}
	next := func(d time.Duration) { // a round begins d later
		require.NoError(t, clock.BlockUntil(t.Context(), 1))
		clock.Advance(d)
	}
	next(day)
	produce(t, l, "old", 0, "c")
	next(day)
	// All three are two days old at most: just not more than that.
	require.NoError(t, clock.BlockUntil(t.Context(), 1))
	require.Equal(t, [2]leat.Offset{0, 3}, bounds(t, old, 0))
	next(5 * time.Minute)
	require.Equal(t, removal{leat.TopicPartition{Topic: "old", Partition: 0}, 0, 2}, <-removed)
	require.Equal(t, [2]leat.Offset{2, 3}, bounds(t, old, 0))
	next(day)
	require.Equal(t, removal{leat.TopicPartition{Topic: "old", Partition: 0}, 2, 3}, <-removed)
	require.NoError(t, clock.BlockUntil(t.Context(), 1))
	require.Equal(t, [2]leat.Offset{3, 3}, bounds(t, old, 0), "the newest batch goes too, offsets stay")
	require.Equal(t, [2]leat.Offset{0, 0}, bounds(t, old, 1))
	require.Equal(t, [2]leat.Offset{0, 2}, bounds(t, kept, 0))
	require.Equal(t, [2]leat.Offset{0, 2}, bounds(t, compacted, 0))
	require.Empty(t, removed)
	// An empty partition that gets records again is found again.
	produce(t, l, "old", 0, "d")
	next(3 * day)
	require.Equal(t, removal{leat.TopicPartition{Topic: "old", Partition: 0}, 3, 4}, <-removed)
}

// TestRetentionReachesWhatNobodyTouches reopens a Log and never uses a topic.
func TestRetentionReachesWhatNobodyTouches(t *testing.T) {
	dir := t.TempDir()
	clock := leattest.NewClock(start)
	cfg := leat.Config{Dir: dir, Clock: clock, CompactionInterval: -1}
	l, err := leat.Open(t.Context(), cfg)
	require.NoError(t, err)
	create(t, l, "idle", leat.TopicConfig{Partitions: 3, Retention: day})
	create(t, l, "big", leat.TopicConfig{Retention: leat.Forever})
	produce(t, l, "idle", 1, "a", "b")
	produce(t, l, "big", 0, "a", "b", "c")
	require.NoError(t, l.Close())

	removed := make(chan removal, 10)
	cfg.Hooks.RecordsRemoved = func(tp leat.TopicPartition, from, to leat.Offset) { removed <- removal{tp, from, to} }
	l = open(t, cfg)
	require.NoError(t, clock.BlockUntil(t.Context(), 1))
	clock.Advance(5 * time.Minute)
	require.NoError(t, clock.BlockUntil(t.Context(), 1)) // a round that saw nothing to do
	require.Empty(t, removed)
	clock.Advance(2 * day)
	require.Equal(t, removal{leat.TopicPartition{Topic: "idle", Partition: 1}, 0, 2}, <-removed)
	require.NoError(t, clock.BlockUntil(t.Context(), 1))
	require.Empty(t, removed)
	// A config that is altered holds for partitions that were looked at before.
	require.NoError(t, l.AlterTopic(t.Context(), "big", func(c *leat.TopicConfig) { c.RetentionBytes = 1 }))
	clock.Advance(5 * time.Minute)
	require.Equal(t, removal{leat.TopicPartition{Topic: "big"}, 0, 2}, <-removed)
}

func TestApplyRetentionBySize(t *testing.T) {
	l := open(t, leat.Config{RetentionCheckInterval: -1, CompactionInterval: -1})
	topic := create(t, l, "t", leat.TopicConfig{Partitions: 2})
	for i := range 10 {
		produce(t, l, "t", 1, fmt.Sprint(i))
	}
	part, err := topic.Partition(1)
	require.NoError(t, err)
	info, err := part.Info(t.Context())
	require.NoError(t, err)
	batch := info.Bytes / 10

	for _, tt := range []struct {
		limit int64
		start leat.Offset
	}{
		{leat.Unlimited, 0},
		{10 * batch, 0},
		{9*batch + 1, 0}, // without one it would be below the limit
		{9 * batch, 1},
		{5*batch - 1, 5},
		{1, 9}, // the newest stays
	} {
		require.NoError(t, l.AlterTopic(t.Context(), "t", func(c *leat.TopicConfig) { c.RetentionBytes = tt.limit }))
		before := bounds(t, topic, 1)[0]
		res, err := topic.ApplyRetention(t.Context())
		require.NoError(t, err)
		want := leat.RetentionResult{Records: int64(tt.start - before), Bytes: int64(tt.start-before) * batch}
		if tt.start > before {
			want.Partitions = 1
		}
		require.Equal(t, want, res, "limit %d", tt.limit)
		require.Equal(t, [2]leat.Offset{tt.start, 10}, bounds(t, topic, 1))
		require.Equal(t, [2]leat.Offset{0, 0}, bounds(t, topic, 0))
	}
}

// TestRetentionByTimeGoesByTheLatestTimestamp has a batch that is old behind one
// that is not.
func TestRetentionByTimeGoesByTheLatestTimestamp(t *testing.T) {
	clock := leattest.NewClock(start)
	l := open(t, leat.Config{Clock: clock, RetentionCheckInterval: -1, CompactionInterval: -1})
	topic := create(t, l, "t", leat.TopicConfig{Retention: day})
	p, err := l.NewProducer()
	require.NoError(t, err)
	for _, age := range []time.Duration{3 * day, 0, 3 * day} {
		_, err := p.ProduceSync(t.Context(), leat.Record{Topic: "t", Timestamp: start.Add(-age)})
		require.NoError(t, err)
	}
	for _, want := range []leat.Offset{1, 1, 3} {
		_, err := topic.ApplyRetention(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, bounds(t, topic, 0)[0])
		clock.Advance(day)
	}
}

func TestApplyRetentionErrors(t *testing.T) {
	l := open(t, leat.Config{RetentionCheckInterval: -1, CompactionInterval: -1})
	topic := create(t, l, "t", leat.TopicConfig{})
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := topic.ApplyRetention(cancelled)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, l.DeleteTopic(t.Context(), "t"))
	_, err = topic.ApplyRetention(t.Context())
	require.ErrorIs(t, err, leat.ErrTopicDeleted)
	require.NoError(t, l.Close())
	_, err = topic.ApplyRetention(t.Context())
	require.ErrorIs(t, err, leat.ErrClosed)
}
