package bench

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/leatlog/leat"
)

// leatLinger is how long a record may wait for others under the Throughput goal.
// It changes little: while one batch is being fsynced the next one collects.
const leatLinger = time.Millisecond

// leatLog is this library, standalone and with its defaults: idempotent producers,
// no compression, every acknowledgement after the fsync.
func leatLog() System {
	return System{
		Name:        "leat",
		Persistent:  true,
		Partitioned: true,
		Tails:       true,
		Open:        openLeat,
	}
}

type leatInstance struct {
	log *leat.Log
}

func openLeat(ctx context.Context, cfg Config) (Instance, error) {
	log, err := leat.Open(ctx, leat.Config{Dir: cfg.Dir})
	if err != nil {
		return nil, err
	}
	_, err = log.CreateTopic(ctx, Topic, leat.TopicConfig{Partitions: cfg.Partitions})
	if err != nil && !errors.Is(err, leat.ErrTopicExists) {
		return nil, errors.Join(err, log.Close())
	}
	return leatInstance{log}, nil
}

func (in leatInstance) NewProducer(_ context.Context, goal Goal) (Producer, error) {
	var opts []leat.ProducerOption
	if goal == Throughput {
		opts = append(opts, leat.WithLinger(leatLinger))
	}
	p, err := in.log.NewProducer(opts...)
	if err != nil {
		return nil, err
	}
	return leatProducer{p}, nil
}

func (in leatInstance) NewSyncProducer(context.Context, int) (SyncProducer, error) {
	p, err := in.log.NewProducer()
	if err != nil {
		return nil, err
	}
	return leatSyncProducer{p}, nil
}

func (in leatInstance) NewConsumer(context.Context) (Consumer, error) {
	c, err := in.log.NewConsumer(leat.Assign(Topic))
	if err != nil {
		return nil, err
	}
	return leatConsumer{c}, nil
}

func (in leatInstance) Close() error { return in.log.Close() }

// leatProducer gives no callback: Flush returns the first failure then.
type leatProducer struct{ producer *leat.Producer }

func (p leatProducer) Send(ctx context.Context, key, value []byte) error {
	p.producer.Produce(ctx, leat.Record{
		Topic: Topic,
		Key:   key,
		Value: value,
	}, nil)
	return nil
}

func (p leatProducer) Flush(ctx context.Context) error { return p.producer.Flush(ctx) }
func (p leatProducer) Close() error                    { return p.producer.Close() }

// leatSyncProducer shares one producer among the writers.
type leatSyncProducer struct{ producer *leat.Producer }

func (p leatSyncProducer) SendSync(ctx context.Context, _ int, value []byte) error {
	_, err := p.producer.ProduceSync(ctx, leat.Record{
		Topic: Topic,
		Value: value,
	})
	return err
}

func (p leatSyncProducer) Close() error { return p.producer.Close() }

// leatConsumer polls with the default bounds. It reads nothing ahead that a Pause
// would have to forget.
type leatConsumer struct{ consumer *leat.Consumer }

func (c leatConsumer) Poll(ctx context.Context, visit func([]byte)) (int, error) {
	records, err := c.consumer.Poll(ctx, 0)
	if err != nil {
		return 0, err
	}
	for i := range records {
		visit(records[i].Value)
	}
	return len(records), nil
}

func (c leatConsumer) Pause(context.Context) error  { return c.consumer.Pause() }
func (c leatConsumer) Resume(context.Context) error { return c.consumer.Resume() }
func (c leatConsumer) Close() error                 { return c.consumer.Close() }

// values yields records one by one through the consumer's iterator, which ends
// with its first error.
func (c leatConsumer) values(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for r, err := range c.consumer.Records(ctx) {
			if !yield(r.Value, err) || err != nil {
				return
			}
		}
	}
}
