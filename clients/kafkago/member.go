package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/leatlog/leat/clients/scenario"
)

// member consumes in a group until it is closed.
type member struct {
	c       *client
	group   *kafka.ConsumerGroup
	topic   string
	records chan scenario.Record
	cancel  context.CancelFunc
	done    chan error // of run

	mu         sync.Mutex
	generation *kafka.Generation // nil between generations
	failed     error             // of a reader
}

var _ scenario.Member = (*member)(nil)

func (c *client) Join(_ context.Context, protocol scenario.Protocol, group, topic string) (scenario.Member, error) {
	if protocol != scenario.Classic {
		return nil, scenario.NotApplicable("kafka-go has no KIP-848 groups")
	}
	g, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{ID: group, Brokers: c.env.Brokers(), Topics: []string{topic},
		HeartbeatInterval: 300 * time.Millisecond, SessionTimeout: 10 * time.Second, RebalanceTimeout: 10 * time.Second,
		JoinGroupBackoff: 200 * time.Millisecond, StartOffset: kafka.FirstOffset})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{c: c, group: g, topic: topic, records: make(chan scenario.Record), cancel: cancel, done: make(chan error, 1)}
	go func() { m.done <- m.run(ctx) }()
	return m, nil
}

func (m *member) run(ctx context.Context) error {
	defer close(m.records)
	var readers sync.WaitGroup
	defer readers.Wait()
	for {
		gen, err := m.group.Next(ctx)
		if ctx.Err() != nil {
			return m.group.Close()
		}
		if errors.Is(err, kafka.RebalanceInProgress) {
			continue // Next returns what ended the join, and goes on
		}
		if err != nil {
			return errors.Join(err, m.group.Close())
		}
		m.setGeneration(gen)
		readers.Add(1)
		gen.Start(func(ctx context.Context) {
			defer readers.Done()
			<-ctx.Done()
			m.endGeneration(gen)
		})
		for _, a := range gen.Assignments[m.topic] {
			readers.Add(1)
			gen.Start(func(ctx context.Context) {
				defer readers.Done()
				if err := m.read(ctx, a); err != nil && ctx.Err() == nil {
					m.mu.Lock()
					m.failed = errors.Join(m.failed, fmt.Errorf("partition %d: %w", a.ID, err))
					m.mu.Unlock()
				}
			})
		}
	}
}

func (m *member) read(ctx context.Context, a kafka.PartitionAssignment) (err error) {
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: m.c.env.Brokers(), Topic: m.topic, Partition: a.ID, MaxWait: 200 * time.Millisecond})
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.SetOffset(a.Offset); err != nil {
		return err
	}
	for {
		msg, err := r.ReadMessage(ctx)
		if err != nil {
			return err
		}
		select {
		case m.records <- record(msg):
		case <-ctx.Done():
			return nil
		}
	}
}

func (m *member) setGeneration(gen *kafka.Generation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.generation = gen
}

func (m *member) endGeneration(gen *kafka.Generation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.generation == gen {
		m.generation = nil
	}
}

func (m *member) Partitions() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.generation == nil {
		return nil
	}
	var ps []int
	for _, a := range m.generation.Assignments[m.topic] {
		ps = append(ps, a.ID)
	}
	slices.Sort(ps)
	return ps
}

func (m *member) Records() <-chan scenario.Record { return m.records }

func (m *member) Commit(_ context.Context, partition int, offset int64) error {
	m.mu.Lock()
	gen := m.generation
	m.mu.Unlock()
	if gen == nil {
		return errors.New("between generations")
	}
	return gen.CommitOffsets(map[string]map[int]int64{m.topic: {partition: offset}})
}

func (m *member) Close() error {
	m.cancel()
	err := <-m.done
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(err, m.failed)
}
