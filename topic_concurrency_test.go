package leat

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
)

// Changes of topics that are made at once are fsynced together. Each must see
// what the others did.

func TestTopicsCreatedAtOnceShareNoPartition(t *testing.T) {
	l := openTest(t, Config{Dir: t.TempDir()})
	const n = 64
	var wg sync.WaitGroup
	errs := make([]error, n)
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			_, errs[i] = l.CreateTopic(context.Background(), fmt.Sprintf("t%d", i/2), TopicConfig{Partitions: 3})
		})
	}
	close(start)
	wg.Wait()
	for i := 0; i < n; i += 2 {
		if (errs[i] == nil) == (errs[i+1] == nil) || !errors.Is(errors.Join(errs[i], errs[i+1]), ErrTopicExists) {
			t.Errorf("topic %d: one of two must be made: %v, %v", i/2, errs[i], errs[i+1])
		}
	}
	owner := map[base.PartitionID]string{}
	for _, topic := range l.catalog.all() {
		for i := range int32(topic.NumPartitions()) {
			id := topic.state.Load().record.PartitionIDs[i]
			if other, ok := owner[id]; ok {
				t.Errorf("%s and %s share partition id %d", other, topic.name, id)
			}
			owner[id] = topic.name
		}
	}
}

func TestAlterationsAtOnceLoseNone(t *testing.T) {
	l := openTest(t, Config{Dir: t.TempDir()})
	topic := mustTopic(t, l, "t", TopicConfig{})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := l.AlterTopic(context.Background(), "t", func(c *TopicConfig) { c.MaxMessageBytes = c.MaxMessageBytes + 1000 }); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if err := l.AlterTopic(context.Background(), "t", func(c *TopicConfig) { c.Retention += time.Hour }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Go(func() {
		if err := l.AddPartitions(context.Background(), "t", 5); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	require.Equal(t, 5, topic.NumPartitions())
	require.Equal(t, 20*time.Hour, topic.Config().Retention)
	require.Equal(t, 20_000, topic.Config().MaxMessageBytes)
}

// A topic that is deleted while producers find it, and while it is altered, is
// gone for good, also when the Log is opened again.
func TestDeletionBesideEverything(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(t.Context(), Config{Dir: dir})
	require.NoError(t, err)
	for range 30 {
		mustTopic(t, l, "t", TopicConfig{Partitions: 4})
		var wg sync.WaitGroup
		start := make(chan struct{})
		var mu sync.Mutex
		deleted := 0
		for i := range 4 {
			wg.Go(func() {
				p, err := l.NewProducer(WithPartitioner(ManualPartitioner))
				if err != nil {
					t.Error(err)
					return
				}
				<-start
				for k := 0; ; k++ {
					_, err := p.ProduceSync(context.Background(), Record{Topic: "t", Partition: int32((i + k) % 4)})
					if errors.Is(err, ErrTopicDeleted) || errors.Is(err, ErrUnknownTopic) {
						break
					}
					if err != nil {
						t.Error(err)
						break
					}
				}
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				<-start
				err := l.AlterTopic(context.Background(), "t", func(c *TopicConfig) { c.MaxMessageBytes = 1000 + i })
				if err != nil && !errors.Is(err, ErrTopicDeleted) && !errors.Is(err, ErrUnknownTopic) {
					t.Error(err)
				}
			})
			wg.Go(func() {
				<-start
				err := l.AddPartitions(context.Background(), "t", 5+i)
				if err != nil && !errors.Is(err, ErrTopicDeleted) && !errors.Is(err, ErrUnknownTopic) && !errors.Is(err, ErrInvalidConfig) {
					t.Error(err)
				}
			})
			wg.Go(func() {
				<-start
				err := l.DeleteTopic(context.Background(), "t")
				if err == nil {
					mu.Lock()
					deleted++
					mu.Unlock()
				} else if !errors.Is(err, ErrTopicDeleted) && !errors.Is(err, ErrUnknownTopic) {
					t.Error(err)
				}
			})
		}
		close(start)
		wg.Wait()
		require.Equal(t, 1, deleted, "one of the callers deleted it")
		require.Nil(t, l.catalog.topic("t"))
	}
	require.NoError(t, l.Close())
	l, err = Open(t.Context(), Config{Dir: dir})
	require.NoError(t, err)
	topics, err := l.Topics(t.Context())
	require.NoError(t, err)
	require.Empty(t, topics)
	require.NoError(t, l.Close())
}
