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

// put stores records of key=value, each as a batch of its own. An empty value is
// a tombstone.
func put(t testing.TB, l *leat.Log, topic string, partition int32, pairs ...string) {
	t.Helper()
	p, err := l.NewProducer(leat.WithPartitioner(leat.ManualPartitioner))
	require.NoError(t, err)
	for i := 0; i < len(pairs); i += 2 {
		r := leat.Record{Topic: topic, Partition: partition, Key: []byte(pairs[i])}
		if pairs[i+1] != "" {
			r.Value = []byte(pairs[i+1])
		}
		_, err := p.ProduceSync(t.Context(), r)
		require.NoError(t, err)
	}
	require.NoError(t, p.Close())
}

// contents reads a partition up to its high watermark, as "offset key=value".
func contents(t testing.TB, l *leat.Log, topic *leat.Topic, partition int32) (out []string) {
	t.Helper()
	end := bounds(t, topic, partition)[1]
	c, err := l.NewConsumer(leat.Assign(topic.Name(), partition), leat.StartAt(leat.Earliest))
	require.NoError(t, err)
	defer c.Close()
	tp := leat.TopicPartition{Topic: topic.Name(), Partition: partition}
	for {
		at, err := c.Position(tp)
		require.NoError(t, err)
		if at >= end {
			return out
		}
		rs, err := c.Poll(t.Context(), 0)
		require.NoError(t, err)
		for _, r := range rs {
			out = append(out, fmt.Sprintf("%d %s=%s", r.Offset, r.Key, r.Value))
		}
	}
}

type compacted struct {
	tp      leat.TopicPartition
	records int64
}

func TestCompactionInTheBackground(t *testing.T) {
	clock := leattest.NewClock(start)
	done := make(chan compacted, 10)
	l := open(t, leat.Config{
		Clock:                  clock,
		RetentionCheckInterval: -1,
		Hooks: leat.Hooks{Compacted: func(tp leat.TopicPartition, records, bytes int64) {
			done <- compacted{tp, records}
		}},
	})
	topic := create(t, l, "t", leat.TopicConfig{CleanupPolicy: leat.Compact, DeleteRetention: time.Hour})
	deletes := create(t, l, "deletes", leat.TopicConfig{})
	lagging := create(t, l, "lagging", leat.TopicConfig{CleanupPolicy: leat.Compact, MinCompactionLag: time.Hour, MinCleanableDirtyRatio: -1})
	// Never half of it is new, but nothing waits for longer than a day.
	overdue := create(t, l, "overdue", leat.TopicConfig{CleanupPolicy: leat.Compact, MinCleanableDirtyRatio: 1, MaxCompactionLag: 24 * time.Hour})
	round := func(d time.Duration) { // one round begins d later, and ends
		t.Helper()
		require.NoError(t, clock.BlockUntil(t.Context(), 1))
		clock.Advance(d)
		require.NoError(t, clock.BlockUntil(t.Context(), 1))
	}
	put(t, l, "t", 0, "a", "1", "b", "1", "a", "2", "b", "")
	put(t, l, "lagging", 0, "a", "1", "a", "2", "b", "1")
	put(t, l, "deletes", 0, "a", "1", "a", "2")

	round(15 * time.Second)
	require.Equal(t, compacted{leat.TopicPartition{Topic: "t"}, 2}, <-done)
	require.Equal(t, []string{"2 a=2", "3 b="}, contents(t, l, topic, 0))
	require.Empty(t, done)
	require.Equal(t, int64(1), l.Metrics().Compaction.Runs, "what is too young is not looked through")

	put(t, l, "t", 0, "a", "3") // a third: not enough
	round(15 * time.Second)
	require.Empty(t, done)
	require.Len(t, contents(t, l, topic, 0), 3)

	round(time.Hour)
	require.Equal(t, compacted{leat.TopicPartition{Topic: "lagging"}, 1}, <-done)
	require.Equal(t, []string{"1 a=2", "2 b=1"}, contents(t, l, lagging, 0))

	put(t, l, "t", 0, "a", "4", "a", "5") // and the tombstone had its time
	round(15 * time.Second)
	require.Equal(t, compacted{leat.TopicPartition{Topic: "t"}, 4}, <-done)
	require.Equal(t, []string{"6 a=5"}, contents(t, l, topic, 0))

	_, err := overdue.Compact(t.Context())
	require.NoError(t, err)
	put(t, l, "overdue", 0, "a", "1", "b", "1")
	_, err = overdue.Compact(t.Context())
	require.NoError(t, err)
	put(t, l, "overdue", 0, "a", "2")
	round(23 * time.Hour)
	require.Empty(t, done)
	round(2 * time.Hour)
	require.Equal(t, compacted{leat.TopicPartition{Topic: "overdue"}, 1}, <-done)

	require.Equal(t, []string{"0 a=1", "1 a=2"}, contents(t, l, deletes, 0))
	m := l.Metrics().Compaction
	require.Equal(t, int64(8), m.RecordsRemoved)
	require.Positive(t, m.BytesRemoved)
	require.Positive(t, m.BytesRead)
	require.Zero(t, m.Errors)
}

// TestCompactionReachesWhatNobodyTouches leaves work behind for the next Log.
func TestCompactionReachesWhatNobodyTouches(t *testing.T) {
	clock := leattest.NewClock(start)
	cfg := leat.Config{Dir: t.TempDir(), Clock: clock, RetentionCheckInterval: -1}
	l, err := leat.Open(t.Context(), cfg)
	require.NoError(t, err)
	create(t, l, "t", leat.TopicConfig{Partitions: 4, CleanupPolicy: leat.Compact})
	put(t, l, "t", 2, "a", "1", "a", "2")
	require.NoError(t, l.Close())

	done := make(chan compacted, 10)
	cfg.Hooks.Compacted = func(tp leat.TopicPartition, records, bytes int64) { done <- compacted{tp, records} }
	open(t, cfg)
	for range 2 {
		require.NoError(t, clock.BlockUntil(t.Context(), 1))
		clock.Advance(15 * time.Second)
	}
	require.Equal(t, compacted{leat.TopicPartition{Topic: "t", Partition: 2}, 1}, <-done)
	require.NoError(t, clock.BlockUntil(t.Context(), 1))
	require.Empty(t, done)
}

func TestCompactOnDemand(t *testing.T) {
	l := open(t, leat.Config{RetentionCheckInterval: -1, CompactionInterval: -1})
	topic := create(t, l, "t", leat.TopicConfig{Partitions: 2, CleanupPolicy: leat.Compact, DeleteRetention: leat.AtOnce})
	put(t, l, "t", 0, "a", "1", "a", "2", "b", "1")
	put(t, l, "t", 1, "c", "1", "c", "", "d", "1")
	res, err := topic.Compact(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, res.Partitions)
	require.Equal(t, int64(2), res.RecordsRemoved)
	require.Equal(t, []string{"1 a=2", "2 b=1"}, contents(t, l, topic, 0))
	require.Equal(t, []string{"1 c=", "2 d=1"}, contents(t, l, topic, 1))
	// Tombstones go with the second, though nothing is new.
	res, err = topic.Compact(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(1), res.RecordsRemoved)
	require.Equal(t, []string{"2 d=1"}, contents(t, l, topic, 1))
}

func TestCompactErrors(t *testing.T) {
	l := open(t, leat.Config{RetentionCheckInterval: -1, CompactionInterval: -1, CompactionBytesPerSecond: 1})
	deletes := create(t, l, "deletes", leat.TopicConfig{})
	_, err := deletes.Compact(t.Context())
	var ce *leat.ConfigError
	require.ErrorAs(t, err, &ce)
	require.Equal(t, "cleanup.policy", ce.Property)

	// At one byte a second it takes minutes, and the others wait for it.
	topic := create(t, l, "t", leat.TopicConfig{CleanupPolicy: leat.Compact})
	put(t, l, "t", 0, "a", "1", "a", "2")
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := topic.Compact(ctx); first <- err }()
	go func() { _, err := topic.Compact(ctx); second <- err }()
	cancel()
	require.ErrorIs(t, <-first, context.Canceled)
	require.ErrorIs(t, <-second, context.Canceled)

	go func() { _, err := topic.Compact(context.Background()); first <- err }()
	go func() { _, err := topic.Compact(context.Background()); second <- err }()
	require.NoError(t, l.Close())
	require.ErrorIs(t, <-first, leat.ErrClosed)
	require.ErrorIs(t, <-second, leat.ErrClosed)
}
