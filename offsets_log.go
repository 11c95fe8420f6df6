package leat

import (
	"context"
	"fmt"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/coordinator"
	"github.com/leatlog/leat/internal/recordbatch"
	"github.com/leatlog/leat/internal/store"
)

const (
	// offsetsTopic is the internal topic that groups live in.
	offsetsTopic = "__consumer_offsets"
	// offsetsReadBytes is how much of it is read at a time.
	offsetsReadBytes = 1 << 20
)

// offsetsTopicConfig leaves nothing to the Log's topic defaults that would
// change how groups are kept.
func offsetsTopicConfig(partitions int) TopicConfig {
	c := defaultTopicConfig()
	c.Partitions = partitions
	c.CleanupPolicy = Compact
	return c
}

// offsetsLog is a partition of __consumer_offsets as the coordinator sees it.
type offsetsLog struct {
	part     *Partition
	stored   *store.Partition
	appender appender
	clock    base.Clock
}

var _ coordinator.Log = (*offsetsLog)(nil)

// Append stores the records as one batch and returns when it is durable. What
// is handed to the disk cannot be called back: ctx is looked at before.
func (o *offsetsLog) Append(ctx context.Context, records []coordinator.KV) error {
	batch, h, err := o.encode(ctx, records)
	if err != nil {
		return err
	}
	a := &partitionAppend{Append: store.Append{Batch: batch, Header: h}, to: o.part}
	if err := o.appender.Append([]*partitionAppend{a}, store.AppendHooks{}); err != nil {
		return err
	}
	return a.Err
}

// encode makes a batch of records, unless ctx has ended.
func (o *offsetsLog) encode(ctx context.Context, records []coordinator.KV) ([]byte, recordbatch.Header, error) {
	if err := ctx.Err(); err != nil {
		return nil, recordbatch.Header{}, err
	}
	var b recordbatch.Builder
	b.Reset(nil)
	now := o.clock.Now().UnixMilli()
	for _, kv := range records {
		if err := b.Append(now, kv.Key, kv.Value, nil); err != nil {
			return nil, recordbatch.Header{}, err
		}
	}
	batch, err := b.Finish(recordbatch.FinishOptions{ProducerID: -1})
	if err != nil {
		return nil, recordbatch.Header{}, err
	}
	h, err := recordbatch.ParseHeader(batch)
	return batch, h, err
}

// Replay reads what is durable.
func (o *offsetsLog) Replay(ctx context.Context, fn func(key, value []byte) error) error {
	var f store.Fetch
	var it recordbatch.Iterator
	d := recordbatch.NewDecompressor(maxDecompressedBytes)
	end := o.stored.HighWatermark()
	for at := o.stored.LogStart(); at < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := o.stored.Read(&f, at, offsetsReadBytes); err != nil {
			return err
		}
		if len(f.Batches) == 0 {
			return fmt.Errorf("%w: no batch at offset %d below the high watermark %d", ErrCorrupt, at, end)
		}
		for _, batch := range f.Batches {
			if err := it.Reset(batch, d); err != nil {
				return err
			}
			for !it.Header().IsControl() && it.Next() {
				if r := it.Record(); r.Offset >= at {
					if err := fn(r.Key, r.Value); err != nil {
						return fmt.Errorf("offset %d: %w", r.Offset, err)
					}
				}
			}
			if err := it.Err(); err != nil {
				return err
			}
			at = it.Header().NextOffset()
		}
	}
	return nil
}

// groupTopics is the catalog as the coordinator sees it.
type groupTopics struct{ catalog *catalog }

var _ coordinator.Topics = groupTopics{}

func (g groupTopics) Topic(name string) (coordinator.Topic, bool) {
	t := g.catalog.topic(name)
	if t == nil {
		return coordinator.Topic{}, false
	}
	return coordinator.Topic{ID: coordinator.TopicID(t.id), Partitions: int32(t.NumPartitions())}, true
}

func (g groupTopics) Changed() <-chan struct{} { return g.catalog.nextChange() }
