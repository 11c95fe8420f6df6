package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leatlog/leat/bench"
)

const (
	// slab is how many record structs are allocated at a time.
	slab = 256
	// touches is how many records are produced before the clock starts: the first
	// ones pay for connections, metadata and a producer id.
	touches = 18
	// memoryEvery is how often the memory of a broker under load is looked at.
	memoryEvery = 20 * time.Millisecond
)

// stream is the load of one turn: records are produced as fast as the broker takes
// them, then consumed from the first on.
type stream struct {
	size    size
	records int
}

// size is a size of values with its name in the results.
type size struct {
	name  string
	bytes int
}

func (l stream) name(verb string) string {
	return fmt.Sprintf("Kafka%s/size=%s/partitions=%d", verb, l.size.name, partitions)
}

// turn has one broker do it.
func (l stream) turn(ctx context.Context, b *broker, topic string, r *results) (err error) {
	admin, err := b.client()
	if err != nil {
		return err
	}
	defer admin.Close()
	if err := createTopic(ctx, admin, topic, partitions); err != nil {
		return err
	}
	defer func() {
		// What fills the disk or kfake's memory would be the next round's burden.
		err = errors.Join(err, deleteTopic(ctx, admin, topic))
	}()
	memory := watchMemory(ctx, b)
	records, err := l.produce(ctx, b, topic, r)
	if err == nil {
		err = l.consume(ctx, b, topic, records, r)
	}
	peak, merr := memory.stop()
	r.add(sample{bench: "KafkaMemory/load=" + l.size.name, system: b.system.name, value: peak, unit: "RSS-MiB"})
	return errors.Join(err, merr)
}

// measured is the time and the processor time that something took.
type measured struct {
	b      *broker
	begun  time.Time
	server time.Duration
}

func (b *broker) measure() (measured, error) {
	busy, err := b.busy()
	return measured{b, time.Now(), busy}, err
}

// end adds records/s, and what the broker's processor time is for each.
func (m measured) end(name string, records int, r *results) error {
	took := time.Since(m.begun)
	busy, err := m.b.busy()
	r.add(sample{bench: name, system: m.b.system.name, value: float64(records) / took.Seconds(), unit: "records/s",
		operations: records, took: took})
	r.add(sample{bench: name, system: m.b.system.name, value: float64((busy - m.server).Nanoseconds()) / float64(records), unit: "server-ns/record"})
	return err
}

// produce returns how many records it produced in all.
func (l stream) produce(ctx context.Context, b *broker, topic string, r *results) (int, error) {
	c, err := b.client(kgo.DefaultProduceTopic(topic), kgo.MaxBufferedRecords(bufferedMax))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	values := bench.NewValues(l.size.bytes)
	for range touches {
		if err := c.ProduceSync(ctx, &kgo.Record{Value: values.Next()}).FirstErr(); err != nil {
			return 0, err
		}
	}
	var failed atomic.Pointer[error]
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			failed.CompareAndSwap(nil, &err)
		}
	}
	m, err := b.measure()
	if err != nil {
		return 0, err
	}
	var records []kgo.Record
	for range l.records {
		if len(records) == 0 {
			records = make([]kgo.Record, slab)
		}
		rec := &records[0]
		records = records[1:]
		rec.Value = values.Next()
		c.Produce(ctx, rec, done)
	}
	if err := c.Flush(ctx); err != nil {
		return 0, err
	}
	if err := m.end(l.name("Produce"), l.records, r); err != nil {
		return 0, err
	}
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return l.records + touches, nil
}

// consume reads all records with a new consumer, whose start is on the clock.
func (l stream) consume(ctx context.Context, b *broker, topic string, records int, r *results) error {
	m, err := b.measure()
	if err != nil {
		return err
	}
	c, err := b.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer c.Close()
	n, bytes := 0, 0
	for n < records {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			n++
			bytes += len(rec.Value)
		})
	}
	if err := m.end(l.name("Consume"), records, r); err != nil {
		return err
	}
	if n != records || bytes != records*l.size.bytes {
		return fmt.Errorf("%d records of %d bytes in all came of the %d of %d each", n, bytes, records, l.size.bytes)
	}
	return nil
}

// memoryWatch notes the most memory that a broker has.
type memoryWatch struct {
	cancel context.CancelFunc
	done   chan struct{}
	peak   float64
	err    error
}

func watchMemory(ctx context.Context, b *broker) *memoryWatch {
	ctx, cancel := context.WithCancel(ctx)
	w := &memoryWatch{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		t := time.NewTicker(memoryEvery)
		defer t.Stop()
		for {
			now, err := b.residentMiB()
			if err != nil {
				w.err = err
				return
			}
			w.peak = max(w.peak, now)
			select {
			case <-t.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return w
}

// stop returns the most that was seen, in MiB.
func (w *memoryWatch) stop() (float64, error) {
	w.cancel()
	<-w.done
	return w.peak, w.err
}
