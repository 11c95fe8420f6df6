package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
)

// smallMemTable makes logs rotate and memtables flush after a few batches.
const smallMemTable = 256 << 10

// faults injects errors and delays into a file system.
type faults struct {
	hook atomic.Pointer[func(op errorfs.Op) error]
}

func (f *faults) set(hook func(op errorfs.Op) error) { f.hook.Store(&hook) }

func (f *faults) wrap(inner vfs.FS) vfs.FS {
	return errorfs.Wrap(inner, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if h := f.hook.Load(); h != nil {
			return (*h)(op)
		}
		return nil
	}))
}

func isSync(op errorfs.Op) bool {
	return op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
}

func isWAL(op errorfs.Op) bool      { return strings.HasSuffix(op.Path, ".log") }
func isManifest(op errorfs.Op) bool { return strings.Contains(op.Path, "MANIFEST") }

// within fails the test if fn takes so long that it must hang.
func within(t testing.TB, what string, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); fn() }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		panic(what + " hangs") // with all stacks
	}
}

// acks collects what was acknowledged: the value of each offset.
type acks struct {
	mu     sync.Mutex
	values map[base.PartitionID]map[base.Offset]string
}

func (a *acks) add(p base.PartitionID, at base.Offset, values ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.values == nil {
		a.values = make(map[base.PartitionID]map[base.Offset]string)
	}
	if a.values[p] == nil {
		a.values[p] = make(map[base.Offset]string)
	}
	for i, v := range values {
		a.values[p][at+base.Offset(i)] = v
	}
}

// require checks that a store has all of it, and valid partitions.
func (a *acks) require(t testing.TB, s *Store) {
	t.Helper()
	for id, want := range a.values {
		p, err := s.Partition(id)
		require.NoError(t, err)
		require.NoError(t, p.valid())
		var end base.Offset
		for at := range want {
			end = max(end, at+1)
		}
		require.GreaterOrEqual(t, p.HighWatermark(), end, "partition %d", id)
		got := readAll(t, p, 0)
		require.Len(t, got, int(p.HighWatermark()), "partition %d", id)
		for at, v := range want {
			require.Equal(t, v, got[at].value, "partition %d offset %d", id, at)
		}
	}
}

// writeUntilFailure appends from several goroutines until the store fails, and
// returns the error that an append got.
func writeUntilFailure(t testing.TB, s *Store, a *acks) error {
	t.Helper()
	var wg sync.WaitGroup
	var first atomic.Pointer[error]
	for w := range 4 {
		wg.Go(func() {
			id := base.PartitionID(1 + w%3)
			p, err := s.Partition(id)
			if err != nil {
				t.Error(err)
				return
			}
			pad := strings.Repeat("x", 4<<10)
			for i := 0; i < 4000 && first.Load() == nil; i++ {
				v := fmt.Sprint(w, "-", i, pad)
				ap := sealed(t, -1, -1, -1, 1, v, v)
				ap.Partition = p
				if err := s.Append([]*Append{ap}, AppendHooks{}); err != nil {
					first.CompareAndSwap(nil, &err)
					return
				}
				a.add(id, ap.BaseOffset, v, v)
			}
		})
	}
	within(t, "appending", wg.Wait)
	if e := first.Load(); e != nil {
		return *e
	}
	return nil
}

// TestDiskFaults breaks the disk at each kind of write that the store does. The
// store must fail, with the cause, and go no further: what is durable stays
// readable, nothing hangs, Close works, and opening again, of the directory as
// it is or as a power loss leaves it, finds all that was acknowledged.
func TestDiskFaults(t *testing.T) {
	for name, hit := range faultPoints() {
		// For good, and once.
		for i, cause := range []error{syscall.ENOSPC, syscall.EIO} {
			t.Run(fmt.Sprintf("%s/%v", name, cause), func(t *testing.T) {
				t.Parallel()
				testDiskFault(t, hit, cause, i == 1)
			})
		}
	}
}

// faultPoints are the kinds of writes that a store does.
func faultPoints() map[string]func(op errorfs.Op) bool {
	return map[string]func(op errorfs.Op) bool{
		"wal fsync": func(op errorfs.Op) bool { return isWAL(op) && isSync(op) },
		"wal write": func(op errorfs.Op) bool { return isWAL(op) && op.Kind == errorfs.OpFileWrite },
		"wal create": func(op errorfs.Op) bool {
			return isWAL(op) && (op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpReuseForWrite)
		},
		"table create":   func(op errorfs.Op) bool { return isTable(op.Path) && op.Kind == errorfs.OpCreate },
		"table write":    func(op errorfs.Op) bool { return strings.HasSuffix(op.Path, ".sst") && op.Kind == errorfs.OpFileWrite },
		"blob write":     func(op errorfs.Op) bool { return strings.HasSuffix(op.Path, ".blob") && op.Kind == errorfs.OpFileWrite },
		"table fsync":    func(op errorfs.Op) bool { return isTable(op.Path) && isSync(op) },
		"manifest write": func(op errorfs.Op) bool { return isManifest(op) && op.Kind == errorfs.OpFileWrite },
		"manifest fsync": func(op errorfs.Op) bool { return isManifest(op) && isSync(op) },
		"directory fsync": func(op errorfs.Op) bool {
			return op.Path == "log" && isSync(op)
		},
		// Space that cannot be taken ahead shows again in the write.
		"everything": func(op errorfs.Op) bool {
			return op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFilePreallocate
		},
	}
}

func testDiskFault(t *testing.T, hit func(errorfs.Op) bool, cause error, once bool) {
	disk := vfs.NewCrashableMem()
	var f faults
	failed := make(chan error, 2)
	o := Options{Dir: "log", FS: f.wrap(disk), MemTableBytes: smallMemTable, TailCacheBytes: 64 << 10,
		OnFail: func(err error) { failed <- err }}
	s, err := Open(o)
	require.NoError(t, err)
	p, err := s.Partition(1)
	require.NoError(t, err)
	var a acks
	for i := range 20 {
		v := fmt.Sprint(i)
		a.add(1, appendTo(t, p, sealed(t, -1, -1, -1, 1, v)), v)
	}
	require.NoError(t, s.Flush())

	var hits atomic.Int64
	f.set(func(op errorfs.Op) error {
		if hit(op) && (hits.Add(1) == 1 || !once) {
			return cause
		}
		return nil
	})
	err = writeUntilFailure(t, s, &a)
	require.Error(t, err, "the fault must be met")
	require.ErrorIs(t, err, ErrFailed)
	require.ErrorIs(t, err, cause)
	require.ErrorIs(t, <-failed, cause)
	require.Empty(t, failed, "OnFail is called once")
	require.ErrorIs(t, s.Failure(), cause)
	within(t, "work after the failure", func() {
		require.ErrorIs(t, s.Flush(), ErrFailed)
		require.ErrorIs(t, s.Update(func(tx *Tx) error { return tx.Set("a", nil) }), ErrFailed)
		require.ErrorIs(t, s.Checkpoint("copy"), ErrFailed)
		require.ErrorIs(t, p.TrimTo(1), ErrFailed)
		_, err := p.Compact(t.Context(), CompactOptions{})
		require.ErrorIs(t, err, ErrFailed)
		a.require(t, s)
	})
	within(t, "Close", func() { require.ErrorIs(t, s.Close(), ErrFailed) })

	f.hook.Store(nil)
	for _, percent := range []int{0, 50, 100} {
		crashed := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(1, 2))})
		s, err := Open(Options{Dir: "log", FS: crashed})
		require.NoError(t, err)
		a.require(t, s)
		require.NoError(t, s.Close())
	}
	s, err = Open(o)
	require.NoError(t, err)
	a.require(t, s)
	p, err = s.Partition(1)
	require.NoError(t, err)
	next := p.HighWatermark()
	require.Equal(t, next, appendTo(t, p, sealed(t, -1, -1, -1, 1, "after")))
	require.NoError(t, s.Close())
}

// TestHungFsync: while the disk does not answer appends wait, and go on when
// it does. What waits is not readable, the rest is.
func TestHungFsync(t *testing.T) {
	var f faults
	s, p := openPartition(t, Options{FS: f.wrap(NewMemFS())})
	appendTo(t, p, sealed(t, -1, -1, -1, 1, "before"))
	hung, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	f.set(func(op errorfs.Op) error {
		if isWAL(op) && isSync(op) {
			once.Do(func() { close(hung) })
			<-release
		}
		return nil
	})
	const writers = 20
	var wg sync.WaitGroup
	applied := make(chan struct{}, writers)
	for range writers {
		wg.Go(func() {
			a := sealed(t, -1, -1, -1, 1, "waits")
			a.Partition = p
			if err := s.Append([]*Append{a}, AppendHooks{Applied: func() {
				applied <- struct{}{}
			}, Published: func() {
				if p.HighWatermark() <= a.BaseOffset {
					t.Error("published but not readable")
				}
			}}); err != nil || a.Err != nil {
				t.Error(err, a.Err)
			}
		})
	}
	<-hung
	<-applied // in the memtable, and visible to Pebble
	require.Equal(t, base.Offset(1), p.HighWatermark())
	require.Equal(t, []string{"before"}, values(t, p, 0))
	var oor *OffsetOutOfRangeError
	require.ErrorAs(t, p.Read(&Fetch{}, 2, 100), &oor)
	_, found, err := p.OffsetForTime(2)
	require.NoError(t, err)
	require.False(t, found)
	closed := make(chan error)
	go func() { wg.Wait(); closed <- s.Close() }()
	close(release)
	within(t, "Close", func() { require.NoError(t, <-closed) })
	require.Equal(t, base.Offset(1+writers), p.HighWatermark())
}

// TestNothingIsReadableBeforeItsFsync crashes at every fsync of the log: what a
// reader could see at that moment is there after the crash. Large batches take
// another way through Pebble.
func TestNothingIsReadableBeforeItsFsync(t *testing.T) {
	for _, size := range []int{100, smallMemTable * 3 / 4} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			disk := vfs.NewCrashableMem()
			var f faults
			s, p := openPartition(t, Options{FS: f.wrap(disk), MemTableBytes: smallMemTable})
			appendTo(t, p, sealed(t, -1, -1, -1, 1, "0"))
			var crashes atomic.Int64
			var depth atomic.Int64
			f.set(func(op errorfs.Op) error {
				if !isWAL(op) || !isSync(op) || depth.Add(1) > 12 {
					return nil
				}
				readable := p.HighWatermark()
				s2, err := Open(Options{Dir: "log", FS: disk.CrashClone(vfs.CrashCloneCfg{})})
				if err != nil {
					t.Error(err)
					return nil
				}
				defer s2.Close()
				p2, err := s2.Partition(1)
				if err != nil {
					t.Error(err)
				} else if p2.HighWatermark() < readable {
					t.Errorf("%d was readable, the crash left %d", readable, p2.HighWatermark())
				} else if err := p2.valid(); err != nil {
					t.Error(err)
				}
				crashes.Add(1)
				return nil
			})
			value := strings.Repeat("v", size)
			for i := range 10 {
				require.Equal(t, base.Offset(1+i), appendTo(t, p, sealed(t, -1, -1, -1, 1, value)))
				// And the moment after the acknowledgement.
				s2, err := Open(Options{Dir: "log", FS: disk.CrashClone(vfs.CrashCloneCfg{})})
				require.NoError(t, err)
				p2, err := s2.Partition(1)
				require.NoError(t, err)
				require.GreaterOrEqual(t, p2.HighWatermark(), base.Offset(2+i))
				require.NoError(t, s2.Close())
			}
			require.Positive(t, crashes.Load())
			require.NoError(t, s.Close())
		})
	}
}

// TestReplayedLogIsDurable: what a killed process left in the operating
// system's cache is readable after the next open, so it must survive a power
// loss from then on.
func TestReplayedLogIsDurable(t *testing.T) {
	disk := vfs.NewCrashableMem()
	var f faults
	f.set(func(op errorfs.Op) error { return nil })
	s, p := openPartition(t, Options{FS: f.wrap(disk)})
	appendTo(t, p, sealed(t, -1, -1, -1, 1, "a"))
	// acks=1: the fsync never comes, the process dies first.
	release := make(chan struct{})
	f.set(func(op errorfs.Op) error {
		if isWAL(op) && isSync(op) {
			<-release
		}
		return nil
	})
	var wg sync.WaitGroup
	applied := make(chan struct{})
	wg.Go(func() {
		a := sealed(t, -1, -1, -1, 1, "b")
		a.Partition = p
		_ = s.Append([]*Append{a}, AppendHooks{Applied: func() { close(applied) }})
	})
	<-applied
	var killed *vfs.MemFS
	require.Eventually(t, func() bool { // the log writer hands it to the file soon
		killed = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
		s2, err := Open(Options{Dir: "log", FS: killed})
		require.NoError(t, err)
		p2, err := s2.Partition(1)
		require.NoError(t, err)
		readable := p2.HighWatermark()
		lost := killed.CrashClone(vfs.CrashCloneCfg{})
		require.NoError(t, s2.Close())
		s3, err := Open(Options{Dir: "log", FS: lost})
		require.NoError(t, err)
		p3, err := s3.Partition(1)
		require.NoError(t, err)
		require.GreaterOrEqual(t, p3.HighWatermark(), readable)
		require.NoError(t, s3.Close())
		return readable == 2
	}, 10*time.Second, time.Millisecond)
	close(release)
	wg.Wait()
	require.NoError(t, s.Close())
}

// TestReadFault: a disk that cannot be read is an error of the read, and of
// nothing else.
func TestReadFault(t *testing.T) {
	var f faults
	s, p := openPartition(t, Options{FS: f.wrap(NewMemFS()), CacheBytes: 1, TailCacheBytes: 1})
	appendTo(t, p, sealed(t, -1, -1, -1, 1, strings.Repeat("x", 10<<10)))
	require.NoError(t, s.Flush())
	f.set(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileReadAt {
			return syscall.EIO
		}
		return nil
	})
	err := p.Read(&Fetch{}, 0, 100)
	require.ErrorIs(t, err, syscall.EIO)
	require.NotErrorIs(t, err, ErrCorrupt)
	f.hook.Store(nil)
	require.Len(t, values(t, p, 0), 1)
	appendTo(t, p, sealed(t, -1, -1, -1, 1, "y"))
	require.NoError(t, s.Close())
}

func TestUpdateThatPanics(t *testing.T) {
	s, p := openPartition(t, Options{})
	appendTo(t, p, sealed(t, -1, -1, -1, 1, "a"))
	err := s.Update(func(*Tx) error { panic(errors.New("boom")) })
	require.ErrorContains(t, err, "boom")
	appendTo(t, p, sealed(t, -1, -1, -1, 1, "b"))
	require.Equal(t, []string{"a", "b"}, values(t, p, 0))
	require.NoError(t, s.Close())
}

// TestNewDirectoriesAreDurable: what is acknowledged is not lost with a parent
// directory that was made for it.
func TestNewDirectoriesAreDurable(t *testing.T) {
	disk := vfs.NewCrashableMem()
	s, err := Open(Options{Dir: "/a/b/c", FS: disk})
	require.NoError(t, err)
	require.NoError(t, s.Update(func(tx *Tx) error { return tx.Set("k", []byte("v")) }))
	crashed := disk.CrashClone(vfs.CrashCloneCfg{})
	require.NoError(t, s.Close())
	s, err = Open(Options{Dir: "/a/b/c", FS: crashed})
	require.NoError(t, err)
	v, _, err := s.Get("k")
	require.NoError(t, err)
	require.Equal(t, "v", string(v))
	require.NoError(t, s.Close())
}
