package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/leatlog/leat/clients/scenario"
)

// member consumes in a group until it is closed.
type member struct {
	group   sarama.ConsumerGroup
	records chan scenario.Record
	cancel  context.CancelFunc
	done    chan error // of run

	mu      sync.Mutex
	session sarama.ConsumerGroupSession // nil between generations
	topic   string
}

var (
	_ scenario.Member             = (*member)(nil)
	_ sarama.ConsumerGroupHandler = (*member)(nil)
)

func (c *client) Join(_ context.Context, protocol scenario.Protocol, group, topic string) (scenario.Member, error) {
	if protocol != scenario.Classic {
		return nil, scenario.NotApplicable("sarama has no KIP-848 groups")
	}
	cfg := newConfig()
	cfg.Consumer.Group.Session.Timeout = 10 * time.Second
	cfg.Consumer.Group.Heartbeat.Interval = 300 * time.Millisecond
	cfg.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange()}
	g, err := sarama.NewConsumerGroup(c.env.Brokers(), group, cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{group: g, records: make(chan scenario.Record), cancel: cancel, done: make(chan error, 1), topic: topic}
	go func() { m.done <- m.run(ctx) }()
	return m, nil
}

func (m *member) run(ctx context.Context) error {
	var drained sync.WaitGroup
	var failed error // commits fail here too
	drained.Go(func() {
		for err := range m.group.Errors() {
			fmt.Println("consumer group:", err)
			failed = errors.Join(failed, err)
		}
	})
	var err error
	for ctx.Err() == nil && err == nil {
		err = m.group.Consume(ctx, []string{m.topic}, m)
	}
	if ctx.Err() != nil {
		err = nil
	}
	err = errors.Join(err, m.group.Close())
	drained.Wait()
	close(m.records)
	return errors.Join(err, failed)
}

func (m *member) Setup(s sarama.ConsumerGroupSession) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.session = s
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.session = nil
	return nil
}

func (m *member) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case msg, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			select {
			case m.records <- record(msg):
				s.MarkMessage(msg, "")
			case <-s.Context().Done():
				return nil
			}
		case <-s.Context().Done():
			return nil
		}
	}
}

func (m *member) Partitions() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.session == nil {
		return nil
	}
	var ps []int
	for _, p := range m.session.Claims()[m.topic] {
		ps = append(ps, int(p))
	}
	slices.Sort(ps)
	return ps
}

func (m *member) Records() <-chan scenario.Record { return m.records }

func (m *member) Commit(_ context.Context, partition int, offset int64) error {
	m.mu.Lock()
	s := m.session
	m.mu.Unlock()
	if s == nil {
		return errors.New("between generations")
	}
	s.ResetOffset(m.topic, int32(partition), offset, "") // also back, unlike MarkOffset
	s.MarkOffset(m.topic, int32(partition), offset, "")
	s.Commit()
	return nil
}

func (m *member) Close() error {
	m.cancel()
	return <-m.done
}
