package leat

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRetentionGivesSpaceBack writes 200 MB, applies retention, and sees the
// files go.
func TestRetentionGivesSpaceBack(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 200 MB")
	}
	l := openTest(t, Config{Dir: t.TempDir(), MemTableBytes: 2 << 20, TailCacheBytes: 1 << 20,
		RetentionCheckInterval: -1, CompactionInterval: -1})
	topic := mustTopic(t, l, "t", TopicConfig{Partitions: 4})
	kept := mustTopic(t, l, "kept", TopicConfig{})
	p, err := l.NewProducer(WithBatchBytes(64 << 10))
	require.NoError(t, err)
	value := make([]byte, 16<<10)
	_, _ = rand.Read(value)
	const total = 200 << 20
	for i := range total / len(value) {
		name := "t"
		if i < total/len(value)/20 {
			name = "kept"
		}
		p.Produce(t.Context(), Record{Topic: name, Value: value}, nil)
	}
	require.NoError(t, p.Flush(t.Context()))
	require.NoError(t, l.store.Flush())
	before := l.store.Metrics().DiskBytes
	require.Greater(t, before, uint64(total))

	require.NoError(t, l.AlterTopic(t.Context(), "t", func(c *TopicConfig) { c.RetentionBytes = 1 << 20 }))
	res, err := topic.ApplyRetention(t.Context())
	require.NoError(t, err)
	require.Equal(t, 4, res.Partitions)
	require.Greater(t, res.Bytes, int64(total*9/10-8<<20))

	// ApplyRetention saw to it that nothing refers to the files any more; they are
	// removed in the background, as soon as nobody reads them. Those that hold
	// "kept" too are not old enough to be written anew, and spare files of the
	// write-ahead log stay.
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var after uint64
	for {
		if after = l.store.Metrics().DiskBytes; after < total/2 {
			break
		}
		require.True(t, time.Now().Before(deadline), "%d of %d bytes are still on disk", after, before)
		<-tick.C
	}
	t.Logf("%d MiB on disk before, %d MiB after", before>>20, after>>20)

	part, err := kept.Partition(0)
	require.NoError(t, err)
	info, err := part.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(total/len(value)/20), info.Records)
	require.Zero(t, info.LogStart)
}
