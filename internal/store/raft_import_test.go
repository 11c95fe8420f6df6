package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
)

// export returns what ExportShard writes.
func export(t testing.TB, s *Store, id base.ShardID) []byte {
	t.Helper()
	v, err := s.View(id)
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, v.ExportShard(&out, nil, nil))
	require.NoError(t, v.Close())
	return out.Bytes()
}

func hashOf(t testing.TB, s *Store, id base.ShardID, compacted func(base.PartitionID) bool) (sum [32]byte) {
	t.Helper()
	sum, _, err := s.ShardHash(id, compacted)
	require.NoError(t, err)
	return sum
}

// contentKeys are all keys and values of replicated partitions, but for the data
// that no index entry points to.
func contentKeys(t testing.TB, s *Store) map[string]string {
	t.Helper()
	out := map[string]string{}
	used := map[string]bool{}
	it, err := s.db.NewIter(nil)
	require.NoError(t, err)
	for ok := it.First(); ok; ok = it.Next() {
		if k := it.Key(); k[0] == kindIndex {
			var e indexEntry
			require.NoError(t, e.decode(it.Value()))
			used[string(positionKey(entryPartition(k), e.position))] = true
		}
	}
	for ok := it.First(); ok; ok = it.Next() {
		k := string(it.Key())
		switch k[0] {
		case kindMeta, kindRaftMeta, kindRaftEntry, kindDeferred:
			continue
		case kindData:
			if !used[k] {
				continue
			}
		}
		out[k] = string(it.Value())
	}
	require.NoError(t, it.Close())
	return out
}

// filledShard is a shard with all that an export must carry, and must not.
func filledShard(t testing.TB, s *Store) *replica {
	r := newReplica(t, s, 16)
	r.create(7, 8, 9, 10)
	for i := range int32(6) {
		// Two records each: every second sequence is refused.
		_, _, err := r.append(7, sealed(t, 5, 0, i, r.now, fmt.Sprint("seven", i), strings.Repeat("x", 9000)))
		require.Equal(t, i%2 == 1, errors.Is(err, ErrOutOfOrderSequence), "%v", err)
		_, _, err = r.append(7, sealed(t, 6, 0, 2*i, r.now, fmt.Sprint("seven", i), strings.Repeat("x", 70_000*int(i%2))))
		require.NoError(t, err)
		r.mustAppend(8, fmt.Sprint("eight", i))
	}
	_, _, err := r.append(99, sealed(t, -1, -1, -1, 1, "refused"))
	require.ErrorIs(t, err, ErrUnknownPartition)
	r.mustAppend(9, "dropped")
	r.trim(8, 3)
	r.save(0, nil)
	r.apply(func(a *Apply) {
		require.NoError(t, a.DropPartition(9))
		require.NoError(t, a.Set("k", []byte("v")))
		require.NoError(t, a.Set("empty", nil))
	})
	return r
}

func TestExportImport(t *testing.T) {
	t.Parallel()
	source := openMem(t, NewMemFS())
	r := filledShard(t, source)
	var progress []int64
	v, err := source.View(16)
	require.NoError(t, err)
	require.Equal(t, r.last, v.Applied())
	at := r.last
	want := contentKeys(t, source)
	sum := hashOf(t, source, 16, nil)
	// What comes after the View is not part of it.
	r.mustAppend(8, "later")
	r.trim(7, 2)
	r.mustAppend(7, "later")
	require.NoError(t, source.RemoveLogTo(16, 1, r.last))
	var stream bytes.Buffer
	require.NoError(t, v.ExportShard(&stream, func(n int64) { progress = append(progress, n) }, nil))
	require.IsIncreasing(t, progress)
	require.Equal(t, int64(stream.Len()), progress[len(progress)-1])
	again, err := v.Hash(nil)
	require.NoError(t, err)
	require.Equal(t, sum, again)
	stop := make(chan struct{})
	close(stop)
	require.ErrorIs(t, v.ExportShard(io.Discard, nil, stop), ErrStopped)
	full := errors.New("full")
	require.ErrorIs(t, v.ExportShard(failingWriter{full}, nil, nil), full)
	require.NoError(t, v.Close())
	require.NoError(t, v.Close())
	require.ErrorIs(t, v.ExportShard(io.Discard, nil, nil), ErrClosed)
	_, err = v.Hash(nil)
	require.ErrorIs(t, err, ErrClosed)

	// Into an empty store, and over one that has something else.
	for _, before := range []func(s *Store){
		func(*Store) {},
		func(s *Store) {
			r := newReplica(t, s, 16)
			r.create(7, 20)
			r.mustAppend(7, "old")
			r.mustAppend(20, "gone")
			r.save(0, nil)
			r.apply(func(a *Apply) { require.NoError(t, a.Set("old", nil)) })
		},
	} {
		disk := vfs.NewCrashableMem()
		s := openMem(t, disk)
		before(s)
		watched, err := s.Replicated(7)
		if err == nil {
			require.Equal(t, []string{"old"}, values(t, watched, 0))
		}
		// Raft says so first, and has more behind it already.
		tailBatch := sealed(t, -1, -1, -1, 1, "tail")
		saveLog(t, s, LogUpdate{Shard: 16, Replica: 1, Snapshot: []byte("s"), SnapshotIndex: at, SnapshotInstalled: true,
			Entries: []LogEntry{{Index: at + 1, Partition: 8, Payload: tailBatch.Batch}}})
		var got []int64
		applied, err := s.ImportShard(16, bytes.NewReader(stream.Bytes()), func(n int64) { got = append(got, n) }, nil)
		require.NoError(t, err)
		require.Equal(t, at, applied)
		require.Equal(t, int64(stream.Len()), got[len(got)-1])
		check := func(s *Store) {
			t.Helper()
			require.Equal(t, want, contentKeys(t, s))
			require.Equal(t, sum, hashOf(t, s, 16, nil))
			require.Equal(t, stream.Bytes(), export(t, s, 16))
			for _, id := range []base.PartitionID{7, 8, 10} {
				p, err := s.Replicated(id)
				require.NoError(t, err)
				require.NoError(t, p.valid())
			}
			require.Len(t, readLog(t, s, 16, 1, at+1, at+9), 1)
		}
		check(s)
		if watched != nil {
			require.NoError(t, watched.valid())
			require.Equal(t, "seven0", values(t, watched, 0)[0])
		}
		_, err = s.Replicated(20)
		require.ErrorIs(t, err, ErrUnknownPartition)
		crashed := openMem(t, disk.CrashClone(vfs.CrashCloneCfg{}))
		check(crashed)
		// It goes on from there.
		for _, s := range []*Store{s, crashed} {
			r := newReplica(t, s, 16)
			require.Equal(t, at, r.applied())
			r.apply(func(a *Apply) {
				o, _, err := a.Append(r.command(8, at+1, tailBatch))
				require.NoError(t, err)
				require.Equal(t, base.Offset(6), o)
			})
			require.Equal(t, "tail", values(t, r.partition(8), 6)[0])
			_, dup, err := r.append(7, sealed(t, 5, 0, 0, r.now, "seven0", strings.Repeat("x", 9000)))
			require.NoError(t, err)
			require.True(t, dup)
		}
		_, err = s.ImportShard(16, bytes.NewReader(stream.Bytes()), nil, nil)
		require.ErrorIs(t, err, ErrAppliedRegressed)
		newReplica(t, s, 16).mustAppend(8, "unharmed")
		_, err = s.ImportShard(17, bytes.NewReader(stream.Bytes()), nil, nil)
		require.ErrorIs(t, err, ErrCorrupt, "of another shard")
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// TestInterruptedImport: wherever an import ends too early, the shard says so, now
// and after a crash, until one comes to its end.
func TestInterruptedImport(t *testing.T) {
	t.Parallel()
	source := openMem(t, NewMemFS())
	r := filledShard(t, source)
	stream := export(t, source, 16)
	want := contentKeys(t, source)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 40 {
		disk := vfs.NewCrashableMem()
		s := openMem(t, disk)
		old := newReplica(t, s, 16)
		old.create(7, 30)
		old.mustAppend(7, "old")
		p := old.partition(7)
		require.NoError(t, s.SyncApplied())
		cut := rnd.IntN(len(stream))
		if i < 20 {
			cut = i * 4
		}
		stop := make(chan struct{})
		in := io.Reader(bytes.NewReader(stream[:cut]))
		cause := io.ErrUnexpectedEOF
		if i%3 == 2 {
			in, cause = io.MultiReader(in, readerFunc(func([]byte) (int, error) { close(stop); return 0, io.EOF }), bytes.NewReader(stream[cut:])), ErrStopped
			if cut >= len(stream)-frameHeaderLen-2 {
				continue
			}
		}
		_, err := s.ImportShard(16, in, nil, stop)
		require.ErrorIs(t, err, cause, "cut at %d", cut)
		began := old.applied() == 0
		check := func(s *Store) {
			t.Helper()
			r := newReplica(t, s, 16)
			if !began {
				require.Equal(t, base.RaftIndex(2), r.applied())
				require.Equal(t, []string{"old"}, values(t, r.partition(7), 0))
				return
			}
			require.Zero(t, r.applied())
			_, err = s.BeginApply(16)
			require.ErrorIs(t, err, ErrShardImporting)
			_, err = s.View(16)
			require.ErrorIs(t, err, ErrShardImporting)
			_, err = s.Replicated(7)
			require.ErrorIs(t, err, ErrShardImporting)
		}
		check(s)
		if began {
			require.ErrorIs(t, p.Read(&Fetch{}, 0, 1), ErrShardImporting)
			_, _, err = p.OffsetForTime(0)
			require.ErrorIs(t, err, ErrShardImporting)
		}
		s = openMem(t, disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rnd}))
		began = newReplica(t, s, 16).applied() == 0 // the crash may have taken all of it
		check(s)
		applied, err := s.ImportShard(16, bytes.NewReader(stream), nil, nil)
		require.NoError(t, err)
		require.Equal(t, r.last, applied)
		require.Equal(t, want, contentKeys(t, s))
		require.Equal(t, stream, export(t, s, 16))
		data := 0
		for k := range want {
			if k[0] == kindData {
				data++
			}
		}
		require.Equal(t, data, countKeys(t, s, kindData), "nothing is left of what was there")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestDamagedImport: no flipped bit goes unnoticed, and none panics.
func TestDamagedImport(t *testing.T) {
	t.Parallel()
	source := openMem(t, NewMemFS())
	r := newReplica(t, source, 16)
	r.create(7)
	r.mustAppend(7, "a")
	stream := export(t, source, 16)
	s := openMem(t, NewMemFS())
	for i := range stream {
		bad := bytes.Clone(stream)
		bad[i] ^= 1 << (i % 8)
		_, err := s.ImportShard(16, bytes.NewReader(bad), nil, nil)
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewerFormat) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	_, err := s.ImportShard(16, bytes.NewReader(stream), nil, nil)
	require.NoError(t, err)

	// An id that is in use.
	for _, use := range []func(s *Store){
		func(s *Store) { newReplica(t, s, 17).create(7) },
		func(s *Store) {
			p, err := s.Partition(7)
			require.NoError(t, err)
			appendTo(t, p, sealed(t, -1, -1, -1, 1, "alone"))
		},
	} {
		s := openMem(t, NewMemFS())
		use(s)
		before := keysOf(t, s, 7)
		_, err := s.ImportShard(16, bytes.NewReader(stream), nil, nil)
		require.ErrorIs(t, err, ErrPartitionExists)
		require.Equal(t, before, keysOf(t, s, 7))
	}
}

// keysOf are the keys of one partition.
func keysOf(t testing.TB, s *Store, id base.PartitionID) (out []string) {
	t.Helper()
	it, err := s.db.NewIter(nil)
	require.NoError(t, err)
	for ok := it.First(); ok; ok = it.Next() {
		if k := it.Key(); len(k) >= partitionKeyLen && k[0] != kindMeta && entryPartition(k) == id {
			out = append(out, string(k)+string(it.Value()))
		}
	}
	require.NoError(t, it.Close())
	return out
}

// TestGoldenStream: what one version exports the next must be able to import.
func TestGoldenStream(t *testing.T) {
	t.Parallel()
	s := openMem(t, NewMemFS())
	r := newReplica(t, s, 16)
	r.now = 1_700_000_000_000
	r.create(7, 8)
	_, _, err := r.append(7, sealed(t, 5, 0, 0, 1_600_000_000_000, "a", "b"))
	require.NoError(t, err)
	r.mustAppend(7, "c")
	r.trim(7, 2)
	r.save(0, nil)
	r.apply(func(a *Apply) { require.NoError(t, a.Set("k", []byte("v"))) })
	stream := export(t, s, 16)
	goldenBytes(t, "shard-stream", stream)
	to := openMem(t, NewMemFS())
	_, err = to.ImportShard(16, bytes.NewReader(stream), nil, nil)
	require.NoError(t, err)
	require.Equal(t, contentKeys(t, s), contentKeys(t, to))
}

// FuzzImport: a stream from anywhere neither panics nor makes an import allocate
// what it only claims to hold.
func FuzzImport(f *testing.F) {
	source, err := Open(Options{Dir: "log", FS: NewMemFS()})
	require.NoError(f, err)
	r := newReplica(f, source, 16)
	r.create(7, 8)
	r.mustAppend(7, "a", "b")
	r.save(0, nil)
	r.apply(func(a *Apply) { require.NoError(f, a.Set("k", []byte("v"))) })
	stream := export(f, source, 16)
	require.NoError(f, source.Close())
	f.Add(stream)
	// The frames' bodies alone, which the fuzzer can change without their sums.
	rest := stream[len(streamMagic)+1:]
	var bodies []byte
	for len(rest) > 0 {
		n := frameHeaderLen + int(binary.BigEndian.Uint32(rest[1:]))
		bodies = append(append(bodies, rest[0], byte(n-frameHeaderLen), byte((n-frameHeaderLen)>>8)), rest[frameHeaderLen:n]...)
		rest = rest[n:]
	}
	f.Add(bodies)
	f.Add([]byte{1, 0xff, 0xff, 1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := openMem(t, NewMemFS())
		in := append([]byte(nil), b...)
		if !bytes.HasPrefix(b, []byte(streamMagic)) {
			in = append([]byte(streamMagic), streamVersion)
			for len(b) >= 3 {
				n := min(int(b[1])|int(b[2])<<8, len(b)-3)
				var out bytes.Buffer
				_ = (&frameWriter{w: &out}).frame(b[0], append(newFrame(nil), b[3:3+n]...))
				in = append(in, out.Bytes()...)
				b = b[3+n:]
			}
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		applied, err := s.ImportShard(16, bytes.NewReader(in), nil, nil)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20+uint64(len(in))*100 {
			t.Fatalf("%d bytes made the import allocate %d", len(in), grown)
		}
		if err != nil {
			return
		}
		v, err := s.View(16)
		if err != nil || v.Applied() != applied {
			t.Fatalf("imported %d: %v", applied, err)
		}
		if err := v.ExportShard(io.Discard, nil, nil); err != nil {
			t.Fatal(err)
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestReplicatedCompaction: what the Raft log needs stays as it was proposed, and
// replicas that compacted differently have equal hashes.
func TestReplicatedCompaction(t *testing.T) {
	t.Parallel()
	fs := NewMemFS()
	s := openMem(t, fs)
	r := newReplica(t, s, 16)
	r.create(7)
	add := func(records ...kv) {
		t.Helper()
		_, _, err := r.append(7, keyed(t, nobody, r.now, records...))
		require.NoError(t, err)
	}
	for i := range 20 {
		add(kv{key: "a", value: fmt.Sprint(i)}, kv{key: fmt.Sprint("k", i%3), value: "x"})
	}
	add(kv{key: "k0", value: "-"})
	compacted := func(base.PartitionID) bool { return true }
	before := hashOf(t, s, 16, nil)
	latest := hashOf(t, s, 16, compacted)
	p := r.partition(7)

	st, err := p.Compact(t.Context(), CompactOptions{Now: r.now})
	require.NoError(t, err)
	require.Zero(t, st.RecordsRemoved, "the log has all of it")
	require.Equal(t, before, hashOf(t, s, 16, nil))

	require.NoError(t, s.RemoveLogTo(16, 1, 11))
	st, err = p.Compact(t.Context(), CompactOptions{Now: r.now})
	require.NoError(t, err)
	require.NotZero(t, st.BatchesRemoved)
	require.NoError(t, p.valid())
	require.Len(t, readLog(t, s, 16, 1, 12, 100), int(r.last-11))
	require.Equal(t, latest, hashOf(t, s, 16, compacted))
	require.NotEqual(t, before, hashOf(t, s, 16, nil))
	require.LessOrEqual(t, p.CompactedTo(), base.Offset(20))

	add(kv{key: "a", value: "last"})
	latest = hashOf(t, s, 16, compacted)
	require.NoError(t, s.RemoveLogTo(16, 1, math.MaxUint64))
	st, err = p.Compact(t.Context(), CompactOptions{Now: r.now, DeleteRetention: 1})
	require.NoError(t, err)
	require.NotZero(t, st.BatchesRemoved)
	st, err = p.Compact(t.Context(), CompactOptions{Now: r.now + 2, DeleteRetention: 1})
	require.NoError(t, err)
	require.NotZero(t, st.Tombstones)
	require.NoError(t, p.valid())
	require.Equal(t, latest, hashOf(t, s, 16, compacted))
	require.Equal(t, base.Offset(42), p.HighWatermark())
	stream := export(t, s, 16)
	require.NoError(t, s.Close())
	s = openMem(t, fs)
	require.NoError(t, newReplica(t, s, 16).partition(7).valid())
	require.Equal(t, latest, hashOf(t, s, 16, compacted))
	other := openMem(t, NewMemFS())
	_, err = other.ImportShard(16, bytes.NewReader(stream), nil, nil)
	require.NoError(t, err)
	require.NoError(t, newReplica(t, other, 16).partition(7).valid())
	require.Equal(t, latest, hashOf(t, other, 16, compacted))
	require.Equal(t, contentKeys(t, s), contentKeys(t, other))
}
