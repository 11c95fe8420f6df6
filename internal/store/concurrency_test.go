package store

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/recordbatch"
)

// follow reads a partition from an offset on, as it grows, until stop is
// closed; seen is called with each batch's offsets, which must follow each
// other without a hole.
func follow(t *testing.T, p *Partition, from base.Offset, stop <-chan struct{}, seen func(next base.Offset)) {
	wake := make(chan struct{}, 1)
	p.Watch(wake)
	defer p.Unwatch(wake)
	var f Fetch
	for {
		err := p.Read(&f, from, 16<<10)
		var oor *OffsetOutOfRangeError
		switch {
		case errors.As(err, &oor) && from < oor.LogStart:
			from = oor.LogStart // a trim was faster
			continue
		case err != nil:
			t.Errorf("read at %d: %v", from, err)
			return
		}
		for _, b := range f.Batches {
			h, records, err := decodeBatch(b)
			if err != nil || h.BaseOffset > from || h.NextOffset() <= from || h.NextOffset() > p.HighWatermark() {
				t.Errorf("at %d: batch [%d, %d], high watermark %d, %v", from, h.BaseOffset, h.LastOffset(), p.HighWatermark(), err)
				return
			}
			for i, r := range records {
				if want := fmt.Sprint(p.ID(), "/", i); r.value != want {
					t.Errorf("partition %d offset %d: %q", p.ID(), r.offset, r.value)
				}
			}
			from = h.NextOffset()
			seen(from)
		}
		if len(f.Batches) > 0 {
			continue
		}
		select {
		case <-wake:
		case <-stop:
			if from >= p.HighWatermark() {
				return
			}
		}
	}
}

// TestConcurrentUse has writers, readers that follow, trims, updates and
// flushes on the same partitions, and crashes in between: what anyone saw, or
// was told, before the crash is there after it.
func TestConcurrentUse(t *testing.T) {
	disk := vfs.NewCrashableMem()
	s, err := Open(Options{Dir: "log", FS: disk, MemTableBytes: smallMemTable, TailCacheBytes: 32 << 10})
	require.NoError(t, err)
	const partitions, writers, perWriter = 3, 12, 150
	var ps [partitions]*Partition
	var known [partitions]atomic.Int64 // the offset below which all was seen or acknowledged
	know := func(i int, next base.Offset) {
		for {
			old := known[i].Load()
			if int64(next) <= old || known[i].CompareAndSwap(old, int64(next)) {
				return
			}
		}
	}
	for i := range ps {
		ps[i], err = s.Partition(base.PartitionID(i + 1))
		require.NoError(t, err)
	}
	batch := func(i, n int) *Append {
		var values []string
		for j := range n {
			values = append(values, fmt.Sprint(ps[i].ID(), "/", j))
		}
		a := sealed(t, -1, -1, -1, 1, values...)
		a.Partition = ps[i]
		return a
	}

	var work, rest sync.WaitGroup
	stop := make(chan struct{})
	for w := range writers {
		work.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 3))
			var last [partitions]base.Offset
			for range perWriter {
				var appends []*Append
				var at []int
				for range 1 + r.IntN(3) {
					i := r.IntN(partitions)
					appends, at = append(appends, batch(i, 1+r.IntN(4))), append(at, i)
				}
				published := false
				err := s.Append(appends, AppendHooks{Published: func() { published = true }})
				if err != nil || !published {
					t.Error(err, published)
					return
				}
				for k, a := range appends {
					end := a.BaseOffset + base.Offset(a.Header.LastOffsetDelta) + 1
					if a.Err != nil || a.BaseOffset < last[at[k]] || ps[at[k]].HighWatermark() < end {
						t.Errorf("offset %d after %d, high watermark %d, %v", a.BaseOffset, last[at[k]], ps[at[k]].HighWatermark(), a.Err)
					}
					last[at[k]] = end
					know(at[k], end)
				}
			}
		})
	}
	for i, p := range ps {
		for range 2 {
			rest.Go(func() { follow(t, p, 0, stop, func(next base.Offset) { know(i, next) }) })
		}
	}
	background := func(f func(r *rand.Rand) error) {
		rest.Go(func() {
			for r := rand.New(rand.NewPCG(9, 9)); ; {
				select {
				case <-stop:
					return
				default:
				}
				if err := f(r); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	background(func(r *rand.Rand) error {
		p := ps[r.IntN(partitions)]
		return p.TrimTo(p.LogStart() + base.Offset(r.Int64N(int64(p.HighWatermark()-p.LogStart())/4+1)))
	})
	background(func(r *rand.Rand) error {
		return s.Update(func(tx *Tx) error { return tx.Set(fmt.Sprint(r.IntN(5)), []byte("x")) })
	})
	background(func(*rand.Rand) error {
		if err := s.Update(func(*Tx) error { return errWrongData }); !errors.Is(err, errWrongData) {
			return fmt.Errorf("a refused update: %w", err)
		}
		return s.Flush()
	})
	background(func(r *rand.Rand) error {
		var floor [partitions]int64
		for i := range floor {
			floor[i] = known[i].Load()
		}
		s2, err := Open(Options{Dir: "log", FS: disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * r.IntN(3), RNG: r})})
		if err != nil {
			return err
		}
		for i := range floor {
			p, err := s2.Partition(base.PartitionID(i + 1))
			if err != nil {
				return err
			}
			if int64(p.HighWatermark()) < floor[i] {
				return fmt.Errorf("partition %d: %d was known, the crash left %d", i+1, floor[i], p.HighWatermark())
			}
			if err := p.valid(); err != nil {
				return err
			}
		}
		return s2.Close()
	})
	within(t, "the writers", work.Wait)
	close(stop)
	within(t, "the readers", rest.Wait)
	for _, p := range ps {
		require.NoError(t, p.valid())
	}
	require.NoError(t, s.Close())
}

// TestCloseWhileOthersWork: whoever is late gets ErrClosed, whoever was told
// that a write is durable finds it at the next open, and nobody hangs.
func TestCloseWhileOthersWork(t *testing.T) {
	for seed := range uint64(8) {
		fs := NewMemFS()
		s, p := openPartition(t, Options{FS: fs})
		var a acks
		var wg sync.WaitGroup
		start := make(chan struct{})
		for w := range 8 {
			wg.Go(func() {
				<-start
				for {
					ap := sealed(t, -1, -1, -1, 1, "v")
					ap.Partition = p
					enqueued := 0
					err := s.Append([]*Append{ap}, AppendHooks{Enqueued: func() { enqueued++ }})
					if enqueued != 1 {
						t.Error("enqueued", enqueued, "times")
					}
					if err != nil {
						if !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
						return
					}
					a.add(1, ap.BaseOffset, "v")
				}
			})
			wg.Go(func() {
				<-start
				for err := error(nil); err == nil; {
					switch w % 4 {
					case 0:
						err = p.Read(&Fetch{}, p.LogStart(), 1000)
					case 1:
						err = s.Update(func(tx *Tx) error { return tx.Set("k", nil) })
					case 2:
						err = s.Scan("", func(string, []byte) error {
							_, _, err := s.Get("k") // within a read, and Close may be waiting
							return err
						})
					case 3:
						_, err = p.Compact(t.Context(), CompactOptions{Now: 1})
					}
					if err != nil && !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
				}
			})
		}
		close(start)
		r := rand.New(rand.NewPCG(seed, 1))
		for p.HighWatermark() < base.Offset(r.IntN(30)) {
			// until something is stored
			wake := make(chan struct{}, 1)
			p.Watch(wake)
			<-wake
			p.Unwatch(wake)
		}
		within(t, "Close", func() { require.NoError(t, s.Close()) })
		within(t, "the others", wg.Wait)
		s, err := Open(Options{Dir: "log", FS: fs})
		require.NoError(t, err)
		p, err = s.Partition(1)
		require.NoError(t, err)
		require.NoError(t, p.valid())
		for at := range a.values[1] {
			require.Less(t, at, p.HighWatermark())
		}
		require.NoError(t, s.Close())
	}
}

// TestOneProducerFromManyGoroutines: many send the same sequences at once; each
// batch is stored once and every sender learns the one offset.
func TestOneProducerFromManyGoroutines(t *testing.T) {
	s, p := openPartition(t, Options{})
	const batches, senders = 100, 8
	var offsets [batches]atomic.Int64
	for i := range offsets {
		offsets[i].Store(-1)
	}
	for seq := range int32(batches) {
		var wg sync.WaitGroup
		var stored atomic.Int32
		for range senders {
			wg.Go(func() {
				a := sealed(t, 4, 0, seq, 1, "v")
				a.Partition = p
				if err := s.Append([]*Append{a}, AppendHooks{}); err != nil || a.Err != nil {
					t.Error(err, a.Err)
					return
				}
				if !a.Duplicate {
					stored.Add(1)
				}
				if !offsets[seq].CompareAndSwap(-1, int64(a.BaseOffset)) && offsets[seq].Load() != int64(a.BaseOffset) {
					t.Errorf("sequence %d: offsets %d and %d", seq, offsets[seq].Load(), a.BaseOffset)
				}
				if p.HighWatermark() <= a.BaseOffset {
					t.Errorf("sequence %d: acknowledged at %d, high watermark %d", seq, a.BaseOffset, p.HighWatermark())
				}
			})
		}
		wg.Wait()
		require.Equal(t, int32(1), stored.Load())
	}
	require.Equal(t, base.Offset(batches), p.HighWatermark())
	require.NoError(t, s.Close())
}

// TestImpossibleNumbers: a header that no index entry can hold is refused, and
// the partition can be opened afterwards.
func TestImpossibleNumbers(t *testing.T) {
	s, p := openPartition(t, Options{})
	for i, change := range []func(a *Append){
		func(a *Append) { a.Header.LastOffsetDelta = -1 },
		func(a *Append) { a.Header.LastOffsetDelta = math.MaxInt32 },
		func(a *Append) { a.Epoch = -2 },
		func(a *Append) { a.Header.ProducerID, a.Header.ProducerEpoch, a.Header.BaseSequence = 1, -1, 0 },
		func(a *Append) { a.Header.ProducerID, a.Header.ProducerEpoch, a.Header.BaseSequence = 1, 0, -1 },
	} {
		a := sealed(t, -1, -1, -1, 1, "v")
		a.Partition = p
		change(a)
		require.NoError(t, s.Append([]*Append{a}, AppendHooks{}))
		require.ErrorIs(t, a.Err, recordbatch.ErrInvalidRecord, "%d", i)
	}
	appendTo(t, p, sealed(t, -1, -1, -1, math.MaxInt64, "v"))
	s, p = reopen(t, s, 1)
	require.Equal(t, base.Offset(1), p.HighWatermark())
	require.NoError(t, p.valid())
	require.NoError(t, s.Close())
}
