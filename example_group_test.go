package leat_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/leatlog/leat"
)

func ExampleLog_JoinGroup() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", time.Now(), "two lamps", "a chair")

	g, err := log.JoinGroup(ctx, "billing", []string{"orders"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for r, err := range g.Records(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(r.Offset, string(r.Value))
		g.Mark(r) // processed
		break
	}
	must(g.Close()) // commits and leaves

	// A member that comes later goes on behind.
	g, err = log.JoinGroup(ctx, "billing", []string{"orders"})
	must(err)
	defer g.Close()
	records, err := g.Poll(ctx, 0)
	must(err)
	fmt.Println(records[0].Offset, string(records[0].Value))
	// Output:
	// 0 two lamps
	// 1 a chair
}

func ExampleConsumerGroup_Poll() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", time.Now(), "a", "b", "c")
	g, err := log.JoinGroup(ctx, "billing", []string{"orders"})
	must(err)
	defer g.Close()

	for processed := 0; processed < 3; {
		records, err := g.Poll(ctx, 2)
		if errors.Is(err, leat.ErrMemberLost) {
			continue // the next Poll joins again
		}
		must(err)
		for _, r := range records {
			fmt.Println(string(r.Value))
			processed++
		}
		g.Mark(records...) // before the next Poll
	}
	// Output:
	// a
	// b
	// c
}

func ExampleConsumerGroup_Commit() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", time.Now(), "a", "b", "c")
	g, err := log.JoinGroup(ctx, "billing", []string{"orders"}, leat.WithAutoCommit(0)) // by hand
	must(err)
	defer g.Close()

	records, err := g.Poll(ctx, 2)
	must(err)
	g.Mark(records...)
	must(g.Commit(ctx)) // it is durable now

	committed, err := g.Committed(ctx)
	must(err)
	for tp, at := range committed {
		fmt.Println(tp, "goes on at", at.Offset)
	}
	// Output:
	// orders/0 goes on at 2
}

func ExampleConsumerGroup_CommitOffsets() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", time.Now(), "a", "b", "c")
	g, err := log.JoinGroup(ctx, "billing", []string{"orders"})
	must(err)
	defer g.Close()
	_, err = g.Poll(ctx, 1)
	must(err)

	orders := leat.TopicPartition{Topic: "orders", Partition: 0}
	must(g.CommitOffsets(ctx, map[leat.TopicPartition]leat.OffsetAndMetadata{
		orders: {Offset: 1, Metadata: "invoice 17"},
	}))
	committed, err := g.Committed(ctx, orders)
	must(err)
	fmt.Println(committed[orders].Offset, committed[orders].Metadata)
	// Output:
	// 1 invoice 17
}

func ExampleOnRevoked() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	must(log.AddPartitions(ctx, "orders", 2))
	produceExample(ctx, log, "orders", time.Now(), "a")

	g, err := log.JoinGroup(ctx, "billing", []string{"orders"},
		leat.OnAssigned(func(_ context.Context, tps []leat.TopicPartition) {
			fmt.Println("got", tps) // load what belongs to them
		}),
		leat.OnRevoked(func(_ context.Context, tps []leat.TopicPartition) {
			fmt.Println("giving up", tps) // finish and mark what is under way
		}))
	must(err)
	_, err = g.Poll(ctx, 0) // the callbacks run inside of Poll, Records and Close
	must(err)
	must(g.Close())
	// Output:
	// got [orders/0 orders/1]
	// giving up [orders/0 orders/1]
}

// Two members share the partitions.
func ExampleConsumerGroup_Assignment() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	must(log.AddPartitions(ctx, "orders", 6))

	// A member learns of its partitions in Poll, which waits for records.
	polling, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	changed := make(chan struct{}, 100)
	var members []*leat.ConsumerGroup
	for range 2 {
		g, err := log.JoinGroup(ctx, "billing", []string{"orders"},
			leat.OnAssigned(func(context.Context, []leat.TopicPartition) { changed <- struct{}{} }),
			leat.OnRevoked(func(context.Context, []leat.TopicPartition) { changed <- struct{}{} }))
		must(err)
		wg.Go(func() {
			_, err := g.Poll(polling, 0)
			if !errors.Is(err, context.Canceled) {
				fmt.Println(err)
			}
		})
		members = append(members, g)
	}
	for len(members[0].Assignment()) != 3 || len(members[1].Assignment()) != 3 {
		<-changed
	}
	fmt.Println(len(members[0].Assignment()), len(members[1].Assignment()))
	stop()
	wg.Wait()
	// Output:
	// 3 3
}

func ExampleLog_GroupLag() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", time.Now(), "a", "b", "c")
	g, err := log.JoinGroup(ctx, "billing", []string{"orders"})
	must(err)
	records, err := g.Poll(ctx, 1)
	must(err)
	g.Mark(records...)
	must(g.Close())

	lags, err := log.GroupLag(ctx, "billing")
	must(err)
	for _, p := range lags {
		fmt.Println(p.TopicPartition, "committed", p.Committed, "behind by", p.Lag)
	}
	_, err = log.GroupLag(ctx, "bills")
	fmt.Println(errors.Is(err, leat.ErrUnknownGroup))
	// Output:
	// orders/0 committed 1 behind by 2
	// true
}

func ExampleLog_DescribeGroup() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	g, err := log.JoinGroup(ctx, "billing", []string{"orders"}, leat.WithClientID("biller"))
	must(err)
	defer g.Close()

	groups, err := log.Groups(ctx)
	must(err)
	for _, info := range groups {
		d, err := log.DescribeGroup(ctx, info.Group)
		must(err)
		fmt.Println(d.Group, d.Assignor)
		for _, m := range d.Members {
			fmt.Println(m.ClientID, m.Topics, m.Target)
		}
	}
	// Output:
	// billing uniform
	// biller [orders] [orders/0]
}

// To process everything once more, all members leave and the group goes back.
func ExampleLog_ResetGroupOffsets() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", time.Now(), "a", "b", "c")
	g, err := log.JoinGroup(ctx, "billing", []string{"orders"})
	must(err)
	records, err := g.Poll(ctx, 0)
	must(err)
	g.Mark(records...)

	_, err = log.ResetGroupOffsets(ctx, "billing", leat.Earliest, "orders")
	fmt.Println("with members:", errors.Is(err, leat.ErrGroupNotEmpty))
	must(g.Close())
	at, err := log.ResetGroupOffsets(ctx, "billing", leat.Earliest, "orders")
	must(err)
	fmt.Println(at)
	// Output:
	// with members: true
	// map[orders/0:0]
}

func ExampleLog_DeleteGroup() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	g, err := log.JoinGroup(ctx, "billing", []string{"orders"})
	must(err)
	fmt.Println("with members:", errors.Is(log.DeleteGroup(ctx, "billing"), leat.ErrGroupNotEmpty))
	must(g.Close())
	must(log.DeleteGroup(ctx, "billing"))
	groups, err := log.Groups(ctx)
	must(err)
	fmt.Println(len(groups))
	// Output:
	// with members: true
	// 0
}
