// Package leattest helps to test programs that use leat.
//
// New opens a Log in memory that is closed, and checked for goroutines that it
// or the test left, when the test ends:
//
//	log := leattest.New(t)
//
// Clock is a clock that only moves when the test says so. Give it to a Log as
// its Config.Clock, and hours of retention, lingering and timeouts pass in no
// time:
//
//	clock := leattest.NewClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
//	... // start what waits for a timer
//	err := clock.BlockUntil(ctx, 1) // it waits now
//	clock.Advance(time.Hour)        // and now it does not
//
// A goroutine that a timer wakes runs beside the test: the test waits for what
// that goroutine does, or with BlockUntil for its next timer, before it
// advances the clock again.
//
// # Clusters
//
// NewCluster opens a cluster whose nodes are in the test's process. Each has a disk
// in memory, and the network between them is one of the test: no ports are used.
//
//	c := leattest.NewCluster(t, 3)
//	topic, err := c.Node(1).CreateTopic(ctx, "orders", leat.TopicConfig{})
//	...
//	c.Kill(c.Leader("orders", 0)) // the power of its leader fails
//	... // the others go on
//	c.Start(...)
//
// Everything can be broken and made whole again: Kill and Crash take the power from
// nodes, with what was not synced; Cut, Isolate, Partition and others cut the
// network, Slow slows it, ResetConnections breaks connections; FillDisk, FailDisk
// and HangDisk break a disk; Wipe empties it. AddNode adds a node. What a program
// does in such times can so be tested in its own test, in seconds.
//
// A cut network is one that nobody learns of: what is sent waits until it is healed,
// and calls wait for their timeouts. A killed node is gone as a machine without power
// is; the Log that the test still has of it returns ErrClosed, after calls that were
// under way have ended by themselves. Killed tells such a Log.
//
// Kafka's clients in Go reach the nodes with ClientAddrs and Dial:
//
//	kgo.NewClient(kgo.SeedBrokers(c.ClientAddrs()...), kgo.Dialer(c.Dial))
package leattest
