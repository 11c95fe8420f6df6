package main

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What the client writes into a record between two questions is not the user's choice.
func TestPartitionerAskedAgain(t *testing.T) {
	p := byChoice{kgo.StickyKeyPartitioner(nil)}.ForTopic("t").(*topicByChoice)
	for range 100 {
		r := &kgo.Record{Partition: -1}
		require.False(t, p.RequiresConsistency(r))
		require.Less(t, p.Partition(r, 5), 5)
		r.Partition = 7 // the last of the five that have a leader
		p.OnNewBatch()
		require.Less(t, p.Partition(r, 5), 5)

		r = &kgo.Record{Partition: 6}
		require.True(t, p.RequiresConsistency(r))
		require.Equal(t, 6, p.Partition(r, 8))
		p.OnNewBatch()
		require.Equal(t, 6, p.Partition(r, 8))
	}
}
