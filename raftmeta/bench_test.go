package raftmeta

import (
	"bytes"
	"fmt"
	"testing"
)

// tenThousand returns a cluster of 10,000 partitions in topics of so many.
func tenThousand(b *testing.B, perTopic int) *cluster {
	c := newCluster(b, 3)
	img := *c.img()
	for i := range 10_000 / perTopic {
		cmd, err := PlanCreateTopic(&img, CreateTopicRequest{Name: fmt.Sprintf("topic-%05d", i), ID: TopicID{1, byte(i), byte(i >> 8)}, Partitions: perTopic})
		if err != nil {
			b.Fatal(err)
		}
		c.index++
		if r := c.m.ApplyCommand(c.index, EncodeCommand(cmd)); r.Code != OK {
			b.Fatal(r.Err())
		}
		img = *c.img()
	}
	return c
}

// BenchmarkApply applies one command of a kind to 10,000 partitions in 1,000
// topics.
func BenchmarkApply(b *testing.B) {
	c := tenThousand(b, 10)
	topic := c.img().Topic("topic-00500")
	next := byte(0)
	bench := func(name string, command func() Command) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				cmd := EncodeCommand(command())
				b.StartTimer()
				c.index++
				if r := c.m.ApplyCommand(c.index, cmd); r.Code != OK {
					b.Fatal(r.Err())
				}
			}
		})
	}
	bench("fence", func() Command {
		next++
		epoch := BrokerEpoch{3, c.img().Broker(3).Epoch}
		if next%2 == 0 {
			return &UnfenceBroker{epoch}
		}
		return &FenceBroker{epoch}
	})
	bench("configs", func() Command {
		next++
		return &SetTopicConfigs{Topic: topic.ID, Set: map[string]string{"retention.ms": fmt.Sprint(next)}}
	})
	bench("create and delete", func() Command {
		if t := c.img().Topic("new"); t != nil {
			return &DeleteTopic{t.ID}
		}
		cmd, err := PlanCreateTopic(c.img(), CreateTopicRequest{Name: "new", ID: TopicID{2}, Partitions: 6})
		if err != nil {
			b.Fatal(err)
		}
		return cmd
	})
	bench("producer ids", func() Command { return &AllocateProducerIDs{BrokerEpoch{1, c.img().Broker(1).Epoch}} })
}

// BenchmarkCreateTopic plans and applies one topic of 10,000 partitions.
func BenchmarkCreateTopic(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		c := tenThousand(b, 10_000)
		if c.img().Partitions() != 10_000 {
			b.Fatal(c.img().Partitions())
		}
	}
}

func BenchmarkSnapshot(b *testing.B) {
	c := tenThousand(b, 10)
	snapshot := c.snapshot()
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.snapshot()
		}
		b.ReportMetric(float64(len(snapshot)), "bytes")
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ReadImage(bytes.NewReader(snapshot)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkImage(b *testing.B) {
	c := tenThousand(b, 10)
	img := c.img()
	b.Run("partition", func(b *testing.B) {
		for b.Loop() {
			if _, ok := img.Partition("topic-00500", 7); !ok {
				b.Fatal("no partition")
			}
		}
	})
	b.Run("delta of one topic", func(b *testing.B) {
		c.must(&SetTopicConfigs{Topic: img.Topic("topic-00500").ID, Set: map[string]string{"a": "b"}})
		d := Delta{img, c.img()}
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			for range d.Topics() {
				n++
			}
			if n != 1 {
				b.Fatal(n)
			}
		}
	})
}

// BenchmarkPlan decides on the moves of 1,000 dedicated shards.
func BenchmarkPlan(b *testing.B) {
	c := newCluster(b, 6)
	c.create("own", 1000, 3, map[string]string{ConfigDedicatedShards: "1000"})
	c.join(7, "")
	b.Run("balance", func(b *testing.B) {
		for b.Loop() {
			if len(PlanBalance(c.img())) == 0 {
				b.Fatal("nothing to move")
			}
		}
	})
	c.must(&DrainBroker{Node: 1})
	b.Run("drain", func(b *testing.B) {
		for b.Loop() {
			if _, err := PlanDrain(c.img(), 1); err != nil {
				b.Fatal(err)
			}
		}
	})
}
