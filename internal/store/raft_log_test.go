package store

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
)

// logEntries makes entries [first, first+n) with payloads for a partition.
func logEntries(first base.RaftIndex, n int, p base.PartitionID, text string) []LogEntry {
	var out []LogEntry
	for i := range n {
		at := first + base.RaftIndex(i)
		out = append(out, LogEntry{Index: at, Head: fmt.Append(nil, "head ", text, at), Partition: p, Payload: fmt.Append(nil, "payload ", text, at)})
	}
	return out
}

// readLog reads [lo, hi) of a log, copied.
func readLog(t testing.TB, s *Store, shard base.ShardID, replica base.ReplicaID, lo, hi base.RaftIndex) []LogEntry {
	t.Helper()
	var out []LogEntry
	require.NoError(t, s.LogEntries(shard, replica, lo, hi, math.MaxUint64, func(e LogEntry) (bool, error) {
		e.Head, e.Payload = append([]byte(nil), e.Head...), append([]byte(nil), e.Payload...)
		if len(e.Payload) == 0 {
			e.Payload = nil
		}
		out = append(out, e)
		return true, nil
	}))
	return out
}

func requireBounds(t testing.TB, s *Store, shard base.ShardID, replica base.ReplicaID, first, last base.RaftIndex) {
	t.Helper()
	f, l, err := s.LogBounds(shard, replica)
	require.NoError(t, err)
	require.Equal(t, [2]base.RaftIndex{first, last}, [2]base.RaftIndex{f, l})
}

// hasPosition tells whether a partition has data at a position, whatever its
// index says.
func hasPosition(t testing.TB, s *Store, p base.PartitionID, at base.RaftIndex) bool {
	t.Helper()
	_, ok, err := s.get(positionKey(p, at))
	require.NoError(t, err)
	return ok
}

func saveLog(t testing.TB, s *Store, u LogUpdate) {
	t.Helper()
	u.Sync = true
	require.NoError(t, s.SaveLog([]LogUpdate{u}))
}

// setApplied makes a shard's applied index, as an Apply would.
func setApplied(t testing.TB, s *Store, id base.ShardID, to base.RaftIndex) {
	t.Helper()
	sh, err := s.shard(id)
	require.NoError(t, err)
	rec := shardRecord{applied: to}
	require.NoError(t, s.writeRaft(false, func(b *pebble.Batch) error { return b.Set(shardKey(kindShard, id), rec.encode(), nil) }))
	sh.applied.Store(uint64(to))
}

func TestLogKeepsWhatWasSaved(t *testing.T) {
	t.Parallel()
	fs := NewMemFS()
	s := openMem(t, fs)
	requireBounds(t, s, 16, 1, 1, 0)
	_, ok, err := s.LogState(16, 1)
	require.NoError(t, err)
	require.False(t, ok)
	require.NoError(t, s.SetBootstrap(16, 1, []byte("boot")))
	entries := logEntries(1, 5, 7, "a")
	entries[2].Payload, entries[2].Partition = nil, 0
	entries[3].Head = nil
	saveLog(t, s, LogUpdate{Shard: 16, Replica: 1, State: []byte("state"), Entries: entries})
	saveLog(t, s, LogUpdate{Shard: 16, Replica: 1, Snapshot: []byte("snap"), SnapshotIndex: 2})
	saveLog(t, s, LogUpdate{Shard: 16, Replica: 1, Snapshot: []byte("older"), SnapshotIndex: 1})
	saveLog(t, s, LogUpdate{Shard: 17, Replica: 3, Entries: logEntries(1, 1, 8, "b")})
	check := func() {
		t.Helper()
		requireBounds(t, s, 16, 1, 1, 5)
		require.Equal(t, entries, readLog(t, s, 16, 1, 1, 6))
		require.Equal(t, entries[1:3], readLog(t, s, 16, 1, 2, 4))
		require.Empty(t, readLog(t, s, 16, 1, 6, 9))
		state, ok, err := s.LogState(16, 1)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, "state", string(state))
		snap, at, ok, err := s.LogSnapshot(16, 1)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, base.RaftIndex(2), at)
		require.Equal(t, "snap", string(snap))
		boot, ok, err := s.Bootstrap(16, 1)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, "boot", string(boot))
		all, err := s.Replicas()
		require.NoError(t, err)
		require.Equal(t, []LogReplica{{16, 1}, {17, 3}}, all)
	}
	check()
	for limit, want := range map[uint64]int{0: 1, 1: 1, 40: 2, 41: 3, math.MaxUint64: 5} {
		n := 0
		require.NoError(t, s.LogEntries(16, 1, 1, 6, limit, func(LogEntry) (bool, error) { n++; return true, nil }))
		require.Equal(t, want, n, "limit %d", limit)
	}
	stop := errors.New("stop")
	require.ErrorIs(t, s.LogEntries(16, 1, 1, 6, 99, func(LogEntry) (bool, error) { return false, stop }), stop)
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.SaveLog(nil), ErrClosed)
	require.ErrorIs(t, s.LogEntries(16, 1, 1, 6, 99, nil), ErrClosed)
	s = openMem(t, fs)
	check()
}

// TestLogCountsFsyncs: the latency of commits has what SaveLog fsynced, and only that.
func TestLogCountsFsyncs(t *testing.T) {
	t.Parallel()
	s := openMem(t, NewMemFS())
	commits := func() (n int64) {
		for _, c := range s.Metrics().CommitLatency {
			n += c
		}
		return n
	}
	save := func(index base.RaftIndex, sync bool) {
		require.NoError(t, s.SaveLog([]LogUpdate{{Shard: 16, Replica: 1, Entries: logEntries(index, 1, 7, "a"), Sync: sync}}))
	}
	save(1, true) // the first writes more
	before := commits()
	save(2, true)
	save(3, false)
	save(4, true)
	require.Equal(t, before+2, commits())
	require.NoError(t, s.Close())
}

func TestLogReplacesAConflictingSuffix(t *testing.T) {
	t.Parallel()
	fs := NewMemFS()
	s := openMem(t, fs)
	saveLog(t, s, LogUpdate{Shard: 16, Replica: 1, Entries: logEntries(1, 9, 7, "a")})
	setApplied(t, s, 16, 3)
	refused := LogUpdate{Shard: 16, Replica: 1, Entries: logEntries(3, 1, 7, "z"), State: []byte("z")}
	require.ErrorIs(t, s.SaveLog([]LogUpdate{refused}), ErrLogApplied)
	_, ok, err := s.LogState(16, 1)
	require.NoError(t, err)
	require.False(t, ok, "nothing of a refused update is written")
	requireBounds(t, s, 16, 1, 1, 9)
	other := logEntries(5, 2, 8, "b")
	saveLog(t, s, LogUpdate{Shard: 16, Replica: 1, Entries: other})
	check := func() {
		t.Helper()
		requireBounds(t, s, 16, 1, 1, 6)
		require.Equal(t, append(logEntries(1, 4, 7, "a"), other...), readLog(t, s, 16, 1, 1, 100))
		for at := base.RaftIndex(1); at <= 9; at++ {
			require.Equal(t, at <= 4, hasPosition(t, s, 7, at), "%d", at)
			require.Equal(t, at == 5 || at == 6, hasPosition(t, s, 8, at), "%d", at)
		}
	}
	check()
	// The same position of the same partition, in one batch with its removal.
	saveLog(t, s, LogUpdate{Shard: 16, Replica: 1, Entries: logEntries(5, 2, 8, "b")})
	check()
	require.NoError(t, s.Close())
	s = openMem(t, fs)
	check()
}

func TestLogRefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	s := openMem(t, NewMemFS())
	save := func(e ...LogEntry) error {
		return s.SaveLog([]LogUpdate{{Shard: 16, Replica: 1, Entries: e}})
	}
	var out *LogRangeError
	require.ErrorAs(t, save(logEntries(2, 1, 7, "")...), &out)
	require.Equal(t, LogRangeError{Shard: 16, Replica: 1, Index: 2, First: 1, Last: 0}, *out)
	require.NoError(t, save(logEntries(1, 3, 7, "")...))
	require.ErrorIs(t, save(logEntries(5, 1, 7, "")...), ErrLogRange)
	require.ErrorIs(t, save(logEntries(0, 1, 7, "")...), ErrLogRange)
	require.ErrorIs(t, save(append(logEntries(4, 1, 7, ""), logEntries(6, 1, 7, "")...)...), ErrLogRange)
	requireBounds(t, s, 16, 1, 1, 3)
	require.False(t, hasPosition(t, s, 7, 4))
	setApplied(t, s, 16, 3)
	require.NoError(t, s.RemoveLogTo(16, 1, 2))
	require.ErrorIs(t, s.LogEntries(16, 1, 2, 4, 99, nil), ErrLogRange)
	require.ErrorIs(t, save(logEntries(2, 1, 7, "")...), ErrLogRange)
}

func TestLogRemoval(t *testing.T) {
	t.Parallel()
	fs := NewMemFS()
	s := openMem(t, fs)
	entries := logEntries(1, 10, 7, "a")
	entries[6].Payload, entries[6].Partition = nil, 0
	saveLog(t, s, LogUpdate{Shard: 16, Replica: 1, Entries: entries})
	require.ErrorIs(t, s.RemoveLogTo(16, 1, 1), ErrNotApplied)
	setApplied(t, s, 16, 6)
	require.ErrorIs(t, s.RemoveLogTo(16, 1, 8), ErrNotApplied)
	requireBounds(t, s, 16, 1, 1, 10)
	require.NoError(t, s.RemoveLogTo(16, 1, 7), "what has no payload needs no applying")
	check := func(first, last base.RaftIndex) {
		t.Helper()
		requireBounds(t, s, 16, 1, first, last)
		require.Equal(t, entries[first-1:last], readLog(t, s, 16, 1, first, 100)[:last-first+1])
		for at := base.RaftIndex(1); at <= 10; at++ {
			require.Equal(t, at != 7, hasPosition(t, s, 7, at), "payloads stay")
		}
	}
	check(8, 10)
	require.NoError(t, s.RemoveLogTo(16, 1, 3), "again")
	require.NoError(t, s.Close())
	s = openMem(t, fs)
	check(8, 10)
	setApplied(t, s, 16, 10)
	require.NoError(t, s.RemoveLogTo(16, 1, math.MaxUint64))
	requireBounds(t, s, 16, 1, 11, 10)
	require.NoError(t, s.Close())
	s = openMem(t, fs)
	requireBounds(t, s, 16, 1, 11, 10)
	saveLog(t, s, LogUpdate{Shard: 16, Replica: 1, State: []byte("s"), Entries: logEntries(11, 2, 7, "b")})
	saveLog(t, s, LogUpdate{Shard: 16, Replica: 2, Entries: logEntries(1, 2, 9, "b")})
	require.NoError(t, s.RemoveReplica(16, 1))
	require.NoError(t, s.RemoveReplica(16, 1))
	require.True(t, hasPosition(t, s, 7, 10))
	require.False(t, hasPosition(t, s, 7, 11), "it was not applied")
	requireBounds(t, s, 16, 1, 1, 0)
	_, ok, err := s.LogState(16, 1)
	require.NoError(t, err)
	require.False(t, ok)
	all, err := s.Replicas()
	require.NoError(t, err)
	require.Equal(t, []LogReplica{{16, 2}}, all)
}

func TestInstalledRaftSnapshotResetsTheLog(t *testing.T) {
	t.Parallel()
	fs := NewMemFS()
	s := openMem(t, fs)
	saveLog(t, s, LogUpdate{Shard: 16, Replica: 1, Entries: logEntries(1, 5, 7, "a")})
	setApplied(t, s, 16, 2)
	saveLog(t, s, LogUpdate{Shard: 16, Replica: 1, Snapshot: []byte("x"), SnapshotIndex: 100, SnapshotInstalled: true,
		Entries: logEntries(101, 2, 7, "b")})
	check := func() {
		t.Helper()
		requireBounds(t, s, 16, 1, 101, 102)
		for at := base.RaftIndex(1); at <= 5; at++ {
			require.Equal(t, at <= 2, hasPosition(t, s, 7, at))
		}
		require.Equal(t, logEntries(101, 2, 7, "b"), readLog(t, s, 16, 1, 101, 200))
	}
	check()
	require.NoError(t, s.Close())
	s = openMem(t, fs)
	check()
	// A snapshot that is recorded first, and entries that follow it.
	saveLog(t, s, LogUpdate{Shard: 16, Replica: 1, Snapshot: []byte("y"), SnapshotIndex: 200})
	requireBounds(t, s, 16, 1, 101, 102)
	saveLog(t, s, LogUpdate{Shard: 16, Replica: 1, Entries: logEntries(201, 1, 7, "c")})
	requireBounds(t, s, 16, 1, 201, 201)
	require.False(t, hasPosition(t, s, 7, 102))
}

// TestLogSurvivesCrashes: what SaveLog returned with Sync is there after a power
// loss, of several shards, saved at once and in one call.
func TestLogSurvivesCrashes(t *testing.T) {
	t.Parallel()
	disk := vfs.NewCrashableMem()
	s := openMem(t, disk)
	const workers, shards, rounds = 4, 3, 30
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				var us []LogUpdate
				for sh := range shards {
					us = append(us, LogUpdate{Shard: base.ShardID(16 + w*shards + sh), Replica: 1, Sync: sh == 0,
						State: fmt.Append(nil, i), Entries: logEntries(base.RaftIndex(1+i), 1, base.PartitionID(w), strings.Repeat("x", i*100))})
				}
				if err := s.SaveLog(us); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	crashed := openMem(t, disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(1, 1))}))
	for id := range base.ShardID(workers * shards) {
		requireBounds(t, crashed, 16+id, 1, 1, rounds)
		require.Len(t, readLog(t, crashed, 16+id, 1, 1, rounds+1), rounds)
		state, _, err := crashed.LogState(16+id, 1)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(rounds-1), string(state))
	}
}

// TestSaveLogAfterTheDiskFailed: an error, of this call and of all later ones,
// and what was durable is there after the next open.
func TestSaveLogAfterTheDiskFailed(t *testing.T) {
	t.Parallel()
	for name, hit := range map[string]func(errorfs.Op) bool{
		"fsync": func(op errorfs.Op) bool { return isWAL(op) && isSync(op) },
		"write": func(op errorfs.Op) bool { return isWAL(op) && op.Kind == errorfs.OpFileWrite },
		"full": func(op errorfs.Op) bool {
			return op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFilePreallocate
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := vfs.NewCrashableMem()
			var f faults
			s, err := Open(Options{Dir: "log", FS: f.wrap(disk), MemTableBytes: smallMemTable})
			require.NoError(t, err)
			saveLog(t, s, LogUpdate{Shard: 16, Replica: 1, Entries: logEntries(1, 3, 7, "a")})
			f.set(func(op errorfs.Op) error {
				if hit(op) {
					return syscall.ENOSPC
				}
				return nil
			})
			within(t, "saving", func() {
				next := base.RaftIndex(4)
				for {
					u := LogUpdate{Shard: 16, Replica: 1, Sync: true, Entries: logEntries(next, 1, 7, strings.Repeat("x", 10_000))}
					if err = s.SaveLog([]LogUpdate{u}); err != nil {
						break
					}
					next++
				}
			})
			require.ErrorIs(t, err, ErrFailed)
			require.ErrorIs(t, err, syscall.ENOSPC)
			require.ErrorIs(t, s.SaveLog([]LogUpdate{{Shard: 16, Replica: 1, State: []byte("x")}}), ErrFailed)
			require.ErrorIs(t, s.RemoveLogTo(16, 1, 0), ErrFailed)
			require.ErrorIs(t, s.RemoveReplica(16, 1), ErrFailed)
			require.ErrorIs(t, s.SetBootstrap(16, 1, nil), ErrFailed)
			require.Len(t, readLog(t, s, 16, 1, 1, 4), 3, "what is durable can be read")
			within(t, "closing", func() { require.ErrorIs(t, s.Close(), ErrFailed) })
			s = openMem(t, disk.CrashClone(vfs.CrashCloneCfg{}))
			require.Equal(t, logEntries(1, 3, 7, "a"), readLog(t, s, 16, 1, 1, 4))
		})
	}
}

// TestDamagedPayload: a payload that is not what was saved is an error.
func TestDamagedPayload(t *testing.T) {
	t.Parallel()
	s := openMem(t, NewMemFS())
	saveLog(t, s, LogUpdate{Shard: 16, Replica: 1, Entries: logEntries(1, 3, 7, "a")})
	read := func() error {
		return s.LogEntries(16, 1, 1, 4, math.MaxUint64, func(LogEntry) (bool, error) { return true, nil })
	}
	good, _, err := s.get(positionKey(7, 2))
	require.NoError(t, err)
	for _, bad := range [][]byte{append([]byte("x"), good[1:]...), good[1:], append(good[:len(good):len(good)], 0), {}} {
		require.NoError(t, s.db.Set(positionKey(7, 2), bad, nil))
		var out *CorruptLogError
		require.ErrorAs(t, read(), &out)
		require.Equal(t, base.RaftIndex(2), out.Index)
		require.ErrorIs(t, out, ErrCorrupt)
	}
	require.NoError(t, s.db.Delete(positionKey(7, 2), nil))
	require.ErrorIs(t, read(), ErrCorrupt)
	require.NoError(t, s.db.Set(positionKey(7, 2), good, nil))
	require.NoError(t, read())
	require.NoError(t, s.db.Delete(raftEntryKey(16, 1, 2), nil))
	require.ErrorIs(t, read(), ErrCorrupt)
	require.NoError(t, s.db.Set(raftEntryKey(16, 1, 2), []byte{9}, nil))
	require.ErrorIs(t, read(), ErrCorrupt)
}
