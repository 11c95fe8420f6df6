package leat

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/leatlog/leat/internal/recordbatch"
)

// producerTopic is a topic as a producer sees it.
type producerTopic struct {
	topic      *Topic
	state      *topicState // that accs belong to
	accs       []*accumulator
	sticky     int32 // where keyless records go
	stickyDone int   // bytes that went there in its turn
}

// accumulator collects the batches of one partition.
type accumulator struct {
	partition *Partition
	full      []*producerBatch // closed, oldest first
	open      *producerBatch   // takes records; nil when there is none
	queued    bool             // in Producer.ready

	// Guarded by Producer.order: what the next sealed batch gets.
	epoch    int16
	sequence int32
}

// topicLocked finds the topic of a record. It may give up p.mu for a while.
func (p *Producer) topicLocked(ctx context.Context, name string) (*producerTopic, error) {
	pt := p.topics[name]
	if pt == nil || pt.topic.deleted.Load() {
		p.mu.Unlock()
		t, err := p.log.topicForProduce(ctx, name)
		p.mu.Lock()
		if err != nil {
			delete(p.topics, name)
			return nil, err
		}
		if p.closed {
			return nil, ErrClosed
		}
		// Another goroutine may have been here meanwhile.
		if pt = p.topics[name]; pt == nil || pt.topic != t {
			pt = &producerTopic{topic: t, sticky: -1}
			p.topics[name] = pt
		}
	}
	if s := pt.topic.state.Load(); s != pt.state {
		pt.state = s
		for len(pt.accs) < len(s.partitions) {
			pt.accs = append(pt.accs, nil)
		}
		if pt.sticky < 0 {
			pt.sticky = rand.Int32N(int32(len(pt.accs))) // else all producers would begin at 0
		}
	}
	return pt, nil
}

// topicForProduce finds a topic, or makes it where the Log is set to do so. A
// program does not write to internal topics: a record that is not theirs would
// keep the coordinator from reading what is.
func (l *Log) topicForProduce(ctx context.Context, name string) (*Topic, error) {
	if err := refuseInternal(name, "cannot be produced to"); err != nil {
		return nil, err
	}
	if t := l.catalog.topic(name); t != nil {
		return t, nil
	}
	if !l.cfg.AutoCreateTopics {
		if err := validateTopicName(name); err != nil {
			return nil, err
		}
		return nil, topicError(name, ErrUnknownTopic)
	}
	if err := validateNewTopicName(name); err != nil {
		return nil, err
	}
	t, err := l.createTopic(ctx, name, TopicConfig{})
	if err != nil {
		if t := l.catalog.topic(name); t != nil { // somebody else was first
			return t, nil
		}
	}
	return t, err
}

// appendLocked puts a record into a batch. size bounds what it takes, with a
// batch header.
func (p *Producer) appendLocked(pt *producerTopic, r *Record, size int64, c completion) error {
	cfg := &pt.state.config
	if int(size) > cfg.MaxMessageBytes+recordSizeSlack {
		return &RecordTooLargeError{Topic: r.Topic, Bytes: int(size), Limit: cfg.MaxMessageBytes, Setting: "the topic's max.message.bytes"}
	}
	if r.Key == nil && cfg.CleanupPolicy.Compacts() {
		return &InvalidRecordError{Topic: r.Topic, Rule: "records of a compacted topic need a key"}
	}
	now := p.log.cfg.Clock.Now()
	ts := now.UnixMilli()
	if !r.Timestamp.IsZero() {
		ts = r.Timestamp.UnixMilli()
		if err := checkTimestamp(r, cfg, now); err != nil {
			return err
		}
	}
	number, err := p.partitionLocked(r, int32(len(pt.accs)))
	if err != nil {
		return err
	}
	if number == -1 {
		number = pt.nextSticky(int(size))
	}
	if number < 0 || int(number) >= len(pt.accs) {
		return fmt.Errorf("%w: topic %q has partitions 0 to %d, the partitioner chose %d", ErrUnknownPartition, r.Topic, len(pt.accs)-1, number)
	}
	a := pt.accs[number]
	if a == nil {
		part := pt.state.partitions[number]
		if _, err := part.replica(); err != nil {
			return err
		}
		a = &accumulator{partition: part}
		pt.accs[number] = a
	}

	limit := min(p.cfg.batchBytes, cfg.MaxMessageBytes)
	need := int(size) - recordbatch.HeaderSize
	b := a.open
	if b != nil && b.builder.Size()+need > limit {
		p.closeBatchLocked(a)
		b = nil
	}
	if b == nil {
		b = p.openBatchLocked(a, cfg)
		b.since = now
	}
	if err := b.builder.Append(ts, r.Key, r.Value, r.Headers); err != nil {
		p.dropEmptyLocked(a, b)
		return err
	}
	if b.builder.Len() == 1 && b.builder.Size() > cfg.MaxMessageBytes {
		// size is a bound; only now it is known.
		bytes := b.builder.Size()
		b.builder.Reset(nil)
		p.dropEmptyLocked(a, b)
		return &RecordTooLargeError{Topic: r.Topic, Bytes: bytes, Limit: cfg.MaxMessageBytes, Setting: "the topic's max.message.bytes"}
	}
	b.reserved += size
	p.pending += size
	if c.call != nil || c.callback != nil {
		c.record = int32(b.builder.Len() - 1)
		c.timestamp = ts
		if p.cfg.acks == AcksNone {
			p.completeUnacknowledgedLocked(b, c)
		} else {
			b.completions = append(b.completions, c)
			if c.callback != nil {
				b.hasCallbacks = true
			} else {
				b.calls++
				p.syncWaiting++
			}
		}
	}
	if !b.due && (p.cfg.linger == 0 || c.call != nil) {
		b.due = true
		p.dueCount++
	} else if !b.due && !p.lingering {
		p.lingering = true
		p.wg.Go(p.lingerLoop)
	}
	return nil
}

// nextSticky returns where a keyless record goes (KIP-794): on to the next
// partition after stickyBytes, and later while the partition's batch still waits
// to be stored, so that under load batches are fuller.
func (pt *producerTopic) nextSticky(size int) int32 {
	if a := pt.accs[pt.sticky]; pt.stickyDone >= stickyBytesMax || (pt.stickyDone >= stickyBytes && (a == nil || a.open == nil)) {
		pt.sticky = (pt.sticky + 1) % int32(len(pt.accs))
		pt.stickyDone = 0
	}
	pt.stickyDone += size
	return pt.sticky
}

// partitionLocked asks the partitioner. The record that it sees is the producer's,
// so that the caller's need not be on the heap. A panic of the user's partitioner
// is an error: what was reserved for the record is given back then.
func (p *Producer) partitionLocked(r *Record, n int32) (number int32, err error) {
	if p.cfg.partitioner == nil {
		return keyPartition(r.Key, n), nil
	}
	p.scratch = *r
	defer func() {
		p.scratch = Record{}
		if v := recover(); v != nil {
			err = fmt.Errorf("leat: topic %q: the partitioner panicked: %v", r.Topic, v)
		}
	}()
	return p.cfg.partitioner(&p.scratch, n), nil
}

// recordSizeSlack is by how much recordbatch.RecordSizeMax may be too high.
const recordSizeSlack = 22

func checkTimestamp(r *Record, cfg *TopicConfig, now time.Time) error {
	if cfg.TimestampType == LogAppendTime {
		return nil
	}
	if limit := cfg.MessageTimestampBeforeMax; limit != Forever && now.Sub(r.Timestamp) > limit {
		return &InvalidRecordError{Topic: r.Topic, Rule: fmt.Sprintf("the timestamp %v is more than message.timestamp.before.max.ms (%v) behind the clock", r.Timestamp, limit)}
	}
	if limit := cfg.MessageTimestampAfterMax; limit != Forever && r.Timestamp.Sub(now) > limit {
		return &InvalidRecordError{Topic: r.Topic, Rule: fmt.Sprintf("the timestamp %v is more than message.timestamp.after.max.ms (%v) ahead of the clock", r.Timestamp, limit)}
	}
	if time.UnixMilli(r.Timestamp.UnixMilli()).Unix() != r.Timestamp.Unix() {
		return &InvalidRecordError{Topic: r.Topic, Rule: fmt.Sprintf("the timestamp %v is beyond what milliseconds since 1970 can hold", r.Timestamp)}
	}
	if r.Timestamp.UnixMilli() < 0 {
		return &InvalidRecordError{Topic: r.Topic, Rule: fmt.Sprintf("the timestamp %v is before 1970", r.Timestamp)}
	}
	return nil
}

// openBatchLocked begins a batch.
func (p *Producer) openBatchLocked(a *accumulator, cfg *TopicConfig) *producerBatch {
	b := &producerBatch{producer: p, acc: a, config: cfg, group: p.groups[len(p.groups)-1]}
	b.group.batches++
	if n := len(p.spareBuilders); n > 0 {
		b.builder = p.spareBuilders[n-1]
		p.spareBuilders = p.spareBuilders[:n-1]
		p.spareBytes -= b.builder.Cap()
	} else {
		b.builder = new(recordbatch.Builder)
	}
	if n := len(p.spareCompletions); n > 0 {
		b.completions = p.spareCompletions[n-1]
		p.spareCompletions = p.spareCompletions[:n-1]
	}
	a.open = b
	if !a.queued {
		a.queued = true
		p.ready = append(p.ready, a)
	}
	return b
}

const (
	// spareBytesIdle bounds the buffers that an idle producer keeps for later
	// batches; a busy one keeps up to its buffer.memory.
	spareBytesIdle = 1 << 20
	// spareCompletionsMax and spareCompletionsLenMax bound the lists of
	// completions that are kept for later batches.
	spareCompletionsMax    = 16
	spareCompletionsLenMax = 16 << 10
)

// recycleBuilders takes the builders of sealed batches back.
func (p *Producer) recycleBuilders(batches []*producerBatch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range batches {
		builder := b.builder
		b.builder = nil
		if b.append.Batch == nil {
			b.unsealed = builder.Len()
		} else if int64(p.spareBytes+builder.Cap()) <= p.cfg.bufferBytes {
			p.spareBytes += builder.Cap()
			p.spareBuilders = append(p.spareBuilders, builder)
		}
	}
}

// trimSparesLocked gives buffers back when there is nothing to do.
func (p *Producer) trimSparesLocked() {
	for p.spareBytes > spareBytesIdle {
		last := len(p.spareBuilders) - 1
		p.spareBytes -= p.spareBuilders[last].Cap()
		p.spareBuilders[last] = nil
		p.spareBuilders = p.spareBuilders[:last]
	}
}

func (p *Producer) recycleLocked(cs []completion) {
	if len(p.spareCompletions) < spareCompletionsMax && cap(cs) > 0 && cap(cs) <= spareCompletionsLenMax {
		clear(cs)
		p.spareCompletions = append(p.spareCompletions, cs[:0])
	}
}

// closeBatchLocked moves the open batch to the full ones, which do not linger.
func (p *Producer) closeBatchLocked(a *accumulator) {
	b := a.open
	a.open = nil
	a.full = append(a.full, b)
	if !b.due {
		b.due = true
		p.dueCount++
	}
}

// dropEmptyLocked forgets an open batch that got no record.
func (p *Producer) dropEmptyLocked(a *accumulator, b *producerBatch) {
	if b.builder.Len() > 0 {
		return
	}
	a.open = nil
	b.group.batches--
	p.endGroupLocked(b.group)
}

// drainLocked takes the batches that are due, about maxRoundBytes of them. Within
// a partition they leave in order.
func (p *Producer) drainLocked() []*producerBatch {
	var out []*producerBatch
	var now time.Time
	if p.cfg.linger > 0 {
		now = p.log.cfg.Clock.Now()
	}
	bytes := int64(0)
	take := func(b *producerBatch) {
		if b.due {
			p.dueCount--
		}
		bytes += b.reserved
		b.awaited = len(b.completions)
		p.syncWaiting -= b.calls
		out = append(out, b)
	}
	keep := p.ready[:0]
	for _, a := range p.ready {
		n := 0
		for n < len(a.full) && n < maxRoundBatches && bytes < maxRoundBytes {
			take(a.full[n])
			n++
		}
		if n == len(a.full) {
			a.full = nil
		} else {
			a.full = a.full[n:]
		}
		if b := a.open; b != nil && a.full == nil && n < maxRoundBatches && bytes < maxRoundBytes &&
			(b.due || p.flushing > 0 || now.Sub(b.since) >= p.cfg.linger) {
			take(b)
			a.open = nil
		}
		if a.open == nil && a.full == nil {
			a.queued = false
		} else {
			keep = append(keep, a)
		}
	}
	clear(p.ready[len(keep):])
	p.ready = keep
	p.pending -= bytes
	return out
}

// lingerLoop starts a round when the oldest batch has waited for long enough. It
// runs while something lingers.
func (p *Producer) lingerLoop() {
	p.log.label(roleLinger)
	timer := p.log.cfg.Clock.NewTimer(p.cfg.linger)
	defer timer.Stop()
	for {
		select {
		case <-timer.C():
		case <-p.stop:
			return
		}
		p.mu.Lock()
		now := p.log.cfg.Clock.Now()
		next := time.Duration(-1)
		for _, a := range p.ready {
			b := a.open
			if b == nil || b.due {
				continue
			}
			if left := p.cfg.linger - now.Sub(b.since); left <= 0 {
				b.due = true
				p.dueCount++
			} else if next < 0 || left < next {
				next = left
			}
		}
		if p.startLocked() {
			p.wg.Go(p.run)
		}
		if next < 0 {
			p.lingering = false
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		timer.Reset(next)
	}
}
