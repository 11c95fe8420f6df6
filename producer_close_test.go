package leat

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whoever still produces while and after a producer is closed is told, once for
// each record.
func TestProduceBesideClose(t *testing.T) {
	for range 300 {
		l := openTest(t, Config{})
		mustTopic(t, l, "t", TopicConfig{})
		p, err := l.NewProducer()
		require.NoError(t, err)
		var produced, told atomic.Int64
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 200 {
					produced.Add(1)
					p.Produce(context.Background(), Record{Topic: "t"}, func(RecordMetadata, error) { told.Add(1) })
				}
			})
		}
		require.NoError(t, p.Close())
		wg.Wait()
		require.NoError(t, p.Close(), "which waits for the callbacks that came later")
		require.NoError(t, l.Close())
		require.Equal(t, produced.Load(), told.Load())
	}
}
