// The program of github.com/IBM/sarama.
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/leatlog/leat/clients/scenario"
)

type client struct{ env scenario.Env }

var _ scenario.Client = (*client)(nil)

func main() {
	scenario.Main("github.com/IBM/sarama", func(env scenario.Env) (scenario.Client, error) {
		return &client{env}, nil
	})
}

func newConfig() *sarama.Config {
	cfg := sarama.NewConfig()
	cfg.Metadata.AllowAutoTopicCreation = false
	cfg.Metadata.Retry.Max = 2
	cfg.Producer.Return.Successes = true
	cfg.Producer.RequiredAcks = sarama.WaitForAll
	cfg.Producer.Partitioner = sarama.NewManualPartitioner
	cfg.Producer.MaxMessageBytes = 10 << 20
	cfg.Consumer.Offsets.Initial = sarama.OffsetOldest
	cfg.Consumer.Offsets.AutoCommit.Enable = false
	cfg.Consumer.Return.Errors = true
	return cfg
}

func (c *client) withAdmin(fn func(sarama.ClusterAdmin) error) (err error) {
	admin, err := sarama.NewClusterAdmin(c.env.Brokers(), newConfig())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.Close()) }()
	return fn(admin)
}

func (c *client) CreateTopic(_ context.Context, topic string, partitions int, config map[string]string) error {
	detail := &sarama.TopicDetail{NumPartitions: int32(partitions), ReplicationFactor: int16(c.env.Replication), ConfigEntries: map[string]*string{}}
	for name, value := range config {
		detail.ConfigEntries[name] = &value
	}
	return c.withAdmin(func(a sarama.ClusterAdmin) error { return a.CreateTopic(topic, detail, false) })
}

func (c *client) CountPartitions(_ context.Context, topic string) (n int, err error) {
	cl, err := sarama.NewClient(c.env.Brokers(), newConfig())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, cl.Close()) }()
	partitions, err := cl.Partitions(topic)
	return len(partitions), err
}

// Simple is the README's program: a synchronous producer with Return.Successes.
func (c *client) Simple(_ context.Context, topic, value string) (offset int64, err error) {
	config := sarama.NewConfig()
	config.Producer.Return.Successes = true
	producer, err := sarama.NewSyncProducer(c.env.Brokers(), config)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, producer.Close()) }()
	msg := &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(value)}
	_, offset, err = producer.SendMessage(msg)
	return offset, err
}

func message(topic string, r scenario.Record) *sarama.ProducerMessage {
	m := &sarama.ProducerMessage{Topic: topic, Partition: int32(r.Partition), Value: sarama.ByteEncoder(r.Value), Timestamp: time.UnixMilli(r.Timestamp)}
	if r.Key != nil {
		m.Key = sarama.ByteEncoder(r.Key)
	}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value})
	}
	return m
}

func record(m *sarama.ConsumerMessage) scenario.Record {
	r := scenario.Record{Partition: int(m.Partition), Offset: m.Offset, Key: m.Key, Value: m.Value, Timestamp: m.Timestamp.UnixMilli()}
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, scenario.Header{Key: string(h.Key), Value: h.Value})
	}
	return r
}

func (c *client) Produce(_ context.Context, topic string, pc scenario.ProduceConfig, recs []scenario.Record) (err error) {
	cfg := newConfig()
	if err := cfg.Producer.Compression.UnmarshalText([]byte(pc.Codec)); err != nil {
		return err
	}
	if pc.Idempotent {
		cfg.Producer.Idempotent = true
		cfg.Net.MaxOpenRequests = 1
	}
	cfg.Producer.Flush.Messages = len(recs)
	cfg.Producer.Flush.Frequency = 100 * time.Millisecond
	p, err := sarama.NewSyncProducer(c.env.Brokers(), cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	msgs := make([]*sarama.ProducerMessage, len(recs))
	for i, r := range recs {
		msgs[i] = message(topic, r)
	}
	return p.SendMessages(msgs)
}

type producer struct{ p sarama.SyncProducer }

func (c *client) NewProducer(context.Context) (scenario.Producer, error) {
	cfg := newConfig()
	cfg.Producer.Idempotent = true
	cfg.Net.MaxOpenRequests = 1
	cfg.Producer.Retry.Max = 300
	cfg.Producer.Retry.Backoff = 200 * time.Millisecond
	cfg.Metadata.Retry.Max = 300
	p, err := sarama.NewSyncProducer(c.env.Brokers(), cfg)
	return producer{p}, err
}

func (p producer) Send(_ context.Context, topic string, r scenario.Record) error {
	_, _, err := p.p.SendMessage(message(topic, r))
	return err
}

func (p producer) Idempotent() bool { return true }

func (p producer) Close() error { return p.p.Close() }

func (c *client) Read(ctx context.Context, topic string, partition int, from scenario.Position, n int) (recs []scenario.Record, err error) {
	cl, err := sarama.NewClient(c.env.Brokers(), newConfig())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cl.Close()) }()
	offset := from.Offset
	if from.Millis != 0 {
		if offset, err = cl.GetOffset(topic, int32(partition), from.Millis); err != nil {
			return nil, err
		}
	} else if offset == 0 {
		offset = sarama.OffsetOldest
	}
	consumer, err := sarama.NewConsumerFromClient(cl)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, consumer.Close()) }()
	pc, err := consumer.ConsumePartition(topic, int32(partition), offset)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pc.Close()) }()
	for len(recs) < n {
		select {
		case m := <-pc.Messages():
			recs = append(recs, record(m))
		case err := <-pc.Errors():
			return recs, err
		case <-ctx.Done():
			return recs, fmt.Errorf("read %d of %d records: %w", len(recs), n, ctx.Err())
		}
	}
	return recs, nil
}

func (c *client) Unknown(ctx context.Context, topic string) error {
	return c.Produce(ctx, topic, scenario.ProduceConfig{Codec: "none"}, []scenario.Record{c.env.Sample(0)})
}

func (c *client) Failure(err error) scenario.Failure {
	kinds := map[sarama.KError]scenario.Failure{
		sarama.ErrTopicAlreadyExists:      scenario.TopicExists,
		sarama.ErrUnknownTopicOrPartition: scenario.UnknownTopic,
		sarama.ErrMessageSizeTooLarge:     scenario.TooLarge,
	}
	var many sarama.ProducerErrors
	if errors.As(err, &many) && len(many) > 0 {
		err = many[0].Err
	}
	var topic *sarama.TopicError
	if errors.As(err, &topic) {
		err = topic.Err
	}
	var code sarama.KError
	if errors.As(err, &code) {
		return kinds[code]
	}
	return scenario.Other
}

func (c *client) Admin(_ context.Context, topic, group string) (calls []string, err error) {
	err = c.withAdmin(func(a sarama.ClusterAdmin) error {
		check := func(call string, err error, ok bool, got any) error {
			calls = append(calls, call)
			if err != nil {
				return fmt.Errorf("%s: %w", call, err)
			}
			if !ok {
				return fmt.Errorf("%s: unexpected answer %+v", call, got)
			}
			return nil
		}
		brokers, controller, err := a.DescribeCluster()
		if err := check("DescribeCluster", err, len(brokers) > 0 && controller >= 0, brokers); err != nil {
			return err
		}
		topics, err := a.ListTopics()
		if err := check("ListTopics", err, topics[topic].NumPartitions == 2, topics[topic]); err != nil {
			return err
		}
		day := "86400000"
		if err := check("IncrementalAlterConfig", a.IncrementalAlterConfig(sarama.TopicResource, topic,
			map[string]sarama.IncrementalAlterConfigsEntry{"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &day}}, false), true, nil); err != nil {
			return err
		}
		configs, err := a.DescribeConfigs([]*sarama.ConfigResource{{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"}}}, sarama.DescribeConfigsOptions{})
		if err := check("DescribeConfigs", err, len(configs) == 1 && configs[0].ErrorCode == 0 && len(configs[0].Configs) == 1 && configs[0].Configs[0].Value == day, configs); err != nil {
			return err
		}
		if err := check("CreatePartitions", a.CreatePartitions(topic, 3, nil, false), true, nil); err != nil {
			return err
		}
		if err := check("DeleteRecords", a.DeleteRecords(topic, map[int32]int64{0: 5}), true, nil); err != nil {
			return err
		}
		offsets, err := a.ListOffsets(map[string]map[int32]int64{topic: {0: sarama.OffsetOldest, 1: sarama.OffsetNewest}}, &sarama.ListOffsetsOptions{})
		if err := check("ListOffsets", err, err == nil && offsets[topic][0].Offset == 5 && offsets[topic][1].Offset == 20, offsets); err != nil {
			return err
		}
		groups, err := a.ListConsumerGroups()
		if err := check("ListConsumerGroups", err, groups[group] == "consumer", groups); err != nil {
			return err
		}
		described, err := a.DescribeConsumerGroups([]string{group})
		if err := check("DescribeConsumerGroups", err, len(described) == 1 && described[0].State == "Empty", described); err != nil {
			return err
		}
		committed, err := a.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0, 1}})
		if err := check("ListConsumerGroupOffsets", err, err == nil && committed.GetBlock(topic, 0).Offset == 7 && committed.GetBlock(topic, 1).Offset == -1, committed); err != nil {
			return err
		}
		if err := check("DeleteConsumerGroupOffset", a.DeleteConsumerGroupOffset(group, topic, 0), true, nil); err != nil {
			return err
		}
		if err := check("DeleteConsumerGroup", a.DeleteConsumerGroup(group), true, nil); err != nil {
			return err
		}
		if err := check("DeleteTopic", a.DeleteTopic(topic), true, nil); err != nil {
			return err
		}
		topics, err = a.ListTopics()
		_, there := topics[topic]
		return check("ListTopics", err, !there, topics)
	})
	return calls, err
}
