package bench

import (
	"context"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// kafkaBuffered bounds the records of a producer that are not yet
	// acknowledged.
	kafkaBuffered = 200_000
	// kafkaSlab is how many record structs are allocated at a time.
	kafkaSlab = 256
)

// kfakeInMemory is franz-go's in-process Kafka, everything in memory, with kgo as
// its client over loopback TCP.
func kfakeInMemory() System {
	return System{
		Name:        "kfake",
		Partitioned: true,
		Tails:       true,
		Open: func(_ context.Context, cfg Config) (Instance, error) {
			return openKfake(cfg)
		},
	}
}

// kfakeSynced is the same with its data on disk and an fsync for each batch.
func kfakeSynced() System {
	return System{
		Name:        "kfake-fsync",
		Persistent:  true,
		Partitioned: true,
		Tails:       true,
		Open: func(_ context.Context, cfg Config) (Instance, error) {
			return openKfake(cfg, kfake.DataDir(cfg.Dir), kfake.SyncWrites())
		},
	}
}

type kfakeInstance struct{ cluster *kfake.Cluster }

func openKfake(cfg Config, opts ...kfake.Opt) (Instance, error) {
	cluster, err := kfake.NewCluster(append(opts,
		kfake.NumBrokers(1),
		kfake.SeedTopics(int32(cfg.Partitions), Topic))...)
	if err != nil {
		return nil, err
	}
	return kfakeInstance{cluster}, nil
}

// client connects with what all uses share: no compression, since the values are
// random bytes, and kgo's defaults else.
func (in kfakeInstance) client(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(opts,
		kgo.SeedBrokers(in.cluster.ListenAddrs()...),
		kgo.DefaultProduceTopic(Topic),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.NoCompression()))...)
}

func (in kfakeInstance) NewProducer(_ context.Context, goal Goal) (Producer, error) {
	opts := []kgo.Opt{kgo.MaxBufferedRecords(kafkaBuffered)}
	if goal == Latency {
		opts = append(opts, kgo.ProducerLinger(0))
	}
	client, err := in.client(opts...)
	if err != nil {
		return nil, err
	}
	p := &kafkaProducer{client: client}
	p.done = func(_ *kgo.Record, err error) {
		if err != nil {
			p.failed.CompareAndSwap(nil, &err)
		}
	}
	return p, nil
}

func (in kfakeInstance) NewSyncProducer(context.Context, int) (SyncProducer, error) {
	client, err := in.client(kgo.ProducerLinger(0))
	if err != nil {
		return nil, err
	}
	return kafkaSyncProducer{client}, nil
}

func (in kfakeInstance) NewConsumer(context.Context) (Consumer, error) {
	client, err := in.client(
		kgo.ConsumeTopics(Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	return kafkaConsumer{client}, nil
}

func (in kfakeInstance) Close() error {
	in.cluster.Close()
	return nil
}

// kafkaProducer sends through kgo's asynchronous Produce.
type kafkaProducer struct {
	client *kgo.Client
	slab   []kgo.Record
	done   func(*kgo.Record, error)
	failed atomic.Pointer[error]
}

func (p *kafkaProducer) Send(ctx context.Context, key, value []byte) error {
	if err := p.failed.Load(); err != nil {
		return *err
	}
	if len(p.slab) == 0 {
		p.slab = make([]kgo.Record, kafkaSlab)
	}
	r := &p.slab[0]
	p.slab = p.slab[1:]
	r.Key, r.Value = key, value
	p.client.Produce(ctx, r, p.done)
	return nil
}

func (p *kafkaProducer) Flush(ctx context.Context) error {
	if err := p.client.Flush(ctx); err != nil {
		return err
	}
	if err := p.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (p *kafkaProducer) Close() error {
	p.client.Close()
	return nil
}

// kafkaSyncProducer shares one client among the writers, with no linger.
type kafkaSyncProducer struct{ client *kgo.Client }

func (p kafkaSyncProducer) SendSync(ctx context.Context, _ int, value []byte) error {
	return p.client.ProduceSync(ctx, &kgo.Record{Value: value}).FirstErr()
}

func (p kafkaSyncProducer) Close() error {
	p.client.Close()
	return nil
}

// kafkaConsumer consumes all partitions directly, without a group.
type kafkaConsumer struct{ client *kgo.Client }

func (c kafkaConsumer) Poll(ctx context.Context, visit func([]byte)) (int, error) {
	for {
		fetches := c.client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return 0, err
		}
		n := 0
		fetches.EachRecord(func(r *kgo.Record) {
			visit(r.Value)
			n++
		})
		if n > 0 {
			return n, nil
		}
	}
}

func (c kafkaConsumer) Pause(context.Context) error {
	c.client.PauseFetchTopics(Topic)
	return nil
}

func (c kafkaConsumer) Resume(context.Context) error {
	c.client.ResumeFetchTopics(Topic)
	return nil
}

func (c kafkaConsumer) Close() error {
	c.client.Close()
	return nil
}
