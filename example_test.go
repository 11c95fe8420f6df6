package leat_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/leatlog/leat"
)

// must ends an example that went wrong. A program handles the error.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// openExample opens a Log in memory, with a topic of one partition.
func openExample(ctx context.Context, topic string) *leat.Log {
	log, err := leat.Open(ctx, leat.Config{InMemory: true})
	must(err)
	_, err = log.CreateTopic(ctx, topic, leat.TopicConfig{})
	must(err)
	return log
}

// produceExample stores values in a topic, one a second from at on.
func produceExample(ctx context.Context, log *leat.Log, topic string, at time.Time, values ...string) {
	p, err := log.NewProducer()
	must(err)
	for i, v := range values {
		_, err := p.ProduceSync(ctx, leat.Record{Topic: topic, Value: []byte(v), Timestamp: at.Add(time.Duration(i) * time.Second)})
		must(err)
	}
	must(p.Close())
}

func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "leat")
	must(err)
	defer os.RemoveAll(dir)

	log, err := leat.Open(ctx, leat.Config{
		Dir:    dir,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer log.Close()

	_, err = leat.Open(ctx, leat.Config{Dir: dir})
	fmt.Println("opened a second time:", errors.Is(err, leat.ErrLocked))

	_, err = leat.Open(ctx, leat.Config{})
	fmt.Println(err)
	// Output:
	// opened a second time: true
	// leat: invalid config: "Dir" = "": must name a directory, or InMemory must be set
}

func ExampleLog_Close() {
	ctx := context.Background()
	log, err := leat.Open(ctx, leat.Config{InMemory: true})
	must(err)
	fmt.Println(log.Close())

	_, err = log.Topics(ctx)
	fmt.Println(errors.Is(err, leat.ErrClosed))
	fmt.Println("again:", log.Close())
	// Output:
	// <nil>
	// true
	// again: <nil>
}

func ExampleLog_CreateTopic() {
	ctx := context.Background()
	log, err := leat.Open(ctx, leat.Config{InMemory: true})
	must(err)
	defer log.Close()

	topic, err := log.CreateTopic(ctx, "orders", leat.TopicConfig{
		Partitions:     6,
		Retention:      30 * 24 * time.Hour,
		RetentionBytes: 10 << 30, // of each partition
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(topic.Name(), topic.NumPartitions(), topic.Config().CleanupPolicy)

	_, err = log.CreateTopic(ctx, "orders", leat.TopicConfig{})
	fmt.Println(err)
	_, err = log.CreateTopic(ctx, "orders of today", leat.TopicConfig{})
	fmt.Println(err)
	_, err = log.CreateTopic(ctx, "returns", leat.TopicConfig{Partitions: -1})
	var config *leat.ConfigError
	if errors.As(err, &config) {
		fmt.Println(config.Property, config.Rule)
	}
	// Output:
	// orders 6 delete
	// topic "orders": leat: topic exists
	// leat: invalid name: topic "orders of today": must hold only the ASCII letters and digits, '.', '_' and '-'
	// partitions must be from 1 to 100000
}

func ExampleLog_Topics() {
	ctx := context.Background()
	log, err := leat.Open(ctx, leat.Config{InMemory: true})
	must(err)
	defer log.Close()
	for _, name := range []string{"orders", "customers"} {
		_, err := log.CreateTopic(ctx, name, leat.TopicConfig{Partitions: 3})
		must(err)
	}

	topics, err := log.Topics(ctx)
	must(err)
	for _, t := range topics {
		fmt.Println(t.Name, t.Config.Partitions)
	}
	// Output:
	// customers 3
	// orders 3
}

func ExampleLog_Topic() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()

	topic, err := log.Topic(ctx, "orders")
	must(err)
	fmt.Println(topic.Name())

	_, err = log.Topic(ctx, "order")
	fmt.Println(err, errors.Is(err, leat.ErrUnknownTopic))
	// Output:
	// orders
	// topic "order": leat: unknown topic true
}

func ExampleLog_AlterTopic() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()

	err := log.AlterTopic(ctx, "orders", func(c *leat.TopicConfig) {
		c.Retention = leat.Forever
		c.MaxMessageBytes = 4 << 20
	})
	must(err)

	topic, err := log.Topic(ctx, "orders")
	must(err)
	fmt.Println(topic.Config().Retention == leat.Forever, topic.Config().MaxMessageBytes)
	// Output:
	// true 4194304
}

func ExampleLog_AddPartitions() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()

	must(log.AddPartitions(ctx, "orders", 4))
	topic, err := log.Topic(ctx, "orders")
	must(err)
	fmt.Println(topic.NumPartitions())

	fmt.Println(log.AddPartitions(ctx, "orders", 2) != nil)
	// Output:
	// 4
	// true
}

func ExampleLog_DeleteTopic() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	old, err := log.Topic(ctx, "orders")
	must(err)

	must(log.DeleteTopic(ctx, "orders"))
	_, err = log.CreateTopic(ctx, "orders", leat.TopicConfig{})
	must(err)

	// The handle is that of the topic that was deleted.
	_, err = old.Partition(0)
	fmt.Println(errors.Is(err, leat.ErrTopicDeleted))
	// Output:
	// true
}

func ExampleTopicConfig_SetProperty() {
	var cfg leat.TopicConfig
	must(cfg.SetProperty("retention.ms", "3600000"))
	must(cfg.SetProperty("cleanup.policy", "compact,delete"))
	fmt.Println(cfg.Retention, cfg.CleanupPolicy)

	err := cfg.SetProperty("max.message.bytes", "a lot")
	fmt.Println(errors.Is(err, leat.ErrInvalidConfig))
	err = cfg.SetProperty("segment.bytes", "1073741824")
	fmt.Println(errors.Is(err, leat.ErrUnusedProperty))
	// Output:
	// 1h0m0s compact,delete
	// true
	// true
}

func ExampleProducer_ProduceSync() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()

	p, err := log.NewProducer()
	must(err)
	defer p.Close()

	stored, err := p.ProduceSync(ctx,
		leat.Record{Topic: "orders", Key: []byte("42"), Value: []byte("two lamps")},
		leat.Record{Topic: "orders", Key: []byte("43"), Value: []byte("a chair"),
			Headers: []leat.Header{{Key: "trace", Value: []byte("c0ffee")}}},
	)
	if err != nil { // none, some or all are stored: see the offsets
		fmt.Println(err)
		return
	}
	// Both are fsynced now.
	for _, m := range stored {
		fmt.Println(m.Topic, m.Partition, m.Offset)
	}
	// Output:
	// orders 0 0
	// orders 0 1
}

func ExampleProducer_Produce() {
	ctx := context.Background()
	log := openExample(ctx, "clicks")
	defer log.Close()

	p, err := log.NewProducer(leat.WithCompression(leat.Zstd), leat.WithLinger(5*time.Millisecond))
	must(err)
	defer p.Close()

	failed, last := 0, leat.Offset(0)
	for i := range 1000 {
		p.Produce(ctx, leat.Record{Topic: "clicks", Value: fmt.Append(nil, "click ", i)},
			func(m leat.RecordMetadata, err error) { // one at a time, in order
				if err != nil {
					failed++
					return
				}
				last = m.Offset
			})
	}
	must(p.Flush(ctx)) // all callbacks have returned
	fmt.Println("failed:", failed, "last offset:", last)
	// Output:
	// failed: 0 last offset: 999
}

func ExampleProducer_Flush() {
	ctx := context.Background()
	log := openExample(ctx, "clicks")
	defer log.Close()

	p, err := log.NewProducer()
	must(err)
	defer p.Close()

	// Without callbacks, Flush tells whether something went wrong.
	p.Produce(ctx, leat.Record{Topic: "clicks", Value: []byte("a")}, nil)
	p.Produce(ctx, leat.Record{Topic: "klicks", Value: []byte("b")}, nil)
	fmt.Println(p.Flush(ctx))
	fmt.Println(p.Flush(ctx))
	// Output:
	// topic "klicks": leat: unknown topic
	// <nil>
}

func ExampleManualPartitioner() {
	ctx := context.Background()
	log := openExample(ctx, "readings")
	defer log.Close()
	must(log.AddPartitions(ctx, "readings", 3))

	p, err := log.NewProducer(leat.WithPartitioner(leat.ManualPartitioner))
	must(err)
	defer p.Close()

	stored, err := p.ProduceSync(ctx, leat.Record{Topic: "readings", Partition: 2, Value: []byte("21.5")})
	must(err)
	fmt.Println(stored[0].Partition)

	_, err = p.ProduceSync(ctx, leat.Record{Topic: "readings", Partition: 7, Value: []byte("21.5")})
	fmt.Println(errors.Is(err, leat.ErrUnknownPartition))
	// Output:
	// 2
	// true
}

func ExampleRecordTooLargeError() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	p, err := log.NewProducer()
	must(err)
	defer p.Close()

	_, err = p.ProduceSync(ctx, leat.Record{Topic: "orders", Value: make([]byte, 2<<20)})
	var tooLarge *leat.RecordTooLargeError
	if errors.As(err, &tooLarge) {
		fmt.Println(tooLarge.Topic, tooLarge.Setting, tooLarge.Limit)
	}
	// Output:
	// orders the topic's max.message.bytes 1048588
}

func ExamplePartition_Info() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", time.Now(), "a", "b", "c")

	topic, err := log.Topic(ctx, "orders")
	must(err)
	partition, err := topic.Partition(0)
	must(err)
	info, err := partition.Info(ctx)
	must(err)
	fmt.Println(info.TopicPartition, info.LogStart, info.HighWatermark, info.Records)
	// Output:
	// orders/0 0 3 3
}

func ExamplePartition_OffsetForTime() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	noon := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	produceExample(ctx, log, "orders", noon, "a", "b", "c") // at 12:00:00, :01 and :02

	topic, err := log.Topic(ctx, "orders")
	must(err)
	partition, err := topic.Partition(0)
	must(err)
	offset, at, err := partition.OffsetForTime(ctx, noon.Add(500*time.Millisecond))
	must(err)
	fmt.Println(offset, at.UTC().Format(time.TimeOnly))

	offset, at, err = partition.OffsetForTime(ctx, noon.Add(time.Hour))
	must(err)
	fmt.Println(offset, at.IsZero()) // nothing yet: where the next record goes
	// Output:
	// 1 12:00:01
	// 3 true
}

func ExamplePartition_DeleteRecords() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", time.Now(), "a", "b", "c")

	topic, err := log.Topic(ctx, "orders")
	must(err)
	partition, err := topic.Partition(0)
	must(err)
	must(partition.DeleteRecords(ctx, 2))
	info, err := partition.Info(ctx)
	must(err)
	fmt.Println(info.LogStart, info.HighWatermark)

	fmt.Println(partition.DeleteRecords(ctx, 9))
	// Output:
	// 2 3
	// leat: offset out of range: topic "orders" partition 0: offset 9 is not in [2, 3]
}

func ExampleLog_Checkpoint() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "leat")
	must(err)
	defer os.RemoveAll(dir)
	log, err := leat.Open(ctx, leat.Config{Dir: filepath.Join(dir, "data")})
	must(err)
	defer log.Close()
	_, err = log.CreateTopic(ctx, "orders", leat.TopicConfig{})
	must(err)
	produceExample(ctx, log, "orders", time.Now(), "a", "b")

	backup := filepath.Join(dir, "backup")
	must(log.Checkpoint(ctx, backup))
	produceExample(ctx, log, "orders", time.Now(), "not in the copy")

	// The copy is a Log of its own, open beside the original.
	copied, err := leat.Open(ctx, leat.Config{Dir: backup})
	must(err)
	defer copied.Close()
	topic, err := copied.Topic(ctx, "orders")
	must(err)
	partition, err := topic.Partition(0)
	must(err)
	info, err := partition.Info(ctx)
	must(err)
	fmt.Println(info.Records)
	// Output:
	// 2
}
