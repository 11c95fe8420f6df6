package leat_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leatlog/leat"
)

func ExampleLog_NewConsumer() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", time.Now(), "a", "b", "c")

	// All partitions of orders, from the first record that there is.
	c, err := log.NewConsumer(leat.Assign("orders"), leat.StartAt(leat.Earliest))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println(c.Assignment(), c.Lag())

	_, err = log.NewConsumer(leat.Assign("orders", 7))
	fmt.Println(err)
	// Output:
	// [orders/0] map[orders/0:3]
	// leat: unknown partition: topic "orders" has partitions 0 to 0, not 7
}

func ExampleConsumer_Poll() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", time.Now(), "a", "b", "c")
	c, err := log.NewConsumer(leat.Assign("orders"))
	must(err)
	defer c.Close()

	records, err := c.Poll(ctx, 2) // what there is, two at most
	must(err)
	for _, r := range records {
		fmt.Println(r.Offset, string(r.Value))
	}

	records, err = c.Poll(ctx, 100)
	must(err)
	fmt.Println(len(records))

	// Now it would wait for a new record.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	_, err = c.Poll(ctx, 100)
	fmt.Println(err)
	// Output:
	// 0 a
	// 1 b
	// 1
	// context deadline exceeded
}

func ExampleConsumer_Records() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", time.Now(), "a", "b", "c")
	c, err := log.NewConsumer(leat.Assign("orders"))
	must(err)
	defer c.Close()

	for r, err := range c.Records(ctx) { // waits for more until ctx ends
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(r.Offset, string(r.Value))
		if r.Offset == 2 {
			break
		}
	}
	// Output:
	// 0 a
	// 1 b
	// 2 c
}

func ExampleConsumer_Seek() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", time.Now(), "a", "b", "c")
	c, err := log.NewConsumer(leat.Assign("orders"), leat.StartAt(leat.Latest))
	must(err)
	defer c.Close()

	tp := leat.TopicPartition{Topic: "orders", Partition: 0}
	at, err := c.Position(tp)
	must(err)
	fmt.Println("at", at)

	must(c.Seek(tp, 1))
	records, err := c.Poll(ctx, 0)
	must(err)
	fmt.Println(string(records[0].Value), string(records[1].Value))
	// Output:
	// at 3
	// b c
}

func ExampleConsumer_SeekToTime() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	noon := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	produceExample(ctx, log, "orders", noon, "a", "b", "c") // at 12:00:00, :01 and :02
	c, err := log.NewConsumer(leat.Assign("orders"))
	must(err)
	defer c.Close()

	must(c.SeekToTime(ctx, noon.Add(2*time.Second)))
	records, err := c.Poll(ctx, 0)
	must(err)
	fmt.Println(len(records), string(records[0].Value))
	// Output:
	// 1 c
}

func ExampleConsumer_Pause() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	_, err := log.CreateTopic(ctx, "returns", leat.TopicConfig{})
	must(err)
	produceExample(ctx, log, "orders", time.Now(), "a lamp")
	produceExample(ctx, log, "returns", time.Now(), "a chair")
	c, err := log.NewConsumer(leat.Assign("orders"), leat.Assign("returns"))
	must(err)
	defer c.Close()

	orders := leat.TopicPartition{Topic: "orders", Partition: 0}
	must(c.Pause(orders))
	records, err := c.Poll(ctx, 0)
	must(err)
	fmt.Println(len(records), string(records[0].Value))

	must(c.Resume(orders))
	records, err = c.Poll(ctx, 0)
	must(err)
	fmt.Println(len(records), string(records[0].Value))
	// Output:
	// 1 a chair
	// 1 a lamp
}

func ExampleConsumer_Lag() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", time.Now(), "a", "b", "c")
	c, err := log.NewConsumer(leat.Assign("orders"))
	must(err)
	defer c.Close()
	_, err = c.Poll(ctx, 1)
	must(err)

	for tp, behind := range c.Lag() {
		fmt.Println(tp, behind)
	}
	// Output:
	// orders/0 2
}

func ExampleConsumer_AddPartitions() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	c, err := log.NewConsumer(leat.Assign("orders"))
	must(err)
	defer c.Close()

	must(log.AddPartitions(ctx, "orders", 3))
	must(c.AddPartitions(leat.Earliest,
		leat.TopicPartition{Topic: "orders", Partition: 1},
		leat.TopicPartition{Topic: "orders", Partition: 2}))
	must(c.RemovePartitions(leat.TopicPartition{Topic: "orders", Partition: 0}))
	fmt.Println(c.Assignment())
	// Output:
	// [orders/1 orders/2]
}

// A Start of one's own goes on at offsets that the program keeps itself, for
// instance in the database that it writes its output to.
func ExampleStart() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", time.Now(), "a", "b", "c")

	stored := map[leat.TopicPartition]leat.Offset{{Topic: "orders", Partition: 0}: 2}
	c, err := log.NewConsumer(leat.Assign("orders"), leat.StartAt(func(p *leat.Partition) (leat.Offset, error) {
		return stored[leat.TopicPartition{Topic: p.Topic().Name(), Partition: p.Number()}], nil
	}))
	must(err)
	defer c.Close()
	records, err := c.Poll(ctx, 0)
	must(err)
	fmt.Println(string(records[0].Value))
	// Output:
	// c
}

func ExampleOffsetOutOfRangeError() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", time.Now(), "a", "b", "c")
	topic, err := log.Topic(ctx, "orders")
	must(err)
	partition, err := topic.Partition(0)
	must(err)
	must(partition.DeleteRecords(ctx, 2))

	c, err := log.NewConsumer(leat.Assign("orders"), leat.StartAt(leat.AtOffset(0)))
	must(err)
	defer c.Close()
	_, err = c.Poll(ctx, 0)
	var gone *leat.OffsetOutOfRangeError
	if errors.As(err, &gone) {
		fmt.Printf("offset %d is gone, go on at %d\n", gone.Offset, gone.LogStart)
		must(c.Seek(leat.TopicPartition{Topic: gone.Topic, Partition: gone.Partition}, gone.LogStart))
	}
	records, err := c.Poll(ctx, 0)
	must(err)
	fmt.Println(string(records[0].Value))
	// Output:
	// offset 0 is gone, go on at 2
	// c
}

func ExampleWithResetPolicy() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", time.Now(), "a", "b", "c")

	c, err := log.NewConsumer(leat.Assign("orders"),
		leat.StartAt(leat.AtOffset(1000)), leat.WithResetPolicy(leat.ResetEarliest))
	must(err)
	defer c.Close()
	records, err := c.Poll(ctx, 0)
	must(err)
	fmt.Println(len(records), string(records[0].Value))
	// Output:
	// 3 a
}

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
