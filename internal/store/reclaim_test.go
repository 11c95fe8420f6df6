package store

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
)

// fillStore writes about 16 MiB that four partitions share evenly, in files
// that hold all four.
func fillStore(t *testing.T, s *Store) []*Partition {
	t.Helper()
	var ps []*Partition
	for id := base.PartitionID(1); id <= 4; id++ {
		p, err := s.Partition(id)
		require.NoError(t, err)
		ps = append(ps, p)
	}
	value := make([]byte, 16<<10)
	for i := range value {
		value[i] = byte(rand.Uint32())
	}
	for i := range 1024 {
		appendTo(t, ps[i%4], sealed(t, -1, -1, -1, int64(i), string(value)))
	}
	require.NoError(t, s.Flush())
	return ps
}

// awaitDisk waits for Pebble to have less than limit bytes in its files, the
// write-ahead log aside.
func awaitDisk(t *testing.T, s *Store, limit uint64) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		m := s.db.Metrics()
		if now := m.DiskSpaceUsage() - m.WAL.PhysicalSize - m.WAL.ObsoletePhysicalSize; now < limit {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("%d bytes are still in files, want fewer than %d", now, limit)
		}
		<-tick.C
	}
}

func openSmall(t *testing.T, blobMinAge time.Duration) *Store {
	t.Helper()
	s, err := Open(Options{Dir: "log", FS: NewMemFS(), MemTableBytes: 1 << 20, TailCacheBytes: 1 << 20, blobMinAge: blobMinAge})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestReclaimAfterTrim(t *testing.T) {
	s := openSmall(t, time.Hour)
	ps := fillStore(t, s)
	for _, p := range ps {
		require.NoError(t, p.TrimTo(p.HighWatermark()))
	}
	require.Greater(t, s.GarbageBytes(), int64(16<<20))
	require.NoError(t, s.Reclaim(t.Context()))
	require.Zero(t, s.GarbageBytes())
	awaitDisk(t, s, 1<<20)
}

// TestReclaimRewritesWhatIsUsedInPart drops three partitions of four: every file
// is used to a quarter.
func TestReclaimRewritesWhatIsUsedInPart(t *testing.T) {
	s := openSmall(t, time.Nanosecond)
	ps := fillStore(t, s)
	before := values(t, ps[3], 0)
	require.NoError(t, s.Update(func(tx *Tx) error {
		for _, p := range ps[:3] {
			require.NoError(t, tx.DropPartition(p))
		}
		return nil
	}))
	require.NoError(t, s.Reclaim(t.Context()))
	awaitDisk(t, s, 9<<20) // half of all may stay unused
	require.Equal(t, before, values(t, ps[3], 0))
}

func TestReclaimGivesUp(t *testing.T) {
	s := openSmall(t, time.Hour)
	ps := fillStore(t, s)
	require.NoError(t, ps[0].TrimTo(ps[0].HighWatermark()))
	garbage := s.GarbageBytes()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Reclaim(ctx), context.Canceled)
	require.Equal(t, garbage, s.GarbageBytes(), "what was not reclaimed is kept in mind")
	require.NoError(t, s.ReclaimDue(t.Context())) // a quarter of all: worth it
	require.Zero(t, s.GarbageBytes())
}

func TestReclaimRanges(t *testing.T) {
	require.Empty(t, reclaimRanges(nil))
	got := reclaimRanges(map[base.PartitionID]garbageSpan{
		1: {upTo: 10, live: 5},
		2: {upTo: 20, live: reclaimGapBytes + 1},
		3: {upTo: 30},
		5: {upTo: 50},
		6: {upTo: 60},
	})
	require.Equal(t, []reclaimRange{
		{[]base.PartitionID{1, 2}, 20},
		{[]base.PartitionID{3}, 30}, // too much lies between it and 2
		{[]base.PartitionID{5, 6}, 60},
	}, got)
}
