package leat_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leatlog/leat"
)

// consumerExample is when the first record of these examples was made.
var consumerExample = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func ExampleLog_NewConsumer() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", consumerExample, "one", "two", "three")

	c, err := log.NewConsumer(leat.Assign("orders"), leat.StartAt(leat.AtOffset(1)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println(c.Assignment(), c.Lag())

	_, err = log.NewConsumer(leat.Assign("ordres"))
	fmt.Println(errors.Is(err, leat.ErrUnknownTopic), err)

	// Output:
	// [orders/0] map[orders/0:2]
	// true topic "ordres": leat: unknown topic
}

func ExampleConsumer_Poll() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", consumerExample, "one", "two", "three")

	c, err := log.NewConsumer(leat.Assign("orders"), leat.StartAt(leat.Earliest))
	must(err)
	defer c.Close()
	for range 2 {
		records, err := c.Poll(ctx, 2) // waits until there is one
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, r := range records {
			fmt.Printf("%s/%d offset %d: %s\n", r.Topic, r.Partition, r.Offset, r.Value)
		}
	}

	// Output:
	// orders/0 offset 0: one
	// orders/0 offset 1: two
	// orders/0 offset 2: three
}

func ExampleConsumer_Records() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", consumerExample, "one", "two", "three")

	c, err := log.NewConsumer(leat.Assign("orders"))
	must(err)
	defer c.Close()
	for r, err := range c.Records(ctx) {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(string(r.Value))
		if string(r.Value) == "two" {
			break
		}
	}
	// Another loop goes on where that one was left.
	for r, err := range c.Records(ctx) {
		if err != nil {
			fmt.Println(err) // that of ctx is the last
			continue
		}
		fmt.Println(string(r.Value))
		cancel()
	}

	// Output:
	// one
	// two
	// three
	// context canceled
}

// Build a state from all that a topic holds.
func ExampleConsumer_RecordsToEnd() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", consumerExample, "one", "two", "three")

	c, err := log.NewConsumer(leat.Assign("orders"))
	must(err)
	defer c.Close()
	letters := 0
	for r, err := range c.RecordsToEnd(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		letters += len(r.Value)
	}
	fmt.Println(letters, "letters")

	// Output:
	// 11 letters
}

func ExampleConsumer_Seek() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", consumerExample, "one", "two", "three")

	c, err := log.NewConsumer(leat.Assign("orders", 0), leat.StartAt(leat.Latest))
	must(err)
	defer c.Close()
	orders := leat.TopicPartition{Topic: "orders", Partition: 0}
	must(c.Seek(orders, 1))
	records, err := c.Poll(ctx, 0)
	must(err)
	fmt.Printf("%s %s\n", records[0].Value, records[1].Value)

	// An offset that is not there is an error of its partition, unless
	// WithResetPolicy says where to go on.
	must(c.Seek(orders, 99))
	_, err = c.Poll(ctx, 0)
	if gone, ok := errors.AsType[*leat.OffsetOutOfRangeError](err); ok {
		fmt.Printf("offset %d is not in [%d, %d]\n", gone.Offset, gone.LogStart, gone.HighWatermark)
		must(c.SeekToEnd(orders))
	}

	// Output:
	// two three
	// offset 99 is not in [0, 3]
}

func ExampleConsumer_SeekToTime() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", consumerExample, "12:00:00", "12:00:01", "12:00:02")

	c, err := log.NewConsumer(leat.Assign("orders"))
	must(err)
	defer c.Close()
	must(c.SeekToTime(ctx, consumerExample.Add(500*time.Millisecond)))
	records, err := c.Poll(ctx, 1)
	must(err)
	fmt.Println(string(records[0].Value), records[0].Timestamp.UTC())

	// Output:
	// 12:00:01 2026-01-01 12:00:01 +0000 UTC
}

func ExampleConsumer_Pause() {
	ctx := context.Background()
	log, err := leat.Open(ctx, leat.Config{InMemory: true})
	must(err)
	defer log.Close()
	for _, topic := range []string{"urgent", "bulk"} {
		_, err := log.CreateTopic(ctx, topic, leat.TopicConfig{})
		must(err)
		produceExample(ctx, log, topic, consumerExample, topic)
	}
	c, err := log.NewConsumer(leat.Assign("bulk"), leat.Assign("urgent"))
	must(err)
	defer c.Close()

	bulk := leat.TopicPartition{Topic: "bulk"}
	must(c.Pause(bulk))
	records, err := c.Poll(ctx, 0)
	must(err)
	fmt.Println(len(records), string(records[0].Value), "paused:", c.Paused())
	must(c.Resume(bulk))
	records, err = c.Poll(ctx, 0)
	must(err)
	fmt.Println(len(records), string(records[0].Value), "paused:", c.Paused())

	// Output:
	// 1 urgent paused: [bulk/0]
	// 1 bulk paused: []
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
	produceExample(ctx, log, "orders", consumerExample, "one", "two", "three")

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
	// three
}

func ExampleOffsetOutOfRangeError() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", consumerExample, "one", "two", "three")
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
		fmt.Printf("offset %d is gone, going on at %d\n", gone.Offset, gone.LogStart)
		must(c.Seek(leat.TopicPartition{Topic: gone.Topic, Partition: gone.Partition}, gone.LogStart))
	}
	records, err := c.Poll(ctx, 0)
	must(err)
	fmt.Println(string(records[0].Value))

	// Output:
	// offset 0 is gone, going on at 2
	// three
}

func ExampleWithResetPolicy() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", consumerExample, "one", "two", "three")

	c, err := log.NewConsumer(leat.Assign("orders"),
		leat.StartAt(leat.AtOffset(1000)), leat.WithResetPolicy(leat.ResetEarliest))
	must(err)
	defer c.Close()
	records, err := c.Poll(ctx, 0)
	must(err)
	fmt.Println(len(records), string(records[0].Value))

	// Output:
	// 3 one
}
