package leat

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/recordbatch"
	"github.com/leatlog/leat/internal/store"
)

// Partition is one ordered sequence of records of a topic. All methods may be
// called concurrently.
type Partition struct {
	topic  *Topic
	number int32
	id     base.PartitionID
	stored atomic.Pointer[store.Partition] // loaded on first use
	// clustered is where the partition of a cluster is read; made on first use.
	clustered atomic.Pointer[clusterReplica]

	retention  retentionState
	compaction compactionState
}

// replica is the place where a Partition's batches are read, and its log start moved.
type replica interface {
	Read(f *store.Fetch, from Offset, maxBytes int) error
	HighWatermark() Offset
	AtEnd(at Offset) bool
	LogStart() Offset
	SizeBytes() int64
	Records() int64
	MaxTimestamp() int64
	OffsetForTime(ms int64) (at Offset, found bool, err error)
	NextBatch(after Offset) (Offset, error)
	Trim(to Offset) (store.TrimStats, error)
	Watch(c chan<- struct{})
	Unwatch(c chan<- struct{})
}

var _ replica = (*store.Partition)(nil)

// errNoReplica says that this node of a cluster has no replica of a partition, or not
// yet.
var errNoReplica = errors.New("leat: this node has no replica of the partition")

// PartitionInfo describes a partition at one moment.
type PartitionInfo struct {
	TopicPartition
	// LogStart is the first offset that can be read, HighWatermark the one after
	// the last. Every record below HighWatermark is durable.
	LogStart      Offset
	HighWatermark Offset
	// Records counts the stored records, and Bytes what their batches take as
	// they are stored; records below LogStart in a batch that also holds later
	// ones are included.
	Records int64
	Bytes   int64
	// MaxTimestamp is the latest timestamp of a record; zero when there is none.
	MaxTimestamp time.Time
	// Leader is the node that leads the partition, 0 while none is known to, and
	// Replicas are the nodes that have it, the one that should lead first. Without a
	// cluster they are 0 and nil.
	Leader   uint64
	Replicas []uint64
}

// Topic returns the partition's topic.
func (p *Partition) Topic() *Topic { return p.topic }

// Number returns the partition's number in its topic, from 0.
func (p *Partition) Number() int32 { return p.number }

func (p *Partition) name() TopicPartition {
	return TopicPartition{Topic: p.topic.name, Partition: p.number}
}

// replica returns where the partition is read, or ErrTopicDeleted.
func (p *Partition) replica() (replica, error) {
	if c := p.topic.log.cluster; c != nil {
		if p.topic.deleted.Load() {
			return nil, topicError(p.topic.name, ErrTopicDeleted)
		}
		if r := p.clustered.Load(); r != nil {
			return r, nil
		}
		p.clustered.CompareAndSwap(nil, &clusterReplica{c: c, part: p})
		return p.clustered.Load(), nil
	}
	r, err := p.local()
	if err != nil {
		return nil, err
	}
	return r, nil
}

// shard returns the shard of a cluster that replicates the partition.
func (p *Partition) shard() base.ShardID { return p.topic.state.Load().record.shards[p.number] }

// local returns the partition in the store of this node, ErrTopicDeleted, or in a
// cluster errNoReplica.
func (p *Partition) local() (*store.Partition, error) {
	if p.topic.deleted.Load() {
		return nil, topicError(p.topic.name, ErrTopicDeleted)
	}
	if c := p.topic.log.cluster; c != nil {
		if r := c.stored(p); r != nil {
			return r, nil
		}
		return nil, fmt.Errorf("topic %q partition %d: %w", p.topic.name, p.number, errNoReplica)
	}
	if r := p.stored.Load(); r != nil {
		return r, nil
	}
	r, err := p.topic.log.store.Partition(p.id)
	if err != nil {
		return nil, p.mapError(err)
	}
	// The topic may have been deleted since, and what the store returned be a new
	// partition under the id of one that it has dropped.
	if p.topic.deleted.Load() {
		p.topic.log.store.Forget(r)
		return nil, topicError(p.topic.name, ErrTopicDeleted)
	}
	p.stored.Store(r)
	return r, nil
}

// mapError tells an error of the store in the terms of the topic.
func (p *Partition) mapError(err error) error {
	var oor *store.OffsetOutOfRangeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &oor):
		return &OffsetOutOfRangeError{Topic: p.topic.name, Partition: p.number,
			Offset: oor.Offset, LogStart: oor.LogStart, HighWatermark: oor.HighWatermark}
	case errors.Is(err, store.ErrPartitionDropped):
		return topicError(p.topic.name, ErrTopicDeleted)
	case errors.Is(err, store.ErrClosed):
		return ErrClosed
	}
	return fmt.Errorf("topic %q partition %d: %w", p.topic.name, p.number, err)
}

// Info describes the partition. In a cluster it is as this node's replica has it, or
// where there is none, another's.
func (p *Partition) Info(ctx context.Context) (PartitionInfo, error) {
	if err := p.topic.log.begin(ctx); err != nil {
		return PartitionInfo{}, err
	}
	defer p.topic.log.end()
	return p.info()
}

func (p *Partition) info() (PartitionInfo, error) {
	r, err := p.replica()
	if err != nil {
		return PartitionInfo{}, err
	}
	info := PartitionInfo{
		TopicPartition: p.name(),
		LogStart:       r.LogStart(),
		HighWatermark:  r.HighWatermark(),
		Records:        r.Records(),
		Bytes:          r.SizeBytes(),
	}
	if ms := r.MaxTimestamp(); ms >= 0 {
		info.MaxTimestamp = time.UnixMilli(ms)
	}
	if c := p.topic.log.cluster; c != nil {
		info.Leader, info.Replicas = c.whereabouts(p)
	}
	return info, nil
}

// OffsetForTime returns the offset of the first record whose timestamp is t or
// later, and that timestamp; without one it returns the high watermark and the
// zero time (ListOffsets by timestamp).
func (p *Partition) OffsetForTime(ctx context.Context, t time.Time) (Offset, time.Time, error) {
	if err := p.topic.log.begin(ctx); err != nil {
		return 0, time.Time{}, err
	}
	defer p.topic.log.end()
	r, err := p.replica()
	if err != nil {
		return 0, time.Time{}, err
	}
	o, at, err := offsetForTime(r, t.UnixMilli())
	return o, at, p.mapError(err)
}

func offsetForTime(r replica, ms int64) (Offset, time.Time, error) {
	end := r.HighWatermark()
	at, found, err := r.OffsetForTime(ms)
	if err != nil || !found {
		return end, time.Time{}, err
	}
	at = max(at, r.LogStart())
	var f store.Fetch
	var it recordbatch.Iterator
	d := recordbatch.NewDecompressor(maxDecompressedBytes)
	// The first batch holds the record, unless compaction has removed it since;
	// then it is in a later one, or gone.
	for from := at; from < end; {
		if err := r.Read(&f, from, 1); err != nil {
			return 0, time.Time{}, err
		}
		if len(f.Batches) == 0 {
			break
		}
		for _, b := range f.Batches {
			if err := it.Reset(b, d); err != nil {
				return 0, time.Time{}, err
			}
			for it.Next() {
				if rec := it.Record(); rec.Offset >= from && rec.Timestamp >= ms {
					return rec.Offset, time.UnixMilli(rec.Timestamp), nil
				}
			}
			if err := it.Err(); err != nil {
				return 0, time.Time{}, err
			}
			from = it.Header().LastOffset() + 1
		}
	}
	return end, time.Time{}, nil
}

// DeleteRecords moves the log start to the given offset: no record below can be
// read any more, and their space is freed. Offsets do not change. An offset above
// the high watermark, or a negative one, gives an *OffsetOutOfRangeError, one at or
// below the log start does nothing (Kafka's DeleteRecords, without its -1 for the
// high watermark). The change is durable when it returns.
func (p *Partition) DeleteRecords(ctx context.Context, before Offset) error {
	if err := p.topic.log.begin(ctx); err != nil {
		return err
	}
	defer p.topic.log.end()
	r, err := p.replica()
	if err != nil {
		return err
	}
	if before < 0 {
		return negativeOffset(p.name(), r, before)
	}
	if err := refuseInternal(p.topic.name, "keeps its records"); err != nil {
		return err
	}
	trim, err := trimReplica(ctx, r, before)
	if err != nil {
		return p.mapError(err)
	}
	p.removed(trim.From, trim.To)
	return nil
}

// removed tells the program that the log start moved.
func (p *Partition) removed(from, to Offset) {
	if h := p.topic.log.cfg.Hooks.RecordsRemoved; h != nil && to > from {
		h(p.name(), from, to)
	}
}
