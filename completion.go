package leat

import (
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatlog/leat/internal/recordbatch"
	"github.com/leatlog/leat/internal/store"
)

// producerBatch is a batch from its first record to its last callback.
type producerBatch struct {
	producer *Producer
	acc      *accumulator
	config   *TopicConfig
	group    *flushGroup
	builder  *recordbatch.Builder // nil once the batch is sealed
	since    time.Time            // when the first record came
	reserved int64                // bytes of the buffer
	due      bool                 // counted in Producer.dueCount

	completions  []completion // for the records that somebody waits for
	calls        int          // completions of synchronous calls
	awaited      int          // len(completions) when the batch was taken
	unsealed     int          // number of records, if the batch could not be sealed
	hasCallbacks bool
	acknowledged bool  // completions have been taken care of
	told         error // what they were told; set once, before they are

	append     partitionAppend
	appendTime int64 // with LogAppendTime, else 0
	err        error
}

// completion is who waits for a record: a callback or a synchronous call.
type completion struct {
	record    int32 // its index in the batch
	index     int32 // its index in the call
	timestamp int64
	callback  func(RecordMetadata, error)
	call      *syncCall
}

// syncCall is a ProduceSync that waits for its records.
type syncCall struct {
	results []RecordMetadata
	left    atomic.Int32
	done    chan struct{} // closed by the last record

	mu    sync.Mutex
	first error
}

func (c *syncCall) complete(index int, m RecordMetadata, err error) {
	c.results[index] = m
	if err != nil {
		c.mu.Lock()
		if c.first == nil {
			c.first = err
		}
		c.mu.Unlock()
	}
	if c.left.Add(-1) == 0 {
		close(c.done)
	}
}

func (c *syncCall) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.first
}

// seal finishes the batch for the store. It leaves the builder behind, which the
// next batch may use. The caller holds Producer.order.
func (b *producerBatch) seal(c *recordbatch.Compressor) error {
	p, a := b.producer, b.acc
	codec := p.cfg.compression
	if b.config.Compression != ProducerCompression {
		codec = b.config.Compression
	}
	level := p.cfg.level
	if codec != p.cfg.compression {
		level = 0
	}
	n := int32(b.builder.Len())
	buf, err := b.builder.Finish(recordbatch.FinishOptions{
		Codec:         codec.codec(),
		Level:         level,
		Compressor:    c,
		ProducerID:    p.id,
		ProducerEpoch: a.epoch,
		BaseSequence:  a.sequence,
	})
	if err != nil {
		return err
	}
	if codec == Uncompressed || b.builder.Cap() == 0 {
		// The store keeps the batch, the builder keeps its buffer.
		scratch := buf
		buf = append([]byte(nil), scratch...)
		b.builder.Reset(scratch)
	}
	if b.config.TimestampType == LogAppendTime {
		b.appendTime = p.log.cfg.Clock.Now().UnixMilli()
		recordbatch.SetLogAppendTime(buf, b.appendTime)
		recordbatch.Reseal(buf)
	}
	h, err := recordbatch.ParseHeader(buf)
	if err != nil {
		return err
	}
	// It wraps from MaxInt32 to 0.
	a.sequence = int32((int64(a.sequence) + int64(n)) & (1<<31 - 1))
	b.append = partitionAppend{Append: store.Append{Batch: buf, Header: h}, to: a.partition, timeout: p.cfg.deliveryTimeout}
	return nil
}

// metadata says where a record of the batch went.
func (b *producerBatch) metadata(c *completion) (RecordMetadata, error) {
	m := RecordMetadata{Topic: b.acc.partition.topic.name, Partition: b.acc.partition.number, Offset: -1, Timestamp: time.UnixMilli(c.timestamp)}
	if b.told != nil {
		return m, b.acc.partition.mapError(b.told)
	}
	if b.producer.cfg.acks != AcksNone {
		m.Offset = b.append.BaseOffset + Offset(c.record)
	}
	if b.appendTime > 0 {
		m.Timestamp = time.UnixMilli(b.appendTime)
	}
	return m, nil
}

// applied acknowledges the batches that got their offsets (acks=1). What fails
// later is told to nobody but the hook of the failed disk; what was refused may
// be retried, and is acknowledged when it is complete.
func (p *Producer) applied(batches []*producerBatch) {
	done := make([]*producerBatch, 0, len(batches))
	for _, b := range batches {
		if b.err == nil && b.append.Err == nil {
			done = append(done, b)
		}
	}
	p.acknowledge(done)
}

// acknowledge tells the waiting calls and queues the callbacks of batches. It
// does nothing for a batch that was here before. It does not block. One round
// calls it at a time for its own batches.
func (p *Producer) acknowledge(batches []*producerBatch) {
	callbacks := false
	var now time.Time
	for _, b := range batches {
		if b.acknowledged {
			continue
		}
		if b.err == nil { // counted before anybody is told, so that who is told finds it counted
			if now.IsZero() {
				now = p.log.cfg.Clock.Now()
			}
			p.log.metrics.produced(len(b.append.Batch), now.Sub(b.since))
		}
		b.told = b.err
		for i := range b.completions {
			if c := &b.completions[i]; c.call != nil {
				m, err := b.metadata(c)
				c.call.complete(int(c.index), m, err)
			}
		}
		callbacks = callbacks || b.hasCallbacks
	}
	if callbacks {
		p.mu.Lock()
		for _, b := range batches {
			if b.hasCallbacks && !b.acknowledged {
				p.queueCallbacksLocked(callbackJob{batch: b, group: b.group, bytes: b.reserved})
			}
		}
		p.mu.Unlock()
	}
	for _, b := range batches {
		b.acknowledged = true
	}
}

// complete ends batches that are stored or have failed for good.
func (p *Producer) complete(batches []*producerBatch) {
	for _, b := range batches {
		if b.err != nil {
			p.log.metrics.failedRecords.Add(int64(b.records()))
		}
	}
	p.acknowledge(batches)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range batches {
		if b.err != nil && b.awaited < b.records() && p.silentErr == nil {
			p.silentErr = b.acc.partition.mapError(b.err)
		}
		p.woken += b.calls
		p.releaseLocked(b.reserved)
		p.batchDoneLocked(b.group)
	}
}

// records is the number of records of a batch that was sealed or could not be.
func (b *producerBatch) records() int {
	if b.append.Batch != nil {
		return int(b.append.Header.NumRecords)
	}
	return b.unsealed
}

func (p *Producer) batchDoneLocked(g *flushGroup) {
	g.batches--
	p.endGroupLocked(g)
}

// fail reports a record that was not taken, like one that failed later.
func (p *Producer) fail(m RecordMetadata, callback func(RecordMetadata, error), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if callback == nil {
		if p.silentErr == nil {
			p.silentErr = err
		}
		return
	}
	p.queueCallLocked(func() { callback(m, err) })
}

// completeUnacknowledgedLocked answers for a record that nobody waits to be
// stored (acks=0).
func (p *Producer) completeUnacknowledgedLocked(b *producerBatch, c completion) {
	m, err := b.metadata(&c)
	if c.call != nil {
		c.call.complete(int(c.index), m, err)
		return
	}
	p.queueCallLocked(func() { c.callback(m, err) })
}

// callbackJob is a batch whose callbacks are to run, or one call by itself.
type callbackJob struct {
	batch *producerBatch
	call  func()
	group *flushGroup
	bytes int64
}

// callBytes is about what a call takes while it is queued by itself.
const callBytes = 256

// queueCallLocked queues one call behind the callbacks that wait. Flush waits
// for it too.
func (p *Producer) queueCallLocked(call func()) {
	p.queueCallbacksLocked(callbackJob{call: call, group: p.groups[len(p.groups)-1], bytes: callBytes})
}

func (p *Producer) queueCallbacksLocked(j callbackJob) {
	j.group.batches++
	p.callbacks = append(p.callbacks, j)
	p.callbackBytes += j.bytes
	if !p.callbackRunning {
		p.callbackRunning = true
		go p.runCallbacks() // Close waits for callbackRunning
	}
}

// runCallbacks calls back until nothing is queued.
func (p *Producer) runCallbacks() {
	p.log.label(roleCallback)
	p.mu.Lock()
	for len(p.callbacks) > 0 {
		j := p.callbacks[0]
		p.callbacks[0] = callbackJob{}
		p.callbacks = p.callbacks[1:]
		p.mu.Unlock()
		j.run(p.log)
		p.mu.Lock()
		p.callbackBytes -= j.bytes
		if j.batch != nil {
			p.recycleLocked(j.batch.completions)
			j.batch.completions = nil
		}
		p.turn.Broadcast()
		p.batchDoneLocked(j.group)
	}
	p.callbacks = nil
	p.callbackRunning = false
	p.turn.Broadcast()
	p.mu.Unlock()
}

func (j *callbackJob) run(l *Log) {
	if j.call != nil {
		l.guard(j.call)
		return
	}
	for next := 0; next < len(j.batch.completions); {
		l.guard(func() { j.batch.callBack(&next) })
	}
}

// callBack runs the callbacks from one on. next is behind the one that runs, so
// that a panic does not run it again.
func (b *producerBatch) callBack(next *int) {
	for *next < len(b.completions) {
		c := &b.completions[*next]
		*next++
		if c.callback != nil {
			m, err := b.metadata(c)
			c.callback(m, err)
		}
	}
}

// guard runs a function of the user's and keeps its panic from ending the
// process.
func (l *Log) guard(fn func()) {
	defer func() {
		if r := recover(); r != nil {
			l.callbackPanicked(r, debug.Stack())
		}
	}()
	fn()
}

func (l *Log) callbackPanicked(recovered any, stack []byte) {
	if h := l.cfg.Hooks.CallbackPanicked; h != nil {
		h(recovered, stack)
		return
	}
	l.cfg.Logger.Error("a produce callback panicked", "panic", recovered, "stack", string(stack))
}
