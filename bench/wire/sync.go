package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leatlog/leat/bench"
)

// waiting is the load of clients that each wait for the acknowledgement of a record
// before they send the next. Each has connections of its own and no linger.
type waiting struct {
	clients int
	records int // of all together
	bytes   int // of a value
}

func (l waiting) name() string {
	return fmt.Sprintf("KafkaProduceSync/clients=%d/size=1KiB/partitions=%d", l.clients, partitions)
}

// turn has one broker do it.
func (l waiting) turn(ctx context.Context, b *broker, topic string, r *results) error {
	admin, err := b.client()
	if err != nil {
		return err
	}
	defer admin.Close()
	if err := createTopic(ctx, admin, topic, partitions); err != nil {
		return err
	}
	clients := make([]*kgo.Client, l.clients)
	value := bench.NewValues(l.bytes).Next()
	for i := range clients {
		if clients[i], err = b.client(kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(0)); err != nil {
			return err
		}
		defer clients[i].Close()
	}
	// send has each client send until there are so many in all.
	send := func(records int, latency []*bench.Latencies) error {
		var (
			sent   atomic.Int64
			failed atomic.Pointer[error]
			wg     sync.WaitGroup
		)
		for i, c := range clients {
			wg.Go(func() {
				for sent.Add(1) <= int64(records) && failed.Load() == nil {
					begun := time.Now()
					if err := c.ProduceSync(ctx, &kgo.Record{Value: value}).FirstErr(); err != nil {
						failed.CompareAndSwap(nil, &err)
						return
					}
					if latency != nil {
						latency[i].Record(time.Since(begun))
					}
				}
			})
		}
		wg.Wait()
		if err := failed.Load(); err != nil {
			return *err
		}
		return nil
	}
	if err := send(20*partitions+5*l.clients, nil); err != nil {
		return err
	}
	latency := make([]*bench.Latencies, l.clients)
	for i := range latency {
		latency[i] = bench.NewLatencies()
	}
	m, err := b.measure()
	if err != nil {
		return err
	}
	if err := errors.Join(send(l.records, latency), m.end(l.name(), l.records, r)); err != nil {
		return err
	}
	for _, other := range latency[1:] {
		latency[0].Merge(other)
	}
	for _, q := range []struct {
		unit string
		of   float64
	}{{"p50-us", 50}, {"p99-us", 99}} {
		r.add(sample{bench: l.name(), system: b.system.name, value: float64(latency[0].Quantile(q.of).Nanoseconds()) / 1e3, unit: q.unit})
	}
	return deleteTopic(ctx, admin, topic)
}
