package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leatlog/leat/clients/scenario"
)

// member consumes in a group until it is closed.
type member struct {
	cl      *kgo.Client
	topic   string
	records chan scenario.Record
	cancel  context.CancelFunc
	done    chan error // of run

	mu         sync.Mutex
	partitions map[int32]struct{}
}

var _ scenario.Member = (*member)(nil)

func (c *client) Join(_ context.Context, protocol scenario.Protocol, group, topic string) (scenario.Member, error) {
	m := &member{topic: topic, records: make(chan scenario.Record), done: make(chan error, 1), partitions: map[int32]struct{}{}}
	gone := func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, p := range lost[topic] {
			delete(m.partitions, p)
		}
	}
	opts := []kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.SessionTimeout(10 * time.Second),
		kgo.HeartbeatInterval(300 * time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsRevoked(gone), kgo.OnPartitionsLost(gone),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, got map[string][]int32) {
			m.mu.Lock()
			defer m.mu.Unlock()
			for _, p := range got[topic] {
				m.partitions[p] = struct{}{}
			}
		})}
	if protocol == scenario.Consumer {
		opts = append(opts, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	}
	cl, err := c.open(opts...)
	if err != nil {
		return nil, err
	}
	m.cl = cl
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	go func() { m.done <- m.run(ctx) }()
	return m, nil
}

func (m *member) run(ctx context.Context) error {
	defer close(m.records)
	defer m.cl.Close() // leaves
	for {
		fetches := m.cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return err
		}
		for k := range fetches.RecordsAll() {
			select {
			case m.records <- fromKgo(k):
			case <-ctx.Done():
				return nil
			}
		}
	}
}

func (m *member) Partitions() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ps []int
	for p := range m.partitions {
		ps = append(ps, int(p))
	}
	slices.Sort(ps)
	return ps
}

func (m *member) Records() <-chan scenario.Record { return m.records }

func (m *member) Commit(ctx context.Context, partition int, offset int64) error {
	at := map[string]map[int32]kgo.EpochOffset{m.topic: {int32(partition): {Epoch: -1, Offset: offset}}}
	var failed error
	m.cl.CommitOffsetsSync(ctx, at, commitResult(&failed))
	return failed
}

func (m *member) Close() error {
	m.cancel()
	if err := <-m.done; err != nil && !errors.Is(err, kgo.ErrClientClosed) {
		return err
	}
	return nil
}
