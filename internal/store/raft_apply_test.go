package store

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
)

// replica drives one shard of a store as Raft would.
type replica struct {
	t    testing.TB
	s    *Store
	id   base.ShardID
	last base.RaftIndex
	now  int64
}

func newReplica(t testing.TB, s *Store, id base.ShardID) *replica {
	r := &replica{t: t, s: s, id: id, now: 1_700_000_000_000}
	_, last, err := s.LogBounds(id, 1)
	require.NoError(t, err)
	r.last = last
	return r
}

// save puts an entry with a batch into the log and returns its index.
func (r *replica) save(p base.PartitionID, a *Append) base.RaftIndex {
	r.t.Helper()
	r.last++
	e := LogEntry{Index: r.last, Head: []byte("h")}
	if a != nil {
		e.Partition, e.Payload = p, a.Batch
	}
	saveLog(r.t, r.s, LogUpdate{Shard: r.id, Replica: 1, Entries: []LogEntry{e}})
	return r.last
}

// apply runs fn in an Apply that ends with the last entry of the log.
func (r *replica) apply(fn func(a *Apply)) {
	r.t.Helper()
	a, err := r.s.BeginApply(r.id)
	require.NoError(r.t, err)
	fn(a)
	require.NoError(r.t, a.Commit(r.last))
}

// create makes partitions, by one entry.
func (r *replica) create(ids ...base.PartitionID) {
	r.t.Helper()
	r.save(0, nil)
	r.apply(func(a *Apply) {
		for _, id := range ids {
			require.NoError(r.t, a.CreatePartition(id))
		}
	})
}

func (r *replica) command(p base.PartitionID, at base.RaftIndex, a *Append) AppendCommand {
	return AppendCommand{Partition: p, Position: at, Batch: a.Batch, Header: a.Header, Epoch: 1, NowMillis: r.now}
}

// append saves and applies a batch.
func (r *replica) append(p base.PartitionID, x *Append) (at base.Offset, duplicate bool, err error) {
	r.t.Helper()
	i := r.save(p, x)
	r.apply(func(a *Apply) { at, duplicate, err = a.Append(r.command(p, i, x)) })
	return at, duplicate, err
}

func (r *replica) mustAppend(p base.PartitionID, values ...string) base.Offset {
	r.t.Helper()
	at, dup, err := r.append(p, sealed(r.t, -1, -1, -1, r.now, values...))
	require.NoError(r.t, err)
	require.False(r.t, dup)
	return at
}

func (r *replica) trim(p base.PartitionID, to base.Offset) {
	r.t.Helper()
	r.save(0, nil)
	r.apply(func(a *Apply) {
		start, err := a.Trim(p, to)
		require.NoError(r.t, err)
		require.Equal(r.t, to, start)
	})
}

func (r *replica) partition(id base.PartitionID) *Partition {
	r.t.Helper()
	p, err := r.s.Replicated(id)
	require.NoError(r.t, err)
	require.Equal(r.t, r.id, p.Shard())
	return p
}

func (r *replica) applied() base.RaftIndex {
	r.t.Helper()
	at, err := r.s.AppliedIndex(r.id)
	require.NoError(r.t, err)
	return at
}

func TestApplyMakesBatchesReadable(t *testing.T) {
	t.Parallel()
	for _, tail := range []int64{1, 1 << 20} {
		fs := NewMemFS()
		s, err := Open(Options{Dir: "log", FS: fs, TailCacheBytes: tail})
		require.NoError(t, err)
		r := newReplica(t, s, 16)
		_, err = s.Replicated(7)
		require.ErrorIs(t, err, ErrUnknownPartition)
		r.create(7, 8)
		p := r.partition(7)
		woken := make(chan struct{}, 1)
		p.Watch(woken)
		require.Equal(t, base.Offset(0), r.mustAppend(7, "a", "b"))
		<-woken
		require.Equal(t, base.Offset(0), r.mustAppend(8, "other"))
		require.Equal(t, base.Offset(2), r.mustAppend(7, "c", strings.Repeat("d", 20_000)))
		check := func() {
			t.Helper()
			p := r.partition(7)
			require.NoError(t, p.valid())
			require.Equal(t, base.Offset(4), p.HighWatermark())
			require.Equal(t, []string{"b", "c", strings.Repeat("d", 20_000)}, values(t, p, 1))
			var f Fetch
			require.NoError(t, p.Read(&f, 2, 1))
			require.Len(t, f.Batches, 1)
			h, _, err := decodeBatch(f.Batches[0])
			require.NoError(t, err)
			require.Equal(t, base.Offset(2), h.BaseOffset)
			require.Equal(t, base.LeaderEpoch(1), h.LeaderEpoch)
			require.Equal(t, base.RaftIndex(4), r.applied())
			ids, err := s.ShardPartitions(16)
			require.NoError(t, err)
			require.Equal(t, []base.PartitionID{7, 8}, ids)
			at, found, err := p.OffsetForTime(r.now)
			require.NoError(t, err)
			require.True(t, found)
			require.Equal(t, base.Offset(0), at)
			next, err := p.NextBatch(0)
			require.NoError(t, err)
			require.Equal(t, base.Offset(2), next)
			require.NoError(t, s.Peek([]base.PartitionID{7}, func(_ int, k Peek, err error) {
				require.NoError(t, err)
				require.Equal(t, base.Offset(4), k.HighWatermark)
				require.Equal(t, int64(4), k.Records)
			}))
		}
		check()
		require.NoError(t, s.Close())
		s, err = Open(Options{Dir: "log", FS: fs, TailCacheBytes: tail})
		require.NoError(t, err)
		r = newReplica(t, s, 16)
		check()
		require.NoError(t, s.Close())
	}
}

func TestApplyRefusesDuplicatesAndSkipsTheirData(t *testing.T) {
	t.Parallel()
	fs := NewMemFS()
	s := openMem(t, fs)
	r := newReplica(t, s, 16)
	r.create(7)
	batch := func(seq int32, v string) *Append { return sealed(t, 5, 0, seq, r.now, v) }
	at, _, err := r.append(7, batch(0, "a"))
	require.NoError(t, err)
	require.Equal(t, base.Offset(0), at)
	at, dup, err := r.append(7, batch(0, "a"))
	require.NoError(t, err)
	require.True(t, dup)
	require.Equal(t, base.Offset(0), at)
	duplicate := r.last
	_, _, err = r.append(7, batch(5, "gap"))
	require.ErrorIs(t, err, ErrOutOfOrderSequence)
	_, _, err = r.append(99, batch(0, "nowhere"))
	require.ErrorIs(t, err, ErrUnknownPartition)
	at, _, err = r.append(7, batch(1, "b"))
	require.NoError(t, err)
	require.Equal(t, base.Offset(1), at)
	check := func() {
		t.Helper()
		require.NoError(t, r.partition(7).valid())
		require.Equal(t, []string{"a", "b"}, values(t, r.partition(7), 0))
		require.True(t, hasPosition(t, s, 7, duplicate))
		require.True(t, hasPosition(t, s, 99, duplicate+2))
		require.Len(t, readLog(t, s, 16, 1, 1, 100), int(r.last), "the log still has all payloads")
	}
	check()
	require.NoError(t, s.Close())
	s = openMem(t, fs)
	r = newReplica(t, s, 16)
	check()
	// The window survived, too.
	_, dup, err = r.append(7, batch(1, "b"))
	require.NoError(t, err)
	require.True(t, dup)
	require.NoError(t, s.RemoveLogTo(16, 1, r.last))
	for i := base.RaftIndex(2); i <= r.last; i++ {
		require.Equal(t, i == 2 || i == duplicate+3, hasPosition(t, s, 7, i), "%d", i)
		require.False(t, hasPosition(t, s, 99, i), "%d", i)
	}
	require.Equal(t, []string{"a", "b"}, values(t, r.partition(7), 0))
	requireNothingDeferred(t, s)
}

func requireNothingDeferred(t testing.TB, s *Store) {
	t.Helper()
	require.Zero(t, countKeys(t, s, kindDeferred))
}

// countKeys counts the keys of a kind.
func countKeys(t testing.TB, s *Store, kind byte) (n int) {
	t.Helper()
	it, err := s.db.NewIter(nil)
	require.NoError(t, err)
	for ok := it.SeekGE([]byte{kind}); ok && it.Key()[0] == kind; ok = it.Next() {
		n++
	}
	require.NoError(t, it.Close())
	return n
}

func TestReplicatedTrimKeepsWhatTheRaftLogNeeds(t *testing.T) {
	t.Parallel()
	fs := NewMemFS()
	s := openMem(t, fs)
	r := newReplica(t, s, 16)
	r.create(7)
	for i := range 10 {
		r.mustAppend(7, fmt.Sprint(i), fmt.Sprint(i)) // positions 2 to 11
	}
	require.ErrorIs(t, r.partition(7).TrimTo(3), ErrReplicated)
	require.NoError(t, s.RemoveLogTo(16, 1, 4))
	r.trim(7, 11) // inside of the sixth batch, which is at position 7
	p := r.partition(7)
	check := func(gone base.RaftIndex) {
		t.Helper()
		p := r.partition(7)
		require.NoError(t, p.valid())
		require.Equal(t, base.Offset(11), p.LogStart())
		require.Equal(t, int64(10), p.Records())
		for i := base.RaftIndex(2); i <= 11; i++ {
			require.Equal(t, i > gone, hasPosition(t, s, 7, i), "%d", i)
		}
		require.Equal(t, "5", values(t, p, 11)[0])
		first, last, err := s.LogBounds(16, 1)
		require.NoError(t, err)
		require.Len(t, readLog(t, s, 16, 1, first, last+1), int(last-first+1))
	}
	check(4)
	err := p.Read(&Fetch{}, 10, 1)
	require.ErrorAs(t, err, new(*OffsetOutOfRangeError))
	require.NoError(t, s.Close())
	s = openMem(t, fs)
	r = newReplica(t, s, 16)
	check(4)
	require.NoError(t, s.RemoveLogTo(16, 1, 8))
	check(6)
	requireNothingDeferred(t, s)
	// To the end, and appended to again, in one Apply with it.
	i := r.save(7, sealed(t, -1, -1, -1, r.now, "x"))
	j := r.save(7, sealed(t, -1, -1, -1, r.now, "y"))
	r.apply(func(a *Apply) {
		x := sealed(t, -1, -1, -1, r.now, "x")
		at, _, err := a.Append(r.command(7, i, x))
		require.NoError(t, err)
		require.Equal(t, base.Offset(20), at)
		_, err = a.Trim(7, 22)
		require.ErrorAs(t, err, new(*OffsetOutOfRangeError))
		start, err := a.Trim(7, 21)
		require.NoError(t, err)
		require.Equal(t, base.Offset(21), start)
		start, err = a.Trim(7, 3)
		require.NoError(t, err)
		require.Equal(t, base.Offset(21), start)
		y := sealed(t, -1, -1, -1, r.now, "y")
		at, _, err = a.Append(r.command(7, j, y))
		require.NoError(t, err)
		require.Equal(t, base.Offset(21), at)
	})
	p = r.partition(7)
	require.NoError(t, p.valid())
	require.Equal(t, []string{"y"}, values(t, p, 21))
	require.Equal(t, int64(1), p.Records())
	require.NoError(t, s.RemoveLogTo(16, 1, r.last))
	require.Equal(t, 1, countKeys(t, s, kindData))
	require.Equal(t, 1, countKeys(t, s, kindIndex))
}

func TestReplicatedDrop(t *testing.T) {
	t.Parallel()
	fs := NewMemFS()
	s := openMem(t, fs)
	r := newReplica(t, s, 16)
	r.create(7, 8)
	for range 3 {
		r.mustAppend(7, "a")
	}
	require.NoError(t, s.RemoveLogTo(16, 1, 3))
	p := r.partition(7)
	woken := make(chan struct{}, 1)
	p.Watch(woken)
	r.save(0, nil)
	i := r.save(7, sealed(t, -1, -1, -1, r.now, "late"))
	r.apply(func(a *Apply) {
		require.NoError(t, a.DropPartition(7))
		require.ErrorIs(t, a.DropPartition(7), ErrUnknownPartition)
		require.ErrorIs(t, a.CreatePartition(7), ErrPartitionExists, "ids are not used again")
		_, _, err := a.Append(r.command(7, i, sealed(t, -1, -1, -1, r.now, "late")))
		require.ErrorIs(t, err, ErrUnknownPartition)
		_, err = a.Trim(7, 1)
		require.ErrorIs(t, err, ErrUnknownPartition)
		// Made, filled and dropped at once.
		require.NoError(t, a.CreatePartition(9))
	})
	<-woken
	require.ErrorIs(t, p.Read(&Fetch{}, 0, 1), ErrPartitionDropped)
	_, err := s.Replicated(7)
	require.ErrorIs(t, err, ErrUnknownPartition)
	require.True(t, hasPosition(t, s, 7, 4))
	require.Len(t, readLog(t, s, 16, 1, 4, 100), int(r.last-3))
	ids, err := s.ShardPartitions(16)
	require.NoError(t, err)
	require.Equal(t, []base.PartitionID{8, 9}, ids)
	require.NoError(t, s.Close())
	s = openMem(t, fs)
	r = newReplica(t, s, 16)
	_, err = s.Replicated(7)
	require.ErrorIs(t, err, ErrUnknownPartition)
	require.NoError(t, s.RemoveLogTo(16, 1, r.last))
	require.Zero(t, countKeys(t, s, kindData))
	require.ErrorIs(t, s.RemoveShard(16), ErrReplicaExists)
	r.mustAppend(8, "b")
	p = r.partition(8)
	require.NoError(t, s.RemoveReplica(16, 1))
	require.NoError(t, s.RemoveShard(16))
	require.NoError(t, s.RemoveShard(16))
	require.ErrorIs(t, p.Read(&Fetch{}, 0, 1), ErrPartitionDropped)
	for _, kind := range []byte{kindState, kindProducers, kindRaftMeta, kindRaftEntry, kindShard, kindData, kindMember, kindIndex, kindShardSetting, kindDeferred} {
		require.Zero(t, countKeys(t, s, kind), "kind %x", kind)
	}
	require.Zero(t, newReplica(t, s, 16).applied())
	newReplica(t, s, 16).create(10)
}

func TestApplyCommitAndDiscard(t *testing.T) {
	t.Parallel()
	s := openMem(t, NewMemFS())
	r := newReplica(t, s, 16)
	r.create(7)
	r.mustAppend(7, "a")
	x := sealed(t, 5, 0, 0, r.now, "b")
	i := r.save(7, x)
	a, err := s.BeginApply(16)
	require.NoError(t, err)
	at, _, err := a.Append(r.command(7, i, x))
	require.NoError(t, err)
	require.Equal(t, base.Offset(1), at)
	_, err = a.Trim(7, 2)
	require.NoError(t, err)
	require.NoError(t, a.CreatePartition(8))
	require.NoError(t, a.Set("k", []byte("v")))
	_, err = s.Replicated(8)
	require.ErrorIs(t, err, ErrUnknownPartition, "before the commit")
	require.NoError(t, a.Discard())
	require.NoError(t, a.Discard())
	require.Error(t, a.Commit(i))
	p := r.partition(7)
	require.NoError(t, p.valid())
	require.Equal(t, []string{"a"}, values(t, p, 0))
	_, err = s.Replicated(8)
	require.ErrorIs(t, err, ErrUnknownPartition)
	require.Equal(t, i-1, r.applied())
	_, ok, err := s.ShardSetting(16, "k")
	require.NoError(t, err)
	require.False(t, ok)

	// Again, and for good.
	r.apply(func(a *Apply) {
		at, dup, err := a.Append(r.command(7, i, x))
		require.NoError(t, err)
		require.False(t, dup)
		require.Equal(t, base.Offset(1), at)
		require.NoError(t, a.Set("k", []byte("v")))
		require.NoError(t, a.Set("gone", nil))
		require.NoError(t, a.Delete("gone"))
	})
	v, ok, err := s.ShardSetting(16, "k")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "v", string(v))
	_, ok, err = s.ShardSetting(16, "gone")
	require.NoError(t, err)
	require.False(t, ok)

	// What was applied is not applied again.
	for _, to := range []base.RaftIndex{0, i - 1, i} {
		a, err = s.BeginApply(16)
		require.NoError(t, err)
		require.ErrorIs(t, a.Commit(to), ErrAppliedRegressed)
	}
	a, err = s.BeginApply(16)
	require.NoError(t, err)
	_, _, err = a.Append(r.command(7, i, x))
	require.ErrorIs(t, err, ErrAppliedRegressed)
	require.ErrorIs(t, a.Commit(i+1), ErrAppliedRegressed)
	require.Equal(t, i, r.applied())
	require.Equal(t, []string{"a", "b"}, values(t, p, 0))

	// Standalone calls leave replicated partitions alone.
	y := sealed(t, -1, -1, -1, 1, "y")
	y.Partition = p
	require.NoError(t, s.Append([]*Append{y}, AppendHooks{}))
	require.ErrorIs(t, y.Err, ErrReplicated)
	require.ErrorIs(t, s.Update(func(tx *Tx) error { return tx.DropPartition(p) }), ErrReplicated)
	// And the other way round.
	alone, err := s.Partition(50)
	require.NoError(t, err)
	appendTo(t, alone, sealed(t, -1, -1, -1, 1, "alone"))
	early, err := s.Partition(51)
	require.NoError(t, err)
	r.save(0, nil)
	r.apply(func(a *Apply) {
		require.ErrorIs(t, a.CreatePartition(50), ErrPartitionExists)
		_, _, err := a.Append(r.command(50, r.last, x))
		require.ErrorIs(t, err, ErrUnknownPartition)
		require.NoError(t, a.CreatePartition(51))
		require.NoError(t, a.CreatePartition(51))
	})
	z := sealed(t, -1, -1, -1, 1, "z")
	z.Partition = early
	require.NoError(t, s.Append([]*Append{z}, AppendHooks{}))
	require.ErrorIs(t, z.Err, ErrPartitionDropped)
	r.mustAppend(51, "q")
	require.Equal(t, []string{"alone"}, values(t, alone, 0))
	other := newReplica(t, s, 17)
	other.save(0, nil)
	other.apply(func(a *Apply) { require.ErrorIs(t, a.CreatePartition(51), ErrPartitionExists) })
}

func TestEpochOfAReplicatedPartitionDoesNotFall(t *testing.T) {
	t.Parallel()
	fs := NewMemFS()
	s := openMem(t, fs)
	r := newReplica(t, s, 16)
	r.create(7)
	add := func(epoch base.LeaderEpoch) {
		t.Helper()
		x := sealed(t, -1, -1, -1, r.now, "v")
		i := r.save(7, x)
		r.apply(func(a *Apply) {
			c := r.command(7, i, x)
			c.Epoch = epoch
			_, _, err := a.Append(c)
			require.NoError(t, err)
		})
	}
	add(4)
	add(2)
	r.trim(7, 2)
	require.NoError(t, s.RemoveLogTo(16, 1, r.last))
	require.NoError(t, s.Close())
	s = openMem(t, fs)
	r = newReplica(t, s, 16)
	add(3)
	var f Fetch
	require.NoError(t, r.partition(7).Read(&f, 2, 1))
	h, _, err := decodeBatch(f.Batches[0])
	require.NoError(t, err)
	require.Equal(t, base.LeaderEpoch(4), h.LeaderEpoch)
}

// TestReplicatedProducersExpireByTheCommandsTime: whether a producer is still
// known depends on the commands, not on when a replica was opened or how old the
// records say they are.
func TestReplicatedProducersExpireByTheCommandsTime(t *testing.T) {
	t.Parallel()
	for _, reopen := range []bool{false, true} {
		fs := NewMemFS()
		s, err := Open(Options{Dir: "log", FS: fs, Clock: fixedClock{now: time.UnixMilli(math.MaxInt32)}})
		require.NoError(t, err)
		r := newReplica(t, s, 16)
		r.create(7)
		step := func(seq int32, after time.Duration) error {
			t.Helper()
			r.now += after.Milliseconds()
			if reopen {
				require.NoError(t, s.Close())
				s, err = Open(Options{Dir: "log", FS: fs})
				require.NoError(t, err)
				now := r.now
				r = newReplica(t, s, 16)
				r.now = now
			}
			// Records from long ago.
			_, dup, err := r.append(7, sealed(t, 5, 0, seq, 1, "v"))
			require.False(t, dup)
			return err
		}
		require.NoError(t, step(0, 0))
		require.NoError(t, step(1, 23*time.Hour))
		require.ErrorIs(t, step(7, time.Hour), ErrOutOfOrderSequence)
		require.NoError(t, step(2, time.Hour))
		require.ErrorIs(t, step(7, -30*time.Hour), ErrOutOfOrderSequence)
		require.ErrorIs(t, step(7, 54*time.Hour), ErrOutOfOrderSequence)
		require.NoError(t, step(7, time.Millisecond), "forgotten, it may begin anywhere")
		require.ErrorIs(t, step(7+2, 0), ErrOutOfOrderSequence)
		require.NoError(t, r.partition(7).valid())
		require.NoError(t, s.Close())
	}
}

// TestTrimAndAppendInOneApply: a trim removes what is below it and leaves what is
// between it and the batches of its own Apply.
func TestTrimAndAppendInOneApply(t *testing.T) {
	t.Parallel()
	s := openMem(t, NewMemFS())
	r := newReplica(t, s, 16)
	r.create(7)
	for i := range 5 {
		r.mustAppend(7, fmt.Sprint(i))
	}
	x := sealed(t, -1, -1, -1, r.now, "5")
	i := r.save(7, x)
	r.apply(func(a *Apply) {
		_, _, err := a.Append(r.command(7, i, x))
		require.NoError(t, err)
		_, err = a.Trim(7, 2)
		require.NoError(t, err)
	})
	require.NoError(t, r.partition(7).valid())
	require.Equal(t, []string{"2", "3", "4", "5"}, values(t, r.partition(7), 2))
}

// TestImportRemovesWhatWaited: data that waited for the Raft log is not forgotten
// when a snapshot replaces the log.
func TestImportRemovesWhatWaited(t *testing.T) {
	t.Parallel()
	source := openMem(t, NewMemFS())
	r := newReplica(t, source, 16)
	r.create(8)
	for range 5 {
		r.mustAppend(8, "x")
	}
	s := openMem(t, NewMemFS())
	o := newReplica(t, s, 16)
	o.create(7)
	o.mustAppend(7, "dropped")
	_, _, err := o.append(99, sealed(t, -1, -1, -1, 1, "refused"))
	require.ErrorIs(t, err, ErrUnknownPartition)
	o.save(0, nil)
	o.apply(func(a *Apply) { require.NoError(t, a.DropPartition(7)) })
	_, err = s.ImportShard(16, bytes.NewReader(export(t, source, 16)), nil, nil)
	require.NoError(t, err)
	require.Equal(t, contentKeys(t, source), contentKeys(t, s))
	require.Equal(t, 5, countKeys(t, s, kindData))
	requireNothingDeferred(t, s)
}
