package leat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/store"
)

// peekChunk is how many partitions are looked at in one go.
const peekChunk = 256

// RetentionResult is what retention did to a topic.
type RetentionResult struct {
	// Partitions counts those whose log start moved.
	Partitions int
	// Records and Bytes are those of the batches that were removed, in bytes as
	// they were stored, before any overhead.
	Records int64
	Bytes   int64
	// Failed counts the partitions that could not be looked at or changed.
	Failed int
}

// ApplyRetention removes what the topic's Retention and RetentionBytes allow, now
// instead of at the next RetentionCheckInterval, and returns when the new log
// starts are durable. For a topic whose CleanupPolicy does not delete, or that
// keeps all, it does nothing.
//
// What goes is whole batches from the oldest on. By time: a batch whose latest
// timestamp is more than Retention ago, by the Log's clock, unless an older batch
// stays. That takes the newest batch too, as Kafka rolls and deletes an active
// segment of which all is expired; the partition is empty then and its offsets go
// on. By size: batches while what remains is RetentionBytes or more, so that a
// partition never shrinks below the limit and its newest batch stays. Nothing at
// or above the high watermark goes.
//
// The space on disk comes back: files of which all was removed are dropped before
// it returns or soon after. A file that holds records of other topics too is
// written anew in the background, once more than half of all is unused.
//
// A partition that fails does not keep the others from being looked at; the first
// error is returned and names it. Only one of these calls and of the background
// rounds runs at a time in a Log, the others wait. The error can be ctx's,
// ErrTopicDeleted, ErrClosed, ErrStorageFailed or ErrCorrupt.
func (t *Topic) ApplyRetention(ctx context.Context) (RetentionResult, error) {
	l := t.log
	ctx, end, err := l.beginWork(ctx, l.upkeep.retaining)
	if err != nil {
		return RetentionResult{}, err
	}
	defer end()
	if t.deleted.Load() {
		return RetentionResult{}, topicError(t.name, ErrTopicDeleted)
	}
	var first error
	res, err := t.retain(ctx, func(_ *Partition, err error) {
		if first == nil {
			first = err
		}
	})
	if err == nil {
		err = first
	}
	if res.Partitions > 0 {
		if l.cluster != nil {
			l.cluster.compactLogs(ctx, 1)
		}
		err = errors.Join(err, l.mapWorkError(ctx, l.store.Reclaim(ctx)))
	}
	return res, err
}

// retainAll is a round of the background work.
func (l *Log) retainAll(ctx context.Context) {
	ctx, end, err := l.beginWork(ctx, l.upkeep.retaining)
	if err != nil {
		return // the Log closes
	}
	defer end()
	for _, t := range l.catalog.all() {
		if ctx.Err() != nil || l.store.Failure() != nil {
			return // a failed disk was reported when it failed
		}
		res, err := t.retain(ctx, func(p *Partition, err error) {
			if !errors.Is(err, ErrTopicDeleted) && !errors.Is(err, ErrClosed) {
				l.cfg.Logger.Warn("retention failed", "topic", t.name, "partition", p.number, "err", err)
			}
		})
		if err != nil && ctx.Err() == nil {
			l.cfg.Logger.Warn("retention failed", "topic", t.name, "err", err)
		}
		if res.Partitions > 0 {
			l.cfg.Logger.Info("retention removed records", "topic", t.name,
				"partitions", res.Partitions, "records", res.Records, "bytes", res.Bytes)
		}
	}
	l.reclaim(ctx)
}

// retentionRule is a topic's retention at one moment.
type retentionRule struct {
	byTime     bool
	before     int64 // ms; what is older goes
	bySize     bool
	limitBytes int64
}

func newRetentionRule(c *TopicConfig, now time.Time) retentionRule {
	var r retentionRule
	if !c.CleanupPolicy.Deletes() {
		return r
	}
	if c.Retention != Forever {
		r.byTime, r.before = true, now.Add(-c.Retention).UnixMilli()
	}
	if c.RetentionBytes != Unlimited {
		r.bySize, r.limitBytes = true, c.RetentionBytes
	}
	return r
}

// retentionState is what the last look at a partition found, so that most
// partitions cost a comparison a round and one that nobody uses is never opened
// for it. It is guarded by upkeep.retaining.
type retentionState struct {
	seen bool
	// oldest is not above the timestamp, in ms, of any batch that the partition
	// has or will have; -1 says nothing.
	oldest int64
	// bytes holds for as long as the partition is not opened: nothing can have
	// been appended or removed.
	bytes int64
}

// due reports whether something may have to go. A partition that is open tells
// its size itself.
func (p *Partition) due(r *retentionRule) bool {
	bytes := p.retention.bytes
	if local := p.stored.Load(); local != nil {
		bytes = local.SizeBytes()
		if local.LogStart() == local.HighWatermark() {
			return false
		}
	}
	return bytes > 0 && (r.byTime && p.retention.oldest < r.before || r.bySize && bytes > r.limitBytes)
}

// retain applies retention to the topic's partitions. failed is told of each that
// could not be looked at or changed.
func (t *Topic) retain(ctx context.Context, failed func(*Partition, error)) (res RetentionResult, err error) {
	s := t.state.Load()
	rule := newRetentionRule(&s.config, t.log.cfg.Clock.Now())
	if !rule.byTime && !rule.bySize {
		return res, nil
	}
	m := &t.log.metrics.retention
	defer func() { m.done(res.Records, res.Bytes) }()
	fail := func(p *Partition, err error) {
		if !errors.Is(err, ErrTopicDeleted) && !errors.Is(err, ErrClosed) {
			m.errors.Add(1)
		}
		res.Failed++
		failed(p, err)
	}
	for chunk := range slices.Chunk(t.log.led(s.partitions), peekChunk) {
		if err := t.lookForRetention(chunk, fail); err != nil {
			return res, err
		}
		for _, p := range chunk {
			if ctx.Err() != nil {
				return res, context.Cause(ctx)
			}
			if !p.retention.seen || !p.due(&rule) {
				continue
			}
			trim, err := p.retain(&rule)
			switch {
			case err != nil:
				fail(p, err)
			case trim.To > trim.From:
				res.Partitions++
				res.Records += trim.Records
				res.Bytes += trim.Bytes
			}
		}
	}
	return res, nil
}

// lookForRetention fills in the retention states that are missing.
func (t *Topic) lookForRetention(partitions []*Partition, failed func(*Partition, error)) error {
	var unseen []*Partition
	var ids []base.PartitionID
	for _, p := range partitions {
		if !p.retention.seen {
			unseen = append(unseen, p)
			ids = append(ids, p.id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	err := t.log.store.Peek(ids, func(i int, k store.Peek, err error) {
		if err != nil {
			unseen[i].retention = retentionState{}
			failed(unseen[i], unseen[i].mapError(err))
			return
		}
		unseen[i].retention = retentionState{seen: true, oldest: k.OldestTimestamp, bytes: k.Bytes}
	})
	if err != nil {
		return fmt.Errorf("topic %q: %w", t.name, t.log.mapError(err))
	}
	return nil
}

// retain applies retention to one partition.
func (p *Partition) retain(rule *retentionRule) (store.TrimStats, error) {
	r, err := p.local()
	if err != nil {
		return store.TrimStats{}, err
	}
	to := r.LogStart()
	if rule.byTime {
		at, err := r.ExpiredBefore(rule.before)
		if err != nil {
			return store.TrimStats{}, p.mapError(err)
		}
		to = max(to, at)
	}
	if rule.bySize {
		at, err := r.OffsetForSize(rule.limitBytes)
		if err != nil {
			return store.TrimStats{}, p.mapError(err)
		}
		to = max(to, at)
	}
	at, err := p.replica()
	if err != nil {
		return store.TrimStats{}, err
	}
	var trim store.TrimStats
	if to > r.LogStart() {
		trim, err = at.Trim(to)
	}
	if err != nil {
		return trim, p.mapError(err)
	}
	p.retention.seen = false // the oldest batch is another now
	if trim.To > trim.From {
		p.topic.log.cfg.Logger.Debug("retention moved the log start", "topic", p.topic.name, "partition", p.number,
			"from", trim.From, "to", trim.To, "records", trim.Records, "bytes", trim.Bytes)
		p.removed(trim.From, trim.To)
	}
	return trim, nil
}
