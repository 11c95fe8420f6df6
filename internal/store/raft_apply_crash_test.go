package store

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
)

// TestAppliedThatRegressedIsRefused: a store that is older than its Raft log is
// not served.
func TestAppliedThatRegressedIsRefused(t *testing.T) {
	t.Parallel()
	fs := NewMemFS()
	s := openMem(t, fs)
	r := newReplica(t, s, 16)
	r.create(7)
	r.mustAppend(7, "a")
	r.mustAppend(7, "b")
	require.NoError(t, s.RemoveLogTo(16, 1, 2))
	old := shardRecord{applied: 1}
	require.NoError(t, s.db.Set(shardKey(kindShard, 16), old.encode(), nil))
	require.NoError(t, s.Close())
	s = openMem(t, fs)
	_, err := s.AppliedIndex(16)
	require.ErrorIs(t, err, ErrAppliedRegressed)
	_, err = s.BeginApply(16)
	require.ErrorIs(t, err, ErrAppliedRegressed)
	_, err = s.Replicated(7)
	require.ErrorIs(t, err, ErrAppliedRegressed)
	require.NoError(t, s.RemoveReplica(16, 1))
	require.NoError(t, s.RemoveShard(16))
	require.Zero(t, newReplica(t, s, 16).applied())
}

// TestApplyCrash: what is applied is lost as a suffix only, and applied again it
// gets the same offsets.
func TestApplyCrash(t *testing.T) {
	t.Parallel()
	for percent := 0; percent <= 100; percent += 50 {
		for seed := range uint64(20) {
			disk := vfs.NewCrashableMem()
			o := Options{Dir: "log", FS: disk, MemTableBytes: smallMemTable}
			s, err := Open(o)
			require.NoError(t, err)
			r := newReplica(t, s, 16)
			r.create(7)
			rnd := rand.New(rand.NewPCG(seed, uint64(percent)))
			offsets := map[base.RaftIndex]base.Offset{}
			batches := map[base.RaftIndex]*Append{}
			for range 5 + rnd.IntN(20) {
				x := sealed(t, -1, -1, -1, r.now, strings.Repeat("v", rnd.IntN(30_000)))
				i := r.save(7, x)
				batches[i] = x
				r.apply(func(a *Apply) { offsets[i], _, err = a.Append(r.command(7, i, x)) })
				require.NoError(t, err)
			}
			crashed := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rnd})
			require.NoError(t, s.Close())
			o.FS = crashed
			s, err = Open(o)
			require.NoError(t, err)
			again := newReplica(t, s, 16)
			require.Equal(t, r.last, again.last, "saved entries were fsynced")
			applied := again.applied()
			require.GreaterOrEqual(t, applied, r.last-1, "the last save made the applies before it durable")
			for i := applied + 1; i <= r.last; i++ {
				again.last = i
				again.apply(func(a *Apply) {
					at, dup, err := a.Append(again.command(7, i, batches[i]))
					require.NoError(t, err)
					require.False(t, dup)
					require.Equal(t, offsets[i], at)
				})
			}
			require.NoError(t, again.partition(7).valid())
			require.Equal(t, base.Offset(len(batches)), again.partition(7).HighWatermark())
			require.NoError(t, s.SyncApplied())
			s2, err := Open(Options{Dir: "log", FS: crashed.CrashClone(vfs.CrashCloneCfg{})})
			require.NoError(t, err)
			require.Equal(t, r.last, newReplica(t, s2, 16).applied())
			require.NoError(t, s2.Close())
			require.NoError(t, s.Close())
		}
	}
}

func TestApplyAfterTheDiskFailed(t *testing.T) {
	t.Parallel()
	disk := vfs.NewCrashableMem()
	var f faults
	s, err := Open(Options{Dir: "log", FS: f.wrap(disk), MemTableBytes: smallMemTable})
	require.NoError(t, err)
	r := newReplica(t, s, 16)
	r.create(7)
	r.mustAppend(7, "a")
	f.set(func(op errorfs.Op) error {
		if isWAL(op) && (isSync(op) || op.Kind == errorfs.OpFileWrite) {
			return syscall.EIO
		}
		return nil
	})
	x := sealed(t, -1, -1, -1, 1, strings.Repeat("x", 10_000))
	within(t, "applying", func() {
		for {
			r.last++
			u := LogUpdate{Shard: 16, Replica: 1, Entries: []LogEntry{{Index: r.last, Partition: 7, Payload: x.Batch}}}
			if err = s.SaveLog([]LogUpdate{u}); err != nil {
				return
			}
			var a *Apply
			if a, err = s.BeginApply(16); err != nil {
				return
			}
			if _, _, err = a.Append(r.command(7, r.last, x)); err != nil {
				err = a.Commit(r.last)
				return
			}
			if err = a.Commit(r.last); err != nil {
				return
			}
		}
	})
	require.ErrorIs(t, err, ErrFailed)
	require.ErrorIs(t, err, syscall.EIO)
	_, err = s.BeginApply(16)
	require.ErrorIs(t, err, ErrFailed)
	require.ErrorIs(t, s.SyncApplied(), ErrFailed)
	require.Equal(t, "a", values(t, r.partition(7), 0)[0])
	within(t, "closing", func() { require.ErrorIs(t, s.Close(), ErrFailed) })
}

// TestReadersBesideApply reads, looks and compacts while several shards are
// applied to.
func TestReadersBesideApply(t *testing.T) {
	t.Parallel()
	s, err := Open(Options{Dir: "log", FS: NewMemFS(), TailCacheBytes: 64 << 10, MemTableBytes: smallMemTable})
	require.NoError(t, err)
	const shards, rounds = 3, 150
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for i := range base.ShardID(shards) {
		r := newReplica(t, s, 16+i)
		id := base.PartitionID(100 + i)
		r.create(id)
		p := r.partition(id)
		writers.Go(func() {
			for n := range rounds {
				r.mustAppend(id, fmt.Sprint(n), strings.Repeat("x", n*50))
				if n%40 == 39 {
					r.trim(id, base.Offset(n))
					require.NoError(t, s.RemoveLogTo(r.id, 1, r.last-10))
				}
			}
		})
		readers.Go(func() {
			var f Fetch
			from := base.Offset(0)
			for {
				err := p.Read(&f, from, 4<<10)
				if from = max(from, p.LogStart()); err != nil {
					require.ErrorAs(t, err, new(*OffsetOutOfRangeError))
					continue
				}
				for _, b := range f.Batches {
					h, _, err := decodeBatch(b)
					require.NoError(t, err)
					require.LessOrEqual(t, h.BaseOffset, from)
					from = h.NextOffset()
				}
				select {
				case <-stop:
					if from == p.HighWatermark() {
						return
					}
				default:
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	for i := range base.ShardID(shards) {
		p := newReplica(t, s, 16+i).partition(base.PartitionID(100 + i))
		require.NoError(t, p.valid())
		require.Equal(t, base.Offset(2*rounds), p.HighWatermark())
	}
	require.NoError(t, s.Close())
}
