package leat_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leatlog/leat"
)

func ExampleLog_JoinGroup() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", consumerExample, "one", "two", "three")

	// read processes n records as a member of the group "billing".
	read := func(n int) {
		g, err := log.JoinGroup(ctx, "billing", []string{"orders"})
		if err != nil {
			fmt.Println(err)
			return
		}
		for r, err := range g.Records(ctx) {
			if err != nil {
				fmt.Println(err)
				break
			}
			fmt.Println(r.Offset, string(r.Value))
			g.Mark(r) // it is processed
			if n--; n == 0 {
				break
			}
		}
		if err := g.Close(); err != nil { // commits what is marked
			fmt.Println(err)
		}
	}
	read(2)
	fmt.Println("and then")
	read(1)

	// Output:
	// 0 one
	// 1 two
	// and then
	// 2 three
}

func ExampleConsumerGroup_Poll() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", consumerExample, "one", "two", "three")

	g, err := log.JoinGroup(ctx, "billing", []string{"orders"},
		leat.WithAutoCommit(0), // by hand
		leat.WithMaxPollInterval(10*time.Minute),
		leat.OnAssigned(func(_ context.Context, tps []leat.TopicPartition) { fmt.Println("assigned", tps) }),
		leat.OnRevoked(func(_ context.Context, tps []leat.TopicPartition) { fmt.Println("revoked", tps) }))
	must(err)
	rs, err := g.Poll(ctx, 0)
	switch {
	case errors.Is(err, leat.ErrMemberLost):
		fmt.Println("others have the partitions now; the next Poll joins again")
	case err != nil:
		fmt.Println(err)
	}
	for _, r := range rs {
		fmt.Println(r.Offset, string(r.Value))
	}
	g.Mark(rs...)
	fmt.Println("commit:", g.Commit(ctx))
	fmt.Println("close:", g.Close())

	// Output:
	// assigned [orders/0]
	// 0 one
	// 1 two
	// 2 three
	// commit: <nil>
	// revoked [orders/0]
	// close: <nil>
}

func ExampleConsumerGroup_CommitOffsets() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", consumerExample, "one", "two", "three")
	g, err := log.JoinGroup(ctx, "billing", []string{"orders"})
	must(err)
	defer g.Close()
	rs, err := g.Poll(ctx, 2)
	must(err)

	last := rs[len(rs)-1]
	tp := leat.TopicPartition{Topic: last.Topic, Partition: last.Partition}
	must(g.CommitOffsets(ctx, map[leat.TopicPartition]leat.OffsetAndMetadata{
		tp: {Offset: last.Offset + 1, LeaderEpoch: last.LeaderEpoch, Metadata: "invoice 17"},
	}))
	committed, err := g.Committed(ctx, tp)
	must(err)
	fmt.Println(committed[tp].Offset, committed[tp].Metadata)

	// Output:
	// 2 invoice 17
}

func ExampleLog_GroupLag() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", consumerExample, "one", "two", "three")
	must(log.SetGroupOffsets(ctx, "billing", map[leat.TopicPartition]leat.OffsetAndMetadata{{Topic: "orders"}: {Offset: 1}}))

	groups, err := log.Groups(ctx)
	must(err)
	for _, g := range groups {
		lags, err := log.GroupLag(ctx, g.Group)
		must(err)
		for _, p := range lags {
			fmt.Println(g.Group, g.State, p.TopicPartition, "committed", p.Committed, "lag", p.Lag)
		}
	}

	// Output:
	// billing Empty orders/0 committed 1 lag 2
}

func ExampleLog_ResetGroupOffsets() {
	ctx := context.Background()
	log := openExample(ctx, "orders")
	defer log.Close()
	produceExample(ctx, log, "orders", consumerExample, "one", "two", "three") // one a second

	at, err := log.ResetGroupOffsets(ctx, "billing", leat.AtTime(consumerExample.Add(time.Second)), "orders")
	fmt.Println(at, err)

	g, err := log.JoinGroup(ctx, "billing", []string{"orders"})
	must(err)
	rs, err := g.Poll(ctx, 1)
	must(err)
	fmt.Println(string(rs[0].Value))

	_, err = log.ResetGroupOffsets(ctx, "billing", leat.Earliest)
	fmt.Println(errors.Is(err, leat.ErrGroupNotEmpty))
	must(g.Close())
	fmt.Println(log.DeleteGroup(ctx, "billing"))

	// Output:
	// map[orders/0:1] <nil>
	// two
	// true
	// <nil>
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
