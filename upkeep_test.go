package leat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
)

// TestUpkeepOpensNothing has rounds over many partitions that nobody uses.
func TestUpkeepOpensNothing(t *testing.T) {
	fs := vfs.NewMem()
	clock := &setClock{}
	clock.now.Store(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	cfg := Config{fs: fs, Clock: clock, RetentionCheckInterval: -1, CompactionInterval: -1}
	l, err := Open(t.Context(), cfg)
	require.NoError(t, err)
	mustTopic(t, l, "t", TopicConfig{Partitions: 600, CleanupPolicy: CompactDelete, RetentionBytes: 1000, Retention: time.Hour})
	p, err := l.NewProducer(WithPartitioner(ManualPartitioner))
	require.NoError(t, err)
	for i := range int32(600) {
		p.Produce(t.Context(), Record{Topic: "t", Partition: i, Key: []byte("k"), Value: []byte("v")}, nil)
	}
	require.NoError(t, p.Flush(t.Context()))
	l.compactAll(t.Context())
	require.NoError(t, l.Close())

	l = openTest(t, cfg)
	topic := l.catalog.topic("t")
	opened := func() (n int) {
		for _, p := range topic.state.Load().partitions {
			if p.stored.Load() != nil {
				n++
			}
		}
		return n
	}
	for range 3 {
		l.retainAll(t.Context())
		l.compactAll(t.Context())
	}
	infos, err := topic.PartitionInfos(t.Context())
	require.NoError(t, err)
	require.Equal(t, Offset(1), infos[599].HighWatermark)
	require.Zero(t, opened())
	clock.now.Add(int64(2 * time.Hour))
	l.retainAll(t.Context())
	require.Equal(t, 600, opened())
	infos, err = topic.PartitionInfos(t.Context())
	require.NoError(t, err)
	for _, info := range infos {
		require.Equal(t, Offset(1), info.LogStart)
		require.Zero(t, info.Records)
	}
}

// setClock shows what it is set to; its timers are the system's.
type setClock struct {
	now atomic.Int64
}

func (c *setClock) Now() time.Time                 { return time.Unix(0, c.now.Load()) }
func (c *setClock) NewTimer(d time.Duration) Timer { return base.SystemClock{}.NewTimer(d) }

// TestUpkeepBesideTraffic appends and reads while retention and compaction run
// all the time, and looks for what they must not do.
func TestUpkeepBesideTraffic(t *testing.T) {
	l := openTest(t, Config{MemTableBytes: 1 << 20, TailCacheBytes: 64 << 10,
		RetentionCheckInterval: time.Millisecond, CompactionInterval: time.Millisecond, CompactionBytesPerSecond: -1})
	const limit = 64 << 10
	trimmed := mustTopic(t, l, "trimmed", TopicConfig{Partitions: 2, RetentionBytes: limit})
	compacted := mustTopic(t, l, "compacted", TopicConfig{Partitions: 2, CleanupPolicy: Compact, MinCleanableDirtyRatio: -1, DeleteRetention: AtOnce})

	const records = 10_000
	var last [2]sync.Map // key -> offset of its last record, by partition
	var done atomic.Bool
	var wg sync.WaitGroup
	for part := range int32(2) {
		wg.Go(func() {
			p, err := l.NewProducer(WithPartitioner(ManualPartitioner))
			if err != nil {
				t.Error(err)
				return
			}
			rng := rand.New(rand.NewPCG(uint64(part), 1))
			for i := range records {
				value := fmt.Appendf(nil, "%d %0200d", i, 0)
				p.Produce(t.Context(), Record{Topic: "trimmed", Partition: part, Value: value}, nil)
				key := fmt.Sprint(rng.IntN(40))
				if rng.IntN(10) == 0 {
					value = nil
				}
				p.Produce(t.Context(), Record{Topic: "compacted", Partition: part, Key: []byte(key), Value: value}, func(m RecordMetadata, err error) {
					if err != nil {
						t.Error(err)
					}
					last[part].Store(key, m.Offset)
				})
				if i%50 == 0 {
					if err := p.Flush(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	var readers sync.WaitGroup
	readers.Go(func() { // what is there is what was written, and in order
		c, err := l.NewConsumer(Assign("trimmed"), StartAt(Earliest), WithResetPolicy(ResetEarliest))
		if err != nil {
			t.Error(err)
			return
		}
		next := [2]Offset{}
		for !done.Load() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			rs, err := c.Poll(ctx, 0)
			cancel()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
				return
			}
			for _, r := range rs {
				if r.Offset < next[r.Partition] || !strings.HasPrefix(string(r.Value), fmt.Sprint(r.Offset, " ")) {
					t.Errorf("partition %d: got offset %d with %.10q, after %d", r.Partition, r.Offset, r.Value, next[r.Partition])
				}
				next[r.Partition] = r.Offset + 1
			}
		}
	})
	wg.Wait()
	// Appends and reads went on while the background did its part.
	require.Eventually(t, func() bool {
		m := l.Metrics()
		return m.Retention.RecordsRemoved > 0 && m.Compaction.RecordsRemoved > 0
	}, 30*time.Second, time.Millisecond)
	done.Store(true)
	readers.Wait()

	_, err := trimmed.ApplyRetention(t.Context())
	require.NoError(t, err)
	_, err = compacted.Compact(t.Context())
	require.NoError(t, err)
	_, err = compacted.Compact(t.Context())
	require.NoError(t, err)
	for part := range int32(2) {
		p, err := trimmed.Partition(part)
		require.NoError(t, err)
		info, err := p.Info(t.Context())
		require.NoError(t, err)
		require.Equal(t, Offset(records), info.HighWatermark)
		require.GreaterOrEqual(t, info.Bytes, int64(limit), "retention went below the limit")
		require.Less(t, info.Bytes, int64(3*limit))
		require.NotZero(t, info.LogStart)

		// The last record of each key, and nothing else but for what tombstones and
		// the newest batch leave.
		c, err := l.NewConsumer(Assign("compacted", part), StartAt(Earliest))
		require.NoError(t, err)
		seen := map[string]Offset{}
		tp := TopicPartition{Topic: "compacted", Partition: part}
		for {
			at, err := c.Position(tp)
			require.NoError(t, err)
			if at >= records {
				break
			}
			rs, err := c.Poll(t.Context(), 0)
			require.NoError(t, err)
			for _, r := range rs {
				want, ok := last[part].Load(string(r.Key))
				require.True(t, ok)
				require.Equal(t, want, r.Offset, "key %s is not the last", r.Key)
				if r.Value != nil {
					seen[string(r.Key)] = r.Offset
				}
			}
			if len(rs) == 0 {
				break
			}
		}
		require.NoError(t, c.Close())
		require.NotEmpty(t, seen)
	}
	m := l.Metrics()
	require.Positive(t, m.Retention.RecordsRemoved)
	require.Positive(t, m.Compaction.RecordsRemoved)
	require.Zero(t, m.Retention.Errors)
	require.Zero(t, m.Compaction.Errors)
}

// TestUpkeepErrorsAreToldAndOthersGoOn damages the batches of one topic.
func TestUpkeepErrorsAreToldAndOthersGoOn(t *testing.T) {
	fs := vfs.NewMem()
	clock := &setClock{}
	clock.now.Store(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	cfg := Config{fs: fs, Clock: clock, RetentionCheckInterval: -1, CompactionInterval: time.Hour, TailCacheBytes: 1}
	l, err := Open(t.Context(), cfg)
	require.NoError(t, err)
	write := func(l *Log, topic string) {
		p, err := l.NewProducer()
		require.NoError(t, err)
		for range 4 {
			_, err := p.ProduceSync(t.Context(), Record{Topic: topic, Key: []byte("k"), Value: bytes.Repeat([]byte("damage me"), 100)})
			require.NoError(t, err)
		}
		require.NoError(t, p.Close())
	}
	mustTopic(t, l, "a-damaged", TopicConfig{CleanupPolicy: Compact})
	write(l, "a-damaged")
	require.NoError(t, l.store.Flush())
	require.NoError(t, l.Close())
	names, err := fs.List("leat")
	require.NoError(t, err)
	flipped := 0
	for _, name := range names {
		if !strings.HasSuffix(name, ".blob") {
			continue
		}
		f, err := fs.OpenReadWrite("leat/"+name, vfs.WriteCategoryUnspecified)
		require.NoError(t, err)
		_, err = f.WriteAt([]byte("hit"), 200)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		flipped++
	}
	require.Positive(t, flipped)

	var logged bytes.Buffer
	cfg.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelWarn}))
	l = openTest(t, cfg)
	mustTopic(t, l, "whole", TopicConfig{CleanupPolicy: Compact})
	write(l, "whole")
	l.compactAll(t.Context())
	m := l.Metrics().Compaction
	require.Equal(t, int64(1), m.Errors)
	require.Equal(t, int64(3), m.RecordsRemoved, "the whole topic was compacted all the same")
	require.Contains(t, logged.String(), `msg="compaction failed" topic=a-damaged partition=0`)
	require.Contains(t, logged.String(), "retry_in=1h0m0s")
	require.NoError(t, l.store.Failure())

	l.compactAll(t.Context()) // too early to try again
	require.Equal(t, int64(1), l.Metrics().Compaction.Errors)
	clock.now.Add(int64(time.Hour))
	l.compactAll(t.Context())
	require.Equal(t, int64(2), l.Metrics().Compaction.Errors)

	_, err = l.catalog.topic("a-damaged").Compact(t.Context())
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorContains(t, err, `"a-damaged" partition 0`)
}

// BenchmarkRetentionRound is a round over 10,000 idle partitions, the first after
// opening and those that follow.
func BenchmarkRetentionRound(b *testing.B) {
	dir := b.TempDir()
	cfg := Config{Dir: dir, RetentionCheckInterval: -1, CompactionInterval: -1}
	l, err := Open(b.Context(), cfg)
	require.NoError(b, err)
	const n = 10_000
	mustTopic(b, l, "t", TopicConfig{Partitions: n})
	p, err := l.NewProducer(WithPartitioner(ManualPartitioner))
	require.NoError(b, err)
	for i := range int32(n) {
		p.Produce(b.Context(), Record{Topic: "t", Partition: i, Value: make([]byte, 1000)}, nil)
	}
	require.NoError(b, p.Flush(b.Context()))
	require.NoError(b, l.Close())
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			l, err := Open(b.Context(), cfg)
			require.NoError(b, err)
			b.StartTimer()
			l.retainAll(b.Context())
			b.StopTimer()
			require.NoError(b, l.Close())
			b.StartTimer()
		}
	})
	b.Run("later", func(b *testing.B) {
		l, err := Open(b.Context(), cfg)
		require.NoError(b, err)
		defer l.Close()
		l.retainAll(b.Context())
		for b.Loop() {
			l.retainAll(b.Context())
		}
	})
}
