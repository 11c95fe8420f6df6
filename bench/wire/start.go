package main

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// startTopic has the records of the starts.
const startTopic = "start"

// starting measures from the start of a process until the first record is acknowledged:
// on a directory that has nothing yet, with the topic to be made, and again
// on the same directory.
func starting(ctx context.Context, w *workshop, s system, r *results) error {
	b, err := w.launch(ctx, s)
	if err != nil {
		return err
	}
	fresh, err := b.firstAck(ctx, true)
	if err = errors.Join(err, b.stop()); err != nil {
		return err
	}
	if b, err = w.start(s, b.dir, b.port); err != nil {
		return err
	}
	existing, err := b.firstAck(ctx, false)
	if err = errors.Join(err, b.stop()); err != nil {
		return err
	}
	r.add(sample{bench: "KafkaStart/dir=fresh", system: s.name, value: fresh.Seconds() * 1e3, unit: "ms"})
	r.add(sample{bench: "KafkaStart/dir=existing", system: s.name, value: existing.Seconds() * 1e3, unit: "ms"})
	return nil
}

// firstAck tries until a record is acknowledged and returns when that was, counted
// from the process's start.
func (b *broker) firstAck(ctx context.Context, create bool) (time.Duration, error) {
	if err := b.reachable(ctx); err != nil {
		return 0, err
	}
	c, err := b.client(kgo.DefaultProduceTopic(startTopic), kgo.ProducerLinger(0))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	for create {
		if err := createTopic(ctx, c, startTopic, partitions); err == nil {
			break
		}
		if err := b.pause(ctx, 5*time.Millisecond); err != nil {
			return 0, err
		}
	}
	for {
		if c.ProduceSync(ctx, &kgo.Record{Value: []byte("first")}).FirstErr() == nil {
			return time.Since(b.begun), nil
		}
		if err := b.pause(ctx, 5*time.Millisecond); err != nil {
			return 0, err
		}
	}
}
