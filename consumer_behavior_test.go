package leat

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/recordbatch"
	"github.com/leatlog/leat/internal/store"
)

// appendBatch stores a batch that no producer of ours makes.
func appendBatch(t testing.TB, topic *Topic, partition int32, batch []byte) {
	t.Helper()
	r, err := topic.state.Load().partitions[partition].local()
	require.NoError(t, err)
	h, err := recordbatch.Verify(batch)
	require.NoError(t, err)
	a := &store.Append{Partition: r, Batch: batch, Header: h}
	require.NoError(t, topic.log.store.Append([]*store.Append{a}, store.AppendHooks{}))
	require.NoError(t, a.Err)
}

func TestConsumerOptionsAreChecked(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{Partitions: 2})
	for _, tt := range []struct {
		opt  ConsumerOption
		want error
	}{
		{Assign("nope"), ErrUnknownTopic},
		{Assign("nope", 0), ErrUnknownTopic},
		{Assign("t", 2), ErrUnknownPartition},
		{Assign("t", -1), ErrUnknownPartition},
		{StartAt(nil), ErrInvalidConfig},
		{WithResetPolicy(3), ErrInvalidConfig},
		{WithMaxPollRecords(0), ErrInvalidConfig},
		{WithMaxPollRecords(1 << 30), ErrInvalidConfig},
		{WithMaxPollBytes(-1), ErrInvalidConfig},
		{WithFetchBytes(0), ErrInvalidConfig},
		{StartAt(AtOffset(-1)), ErrOffsetOutOfRange},
	} {
		_, err := l.NewConsumer(Assign("t"), tt.opt)
		require.ErrorIs(t, err, tt.want)
	}
	require.Empty(t, l.children)
	require.Empty(t, l.catalog.watchers)
	c := mustConsumer(t, l, nil, Assign("t"), Assign("t", 1))
	require.Equal(t, []TopicPartition{{"t", 0}, {"t", 1}}, c.Assignment())
}

func TestConsumerStarts(t *testing.T) {
	l := openTest(t, Config{})
	topic := mustTopic(t, l, "t", TopicConfig{})
	p, err := l.NewProducer(WithBatchBytes(1))
	require.NoError(t, err)
	base := time.UnixMilli(1_600_000_000_000)
	for i := range 10 {
		_, err := p.ProduceSync(t.Context(), Record{Topic: "t", Value: []byte(strconv.Itoa(i)), Timestamp: base.Add(time.Duration(i) * time.Second)})
		require.NoError(t, err)
	}
	part, err := topic.Partition(0)
	require.NoError(t, err)
	require.NoError(t, part.DeleteRecords(t.Context(), 2))
	own := errors.New("own")
	for _, tt := range []struct {
		name  string
		start Start
		want  Offset
	}{
		{"earliest", Earliest, 2},
		{"latest", Latest, 10},
		{"offset", AtOffset(7), 7},
		{"time", AtTime(base.Add(4 * time.Second)), 4},
		{"between two times", AtTime(base.Add(4*time.Second + 1)), 4}, // times are in milliseconds
		{"between two times", AtTime(base.Add(4*time.Second + time.Millisecond)), 5},
		{"time of a removed record", AtTime(base), 2},
		{"time to come", AtTime(base.Add(time.Hour)), 10},
		{"own", func(p *Partition) (Offset, error) { return Offset(p.Number()) + 3, nil }, 3},
	} {
		c := mustConsumer(t, l, Assign("t"), StartAt(tt.start))
		at, err := c.Position(TopicPartition{"t", 0})
		require.NoError(t, err)
		require.Equal(t, tt.want, at, tt.name)
		if at < 10 {
			rs, err := c.Poll(t.Context(), 1)
			require.NoError(t, err)
			require.Equal(t, at, rs[0].Offset, tt.name)
			require.True(t, rs[0].Timestamp.Equal(base.Add(time.Duration(at)*time.Second)))
		}
	}
	_, err = l.NewConsumer(Assign("t"), StartAt(func(*Partition) (Offset, error) { return 0, own }))
	require.ErrorIs(t, err, own)

	c := mustConsumer(t, l, Assign("t"))
	require.NoError(t, c.SeekToTime(t.Context(), base.Add(8*time.Second)))
	rs, err := c.Poll(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, []string{"0:8=8", "0:9=9"}, values(rs))
	require.NoError(t, c.SeekToEnd())
	require.Equal(t, int64(0), c.Lag()[TopicPartition{"t", 0}])
	require.NoError(t, c.SeekToBeginning(TopicPartition{"t", 0}))
	require.Equal(t, int64(8), c.Lag()[TopicPartition{"t", 0}])
	require.ErrorIs(t, c.SeekToEnd(TopicPartition{"t", 1}), ErrNotAssigned)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, c.SeekToTime(ctx, base), context.Canceled)
}

func TestResetPolicies(t *testing.T) {
	tp := TopicPartition{"t", 0}
	for _, tt := range []struct {
		policy   ResetPolicy
		from     Offset
		want     Offset // the position afterwards
		failures int
	}{
		{ResetNone, 1, 1, 3},
		{ResetNone, 99, 99, 3},
		{ResetEarliest, 1, 3, 0},
		{ResetEarliest, 99, 3, 0},
		{ResetLatest, 1, 6, 0},
		{ResetLatest, 99, 6, 0},
	} {
		t.Run(fmt.Sprintf("%v from %d", tt.policy, tt.from), func(t *testing.T) {
			l := openTest(t, Config{})
			topic := mustTopic(t, l, "t", TopicConfig{Partitions: 2})
			produceTo(t, l, "t", 0, "0", "1", "2", "3", "4", "5")
			part, err := topic.Partition(0)
			require.NoError(t, err)
			require.NoError(t, part.DeleteRecords(t.Context(), 3))
			c := mustConsumer(t, l, Assign("t"), StartAt(AtOffset(0)), WithResetPolicy(tt.policy))
			require.NoError(t, c.Seek(tp, tt.from))
			for range tt.failures {
				// The other partition is served in between.
				_, err := c.Poll(t.Context(), 0)
				var oor *OffsetOutOfRangeError
				require.ErrorAs(t, err, &oor)
				require.Equal(t, OffsetOutOfRangeError{Topic: "t", Offset: tt.from, LogStart: 3, HighWatermark: 6}, *oor)
				produceTo(t, l, "t", 1, "other")
				rs, err := c.Poll(t.Context(), 0)
				require.NoError(t, err)
				require.Equal(t, "other", string(rs[0].Value))
			}
			if tt.failures == 0 {
				produceTo(t, l, "t", 1, "other")
				for seen := false; !seen; {
					rs, err := c.Poll(t.Context(), 1)
					require.NoError(t, err)
					seen = rs[0].Partition == 1
					if !seen {
						require.GreaterOrEqual(t, rs[0].Offset, tt.want)
						tt.want = rs[0].Offset + 1
					}
				}
			}
			at, err := c.Position(tp)
			require.NoError(t, err)
			require.Equal(t, tt.want, at)
			require.NoError(t, c.Seek(tp, 4))
			rs, err := c.Poll(t.Context(), 1)
			require.NoError(t, err)
			require.Equal(t, []string{"0:4=4"}, values(rs))
			require.ErrorIs(t, c.Seek(tp, -1), ErrOffsetOutOfRange)
		})
	}
}

// TestTrimmedWhileBuffered sees that what DeleteRecords removed is not handed out
// from what was read before.
func TestTrimmedWhileBuffered(t *testing.T) {
	l := openTest(t, Config{})
	topic := mustTopic(t, l, "t", TopicConfig{})
	produceTo(t, l, "t", 0, "0", "1", "2", "3")
	c := mustConsumer(t, l, Assign("t"), WithResetPolicy(ResetEarliest))
	for range c.Records(t.Context()) {
		break // the others are decoded
	}
	part, err := topic.Partition(0)
	require.NoError(t, err)
	require.NoError(t, part.DeleteRecords(t.Context(), 3))
	rs, err := c.Poll(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, []string{"0:3=3"}, values(rs))
}

func TestPollWakes(t *testing.T) {
	tp := TopicPartition{"t", 1}
	for name, event := range map[string]struct {
		do   func(t *testing.T, l *Log, c *Consumer) error
		want error
	}{
		"produce":     {func(t *testing.T, l *Log, _ *Consumer) error { produceTo(t, l, "t", 0, "new"); return nil }, nil},
		"seek":        {func(_ *testing.T, _ *Log, c *Consumer) error { return c.Seek(TopicPartition{"t", 0}, 0) }, nil},
		"seek to":     {func(_ *testing.T, _ *Log, c *Consumer) error { return c.SeekToBeginning() }, nil},
		"add":         {func(_ *testing.T, _ *Log, c *Consumer) error { return c.AddPartitions(Earliest, tp) }, nil},
		"resume":      {func(_ *testing.T, _ *Log, c *Consumer) error { return c.Resume() }, nil},
		"close":       {func(_ *testing.T, _ *Log, c *Consumer) error { return c.Close() }, ErrClosed},
		"close log":   {func(_ *testing.T, l *Log, _ *Consumer) error { return l.Close() }, ErrClosed},
		"delete":      {func(t *testing.T, l *Log, _ *Consumer) error { return l.DeleteTopic(t.Context(), "t") }, ErrTopicDeleted},
		"interrupt":   {func(_ *testing.T, _ *Log, c *Consumer) error { c.interrupt(); return nil }, errInterrupted},
		"closed with": {func(_ *testing.T, _ *Log, c *Consumer) error { c.closeWith(errors.ErrUnsupported); return nil }, errors.ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, err := Open(t.Context(), Config{InMemory: true})
				require.NoError(t, err)
				defer l.Close()
				mustTopic(t, l, "t", TopicConfig{Partitions: 3})
				produceTo(t, l, "t", 0, "old")
				produceTo(t, l, "t", 1, "old")
				produceTo(t, l, "t", 2, "old")
				c := mustConsumer(t, l, Assign("t", 0, 2), StartAt(Latest))
				require.NoError(t, c.Seek(TopicPartition{"t", 2}, 0))
				require.NoError(t, c.Pause(TopicPartition{"t", 2}))
				var rs []Record
				done := false
				go func() {
					rs, err = c.Poll(context.Background(), 0)
					done = true
				}()
				synctest.Wait()
				require.False(t, done, "it must wait")
				if name == "delete" {
					require.NoError(t, c.RemovePartitions(TopicPartition{"t", 2}))
				}
				before := time.Now()
				require.NoError(t, event.do(t, l, c))
				synctest.Wait()
				require.True(t, done, "it must have been woken")
				require.Zero(t, time.Since(before), "by the event, not by a timer")
				if event.want != nil {
					require.ErrorIs(t, err, event.want)
					return
				}
				require.NoError(t, err)
				require.Len(t, rs, 1)
			})
		})
	}
}

func TestPollEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(t.Context(), Config{InMemory: true})
		require.NoError(t, err)
		defer l.Close()
		mustTopic(t, l, "t", TopicConfig{})
		c := mustConsumer(t, l, Assign("t"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		_, err = c.Poll(ctx, 0)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(start))

		produceTo(t, l, "t", 0, "a", "b")
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		var seen []string
		for r, err := range c.Records(ctx) {
			if err != nil {
				seen = append(seen, err.Error())
				continue
			}
			seen = append(seen, string(r.Value))
			cancel()
		}
		require.Equal(t, []string{"a", context.Canceled.Error()}, seen)
		rs, err := c.Poll(t.Context(), 0)
		require.NoError(t, err)
		require.Equal(t, []string{"0:1=b"}, values(rs))
	})
}

func TestConcurrentPollIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(t.Context(), Config{InMemory: true})
		require.NoError(t, err)
		defer l.Close()
		mustTopic(t, l, "t", TopicConfig{})
		c := mustConsumer(t, l, Assign("t"))
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Poll(context.Background(), 0)
			if !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		})
		synctest.Wait()
		_, err = c.Poll(t.Context(), 0)
		require.ErrorIs(t, err, ErrConcurrentPoll)
		n := 0
		for _, err := range c.Records(t.Context()) {
			require.ErrorIs(t, err, ErrConcurrentPoll)
			n++
		}
		require.Equal(t, 1, n)
		require.NoError(t, c.Close())
		require.NoError(t, c.Close())
		wg.Wait()
		for _, err := range c.Records(t.Context()) {
			require.ErrorIs(t, err, ErrClosed)
			n++
		}
		require.Equal(t, 2, n)
		require.ErrorIs(t, c.Seek(TopicPartition{"t", 0}, 0), ErrClosed)
		require.ErrorIs(t, c.Pause(), ErrClosed)
		require.ErrorIs(t, c.AddPartitions(nil, TopicPartition{"t", 0}), ErrClosed)
		require.Empty(t, l.children)
		require.Empty(t, l.catalog.watchers)
	})
}

// TestTwoRecordsLoopsShare has two goroutines range over one consumer: each record
// goes to one of them.
func TestTwoRecordsLoopsShare(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{})
	vs := make([]string, 5000)
	for i := range vs {
		vs[i] = strconv.Itoa(i)
	}
	produceTo(t, l, "t", 0, vs...)
	c := mustConsumer(t, l, Assign("t"))
	var mu sync.Mutex
	seen := make(map[Offset]int)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			last := Offset(-1)
			for {
				for r, err := range c.Records(t.Context()) {
					if errors.Is(err, ErrConcurrentPoll) {
						break
					}
					if err != nil {
						if !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
						return
					}
					if r.Offset <= last {
						t.Errorf("offset %d after %d", r.Offset, last)
					}
					last = r.Offset
					mu.Lock()
					seen[r.Offset]++
					all := len(seen) == len(vs)
					mu.Unlock()
					if all {
						if err := c.Close(); err != nil {
							t.Error(err)
						}
					}
				}
			}
		})
	}
	wg.Wait()
	for o, n := range seen {
		require.Equal(t, 1, n, o)
	}
	require.Len(t, seen, len(vs))
}

func TestCodecsAndHeaders(t *testing.T) {
	for codec := Uncompressed; codec <= Zstd; codec++ {
		t.Run(codec.String(), func(t *testing.T) {
			l := openTest(t, Config{TailCacheBytes: 1}) // from disk
			mustTopic(t, l, "t", TopicConfig{})
			p, err := l.NewProducer(WithCompression(codec))
			require.NoError(t, err)
			var want []Record
			for i := range 300 {
				r := Record{Topic: "t", Value: fmt.Appendf(nil, "value %d", i), Timestamp: time.UnixMilli(int64(1e12) + int64(i))}
				switch i % 3 {
				case 1:
					r.Key, r.Value = []byte("k"), nil
				case 2:
					r.Key = []byte{}
					r.Headers = []Header{{Key: "a", Value: []byte{1}}, {Key: "a"}, {Key: "", Value: []byte{}}}
				}
				want = append(want, r)
			}
			_, err = p.ProduceSync(t.Context(), want...)
			require.NoError(t, err)
			_, err = p.ProduceSync(t.Context(), want...)
			require.NoError(t, err)
			c := mustConsumer(t, l, Assign("t"), StartAt(AtOffset(150)))
			var kept []Record
			for at := Offset(150); at < 600; {
				rs, err := c.Poll(t.Context(), 7)
				require.NoError(t, err)
				kept = append(kept, rs...)
				at += Offset(len(rs))
			}
			// What was handed out long ago is still what it was.
			for i, got := range kept {
				w := want[(i+150)%300]
				w.Offset = Offset(i + 150)
				require.Equal(t, w, got)
			}
		})
	}
}

// TestMarkersAndHoles reads a partition with what only transactions and compaction
// leave.
func TestMarkersAndHoles(t *testing.T) {
	l := openTest(t, Config{})
	topic := mustTopic(t, l, "t", TopicConfig{})
	control := func() []byte {
		var b recordbatch.Builder
		require.NoError(t, b.Append(1, []byte{0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 0}, nil))
		out, err := b.Finish(recordbatch.FinishOptions{ProducerID: recordbatch.NoProducerID})
		require.NoError(t, err)
		out[22] |= 1 << 5 // the control bit of the attributes
		recordbatch.Reseal(out)
		return out
	}
	sparse := func(deltas ...int32) []byte {
		var b recordbatch.Builder
		for _, d := range deltas {
			require.NoError(t, b.AppendDelta(d, 1, nil, []byte(strconv.Itoa(int(d))), nil))
		}
		out, err := b.Finish(recordbatch.FinishOptions{ProducerID: recordbatch.NoProducerID})
		require.NoError(t, err)
		return out
	}
	appendBatch(t, topic, 0, control())       // 0
	appendBatch(t, topic, 0, sparse(0, 4, 9)) // 1 to 10
	appendBatch(t, topic, 0, control())       // 11
	appendBatch(t, topic, 0, sparse(3))       // 12 to 15
	appendBatch(t, topic, 0, control())       // 16
	tp := TopicPartition{"t", 0}
	c := mustConsumer(t, l, Assign("t"))
	for _, limit := range []int{0, 1} {
		var got []string
		for len(got) < 4 {
			rs, err := c.Poll(t.Context(), limit)
			require.NoError(t, err)
			got = append(got, values(rs)...)
		}
		require.Equal(t, []string{"0:1=0", "0:5=4", "0:10=9", "0:15=3"}, got)
		require.NoError(t, c.Seek(tp, 2))
		rs, err := c.Poll(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, Offset(5), rs[0].Offset)
		require.NoError(t, c.SeekToBeginning())
	}
	// A marker alone moves the position, and Poll waits on.
	require.NoError(t, c.Seek(tp, 16))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := c.Poll(ctx, 0)
		done <- err
	}()
	for at := Offset(0); at != 17; {
		var err error
		at, err = c.Position(tp)
		require.NoError(t, err)
	}
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}

// damaged is a replica whose batches at some offsets cannot be read.
type damaged struct {
	replica
	from, to Offset
}

func (d *damaged) Read(f *store.Fetch, from Offset, maxBytes int) error {
	bad := &store.CorruptBatchError{Partition: 1, Offset: d.from, Cause: errors.New("flipped")}
	if from >= d.from && from < d.to {
		*f = store.Fetch{HighWatermark: d.HighWatermark(), LogStart: d.LogStart()}
		return bad
	}
	err := d.replica.Read(f, from, maxBytes)
	for i, b := range f.Batches {
		if h, _ := recordbatch.ParseHeader(b); h.BaseOffset == d.from {
			f.Batches = f.Batches[:i]
			return bad
		}
	}
	return err
}

func TestDamageIsAnErrorThatTellsTheWayAround(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{Partitions: 2})
	produceTo(t, l, "t", 0, "0", "1")
	produceTo(t, l, "t", 0, "2", "3", "4")
	produceTo(t, l, "t", 0, "5")
	produceTo(t, l, "t", 1, "other")
	c := mustConsumer(t, l, Assign("t"))
	tp := TopicPartition{"t", 0}
	c.assigned[tp].r = &damaged{replica: c.assigned[tp].r, from: 2, to: 5}

	rs, err := c.Poll(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, []string{"0:0=0", "0:1=1", "1:0=other"}, values(rs))
	require.NoError(t, c.SeekToBeginning(TopicPartition{"t", 1}))
	var bad *CorruptRecordsError
	for range 3 {
		_, err = c.Poll(t.Context(), 0)
		require.ErrorIs(t, err, ErrCorrupt)
		require.ErrorAs(t, err, &bad)
		require.Equal(t, [2]Offset{2, 5}, [2]Offset{bad.Offset, bad.Next})
		require.Equal(t, tp, TopicPartition{bad.Topic, bad.Partition})
		at, err := c.Position(tp)
		require.NoError(t, err)
		require.Equal(t, Offset(2), at)
		rs, err = c.Poll(t.Context(), 0) // the other's turn
		require.NoError(t, err)
		require.Equal(t, "other", string(rs[0].Value))
		require.NoError(t, c.SeekToBeginning(TopicPartition{"t", 1}))
	}
	require.NoError(t, c.Seek(tp, bad.Next))
	require.NoError(t, c.Pause(TopicPartition{"t", 1}))
	rs, err = c.Poll(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, []string{"0:5=5"}, values(rs))
}

// TestDamageInsideOfABatch has a whole batch, by its CRC, whose third record is
// none.
func TestDamageInsideOfABatch(t *testing.T) {
	l := openTest(t, Config{})
	topic := mustTopic(t, l, "t", TopicConfig{})
	var b recordbatch.Builder
	for _, v := range []string{"a", "b", "c"} {
		require.NoError(t, b.Append(1, nil, []byte(v), nil))
	}
	batch, err := b.Finish(recordbatch.FinishOptions{ProducerID: recordbatch.NoProducerID})
	require.NoError(t, err)
	third := recordbatch.HeaderSize + 2*(len(batch)-recordbatch.HeaderSize)/3
	batch[third] = 0x7f
	recordbatch.Reseal(batch)
	appendBatch(t, topic, 0, batch)
	produceTo(t, l, "t", 0, "d")
	c := mustConsumer(t, l, Assign("t"))
	var got []string
	for r, err := range c.Records(t.Context()) {
		if err != nil {
			var bad *CorruptRecordsError
			require.ErrorAs(t, err, &bad)
			require.ErrorIs(t, err, ErrCorrupt)
			require.Equal(t, [2]Offset{2, 3}, [2]Offset{bad.Offset, bad.Next})
			got = append(got, "error")
			require.NoError(t, c.Seek(TopicPartition{"t", 0}, bad.Next))
			continue
		}
		got = append(got, string(r.Value))
		if string(r.Value) == "d" {
			break
		}
	}
	require.Equal(t, []string{"a", "b", "error", "d"}, got)
}

func TestDeletedTopicEndsItsPartitionsOnly(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "gone", TopicConfig{})
	mustTopic(t, l, "t", TopicConfig{})
	produceTo(t, l, "gone", 0, "a", "b")
	produceTo(t, l, "t", 0, "x", "y")
	c := mustConsumer(t, l, Assign("gone"), Assign("t"))
	rs, err := c.Poll(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, "gone", rs[0].Topic)
	require.NoError(t, l.DeleteTopic(t.Context(), "gone"))
	mustTopic(t, l, "gone", TopicConfig{})
	produceTo(t, l, "gone", 0, "ghost")
	_, err = c.Poll(t.Context(), 0)
	require.ErrorIs(t, err, ErrTopicDeleted)
	rs, err = c.Poll(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, []string{"0:0=x", "0:1=y"}, values(rs))
	_, err = c.Poll(t.Context(), 0)
	require.ErrorIs(t, err, ErrTopicDeleted)
	gone := TopicPartition{"gone", 0}
	require.NoError(t, c.RemovePartitions(gone))
	require.ErrorIs(t, c.RemovePartitions(gone), ErrNotAssigned)
	require.NoError(t, c.AddPartitions(nil, gone))
	rs, err = c.Poll(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, "ghost", string(rs[0].Value))
}

// TestPartitionsTakeTurns sees that no partition waits for more than a piece of
// each of the others.
func TestPartitionsTakeTurns(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{Partitions: 3})
	for i := range int32(3) {
		for range 50 {
			produceTo(t, l, "t", i, "v")
		}
	}
	c := mustConsumer(t, l, Assign("t"), WithFetchBytes(1)) // a batch each
	var turns []int32
	for len(turns) < 150 {
		rs, err := c.Poll(t.Context(), 4)
		require.NoError(t, err)
		for _, r := range rs {
			turns = append(turns, r.Partition)
		}
	}
	for i, p := range turns {
		require.Equal(t, int32(i%3), p)
	}
	// And what a Poll reads is bounded.
	c = mustConsumer(t, l, Assign("t"), WithMaxPollBytes(1), WithMaxPollRecords(1000))
	for range 3 {
		rs, err := c.Poll(t.Context(), 0)
		require.NoError(t, err)
		require.Len(t, rs, 50)
	}
}

func TestPollAllocatesNothingPerRecord(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{})
	vs := make([]string, 10000)
	produceTo(t, l, "t", 0, vs...)
	c := mustConsumer(t, l, Assign("t"))
	all := func() {
		for n := 0; n < len(vs); {
			rs, err := c.Poll(t.Context(), 0)
			require.NoError(t, err)
			n += len(rs)
		}
		require.NoError(t, c.Seek(TopicPartition{"t", 0}, 0))
	}
	all()
	require.Less(t, testing.AllocsPerRun(5, all), 200.0) // 10 a Poll, for its context and the test's checks
}
