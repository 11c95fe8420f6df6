package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
)

// shardUnderLoad saves, applies, trims, shortens the log and compacts until the
// disk fails.
type shardUnderLoad struct {
	id    base.ShardID
	p     base.PartitionID
	saved atomic.Uint64 // durable: SaveLog returned
	first atomic.Uint64 // the log may have been shortened to here
}

// batch is that of an entry, for every shard and try the same.
func (x *shardUnderLoad) batch(t testing.TB, i base.RaftIndex) *Append {
	return sealed(t, -1, -1, -1, 1, fmt.Sprint(x.id, "-", i), strings.Repeat("x", 2000))
}

// entry is the first a creation and then always a batch.
func (x *shardUnderLoad) entry(t testing.TB, i base.RaftIndex) LogEntry {
	e := LogEntry{Index: i, Head: fmt.Append(nil, i)}
	if i > 1 {
		e.Partition, e.Payload = x.p, x.batch(t, i).Batch
	}
	return e
}

func (x *shardUnderLoad) save(t testing.TB, s *Store, i base.RaftIndex) error {
	err := s.SaveLog([]LogUpdate{{Shard: x.id, Replica: 1, Sync: true, Entries: []LogEntry{x.entry(t, i)}}})
	if err == nil {
		x.saved.Store(uint64(i))
	}
	return err
}

func (x *shardUnderLoad) apply(t testing.TB, s *Store, i base.RaftIndex) error {
	a, err := s.BeginApply(x.id)
	if err != nil {
		return err
	}
	if i == 1 {
		err = a.CreatePartition(x.p)
	} else {
		b := x.batch(t, i)
		var at base.Offset
		at, _, err = a.Append(AppendCommand{Partition: x.p, Position: i, Batch: b.Batch, Header: b.Header, NowMillis: int64(i)})
		if want := base.Offset(i-2) * 2; err == nil && at != want {
			err = fmt.Errorf("entry %d got offset %d, want %d", i, at, want)
		}
		if err == nil && i%50 == 0 {
			_, err = a.Trim(x.p, at-20)
		}
	}
	return errors.Join(err, a.Commit(i))
}

// run goes on until an error, or until stop is closed.
func (x *shardUnderLoad) run(t testing.TB, s *Store, stop <-chan struct{}) error {
	for i := base.RaftIndex(x.saved.Load()) + 1; i < 5000; i++ {
		select {
		case <-stop:
			return nil
		default:
		}
		if err := x.save(t, s, i); err != nil {
			return err
		}
		if err := x.apply(t, s, i); err != nil {
			return err
		}
		if i%30 == 0 {
			x.first.Store(uint64(i - 9))
			if err := s.RemoveLogTo(x.id, 1, i-10); err != nil {
				return err
			}
		}
		if i%70 == 0 {
			p, err := s.Replicated(x.p)
			if err != nil {
				return err
			}
			if _, err := p.Compact(t.Context(), CompactOptions{}); err != nil {
				return err
			}
		}
	}
	return errors.New("the fault was never met")
}

// require checks what a store must have after the failure, applies the rest of
// the log, and goes on.
func (x *shardUnderLoad) require(t testing.TB, s *Store) {
	t.Helper()
	x.requireSaved(t, s, base.RaftIndex(x.saved.Load()))
}

// requireSaved is require for when it was known to be saved up to an index.
func (x *shardUnderLoad) requireSaved(t testing.TB, s *Store, saved base.RaftIndex) {
	t.Helper()
	first, last, err := s.LogBounds(x.id, 1)
	require.NoError(t, err)
	require.GreaterOrEqual(t, last, saved)
	require.LessOrEqual(t, first, base.RaftIndex(max(x.first.Load(), 1)))
	for i, e := range readLog(t, s, x.id, 1, first, last+1) {
		require.Equal(t, x.entry(t, first+base.RaftIndex(i)), e)
	}
	applied, err := s.AppliedIndex(x.id)
	require.NoError(t, err)
	require.LessOrEqual(t, applied, last)
	require.GreaterOrEqual(t, applied+1, first)
	for i := applied + 1; i <= last; i++ {
		require.NoError(t, x.apply(t, s, i))
	}
	p, err := s.Replicated(x.p)
	require.NoError(t, err)
	require.NoError(t, p.valid())
	require.Equal(t, base.Offset(last-1)*2, p.HighWatermark())
}

// TestDiskFaultsOfTheRaftSide breaks the disk at each kind of write, as
// TestDiskFaults does, under a load of several shards.
func TestDiskFaultsOfTheRaftSide(t *testing.T) {
	for name, hit := range faultPoints() {
		for i, cause := range []error{syscall.ENOSPC, syscall.EIO} {
			t.Run(fmt.Sprintf("%s/%v", name, cause), func(t *testing.T) {
				t.Parallel()
				testRaftDiskFault(t, hit, cause, i == 1)
			})
		}
	}
}

func testRaftDiskFault(t *testing.T, hit func(errorfs.Op) bool, cause error, once bool) {
	disk := vfs.NewCrashableMem()
	var f faults
	o := Options{Dir: "log", FS: f.wrap(disk), MemTableBytes: smallMemTable, TailCacheBytes: 64 << 10}
	s, err := Open(o)
	require.NoError(t, err)
	var shards []*shardUnderLoad
	for i := range 3 {
		x := &shardUnderLoad{id: base.ShardID(16 + i), p: base.PartitionID(100 + i)}
		for i := base.RaftIndex(1); i < 20; i++ {
			require.NoError(t, x.save(t, s, i))
			require.NoError(t, x.apply(t, s, i))
		}
		shards = append(shards, x)
	}
	require.NoError(t, s.Flush())
	v, err := s.View(16)
	require.NoError(t, err)
	stream := export(t, s, 16)
	var hits atomic.Int64
	f.set(func(op errorfs.Op) error {
		if hit(op) && (hits.Add(1) == 1 || !once) {
			return cause
		}
		return nil
	})
	errs := make([]error, len(shards))
	var wg sync.WaitGroup
	for i, x := range shards {
		wg.Go(func() { errs[i] = x.run(t, s, nil) })
	}
	within(t, "the load", wg.Wait)
	for _, err := range errs {
		require.ErrorIs(t, err, ErrFailed)
		require.ErrorIs(t, err, cause)
	}
	within(t, "work after the failure", func() {
		require.ErrorIs(t, s.SaveLog([]LogUpdate{{Shard: 16, Replica: 1, State: []byte("s")}}), ErrFailed)
		_, err := s.BeginApply(16)
		require.ErrorIs(t, err, ErrFailed)
		_, err = s.ImportShard(16, bytes.NewReader(stream), nil, nil)
		require.ErrorIs(t, err, ErrFailed)
		_, err = s.View(16)
		require.ErrorIs(t, err, ErrFailed)
		require.ErrorIs(t, s.RemoveLogTo(16, 1, 5), ErrFailed)
		require.ErrorIs(t, s.RemoveReplica(16, 1), ErrFailed)
		require.ErrorIs(t, s.RemoveShard(17), ErrReplicaExists)
		require.ErrorIs(t, s.SyncApplied(), ErrFailed)
		for _, x := range shards {
			p, err := s.Replicated(x.p)
			require.NoError(t, err)
			require.NotEmpty(t, values(t, p, p.LogStart()), "what was readable stays so")
			_, err = p.Compact(t.Context(), CompactOptions{})
			require.ErrorIs(t, err, ErrFailed)
		}
		require.NoError(t, v.Close())
	})
	within(t, "Close", func() { require.ErrorIs(t, s.Close(), ErrFailed) })

	f.hook.Store(nil)
	for _, percent := range []int{0, 50, 100} {
		crashed := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(1, 2))})
		s, err := Open(Options{Dir: "log", FS: crashed})
		require.NoError(t, err)
		for _, x := range shards {
			x.require(t, s)
		}
		require.NoError(t, s.Close())
	}
	s, err = Open(o)
	require.NoError(t, err)
	for _, x := range shards {
		x.require(t, s)
		_, last, err := s.LogBounds(x.id, 1)
		require.NoError(t, err)
		require.NoError(t, x.save(t, s, last+1))
		require.NoError(t, x.apply(t, s, last+1))
	}
	require.NoError(t, s.Close())
}

// TestCrashUnderRaftLoad takes the power at any moment, while several shards save,
// apply, trim, shorten and compact at once.
func TestCrashUnderRaftLoad(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		disk := vfs.NewCrashableMem()
		o := Options{Dir: "log", FS: disk, MemTableBytes: smallMemTable, TailCacheBytes: 64 << 10}
		s, err := Open(o)
		require.NoError(t, err)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		var shards []*shardUnderLoad
		for i := range 4 {
			x := &shardUnderLoad{id: base.ShardID(16 + i), p: base.PartitionID(100 + i)}
			shards = append(shards, x)
			wg.Go(func() {
				if err := x.run(t, s, stop); err != nil {
					t.Error(err)
				}
			})
		}
		var crashed []*vfs.MemFS
		var saved [][]base.RaftIndex
		for range 3 {
			until := shards[0].saved.Load() + 20 + rnd.Uint64N(60)
			for shards[0].saved.Load() < until && !t.Failed() {
				runtime.Gosched()
			}
			var before []base.RaftIndex
			for _, x := range shards {
				before = append(before, base.RaftIndex(x.saved.Load()))
			}
			crashed = append(crashed, disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rnd.IntN(3) * 50, RNG: rnd}))
			saved = append(saved, before)
		}
		close(stop)
		within(t, "the load", wg.Wait)
		require.NoError(t, s.Close())
		for i, fs := range crashed {
			o.FS = fs
			s, err := Open(o)
			require.NoError(t, err)
			for j, x := range shards {
				x.requireSaved(t, s, saved[i][j])
			}
			require.NoError(t, s.Close())
		}
	}
}

// TestImportOnAFailingDisk: an import that the disk ends is one to repeat.
func TestImportOnAFailingDisk(t *testing.T) {
	t.Parallel()
	source := openMem(t, NewMemFS())
	r := newReplica(t, source, 16)
	r.create(7)
	for range 100 {
		r.mustAppend(7, strings.Repeat("x", 40_000))
	}
	stream := export(t, source, 16)
	for n := range 12 {
		disk := vfs.NewCrashableMem()
		var f faults
		s, err := Open(Options{Dir: "log", FS: f.wrap(disk), MemTableBytes: smallMemTable})
		require.NoError(t, err)
		old := newReplica(t, s, 16)
		old.create(7)
		old.mustAppend(7, "old")
		var hits atomic.Int64
		f.set(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFilePreallocate && hits.Add(1) > int64(n*n) {
				return syscall.EIO
			}
			return nil
		})
		within(t, "importing", func() {
			_, err = s.ImportShard(16, bytes.NewReader(stream), nil, nil)
			if err == nil {
				err = s.Flush()
			}
		})
		require.ErrorIs(t, err, ErrFailed, "after %d writes", n*n)
		within(t, "closing", func() { require.ErrorIs(t, s.Close(), ErrFailed) })
		s = openMem(t, disk.CrashClone(vfs.CrashCloneCfg{}))
		applied, err := s.AppliedIndex(16)
		require.NoError(t, err)
		require.Contains(t, []base.RaftIndex{0, 1, 2, r.last}, applied)
		if applied < r.last {
			_, err = s.ImportShard(16, bytes.NewReader(stream), nil, nil)
			require.NoError(t, err)
		}
		require.Equal(t, contentKeys(t, source), contentKeys(t, s))
	}
}
