package leat

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/store"
)

// emptied is a replica whose records from an offset on compaction removed.
type emptied struct {
	replica
	from Offset
}

func (e *emptied) Read(f *store.Fetch, from Offset, maxBytes int) error {
	if from < e.from {
		return e.replica.Read(f, from, maxBytes)
	}
	*f = store.Fetch{HighWatermark: e.HighWatermark(), LogStart: e.LogStart()}
	return nil
}

func TestRecordsToEnd(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{Partitions: 3})
	produceTo(t, l, "t", 0, "a", "b")
	produceTo(t, l, "t", 0, "removed", "removed")
	produceTo(t, l, "t", 1, "x")
	produceTo(t, l, "t", 2, "paused")
	c := mustConsumer(t, l, Assign("t"), WithFetchBytes(1))
	c.assigned[TopicPartition{"t", 0}].r = &emptied{c.assigned[TopicPartition{"t", 0}].r, 2}
	require.NoError(t, c.Pause(TopicPartition{"t", 2}))
	for _, want := range [][]string{{"0:0=a", "0:1=b", "1:0=x"}, nil} {
		var got []string
		for r, err := range c.RecordsToEnd(t.Context()) {
			require.NoError(t, err)
			got = append(got, values([]Record{r})...)
		}
		require.ElementsMatch(t, want, got)
	}
	require.Equal(t, map[TopicPartition]int64{{"t", 0}: 0, {"t", 1}: 0, {"t", 2}: 1}, c.Lag())
	require.NoError(t, c.Close())
	for _, err := range c.RecordsToEnd(t.Context()) {
		require.True(t, errors.Is(err, ErrClosed))
	}
}
