package store

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
)

// TestPeekSeesWhatOpeningSees looks at partitions of all kinds before and after
// they are opened.
func TestPeekSeesWhatOpeningSees(t *testing.T) {
	fs := NewMemFS()
	s, err := Open(Options{Dir: "log", FS: fs})
	require.NoError(t, err)
	oldest := map[base.PartitionID]int64{}
	part := func(id base.PartitionID) *Partition {
		p, err := s.Partition(id)
		require.NoError(t, err)
		return p
	}
	for id := base.PartitionID(1); id <= 6; id++ {
		oldest[id] = -1
		if id == 2 || id == 5 { // empty, between others
			continue
		}
		for i := range 8 {
			appendTo(t, part(id), sealed(t, -1, -1, -1, int64(100*i+int(id)), fmt.Sprint(i), "more"))
		}
		oldest[id] = int64(id)
	}
	require.NoError(t, part(3).TrimTo(5)) // into a batch
	oldest[3] = 203
	require.NoError(t, part(4).TrimTo(16)) // all
	oldest[4] = -1
	require.NoError(t, s.Close())

	s = openMem(t, fs)
	ids := []base.PartitionID{6, 1, 2, 3, 4, 5, 1}
	look := func() (peeks []Peek) {
		require.NoError(t, s.Peek(ids, func(i int, p Peek, err error) {
			require.NoError(t, err)
			require.Len(t, peeks, i)
			peeks = append(peeks, p)
		}))
		return peeks
	}
	closed := look()
	require.Empty(t, s.partitions, "a look opened partitions")
	for i, id := range ids {
		p := part(id)
		require.Equal(t, Peek{
			LogStart: p.LogStart(), HighWatermark: p.HighWatermark(), CompactedTo: p.CompactedTo(),
			Bytes: p.SizeBytes(), Records: p.Records(), MaxTimestamp: p.MaxTimestamp(), OldestTimestamp: oldest[id],
		}, closed[i], "partition %d", id)
	}
	require.Equal(t, closed, look())
}

// TestPeekOfAnOpenPartitionIsBoundByWhatIsDurable looks while a batch is written
// but not fsynced.
func TestPeekOfAnOpenPartitionIsBoundByWhatIsDurable(t *testing.T) {
	s := openMem(t, NewMemFS())
	p, err := s.Partition(1)
	require.NoError(t, err)
	a := sealed(t, -1, -1, -1, 5, "x")
	a.Partition = p
	looked := false
	require.NoError(t, s.Append([]*Append{a}, AppendHooks{Applied: func() {
		looked = true
		_ = s.Peek([]base.PartitionID{1}, func(_ int, k Peek, err error) {
			require.NoError(t, err)
			require.Zero(t, k.HighWatermark)
			require.Zero(t, k.Bytes)
		})
	}}))
	require.True(t, looked)
}

// TestPeekTellsOfTheOneThatIsDamaged damages one partition of three.
func TestPeekTellsOfTheOneThatIsDamaged(t *testing.T) {
	s := openMem(t, NewMemFS())
	for id := base.PartitionID(1); id <= 3; id++ {
		p, err := s.Partition(id)
		require.NoError(t, err)
		appendTo(t, p, sealed(t, -1, -1, -1, 5, "x"))
	}
	require.NoError(t, s.db.Set(entryKey(kindIndex, 2, 0), []byte("no entry"), nil))
	var bad []int
	require.NoError(t, s.Peek([]base.PartitionID{1, 2, 3}, func(i int, k Peek, err error) {
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			bad = append(bad, i)
			return
		}
		require.Equal(t, base.Offset(1), k.HighWatermark)
	}))
	require.Equal(t, []int{1}, bad)
}

func BenchmarkPeek(b *testing.B) {
	s, err := Open(Options{Dir: b.TempDir()})
	require.NoError(b, err)
	defer s.Close()
	const n = 10_000
	ids := make([]base.PartitionID, n)
	for i := range ids {
		ids[i] = base.PartitionID(i + 1)
	}
	for c := 0; c < n; c += 500 {
		var as []*Append
		for _, id := range ids[c : c+500] {
			p, err := s.Partition(id)
			require.NoError(b, err)
			for k := range 4 {
				a := sealed(b, -1, -1, -1, int64(k), "value")
				a.Partition = p
				as = append(as, a)
			}
		}
		require.NoError(b, s.Append(as, AppendHooks{}))
	}
	require.NoError(b, s.Flush())
	b.ResetTimer()
	for range b.N {
		require.NoError(b, s.Peek(ids, func(int, Peek, error) {}))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/partition")
}
