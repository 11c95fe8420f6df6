package leat

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatlog/leat/internal/store"

	"github.com/stretchr/testify/require"
)

func openTest(t testing.TB, cfg Config) *Log {
	t.Helper()
	if cfg.Dir == "" && cfg.fs == nil {
		cfg.InMemory = true
	}
	l, err := Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func mustTopic(t testing.TB, l *Log, name string, cfg TopicConfig) *Topic {
	t.Helper()
	topic, err := l.CreateTopic(t.Context(), name, cfg)
	require.NoError(t, err)
	return topic
}

func TestProduceSyncReturnsOffsets(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "orders", TopicConfig{Partitions: 1})
	p, err := l.NewProducer()
	require.NoError(t, err)
	for i := range 5 {
		m, err := p.ProduceSync(t.Context(), Record{Topic: "orders", Value: []byte("a")}, Record{Topic: "orders", Value: []byte("b")})
		require.NoError(t, err)
		require.Equal(t, Offset(2*i), m[0].Offset)
		require.Equal(t, Offset(2*i+1), m[1].Offset)
	}
	_, err = p.ProduceSync(t.Context(), Record{Topic: "nope"})
	require.ErrorIs(t, err, ErrUnknownTopic)
}

func TestProduceCallbacksComeInOrder(t *testing.T) {
	for _, acks := range []Acks{AcksAll, AcksLeader} {
		l := openTest(t, Config{})
		topic := mustTopic(t, l, "t", TopicConfig{Partitions: 4})
		p, err := l.NewProducer(WithAcks(acks), WithPartitioner(ManualPartitioner), WithBatchBytes(600), WithBufferBytes(bufferBytesMin))
		require.NoError(t, err)
		next := make([]Offset, 4)
		var done atomic.Int64
		const n = 20000
		for i := range n {
			p.Produce(t.Context(), Record{Topic: "t", Partition: int32(i % 4), Value: fmt.Append(nil, i)}, func(m RecordMetadata, err error) {
				if err != nil || m.Offset != next[m.Partition] {
					t.Errorf("partition %d: offset %d, err %v, want offset %d", m.Partition, m.Offset, err, next[m.Partition])
				}
				next[m.Partition]++
				done.Add(1)
			})
		}
		require.NoError(t, p.Flush(t.Context()))
		require.Equal(t, int64(n), done.Load())
		for i := range int32(4) {
			part, err := topic.Partition(i)
			require.NoError(t, err)
			info, err := part.Info(t.Context())
			require.NoError(t, err)
			require.Equal(t, Offset(n/4), info.HighWatermark)
		}
	}
}

func TestProduceSyncFromManyGoroutines(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{Partitions: 3})
	p, err := l.NewProducer()
	require.NoError(t, err)
	var mu sync.Mutex
	seen := map[RecordMetadata]bool{}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 100 {
				m, err := p.ProduceSync(context.Background(), Record{Topic: "t", Value: []byte("v")})
				if err != nil {
					t.Error(err)
					return
				}
				k := RecordMetadata{Partition: m[0].Partition, Offset: m[0].Offset}
				mu.Lock()
				if seen[k] {
					t.Errorf("%v twice", k)
				}
				seen[k] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Len(t, seen, 1600)
}

func BenchmarkProduceAsync(b *testing.B) {
	for _, size := range []int{100, 1024} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l, err := Open(b.Context(), Config{Dir: b.TempDir()})
			require.NoError(b, err)
			defer l.Close()
			mustTopic(b, l, "t", TopicConfig{Partitions: 6})
			p, err := l.NewProducer()
			require.NoError(b, err)
			v := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			var failed atomic.Int64
			cb := func(_ RecordMetadata, err error) {
				if err != nil {
					failed.Add(1)
				}
			}
			for b.Loop() {
				p.Produce(b.Context(), Record{Topic: "t", Value: v}, cb)
			}
			require.NoError(b, p.Flush(b.Context()))
			require.Zero(b, failed.Load())
		})
	}
}

func BenchmarkProduceSync(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			l, err := Open(b.Context(), Config{Dir: b.TempDir()})
			require.NoError(b, err)
			defer l.Close()
			mustTopic(b, l, "t", TopicConfig{Partitions: 6})
			p, err := l.NewProducer()
			require.NoError(b, err)
			v := make([]byte, 1024)
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for range writers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := p.ProduceSync(b.Context(), Record{Topic: "t", Value: v}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			m := l.store.Metrics()
			b.ReportMetric(float64(m.AppendedRecords)/float64(m.AppendedBatches), "records/batch")
		})
	}
}

func TestPartitionerIsKafkas(t *testing.T) {
	// What Kafka's own clients compute for these keys (Utils.murmur2).
	for key, want := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		require.Equal(t, want, int32(murmur2([]byte(key))), key)
	}
	require.Equal(t, int32(-1), KeyPartitioner(&Record{}, 6))
	require.Equal(t, int32(0), KeyPartitioner(&Record{Key: []byte{}}, 1), "an empty key is a key")
}

func TestProduceRefuses(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{MaxMessageBytes: 1000})
	mustTopic(t, l, "compacted", TopicConfig{CleanupPolicy: Compact})
	mustTopic(t, l, "recent", TopicConfig{MessageTimestampBeforeMax: time.Hour, MessageTimestampAfterMax: time.Hour})
	p, err := l.NewProducer(WithPartitioner(ManualPartitioner), WithBufferBytes(bufferBytesMin))
	require.NoError(t, err)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		r    Record
		want error
	}{
		"unknown topic":     {r: Record{Topic: "x"}, want: ErrUnknownTopic},
		"no topic":          {want: ErrInvalidName},
		"bad topic name":    {r: Record{Topic: "../x"}, want: ErrInvalidName},
		"unknown partition": {r: Record{Topic: "t", Partition: 1}, want: ErrUnknownPartition},
		"negative":          {r: Record{Topic: "t", Partition: -7}, want: ErrUnknownPartition},
		"too large":         {r: Record{Topic: "t", Value: make([]byte, 1000)}, want: ErrRecordTooLarge},
		"over the buffer":   {r: Record{Topic: "recent", Value: make([]byte, bufferBytesMin)}, want: ErrRecordTooLarge},
		"no key":            {r: Record{Topic: "compacted"}, want: ErrInvalidRecord},
		"old":               {r: Record{Topic: "recent", Timestamp: time.Now().Add(-2 * time.Hour)}, want: ErrInvalidRecord},
		"from the future":   {r: Record{Topic: "recent", Timestamp: time.Now().Add(2 * time.Hour)}, want: ErrInvalidRecord},
		"before 1970":       {r: Record{Topic: "t", Timestamp: time.UnixMilli(-1)}, want: ErrInvalidRecord},
		"canceled":          {ctx: canceled, r: Record{Topic: "t"}, want: context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			if c.ctx == nil {
				c.ctx = t.Context()
			}
			ms, err := p.ProduceSync(c.ctx, c.r)
			require.ErrorIs(t, err, c.want)
			if ms != nil {
				require.Equal(t, Offset(-1), ms[0].Offset)
			}
			got := make(chan error, 1)
			p.Produce(c.ctx, c.r, func(m RecordMetadata, err error) {
				if m.Offset != -1 {
					t.Errorf("offset %d of a refused record", m.Offset)
				}
				got <- err
			})
			require.ErrorIs(t, <-got, c.want)
			p.Produce(c.ctx, c.r, nil)
			require.ErrorIs(t, p.Flush(t.Context()), c.want, "nobody else was told")
			require.NoError(t, p.Flush(t.Context()), "it is told once")
		})
	}
	// Nothing of that has taken room, an offset, or a sequence number.
	m, err := p.ProduceSync(t.Context(), Record{Topic: "t"})
	require.NoError(t, err)
	require.Equal(t, Offset(0), m[0].Offset)
	p.mu.Lock()
	require.Zero(t, p.buffered)
	p.mu.Unlock()
	require.NoError(t, p.Close())
	_, err = p.ProduceSync(t.Context(), Record{Topic: "t"})
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, p.Flush(t.Context()), ErrClosed)
	require.NoError(t, p.Close(), "the second call returns what the first did")
}

func TestARecordOfExactlyTheLimitIsTaken(t *testing.T) {
	l := openTest(t, Config{})
	topic := mustTopic(t, l, "t", TopicConfig{MaxMessageBytes: 1000})
	p, err := l.NewProducer()
	require.NoError(t, err)
	taken := 0
	for n := 880; n < 960; n++ {
		_, err := p.ProduceSync(t.Context(), Record{Topic: "t", Value: make([]byte, n)})
		if err == nil {
			taken = n
			continue
		}
		var tooLarge *RecordTooLargeError
		require.ErrorAs(t, err, &tooLarge)
		require.Equal(t, 1000, tooLarge.Limit)
	}
	part, err := topic.Partition(0)
	require.NoError(t, err)
	info, err := part.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, Offset(taken-880+1), info.HighWatermark, "all up to the limit, none above")
	local, err := part.replica()
	require.NoError(t, err)
	var f store.Fetch
	require.NoError(t, local.Read(&f, info.HighWatermark-1, 1))
	require.Len(t, f.Batches[0], 1000)
}

func TestBufferBoundsAndBlocks(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{})
	hold := &holdingAppender{next: l.appender, hold: make(chan struct{})}
	value := make([]byte, 10_000)

	p, err := l.NewProducer(WithNonBlocking(), WithBufferBytes(bufferBytesMin))
	require.NoError(t, err)
	p.appender = hold
	errs := make(chan error, 10)
	for range 10 {
		p.Produce(t.Context(), Record{Topic: "t", Value: value}, func(_ RecordMetadata, err error) { errs <- err })
	}
	full := 0
	for range 4 {
		require.ErrorIs(t, <-errs, ErrBufferFull)
		full++
	}
	require.Equal(t, 4, full, "six of ten fit")

	blocking, err := l.NewProducer(WithBufferBytes(bufferBytesMin))
	require.NoError(t, err)
	blocking.appender = hold
	for range 6 {
		blocking.Produce(t.Context(), Record{Topic: "t", Value: value}, nil)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := blocking.ProduceSync(ctx, Record{Topic: "t", Value: value})
		ended <- err
	}()
	require.Eventually(t, func() bool {
		blocking.mu.Lock()
		defer blocking.mu.Unlock()
		return len(blocking.space) == 1
	}, 10*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	go func() {
		_, err := blocking.ProduceSync(t.Context(), Record{Topic: "t", Value: value})
		ended <- err
	}()
	require.Eventually(t, func() bool {
		blocking.mu.Lock()
		defer blocking.mu.Unlock()
		return len(blocking.space) == 1
	}, 10*time.Second, time.Millisecond)
	close(hold.hold)
	require.NoError(t, <-ended)
	require.NoError(t, blocking.Close())
	require.NoError(t, p.Close())
	for range 6 {
		require.NoError(t, <-errs)
	}
	require.Zero(t, p.buffered)
	require.Zero(t, blocking.buffered)
}

// holdingAppender stores nothing until hold is closed.
type holdingAppender struct {
	next appender
	hold chan struct{}
}

func (a *holdingAppender) Append(appends []*partitionAppend, hooks store.AppendHooks) error {
	<-a.hold
	return a.next.Append(appends, hooks)
}

// flakyAppender loses some requests, and of others the answer, like a network.
type flakyAppender struct {
	next appender
	mu   sync.Mutex
	rng  *rand.Rand
}

type lostError struct{}

func (lostError) Error() string   { return "lost on the way" }
func (lostError) Retriable() bool { return true }

func (a *flakyAppender) Append(appends []*partitionAppend, hooks store.AppendHooks) error {
	a.mu.Lock()
	k := a.rng.IntN(4)
	a.mu.Unlock()
	switch k {
	case 0:
		if hooks.Enqueued != nil {
			hooks.Enqueued()
		}
		return lostError{}
	case 1:
		if err := a.next.Append(appends, hooks); err != nil {
			return err
		}
		return lostError{}
	}
	return a.next.Append(appends, hooks)
}

func TestRetriesKeepOrderAndStoreOnce(t *testing.T) {
	for seed := range uint64(10) {
		l := openTest(t, Config{Clock: new(instantClock), RetentionCheckInterval: -1, CompactionInterval: -1})
		topic := mustTopic(t, l, "t", TopicConfig{Partitions: 2})
		p, err := l.NewProducer(WithBatchBytes(2000), WithPartitioner(ManualPartitioner), WithBufferBytes(1<<20))
		require.NoError(t, err)
		p.appender = &flakyAppender{next: l.appender, rng: rand.New(rand.NewPCG(seed, 2))}
		const n = 1000
		next := make([]int, 2)
		for i := range n {
			p.Produce(t.Context(), Record{Topic: "t", Partition: int32(i % 2), Value: fmt.Appendf(nil, "%0200d", i)}, func(m RecordMetadata, err error) {
				if err != nil || int(m.Offset) != next[m.Partition] || i != 2*next[m.Partition]+int(m.Partition) {
					t.Errorf("record %d: %+v %v", i, m, err)
				}
				next[m.Partition]++
			})
		}
		require.NoError(t, p.Flush(t.Context()))
		require.Equal(t, []int{n / 2, n / 2}, next)
		for i := range int32(2) {
			c, err := l.NewConsumer(Assign("t", i), StartAt(Earliest))
			require.NoError(t, err)
			for k := 0; k < n/2; {
				rs, err := c.Poll(t.Context(), 0)
				require.NoError(t, err)
				for _, r := range rs {
					require.Equal(t, fmt.Sprintf("%0200d", 2*k+int(i)), string(r.Value))
					k++
				}
			}
			part, err := topic.Partition(i)
			require.NoError(t, err)
			info, err := part.Info(t.Context())
			require.NoError(t, err)
			require.Equal(t, Offset(n/2), info.HighWatermark)
		}
	}
}

// instantClock lets timers fire at once, and is then as late as they were set.
type instantClock struct{ passed atomic.Int64 }

func (c *instantClock) Now() time.Time {
	return time.UnixMilli(1_700_000_000_000).Add(time.Duration(c.passed.Load()))
}

func (c *instantClock) NewTimer(d time.Duration) Timer {
	t := time.NewTimer(0)
	c.passed.Add(int64(d))
	return instantTimer{t}
}

type instantTimer struct{ *time.Timer }

func (t instantTimer) C() <-chan time.Time { return t.Timer.C }

func TestDeliveryTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(t.Context(), Config{InMemory: true})
		require.NoError(t, err)
		mustTopic(t, l, "t", TopicConfig{})
		p, err := l.NewProducer(WithDeliveryTimeout(time.Minute))
		require.NoError(t, err)
		p.appender = lostAppender{}
		start := time.Now()
		_, err = p.ProduceSync(t.Context(), Record{Topic: "t"})
		require.ErrorIs(t, err, ErrDeliveryTimeout)
		require.ErrorAs(t, err, &lostError{})
		require.GreaterOrEqual(t, time.Since(start), time.Minute)
		p.appender = l.appender
		m, err := p.ProduceSync(t.Context(), Record{Topic: "t"})
		require.NoError(t, err, "the gap in the sequence is left behind with its epoch")
		require.Equal(t, Offset(0), m[0].Offset)
		require.NoError(t, l.Close())
	})
}

type lostAppender struct{}

func (lostAppender) Append(_ []*partitionAppend, hooks store.AppendHooks) error {
	if hooks.Enqueued != nil {
		hooks.Enqueued()
	}
	return lostError{}
}

func TestCallbacksMayPanicAndCallBackIn(t *testing.T) {
	var panics atomic.Int64
	l := openTest(t, Config{Hooks: Hooks{CallbackPanicked: func(r any, stack []byte) {
		if r != "boom" || len(stack) == 0 {
			t.Errorf("%v", r)
		}
		panics.Add(1)
	}}})
	mustTopic(t, l, "t", TopicConfig{})
	p, err := l.NewProducer()
	require.NoError(t, err)
	var again atomic.Int64
	for i := range 100 {
		p.Produce(t.Context(), Record{Topic: "t"}, func(RecordMetadata, error) {
			p.Produce(context.Background(), Record{Topic: "t"}, func(RecordMetadata, error) { again.Add(1) })
			if i%10 == 0 {
				panic("boom")
			}
		})
	}
	require.NoError(t, p.Flush(t.Context()))
	require.NoError(t, p.Flush(t.Context()), "the second for what callbacks produced")
	require.Equal(t, int64(10), panics.Load())
	require.Equal(t, int64(100), again.Load())
}

func TestLingerCollects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(t.Context(), Config{InMemory: true})
		require.NoError(t, err)
		mustTopic(t, l, "t", TopicConfig{})
		p, err := l.NewProducer(WithLinger(10 * time.Millisecond))
		require.NoError(t, err)
		start := time.Now()
		var done atomic.Int64
		for range 5 {
			p.Produce(t.Context(), Record{Topic: "t"}, func(RecordMetadata, error) {
				if d := time.Since(start); d != 10*time.Millisecond {
					t.Errorf("stored after %v", d)
				}
				done.Add(1)
			})
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		require.Equal(t, int64(5), done.Load())
		require.Equal(t, int64(1), l.store.Metrics().AppendedBatches)

		start = time.Now()
		_, err = p.ProduceSync(t.Context(), Record{Topic: "t"})
		require.NoError(t, err)
		require.Zero(t, time.Since(start), "a synchronous call does not linger")
		p.Produce(t.Context(), Record{Topic: "t"}, nil)
		require.NoError(t, p.Flush(t.Context()))
		require.Zero(t, time.Since(start), "nor does Flush")
		p.Produce(t.Context(), Record{Topic: "t"}, nil)
		require.NoError(t, l.Close(), "nor Close")
	})
}

func TestLogAppendTimeAndTopicCompression(t *testing.T) {
	l := openTest(t, Config{AutoCreateTopics: true, TopicDefaults: TopicConfig{TimestampType: LogAppendTime, Compression: Zstd}})
	p, err := l.NewProducer()
	require.NoError(t, err)
	before := time.Now().Truncate(time.Millisecond)
	m, err := p.ProduceSync(t.Context(), Record{Topic: "made-on-first-use", Timestamp: time.UnixMilli(5), Value: make([]byte, 5000)})
	require.NoError(t, err)
	require.False(t, m[0].Timestamp.Before(before))
	c, err := l.NewConsumer(Assign("made-on-first-use"), StartAt(Earliest))
	require.NoError(t, err)
	rs, err := c.Poll(t.Context(), 0)
	require.NoError(t, err)
	require.True(t, rs[0].Timestamp.Equal(m[0].Timestamp))
	topic, err := l.Topic(t.Context(), "made-on-first-use")
	require.NoError(t, err)
	part, err := topic.Partition(0)
	require.NoError(t, err)
	info, err := part.Info(t.Context())
	require.NoError(t, err)
	require.Less(t, info.Bytes, int64(500))
	_, err = p.ProduceSync(t.Context(), Record{Topic: "__own"})
	require.ErrorIs(t, err, ErrInvalidName)
}

func TestAcksNoneDoesNotWait(t *testing.T) {
	l := openTest(t, Config{})
	topic := mustTopic(t, l, "t", TopicConfig{})
	p, err := l.NewProducer(WithAcks(AcksNone))
	require.NoError(t, err)
	hold := &holdingAppender{next: l.appender, hold: make(chan struct{})}
	p.appender = hold
	called := make(chan RecordMetadata, 1)
	p.Produce(t.Context(), Record{Topic: "t"}, func(m RecordMetadata, err error) {
		if err != nil {
			t.Error(err)
		}
		called <- m
	})
	require.Equal(t, Offset(-1), (<-called).Offset)
	close(hold.hold)
	require.NoError(t, p.Flush(t.Context()))
	part, err := topic.Partition(0)
	require.NoError(t, err)
	info, err := part.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, Offset(1), info.HighWatermark)
}

func TestADeletedTopicIsForgottenByProducers(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{})
	p, err := l.NewProducer()
	require.NoError(t, err)
	_, err = p.ProduceSync(t.Context(), Record{Topic: "t"})
	require.NoError(t, err)
	require.NoError(t, l.DeleteTopic(t.Context(), "t"))
	_, err = p.ProduceSync(t.Context(), Record{Topic: "t"})
	require.ErrorIs(t, err, ErrUnknownTopic)
	mustTopic(t, l, "t", TopicConfig{})
	m, err := p.ProduceSync(t.Context(), Record{Topic: "t"})
	require.NoError(t, err)
	require.Equal(t, Offset(0), m[0].Offset, "the new topic shows nothing of the old one")
}

func TestCompressionLevels(t *testing.T) {
	l := openTest(t, Config{})
	value := make([]byte, 64<<10)
	for i := range value {
		value[i] = byte(i*i>>7) ^ byte(i>>3)
	}
	size := func(opts ...ProducerOption) int64 {
		topic := mustTopic(t, l, fmt.Sprint("t", rand.Uint64()), TopicConfig{})
		p, err := l.NewProducer(opts...)
		require.NoError(t, err)
		_, err = p.ProduceSync(t.Context(), Record{Topic: topic.Name(), Value: value})
		require.NoError(t, err)
		infos, err := topic.PartitionInfos(t.Context())
		require.NoError(t, err)
		return infos[0].Bytes
	}
	plain := size()
	for _, codec := range []Compression{Gzip, LZ4, Zstd} {
		require.Less(t, size(WithCompression(codec), WithCompressionLevel(9)), plain, "%v", codec)
		require.LessOrEqual(t, size(WithCompression(codec), WithCompressionLevel(9)), size(WithCompression(codec), WithCompressionLevel(1)), "%v", codec)
	}
	for _, opts := range [][]ProducerOption{
		{WithCompressionLevel(-1)},
		{WithCompression(Gzip), WithCompressionLevel(10)},
		{WithCompression(Zstd), WithCompressionLevel(23)},
	} {
		_, err := l.NewProducer(opts...)
		require.ErrorIs(t, err, ErrInvalidConfig)
	}
}
