package leat

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestClusterWithoutMajority produces while two of three nodes are down: sends fail in
// time, and what was sent is stored once when the others are back. Close does not wait
// for a majority.
func TestClusterWithoutMajority(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, 3)
	topic, err := c.logs[0].CreateTopic(t.Context(), "t", TopicConfig{})
	require.NoError(t, err)
	require.NoError(t, c.logs[0].SetGroupOffsets(t.Context(), "g", map[TopicPartition]OffsetAndMetadata{{Topic: "t"}: {}}))
	p, err := c.logs[0].NewProducer(WithDeliveryTimeout(time.Second))
	require.NoError(t, err)
	_, err = p.ProduceSync(t.Context(), Record{Topic: "t", Value: []byte("0")})
	require.NoError(t, err)
	c.stop(1)
	c.stop(2)
	began := time.Now()
	_, err = p.ProduceSync(t.Context(), Record{Topic: "t", Value: []byte("1")})
	require.ErrorIs(t, err, ErrDeliveryTimeout)
	t.Log(err)
	require.Less(t, time.Since(began), 4*time.Second)

	for what, call := range map[string]func(ctx context.Context) error{
		"CreateTopic":  func(ctx context.Context) error { _, err := c.logs[0].CreateTopic(ctx, "u", TopicConfig{}); return err },
		"AddPartition": func(ctx context.Context) error { return c.logs[0].AddPartitions(ctx, "t", 2) },
		"DeleteRecord": func(ctx context.Context) error {
			part, err := topic.Partition(0)
			require.NoError(t, err)
			return part.DeleteRecords(ctx, 1)
		},
		"GroupOffsets": func(ctx context.Context) error { _, err := c.logs[0].GroupOffsets(ctx, "g"); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		began := time.Now()
		err := call(ctx)
		cancel()
		t.Logf("%s: %v after %v", what, err, time.Since(began))
		require.ErrorIs(t, err, context.DeadlineExceeded, what)
		require.Less(t, time.Since(began), 3*time.Second, what)
	}
	c.open(1)
	require.NotNil(t, c.logs[1])
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var m []RecordMetadata
	require.Eventually(t, func() bool {
		m, err = p.ProduceSync(ctx, Record{Topic: "t", Value: []byte("2")})
		return err == nil
	}, 20*time.Second, 10*time.Millisecond)
	seen := make(map[string]int)
	for _, r := range readAll(t, c.logs[0], "t", int(m[0].Offset)+1) {
		seen[string(r.Value)]++
	}
	for v, n := range seen {
		require.Equal(t, 1, n, v)
	}
	c.stop(1)
	began = time.Now()
	c.stop(0)
	require.Less(t, time.Since(began), 8*time.Second)
}

// TestClusterTopicsFromAllNodes changes topics from every node at once.
func TestClusterTopicsFromAllNodes(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, 3)
	all := func(do func(i int, l *Log) error) (errs [3]error) {
		var wg sync.WaitGroup
		for i, l := range c.logs {
			wg.Go(func() { errs[i] = do(i, l) })
		}
		wg.Wait()
		return errs
	}
	ctx := t.Context()
	for round := range 3 {
		// One creates it, the others are told so and can use it.
		for _, err := range all(func(_ int, l *Log) error {
			if _, err := l.CreateTopic(ctx, "t", TopicConfig{Partitions: 2}); err != nil {
				require.ErrorIs(t, err, ErrTopicExists)
			}
			_, err := l.Topic(ctx, "t")
			return err
		}) {
			require.NoError(t, err)
		}
		// Changes of different properties do not undo each other.
		for _, err := range all(func(i int, l *Log) error {
			return l.AlterTopic(ctx, "t", func(cfg *TopicConfig) {
				switch i {
				case 0:
					cfg.Retention = time.Hour
				case 1:
					cfg.RetentionBytes = 1 << 20
				case 2:
					cfg.MaxMessageBytes = 4096
				}
			})
		}) {
			require.NoError(t, err)
		}
		topic, err := c.logs[round].Topic(ctx, "t")
		require.NoError(t, err)
		cfg := topic.Config()
		require.Equal(t, time.Hour, cfg.Retention)
		require.EqualValues(t, 1<<20, cfg.RetentionBytes)
		require.EqualValues(t, 4096, cfg.MaxMessageBytes)
		require.NoError(t, c.logs[round].AddPartitions(ctx, "t", 4))
		// Each produces to each partition, with the old topic's records nowhere to be seen.
		for _, err := range all(func(i int, l *Log) error {
			p, err := l.NewProducer(WithPartitioner(ManualPartitioner))
			if err != nil {
				return err
			}
			for n := range int32(4) {
				if _, err := p.ProduceSync(ctx, Record{Topic: "t", Partition: n, Value: fmt.Append(nil, round, i)}); err != nil {
					return err
				}
			}
			return p.Close()
		}) {
			require.NoError(t, err)
		}
		for i, l := range c.logs {
			for _, r := range readAll(t, l, "t", 12) {
				require.Equal(t, fmt.Sprint(round), string(r.Value[:1]), "node %d", i+1)
			}
		}
		// One deletes it.
		deleted := 0
		for _, err := range all(func(_ int, l *Log) error { return l.DeleteTopic(ctx, "t") }) {
			if err == nil {
				deleted++
			}
		}
		require.Equal(t, 1, deleted)
	}
}

// TestClusterCommitsWhileCoordinatorMoves commits from every node without a pause while
// the node that coordinates the group restarts.
func TestClusterCommitsWhileCoordinatorMoves(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, 3)
	_, err := c.logs[0].CreateTopic(t.Context(), "t", TopicConfig{})
	require.NoError(t, err)
	tp := TopicPartition{Topic: "t"}
	require.NoError(t, c.logs[0].SetGroupOffsets(t.Context(), "g", map[TopicPartition]OffsetAndMetadata{tp: {}}))
	at, err := c.logs[0].cluster.coordinatorNode(t.Context(), "g")
	require.NoError(t, err)
	via := c.logs[int(at)%3] // another
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for n := Offset(1); ; n++ {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			err := via.SetGroupOffsets(ctx, "g", map[TopicPartition]OffsetAndMetadata{tp: {Offset: n}})
			var got map[TopicPartition]OffsetAndMetadata
			if err == nil {
				got, err = via.GroupOffsets(ctx, "g")
			}
			cancel()
			if err == nil && got[tp].Offset != n {
				err = fmt.Errorf("committed %d, then read %d", n, got[tp].Offset)
			}
			if err != nil {
				done <- err
				return
			}
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
		}
	}()
	c.stop(int(at) - 1)
	c.open(int(at) - 1)
	close(stop)
	require.NoError(t, <-done)
}
