package leat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/store"
)

// compactionBackoffMax bounds how long a partition whose compaction failed is
// left alone.
const compactionBackoffMax = time.Hour

// CompactionResult is what compaction did to a topic.
type CompactionResult struct {
	// Partitions counts those that were compacted, whether or not something went.
	Partitions int
	// RecordsRemoved counts the records that a later one of their key replaced,
	// the tombstones that had their time, and the records without a key. Bytes are
	// as they were stored.
	RecordsRemoved int64
	BytesRemoved   int64
	// BytesRead and BytesWritten is what Config.CompactionBytesPerSecond bounds.
	BytesRead    int64
	BytesWritten int64
}

func (r *CompactionResult) add(s *store.CompactStats) {
	r.RecordsRemoved += s.RecordsRemoved
	r.BytesRemoved += s.BytesRemoved
	r.BytesRead += s.BytesRead
	r.BytesWritten += s.BytesWritten
}

// Compact compacts the topic's partitions one after the other, now and whatever
// share of them is new, and returns when that is done: of each key only the last
// record stays, and tombstones go that TopicConfig.DeleteRetention has passed for
// since a compaction first met them. What is younger than MinCompactionLag is
// left alone. Offsets do not change.
//
// It reads and writes no faster than Config.CompactionBytesPerSecond, while
// appends and reads go on. One compaction runs at a time in a Log; the others
// wait. What was done before an error, or before ctx ended, stays done. The error
// is a *ConfigError for a topic whose CleanupPolicy does not compact, ctx's,
// ErrTopicDeleted, ErrClosed, ErrStorageFailed or ErrCorrupt; it names the
// partition.
func (t *Topic) Compact(ctx context.Context) (res CompactionResult, err error) {
	l := t.log
	ctx, end, err := l.beginWork(ctx, l.upkeep.compacting)
	if err != nil {
		return res, err
	}
	defer end()
	if t.deleted.Load() {
		return res, topicError(t.name, ErrTopicDeleted)
	}
	s := t.state.Load()
	if p := s.config.CleanupPolicy; !p.Compacts() {
		return res, topicError(t.name, &ConfigError{Property: "cleanup.policy", Value: p.String(), Rule: "must be compact for the topic to be compacted"})
	}
	for _, p := range t.log.kept(s.partitions) {
		stats, err := p.compact(ctx, &s.config)
		res.add(&stats)
		if err != nil {
			return res, err
		}
		res.Partitions++
	}
	return res, l.mapWorkError(ctx, l.store.Reclaim(ctx))
}

// compact compacts one partition. The caller holds upkeep.compacting.
func (p *Partition) compact(ctx context.Context, c *TopicConfig) (store.CompactStats, error) {
	l := p.topic.log
	r, err := p.local()
	if err != nil {
		return store.CompactStats{}, err
	}
	began := l.cfg.Clock.Now()
	stats, err := r.Compact(ctx, store.CompactOptions{
		Now:             began.UnixMilli(),
		MinLag:          max(0, c.MinCompactionLag),
		DeleteRetention: max(0, c.DeleteRetention),
		BytesPerSecond:  max(0, l.cfg.CompactionBytesPerSecond),
	})
	m := &l.metrics.compaction
	m.done(stats.RecordsRemoved, stats.BytesRemoved)
	m.bytesRead.Add(stats.BytesRead)
	m.bytesWritten.Add(stats.BytesWritten)
	if stats.RecordsRemoved > 0 || stats.BytesRemoved != 0 {
		if h := l.cfg.Hooks.Compacted; h != nil {
			h(p.name(), stats.RecordsRemoved, stats.BytesRemoved)
		}
	}
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return stats, context.Cause(ctx)
		}
		err = p.mapError(err)
		if !errors.Is(err, ErrTopicDeleted) && !errors.Is(err, ErrClosed) {
			m.errors.Add(1)
		}
		return stats, err
	}
	l.cfg.Logger.Debug("partition compacted", "topic", p.topic.name, "partition", p.number, "up_to", stats.CompactedTo,
		"records_removed", stats.RecordsRemoved, "bytes_removed", stats.BytesRemoved, "bytes_read", stats.BytesRead,
		"bytes_written", stats.BytesWritten, "took", l.cfg.Clock.Now().Sub(began))
	return stats, nil
}

// compactionState is what the background work remembers of a partition. It
// belongs to that goroutine.
type compactionState struct {
	// clean is true when the partition had nothing to compact when it was last
	// looked at without being opened, which holds for as long as it is not.
	seen, clean bool
	// After a failure the partition is left alone until notBefore.
	notBefore time.Time
	backoff   time.Duration
}

// compactionCandidate is a partition that is due for compaction.
type compactionCandidate struct {
	p       *Partition
	config  *TopicConfig
	overdue bool // by max.compaction.lag.ms
	ratio   float64
}

// compactAll is a round of the background work: the partitions that are overdue
// first, then those of which the largest share is new (Kafka's filthiest log).
func (l *Log) compactAll(ctx context.Context) {
	var due []compactionCandidate
	for _, t := range l.catalog.all() {
		if ctx.Err() != nil || l.store.Failure() != nil {
			return
		}
		due = append(due, t.compactable()...)
	}
	slices.SortStableFunc(due, func(a, b compactionCandidate) int {
		if a.overdue != b.overdue {
			if a.overdue {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.ratio, a.ratio)
	})
	for _, c := range due {
		if err := l.compactOne(ctx, &c); err != nil {
			return // the Log closes, or its disk failed
		}
	}
	if len(due) > 0 {
		l.reclaim(ctx)
	}
}

// compactOne compacts a partition when its turn comes. The error is for what
// ends the round.
func (l *Log) compactOne(ctx context.Context, c *compactionCandidate) error {
	ctx, end, err := l.beginWork(ctx, l.upkeep.compacting)
	if err != nil {
		return err
	}
	defer end()
	if _, err = c.p.compact(ctx, c.config); err == nil {
		c.p.compaction.backoff = 0
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	c.p.compactionFailed(err)
	return l.store.Failure()
}

// compactionFailed reports a failure and puts the next attempt off, twice as long
// each time: it may have read a large log before it failed.
func (p *Partition) compactionFailed(err error) {
	l, s := p.topic.log, &p.compaction
	if errors.Is(err, ErrTopicDeleted) || errors.Is(err, ErrClosed) || errors.Is(err, ErrStorageFailed) {
		return
	}
	s.backoff = min(max(2*s.backoff, l.cfg.CompactionInterval, time.Second), compactionBackoffMax)
	s.notBefore = l.cfg.Clock.Now().Add(s.backoff)
	l.cfg.Logger.Warn("compaction failed", "topic", p.topic.name, "partition", p.number, "err", err, "retry_in", s.backoff)
}

// compactable returns the topic's partitions that are due.
func (t *Topic) compactable() (due []compactionCandidate) {
	s := t.state.Load()
	if !s.config.CleanupPolicy.Compacts() {
		return nil
	}
	for chunk := range slices.Chunk(t.log.kept(s.partitions), peekChunk) {
		if err := t.lookForCompaction(chunk); err != nil {
			if !errors.Is(err, ErrClosed) {
				t.log.cfg.Logger.Warn("compaction failed", "topic", t.name, "err", err)
			}
			return nil
		}
		for _, p := range chunk {
			c, ok, err := p.compactable(&s.config)
			if err != nil {
				t.log.metrics.compaction.errors.Add(1)
				p.compactionFailed(err)
			} else if ok {
				due = append(due, c)
			}
		}
	}
	return due
}

// lookForCompaction finds out which of the partitions that nobody opened are
// clean, once for each.
func (t *Topic) lookForCompaction(partitions []*Partition) error {
	var unseen []*Partition
	var ids []base.PartitionID
	for _, p := range partitions {
		if !p.compaction.seen && p.stored.Load() == nil {
			unseen = append(unseen, p)
			ids = append(ids, p.id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	err := t.log.store.Peek(ids, func(i int, k store.Peek, err error) {
		c := &unseen[i].compaction
		c.seen = true
		// What cannot be looked at is opened, and tells what is wrong then.
		c.clean = err == nil && max(k.CompactedTo, k.LogStart) >= k.HighWatermark
	})
	if err != nil {
		return fmt.Errorf("topic %q: %w", t.name, t.log.mapError(err))
	}
	return nil
}

// compactable tells whether the partition is due.
func (p *Partition) compactable(c *TopicConfig) (out compactionCandidate, ok bool, err error) {
	now := p.topic.log.cfg.Clock.Now()
	if p.stored.Load() == nil && p.compaction.clean || now.Before(p.compaction.notBefore) {
		return out, false, nil
	}
	r, err := p.local()
	if err != nil {
		return out, false, err
	}
	if max(r.CompactedTo(), r.LogStart()) >= r.HighWatermark() {
		return out, false, nil
	}
	found, err := r.Cleanable(max(0, c.MinCompactionLag))
	if err != nil || found.Bytes == 0 {
		return out, false, p.mapError(err)
	}
	out = compactionCandidate{p: p, config: c, ratio: found.Ratio}
	if c.MaxCompactionLag != Forever {
		ms, dirty, err := r.OldestDirty()
		if err != nil {
			return out, false, p.mapError(err)
		}
		out.overdue = dirty && ms < now.Add(-c.MaxCompactionLag).UnixMilli()
	}
	return out, out.overdue || found.Ratio > max(0, c.MinCleanableDirtyRatio), nil
}
