// The program of github.com/twmb/franz-go.
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leatlog/leat/clients/scenario"
)

type client struct{ env scenario.Env }

var _ scenario.Client = (*client)(nil)

func main() {
	scenario.Main("github.com/twmb/franz-go", func(env scenario.Env) (scenario.Client, error) {
		return &client{env}, nil
	})
}

func (c *client) open(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.env.Brokers()...)}, opts...)...)
}

func (c *client) withAdmin(fn func(*kadm.Client) error) error {
	cl, err := c.open()
	if err != nil {
		return err
	}
	defer cl.Close()
	return fn(kadm.NewClient(cl))
}

func (c *client) CreateTopic(ctx context.Context, topic string, partitions int, config map[string]string) error {
	configs := make(map[string]*string)
	for name, value := range config {
		configs[name] = &value
	}
	return c.withAdmin(func(a *kadm.Client) error {
		_, err := a.CreateTopic(ctx, int32(partitions), int16(c.env.Replication), configs, topic)
		return err
	})
}

func (c *client) CountPartitions(ctx context.Context, topic string) (n int, err error) {
	err = c.withAdmin(func(a *kadm.Client) error {
		topics, err := a.ListTopics(ctx, topic)
		if err == nil {
			err = topics.Error()
		}
		n = len(topics[topic].Partitions)
		return err
	})
	return n, err
}

func (c *client) Simple(ctx context.Context, topic, value string) (int64, error) {
	cl, err := c.open(kgo.AllowAutoTopicCreation())
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	r, err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).First()
	if err != nil {
		return 0, err
	}
	return r.Offset, nil
}

func toKgo(topic string, r scenario.Record) *kgo.Record {
	k := &kgo.Record{Topic: topic, Partition: int32(r.Partition), Key: r.Key, Value: r.Value, Timestamp: time.UnixMilli(r.Timestamp)}
	for _, h := range r.Headers {
		k.Headers = append(k.Headers, kgo.RecordHeader(h))
	}
	return k
}

func fromKgo(k *kgo.Record) scenario.Record {
	r := scenario.Record{Partition: int(k.Partition), Offset: k.Offset, Key: k.Key, Value: k.Value, Timestamp: k.Timestamp.UnixMilli()}
	for _, h := range k.Headers {
		r.Headers = append(r.Headers, scenario.Header(h))
	}
	return r
}

func (c *client) Produce(ctx context.Context, topic string, pc scenario.ProduceConfig, recs []scenario.Record) error {
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	opts := []kgo.Opt{kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codecs[pc.Codec]),
		kgo.ProducerLinger(20 * time.Millisecond), kgo.ProducerBatchMaxBytes(10 << 20), kgo.UnknownTopicRetries(2)}
	if !pc.Idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	cl, err := c.open(opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	out := make([]*kgo.Record, len(recs))
	for i, r := range recs {
		out[i] = toKgo(topic, r)
	}
	return cl.ProduceSync(ctx, out...).FirstErr()
}

type producer struct{ cl *kgo.Client }

func (c *client) NewProducer(context.Context) (scenario.Producer, error) {
	// No RecordDeliveryTimeout: it counts from the time stamp of the record.
	cl, err := c.open(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	return producer{cl}, err
}

func (p producer) Send(ctx context.Context, topic string, r scenario.Record) error {
	return p.cl.ProduceSync(ctx, toKgo(topic, r)).FirstErr()
}

func (p producer) Idempotent() bool { return true }

func (p producer) Close() error {
	p.cl.Close()
	return nil
}

func (c *client) Read(ctx context.Context, topic string, partition int, from scenario.Position, n int) ([]scenario.Record, error) {
	at := kgo.NewOffset().At(from.Offset)
	if from.Millis != 0 {
		at = kgo.NewOffset().AfterMilli(from.Millis)
	}
	cl, err := c.open(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {int32(partition): at}}))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	var recs []scenario.Record
	for len(recs) < n {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return recs, fmt.Errorf("read %d of %d records: %w", len(recs), n, err)
		}
		for k := range fetches.RecordsAll() {
			recs = append(recs, fromKgo(k))
		}
	}
	return recs[:n], nil
}

func (c *client) Unknown(ctx context.Context, topic string) error {
	return c.Produce(ctx, topic, scenario.ProduceConfig{Codec: "none"}, []scenario.Record{c.env.Sample(0)})
}

func (c *client) Failure(err error) scenario.Failure {
	switch {
	case errors.Is(err, kerr.TopicAlreadyExists):
		return scenario.TopicExists
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return scenario.UnknownTopic
	case errors.Is(err, kerr.MessageTooLarge):
		return scenario.TooLarge
	}
	return scenario.Other
}
