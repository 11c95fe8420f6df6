package leat_test

import (
	"context"
	"fmt"
	"time"

	"github.com/leatlog/leat"
)

func ExampleTopic_ApplyRetention() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	must(log.AlterTopic(ctx, "orders", func(c *leat.TopicConfig) { c.Retention = 24 * time.Hour }))
	produceExample(ctx, log, "orders", time.Now().Add(-48*time.Hour), "a", "b")
	produceExample(ctx, log, "orders", time.Now(), "c")

	topic, err := log.Topic(ctx, "orders")
	must(err)
	removed, err := topic.ApplyRetention(ctx) // a Log does so every few minutes by itself
	must(err)
	fmt.Println(removed.Records)
	// Output:
	// 2
}

func ExampleTopic_Compact() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	topic, err := log.CreateTopic(ctx, "customers", leat.TopicConfig{CleanupPolicy: leat.Compact})
	must(err)
	p, err := log.NewProducer()
	must(err)
	defer p.Close()
	for _, city := range []string{"Paris", "Rome", "Oslo"} {
		_, err := p.ProduceSync(ctx, leat.Record{Topic: "customers", Key: []byte("ada"), Value: []byte(city)})
		must(err)
	}

	done, err := topic.Compact(ctx) // a Log does so by itself when half of it is new
	must(err)
	fmt.Println("removed:", done.RecordsRemoved)

	c, err := log.NewConsumer(leat.Assign("customers"))
	must(err)
	defer c.Close()
	for r, err := range c.RecordsToEnd(ctx) {
		must(err)
		fmt.Println(r.Offset, string(r.Key), string(r.Value))
	}
	// Output:
	// removed: 2
	// 2 ada Oslo
}

func ExampleLog_Metrics() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", time.Now(), "a", "b", "c")

	m := log.Metrics()
	fmt.Println(m.Topics, m.Produce.Records, m.Storage.Failed)
	// Output:
	// 1 3 false
}
