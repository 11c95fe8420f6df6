package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/recordbatch"
)

// kv is a record of the compaction tests; offsets are filled in by read.
type kv struct {
	key, value string // value "-" is a tombstone, key "-" is null
	offset     base.Offset
}

func (r kv) bytes() (key, value []byte) {
	if r.key != "-" {
		key = []byte(r.key)
	}
	if r.value != "-" {
		value = []byte(r.value)
	}
	return key, value
}

func keyed(t testing.TB, o recordbatch.FinishOptions, ts int64, records ...kv) *Append {
	t.Helper()
	var b recordbatch.Builder
	b.Reset(nil)
	for _, r := range records {
		k, v := r.bytes()
		require.NoError(t, b.Append(ts, k, v, nil))
	}
	buf, err := b.Finish(o)
	require.NoError(t, err)
	h, err := recordbatch.ParseHeader(buf)
	require.NoError(t, err)
	return &Append{Batch: buf, Header: h}
}

var nobody = recordbatch.FinishOptions{ProducerID: -1}

// readAll returns all records from an offset on, past empty batches.
func readAll(t testing.TB, p *Partition, from base.Offset) []kv {
	t.Helper()
	var out []kv
	var f Fetch
	for from < p.HighWatermark() {
		require.NoError(t, p.Read(&f, from, 64<<10))
		require.NotEmpty(t, f.Batches, "there is always a batch below the high watermark: offset %d", from)
		for _, b := range f.Batches {
			h, records, err := decodeBatch(b)
			require.NoError(t, err)
			for _, r := range records {
				if r.offset >= from {
					out = append(out, r)
				}
			}
			require.Greater(t, h.NextOffset(), from)
			from = h.NextOffset()
		}
	}
	return out
}

func decodeBatch(b []byte) (recordbatch.Header, []kv, error) {
	h, err := recordbatch.Verify(b)
	if err != nil {
		return h, nil, err
	}
	var it recordbatch.Iterator
	if err := it.Reset(b, nil); err != nil {
		return h, nil, err
	}
	var out []kv
	for it.Next() {
		r := it.Record()
		x := kv{key: string(r.Key), value: string(r.Value), offset: r.Offset}
		if r.Key == nil {
			x.key = "-"
		}
		if r.Value == nil {
			x.value = "-"
		}
		out = append(out, x)
	}
	return h, out, it.Err()
}

func reopen(t testing.TB, s *Store, id base.PartitionID) (*Store, *Partition) {
	t.Helper()
	require.NoError(t, s.Close())
	s, err := Open(s.opts)
	require.NoError(t, err)
	p, err := s.Partition(id)
	require.NoError(t, err)
	return s, p
}

func openPartition(t testing.TB, o Options) (*Store, *Partition) {
	t.Helper()
	if o.FS == nil {
		o.FS = NewMemFS()
	}
	o.Dir = "log"
	s, err := Open(o)
	require.NoError(t, err)
	p, err := s.Partition(1)
	require.NoError(t, err)
	return s, p
}

func compact(t testing.TB, p *Partition, o CompactOptions) CompactStats {
	t.Helper()
	st, err := p.Compact(t.Context(), o)
	require.NoError(t, err)
	require.NoError(t, p.valid())
	return st
}

func TestCompactKeepsTheLastOfEachKey(t *testing.T) {
	for _, codec := range []recordbatch.Codec{recordbatch.None, recordbatch.Zstd} {
		t.Run(codec.String(), func(t *testing.T) {
			s, p := openPartition(t, Options{})
			o := nobody
			o.Codec = codec
			appendTo(t, p, keyed(t, o, 10, kv{"a", "1", 0}, kv{"b", "1", 0}))
			appendTo(t, p, keyed(t, o, 20, kv{"a", "2", 0}))
			appendTo(t, p, keyed(t, o, 30, kv{"-", "x", 0}, kv{"a", "3", 0}, kv{"c", "1", 0}))
			appendTo(t, p, keyed(t, o, 40, kv{"d", "1", 0}))
			ratio, err := p.DirtyRatio()
			require.NoError(t, err)
			require.Equal(t, 1.0, ratio)
			ms, found, err := p.OldestDirty()
			require.NoError(t, err)
			require.True(t, found)
			require.Equal(t, int64(10), ms)
			before := p.SizeBytes()

			st := compact(t, p, CompactOptions{Now: 1000})
			want := []kv{{"b", "1", 1}, {"a", "3", 4}, {"c", "1", 5}, {"d", "1", 6}}
			require.Equal(t, want, readAll(t, p, 0), "from memory")
			require.Equal(t, base.Offset(7), st.CompactedTo)
			require.Equal(t, int64(1), st.BatchesRemoved)
			require.Equal(t, int64(2), st.BatchesRewritten)
			require.Equal(t, int64(3), st.RecordsRemoved)
			require.Equal(t, int64(1), st.WithoutKey)
			require.Equal(t, int64(4), p.Records())
			require.Equal(t, before-st.BytesRemoved, p.SizeBytes())
			ratio, err = p.DirtyRatio()
			require.NoError(t, err)
			require.Equal(t, 0.0, ratio)
			_, found, err = p.OldestDirty()
			require.NoError(t, err)
			require.False(t, found)

			s, p = reopen(t, s, 1)
			require.Equal(t, want, readAll(t, p, 0), "from disk")
			require.Equal(t, want[1:], readAll(t, p, 2), "from within what is gone")
			require.Equal(t, base.Offset(7), p.CompactedTo())
			require.Equal(t, int64(4), p.Records())
			require.Equal(t, before-st.BytesRemoved, p.SizeBytes())
			require.NoError(t, p.valid())
			require.Equal(t, base.Offset(7), appendTo(t, p, keyed(t, o, 50, kv{"a", "4", 0})))
			ratio, err = p.DirtyRatio()
			require.NoError(t, err)
			require.InDelta(t, 0.25, ratio, 0.15)
			require.NoError(t, s.Close())
		})
	}
}

func TestCompactTombstones(t *testing.T) {
	s, p := openPartition(t, Options{})
	appendTo(t, p, keyed(t, nobody, 10, kv{"a", "1", 0}, kv{"b", "1", 0}))
	appendTo(t, p, keyed(t, nobody, 10, kv{"a", "-", 0}))
	appendTo(t, p, keyed(t, nobody, 10, kv{"c", "1", 0}))
	o := CompactOptions{Now: 1000, DeleteRetention: time.Second}
	compact(t, p, o)
	want := []kv{{"b", "1", 1}, {"a", "-", 2}, {"c", "1", 3}}
	require.Equal(t, want, readAll(t, p, 0))
	// The horizon counts from the first compaction, not from the last.
	o.Now = 1999
	require.Zero(t, compact(t, p, o).RecordsRemoved)
	s, p = reopen(t, s, 1)
	o.Now = 2000
	require.Equal(t, int64(1), compact(t, p, o).Tombstones)
	require.Equal(t, []kv{want[0], want[2]}, readAll(t, p, 0))
	require.NoError(t, s.Close())
}

// TestCompactKeepsTheLastBatch: a reader below the high watermark always finds
// a batch that leads it there, and the end of the log is not forgotten.
func TestCompactKeepsTheLastBatch(t *testing.T) {
	s, p := openPartition(t, Options{})
	appendTo(t, p, keyed(t, nobody, 10, kv{"a", "1", 0}))
	appendTo(t, p, keyed(t, nobody, 10, kv{"a", "-", 0}))
	compact(t, p, CompactOptions{Now: 1000})
	compact(t, p, CompactOptions{Now: 1000})
	require.Empty(t, readAll(t, p, 0))
	require.Zero(t, p.Records())
	s, p = reopen(t, s, 1)
	require.Empty(t, readAll(t, p, 0))
	require.Equal(t, base.Offset(2), appendTo(t, p, keyed(t, nobody, 10, kv{"b", "1", 0})))
	require.Equal(t, int64(1), compact(t, p, CompactOptions{Now: 1000}).BatchesRemoved, "it is not the last any more")
	require.Equal(t, []kv{{"b", "1", 2}}, readAll(t, p, 0))
	require.NoError(t, p.TrimTo(3))
	compact(t, p, CompactOptions{Now: 1000})
	require.Zero(t, p.SizeBytes())
	require.NoError(t, s.Close())
}

func TestCompactHonoursTheMinimumLag(t *testing.T) {
	s, p := openPartition(t, Options{})
	for i := range 4 {
		appendTo(t, p, keyed(t, nobody, int64(1000*(i+1)), kv{"a", fmt.Sprint(i), 0}))
	}
	st := compact(t, p, CompactOptions{Now: 10_000, MinLag: 7 * time.Second})
	require.Equal(t, base.Offset(3), st.CompactedTo, "3000 is 7 s old, 4000 is not")
	require.Equal(t, []kv{{"a", "2", 2}, {"a", "3", 3}}, readAll(t, p, 0))
	require.NoError(t, s.Close())
}

func TestCompactLeavesControlBatchesAlone(t *testing.T) {
	s, p := openPartition(t, Options{})
	o := recordbatch.FinishOptions{ProducerID: 3, Control: true, Transactional: true, BaseSequence: -1}
	appendTo(t, p, keyed(t, o, 10, kv{"\x00\x00\x00\x01", "-", 0}))
	appendTo(t, p, keyed(t, o, 10, kv{"\x00\x00\x00\x01", "-", 0}))
	appendTo(t, p, keyed(t, nobody, 10, kv{"\x00\x00\x00\x01", "x", 0}))
	for range 2 {
		require.Zero(t, compact(t, p, CompactOptions{Now: 1000}).RecordsRemoved)
	}
	require.NoError(t, s.Close())
}

// TestCompactKeepsTheIdempotenceState: what a batch stood for is known after
// the batch is gone, across a reopen.
func TestCompactKeepsTheIdempotenceState(t *testing.T) {
	for _, trim := range []bool{false, true} {
		t.Run(fmt.Sprintf("trim=%v", trim), func(t *testing.T) {
			s, p := openPartition(t, Options{})
			of := func(seq int32) *Append {
				a := keyed(t, recordbatch.FinishOptions{ProducerID: 9, BaseSequence: seq}, 10, kv{"a", "1", 0}, kv{"b", "2", 0})
				a.Partition = p
				require.NoError(t, s.Append([]*Append{a}, AppendHooks{}))
				return a
			}
			for i := range int32(7) {
				require.NoError(t, of(i*2).Err)
			}
			appendTo(t, p, keyed(t, nobody, 10, kv{"a", "1", 0}, kv{"b", "2", 0}))
			if trim {
				require.NoError(t, p.TrimTo(16))
			} else {
				require.Equal(t, int64(7), compact(t, p, CompactOptions{Now: 1000}).BatchesRemoved)
			}
			for range 2 {
				for i := int32(2); i < 7; i++ {
					a := of(i * 2)
					require.NoError(t, a.Err)
					require.True(t, a.Duplicate)
					require.Equal(t, base.Offset(i*2), a.BaseOffset)
				}
				require.ErrorIs(t, of(2).Err, ErrOutOfOrderSequence)
				require.ErrorIs(t, of(16).Err, ErrOutOfOrderSequence)
				s, p = reopen(t, s, 1)
			}
			require.NoError(t, of(14).Err)
			require.NoError(t, s.Close())
		})
	}
}

// TestCompactInBoundedMemory: with room for few keys many rounds end at the
// same log as one with room for all.
func TestCompactInBoundedMemory(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var logs [2][]kv
	var rounds [2]int
	var appends [][]kv
	for range 400 {
		var b []kv
		for range 1 + r.IntN(5) {
			b = append(b, kv{key: fmt.Sprint(r.IntN(600)), value: fmt.Sprint(r.Int())})
		}
		appends = append(appends, b)
	}
	for i, memory := range []int64{1, 1 << 20} {
		s, p := openPartition(t, Options{TailCacheBytes: 4 << 10})
		for _, b := range appends {
			appendTo(t, p, keyed(t, nobody, 10, b...))
		}
		rounds[i] = compact(t, p, CompactOptions{Now: 1000, MemoryBytes: memory}).Rounds
		logs[i] = readAll(t, p, 0)
		require.NoError(t, s.Close())
	}
	require.Equal(t, logs[1], logs[0])
	require.Greater(t, rounds[0], 5)
	require.Equal(t, 1, rounds[1])
}

func TestCompactOneBatchOfMoreKeysThanFit(t *testing.T) {
	s, p := openPartition(t, Options{})
	var b []kv
	for i := range 500 {
		b = append(b, kv{key: fmt.Sprint(i), value: "x"})
	}
	appendTo(t, p, keyed(t, nobody, 10, b...))
	appendTo(t, p, keyed(t, nobody, 10, b...))
	compact(t, p, CompactOptions{Now: 1000, MemoryBytes: 1})
	require.Len(t, readAll(t, p, 0), 500)
	require.NoError(t, s.Close())
}

func TestCompactCanBeCancelledAndIsPaced(t *testing.T) {
	s, p := openPartition(t, Options{})
	for i := range 100 {
		appendTo(t, p, keyed(t, nobody, 10, kv{"a", fmt.Sprint(i), 0}))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.Compact(ctx, CompactOptions{Now: 1000})
	require.ErrorIs(t, err, context.Canceled)
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = p.Compact(ctx, CompactOptions{Now: 1000, BytesPerSecond: 1})
	require.ErrorIs(t, err, context.DeadlineExceeded, "at a byte a second it takes hours")
	require.NoError(t, p.valid())
	compact(t, p, CompactOptions{Now: 1000})
	require.Equal(t, []kv{{"a", "99", 99}}, readAll(t, p, 0))
	require.NoError(t, s.Close())
	_, err = p.Compact(t.Context(), CompactOptions{})
	require.ErrorIs(t, err, ErrClosed)
}

// TestCompactWhileOthersWork: appends, reads and trims go on, and in the end
// every key has the value that was written last.
func TestCompactWhileOthersWork(t *testing.T) {
	s, p := openPartition(t, Options{TailCacheBytes: 32 << 10})
	const writers, perWriter = 4, 300
	last := make([]map[string]kv, writers)
	var work, wg sync.WaitGroup
	for w := range writers {
		last[w] = map[string]kv{}
		work.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 7))
			for i := range perWriter {
				b := []kv{{key: fmt.Sprint(w, r.IntN(20)), value: fmt.Sprint(i)}, {key: fmt.Sprint(w, r.IntN(20)), value: fmt.Sprint(i)}}
				at := appendTo(t, p, keyed(t, nobody, 10, b...))
				for j, x := range b {
					x.offset = at + base.Offset(j)
					last[w][x.key] = x
				}
			}
		})
	}
	done := make(chan struct{})
	wg.Go(func() {
		for {
			if _, err := p.Compact(context.Background(), CompactOptions{Now: 1000, MemoryBytes: 1}); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	wg.Go(func() {
		for {
			from := base.Offset(-1)
			for _, x := range readAll(t, p, p.LogStart()) {
				if x.offset <= from {
					t.Errorf("offset %d after %d", x.offset, from)
				}
				from = x.offset
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	work.Wait()
	close(done)
	wg.Wait()
	compact(t, p, CompactOptions{Now: 1000})
	want := map[string]kv{}
	for _, m := range last {
		for k, x := range m {
			want[k] = x
		}
	}
	got := map[string]kv{}
	for _, x := range readAll(t, p, 0) {
		got[x.key] = x
	}
	require.Equal(t, want, got)
	require.NoError(t, s.Close())
}

func TestKeyMap(t *testing.T) {
	m := newKeyMap(1_000_000, 1)
	n := 0
	for m.hasRoom(1) {
		m.put(hashKey(fmt.Append(nil, n)), base.Offset(n))
		n++
	}
	require.Equal(t, m.limit, n)
	for i := range n {
		require.Equal(t, base.Offset(i), m.get(hashKey(fmt.Append(nil, i))))
	}
	require.Equal(t, base.Offset(-1), m.get(hashKey([]byte("other"))))
	m.put(hashKey([]byte("0")), 77)
	require.Equal(t, base.Offset(77), m.get(hashKey([]byte("0"))))
	require.Equal(t, n, m.used)
	require.LessOrEqual(t, len(newKeyMap(1<<62, 1<<20).offsets)*keySlotBytes, 1<<20)
	require.Less(t, len(newKeyMap(10, 1<<20).offsets), 100)
}
