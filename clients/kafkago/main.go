// The program of github.com/segmentio/kafka-go.
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/leatlog/leat/clients/scenario"
)

type client struct {
	env scenario.Env
	api *kafka.Client
}

var _ scenario.Client = (*client)(nil)

func main() {
	scenario.Main("github.com/segmentio/kafka-go", func(env scenario.Env) (scenario.Client, error) {
		return &client{env, &kafka.Client{Addr: kafka.TCP(env.Brokers()...), Timeout: 10 * time.Second}}, nil
	})
}

func (c *client) CreateTopic(ctx context.Context, topic string, partitions int, config map[string]string) error {
	tc := kafka.TopicConfig{Topic: topic, NumPartitions: partitions, ReplicationFactor: c.env.Replication}
	for name, value := range config {
		tc.ConfigEntries = append(tc.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
	}
	resp, err := c.api.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{tc}})
	if err != nil {
		return err
	}
	return resp.Errors[topic]
}

func (c *client) CountPartitions(ctx context.Context, topic string) (int, error) {
	resp, err := c.api.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return 0, err
	}
	if len(resp.Topics) != 1 {
		return 0, fmt.Errorf("metadata of %d topics", len(resp.Topics))
	}
	return len(resp.Topics[0].Partitions), resp.Topics[0].Error
}

func (c *client) Simple(ctx context.Context, topic, value string) (offset int64, err error) {
	offset = -1
	w := &kafka.Writer{Addr: kafka.TCP(c.env.Brokers()...), Topic: topic, AllowAutoTopicCreation: true, RequiredAcks: kafka.RequireAll,
		BatchTimeout: 10 * time.Millisecond,
		Completion: func(msgs []kafka.Message, err error) {
			if err == nil {
				offset = msgs[0].Offset
			}
		}}
	defer func() { err = errors.Join(err, w.Close()) }()
	err = w.WriteMessages(ctx, kafka.Message{Value: []byte(value)})
	for range 10 { // its README's loop: the topic is being made
		if !errors.Is(err, kafka.UnknownTopicOrPartition) && !errors.Is(err, kafka.LeaderNotAvailable) {
			break
		}
		time.Sleep(100 * time.Millisecond)
		err = w.WriteMessages(ctx, kafka.Message{Value: []byte(value)})
	}
	return offset, err
}

func message(r scenario.Record) kafka.Message {
	m := kafka.Message{Key: r.Key, Value: r.Value, Time: time.UnixMilli(r.Timestamp), WriterData: r.Partition}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, kafka.Header(h))
	}
	return m
}

func record(m kafka.Message) scenario.Record {
	r := scenario.Record{Partition: m.Partition, Offset: m.Offset, Key: m.Key, Value: m.Value, Timestamp: m.Time.UnixMilli()}
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, scenario.Header(h))
	}
	return r
}

func (c *client) newWriter(topic string) *kafka.Writer {
	return &kafka.Writer{Addr: kafka.TCP(c.env.Brokers()...), Topic: topic, RequiredAcks: kafka.RequireAll, BatchBytes: 10 << 20,
		Balancer: kafka.BalancerFunc(func(m kafka.Message, _ ...int) int { return m.WriterData.(int) })}
}

func (c *client) Produce(ctx context.Context, topic string, pc scenario.ProduceConfig, recs []scenario.Record) (err error) {
	if pc.Idempotent {
		return scenario.NotApplicable("kafka-go has no idempotent producer")
	}
	codecs := map[string]kafka.Compression{"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd}
	w := c.newWriter(topic)
	w.Compression = codecs[pc.Codec]
	w.BatchSize = len(recs)
	defer func() { err = errors.Join(err, w.Close()) }()
	msgs := make([]kafka.Message, len(recs))
	for i, r := range recs {
		msgs[i] = message(r)
	}
	return w.WriteMessages(ctx, msgs...)
}

// producer has one writer per topic.
type producer struct {
	c *client
	w *kafka.Writer
}

func (c *client) NewProducer(context.Context) (scenario.Producer, error) {
	w := c.newWriter("")
	w.BatchSize = 1
	w.MaxAttempts = 300
	w.WriteBackoffMin, w.WriteBackoffMax = 50*time.Millisecond, 200*time.Millisecond
	return producer{c, w}, nil
}

func (p producer) Send(ctx context.Context, topic string, r scenario.Record) error {
	m := message(r)
	m.Topic = topic
	return p.w.WriteMessages(ctx, m)
}

func (p producer) Idempotent() bool { return false }

func (p producer) Close() error { return p.w.Close() }

func (c *client) Read(ctx context.Context, topic string, partition int, from scenario.Position, n int) (recs []scenario.Record, err error) {
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: c.env.Brokers(), Topic: topic, Partition: partition, MaxWait: 200 * time.Millisecond, MaxBytes: 10 << 20})
	defer func() { err = errors.Join(err, r.Close()) }()
	if from.Millis != 0 {
		err = r.SetOffsetAt(ctx, time.UnixMilli(from.Millis))
	} else {
		err = r.SetOffset(from.Offset)
	}
	for err == nil && len(recs) < n {
		var m kafka.Message
		if m, err = r.ReadMessage(ctx); err == nil {
			recs = append(recs, record(m))
		}
	}
	if err != nil {
		err = fmt.Errorf("read %d of %d records: %w", len(recs), n, err)
	}
	return recs, err
}

func (c *client) Unknown(ctx context.Context, topic string) error {
	return c.Produce(ctx, topic, scenario.ProduceConfig{Codec: "none"}, []scenario.Record{c.env.Sample(0)})
}

func (c *client) Failure(err error) scenario.Failure {
	var many kafka.WriteErrors
	if errors.As(err, &many) {
		for _, e := range many {
			if e != nil {
				return c.Failure(e)
			}
		}
	}
	switch {
	case errors.Is(err, kafka.TopicAlreadyExists):
		return scenario.TopicExists
	case errors.Is(err, kafka.UnknownTopicOrPartition):
		return scenario.UnknownTopic
	case errors.Is(err, kafka.MessageSizeTooLarge):
		return scenario.TooLarge
	}
	return scenario.Other
}
