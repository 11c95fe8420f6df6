package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
)

// TestReclaimOfReplicatedPartitions: what a trim and a drop leave to the Raft log
// is garbage once that is shortened, and its space comes back.
func TestReclaimOfReplicatedPartitions(t *testing.T) {
	t.Parallel()
	s := openSmall(t, time.Hour)
	r := newReplica(t, s, 16)
	r.create(1, 2)
	value := make([]byte, 16<<10)
	for i := range value {
		value[i] = byte(rand.Uint32())
	}
	for i := range 512 {
		r.mustAppend(base.PartitionID(1+i%2), string(value))
	}
	require.NoError(t, s.Flush())
	r.trim(1, 250)
	r.save(0, nil)
	r.apply(func(a *Apply) { require.NoError(t, a.DropPartition(2)) })
	require.Zero(t, s.GarbageBytes(), "the Raft log has all of it")
	require.NoError(t, s.RemoveLogTo(16, 1, r.last))
	require.Greater(t, s.GarbageBytes(), int64(500*16<<10))
	require.Less(t, s.GarbageBytes(), int64(510*17<<10))
	r.trim(1, 256)
	require.Greater(t, s.GarbageBytes(), int64(511*16<<10))
	require.NoError(t, s.Reclaim(t.Context()))
	awaitDisk(t, s, 1<<20)
	require.NoError(t, r.partition(1).valid())
}

// TestCheckpointOfReplicatedPartitions: a copy is a node of its own.
func TestCheckpointOfReplicatedPartitions(t *testing.T) {
	t.Parallel()
	fs := NewMemFS()
	s := openMem(t, fs)
	r := filledShard(t, s)
	require.NoError(t, s.Checkpoint("copy"))
	want := contentKeys(t, s)
	r.mustAppend(7, "later")
	c, err := Open(Options{Dir: "copy", FS: fs})
	require.NoError(t, err)
	require.Equal(t, want, contentKeys(t, c))
	require.Equal(t, r.last-1, newReplica(t, c, 16).applied())
	newReplica(t, c, 16).mustAppend(7, "of its own")
	require.NoError(t, c.Close())
}

// TestRaftSideAtOnce does at once what replication does from several goroutines,
// for the race detector and for locks that wait for each other.
func TestRaftSideAtOnce(t *testing.T) {
	t.Parallel()
	s, err := Open(Options{Dir: "log", FS: NewMemFS(), MemTableBytes: smallMemTable, TailCacheBytes: 32 << 10})
	require.NoError(t, err)
	const shards = 3
	stop := make(chan struct{})
	var appliers, others sync.WaitGroup
	repeat := func(fn func() error) {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := fn(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	// expected are results that a caller lives with.
	expected := func(err error) error {
		if errors.Is(err, ErrShardImporting) || errors.As(err, new(*OffsetOutOfRangeError)) || errors.Is(err, ErrLogRange) {
			return nil
		}
		return err
	}
	for i := range base.ShardID(shards) {
		r := newReplica(t, s, 16+i)
		p, q := base.PartitionID(100+i), base.PartitionID(200+i)
		r.create(p, q)
		part := r.partition(p)
		var last, applied atomic.Uint64
		last.Store(uint64(r.last))
		appliers.Go(func() {
			for n := range 150 {
				value := fmt.Sprint("v", n)
				x := keyed(t, nobody, r.now, kv{key: fmt.Sprint("k", n%7), value: value + strings.Repeat("x", n*5)})
				to := p
				if n%3 == 0 {
					to = q
				}
				at := r.save(to, x)
				last.Store(uint64(at))
				a, err := s.BeginApply(r.id)
				if err != nil {
					t.Error(err)
					return
				}
				_, _, err = a.Append(r.command(to, at, x))
				if err == nil && n%50 == 49 {
					_, err = a.Trim(p, part.HighWatermark()/2)
				}
				if err = errors.Join(err, a.Commit(at)); err != nil {
					t.Error(err)
					return
				}
				applied.Store(uint64(at))
				if n%50 == 30 { // a snapshot of its own replaces all
					var stream bytes.Buffer
					v, err := s.View(r.id)
					if err == nil {
						err = errors.Join(v.ExportShard(&stream, nil, nil), v.Close())
					}
					if err == nil {
						_, err = s.ImportShard(r.id, &stream, nil, nil)
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
		repeat(func() error {
			_, err := part.Compact(t.Context(), CompactOptions{Now: r.now})
			return expected(err)
		})
		repeat(func() error {
			first, end, err := s.LogBounds(r.id, 1)
			if err != nil {
				return err
			}
			return expected(s.LogEntries(r.id, 1, first, end+1, math.MaxUint64, func(LogEntry) (bool, error) { return true, nil }))
		})
		repeat(func() error {
			if to := applied.Load(); to > 20 {
				err := s.RemoveLogTo(r.id, 1, base.RaftIndex(to-20))
				if errors.Is(err, ErrNotApplied) { // an import is under way
					err = nil
				}
				return err
			}
			return nil
		})
		repeat(func() error {
			v, err := s.View(r.id)
			if err != nil {
				return expected(err)
			}
			err = v.ExportShard(io.Discard, nil, nil)
			return errors.Join(err, v.Close())
		})
		repeat(func() error {
			var f Fetch
			if err := expected(part.Read(&f, part.LogStart(), 1<<20)); err != nil {
				return err
			}
			_, _, err := part.OffsetForTime(r.now)
			return expected(err)
		})
	}
	repeat(func() error { return s.Reclaim(t.Context()) })
	repeat(func() error {
		return s.Peek([]base.PartitionID{100, 101, 102, 200}, func(int, Peek, error) {})
	})
	within(t, "the appliers", appliers.Wait)
	close(stop)
	within(t, "the others", others.Wait)
	for i := range base.ShardID(shards) {
		for _, id := range []base.PartitionID{100 + base.PartitionID(i), 200 + base.PartitionID(i)} {
			p, err := s.Replicated(id)
			require.NoError(t, err)
			require.NoError(t, p.valid())
			require.Equal(t, map[bool]base.Offset{true: 100, false: 50}[id < 200], p.HighWatermark())
		}
	}
	require.NoError(t, s.Close())
}

// TestDamagedReplicatedBatch: what a reader gets of damaged data or a damaged
// index is an error that says where, beside what comes before, and the way around.
func TestDamagedReplicatedBatch(t *testing.T) {
	t.Parallel()
	s, err := Open(Options{Dir: "log", FS: NewMemFS(), TailCacheBytes: 1})
	require.NoError(t, err)
	r := newReplica(t, s, 16)
	r.create(7)
	for range 5 {
		r.mustAppend(7, "a", "b") // positions 2 to 6
	}
	p := r.partition(7)
	data, _, err := s.get(positionKey(7, 4))
	require.NoError(t, err)
	index, _, err := s.get(entryKey(kindIndex, 7, 4))
	require.NoError(t, err)
	restore := func() {
		require.NoError(t, s.db.Set(positionKey(7, 4), data, nil))
		require.NoError(t, s.db.Set(entryKey(kindIndex, 7, 4), index, nil))
		require.NoError(t, p.valid())
	}
	other, _, err := s.get(positionKey(7, 3))
	require.NoError(t, err)
	for name, damage := range map[string]func() error{
		"flipped": func() error { return s.db.Set(positionKey(7, 4), append([]byte("x"), data[:len(data)-1]...), nil) },
		"payload": func() error { b := bytes.Clone(data); b[len(b)-1] ^= 1; return s.db.Set(positionKey(7, 4), b, nil) },
		"cut":     func() error { return s.db.Set(positionKey(7, 4), data[:len(data)-1], nil) },
		"missing": func() error { return s.db.Delete(positionKey(7, 4), nil) },
		"index":   func() error { return s.db.Set(entryKey(kindIndex, 7, 4), []byte{1}, nil) },
		"position": func() error {
			return s.db.Set(entryKey(kindIndex, 7, 4), (&indexEntry{producerID: -1}).appendTo(nil), nil)
		},
		"longer": func() error { return s.db.Set(positionKey(7, 4), append(bytes.Clone(other), other...), nil) },
	} {
		require.NoError(t, damage(), name)
		var f Fetch
		err := p.Read(&f, 0, 1<<20)
		var bad *CorruptBatchError
		require.ErrorAs(t, err, &bad, name)
		require.Equal(t, base.Offset(4), bad.Offset, name)
		require.Len(t, f.Batches, 2, name)
		next, err := p.NextBatch(4)
		require.NoError(t, err, name)
		require.Equal(t, base.Offset(6), next, name)
		require.NoError(t, p.Read(&f, next, 1<<20), name)
		require.Len(t, f.Batches, 2, name)
		v, err := s.View(16)
		require.NoError(t, err)
		require.ErrorIs(t, v.ExportShard(io.Discard, nil, nil), ErrCorrupt, name)
		_, err = v.Hash(nil)
		require.ErrorIs(t, err, ErrCorrupt, name)
		require.NoError(t, v.Close())
		restore()
	}
	require.NoError(t, s.Close())
}
