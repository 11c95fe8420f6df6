package leat

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/leatlog/leat/internal/recordbatch"
	"github.com/leatlog/leat/internal/store"
)

const (
	// maxRounds is how many groups of batches are on their way at once: one is
	// built while the one before is fsynced.
	maxRounds = 2
	// pipelineBytes is what must wait for a second round to begin. Below, a
	// second round would only split what one fsync can carry.
	pipelineBytes = 128 << 10
	// maxRoundBytes bounds what one round takes.
	maxRoundBytes = 4 << 20
	// maxRoundBatches bounds what one round takes of a partition. All rounds
	// together must stay within the five batches that a partition remembers of a
	// producer, else a retry of the oldest could not be told from a gap
	// (max.in.flight.requests.per.connection).
	maxRoundBatches = 2
)

// Producer appends records to topics. It collects them into batches by
// partition, and stores what is collected together. One Producer serves any
// number of goroutines; all methods may be called concurrently.
//
// A Producer has no goroutine while it has nothing to do. A callback runs on a
// goroutine of the producer, one at a time, in the order of offsets within a
// partition; it must return soon. It may call Produce, but waiting in it for the
// producer (Flush, Close, ProduceSync, or a Produce that waits for room) can wait
// for ever; so can Close for a callback that produces again whatever the error is.
type Producer struct {
	log      *Log
	cfg      producerConfig
	appender appender
	id       int64 // recordbatch.NoProducerID without idempotence

	// order is held from taking batches until their order in the log is settled.
	// Lock order: order before mu.
	order      sync.Mutex
	compressor recordbatch.Compressor // guarded by order

	mu          sync.Mutex
	topics      map[string]*producerTopic
	ready       []*accumulator // have batches; those that began first come first
	dueCount    int            // batches that no longer linger
	buffered    int64          // bytes accepted and not yet stored
	pending     int64          // of them, bytes that no round has taken
	space       []*spaceWaiter // wait for room, first come first served
	rounds      int            // running or about to
	active      []uint64       // numbers of the rounds that have taken batches, oldest first
	nextRound   uint64
	turn        sync.Cond // on mu: active or the callback backlog has shrunk, or callbacks ended
	woken       int       // synchronous records that the last round completed
	syncWaiting int       // synchronous records that no round has taken

	lingering bool // a goroutine waits for the linger time
	flushing  int  // Flush and Close calls: nothing lingers
	groups    []*flushGroup
	closed    bool
	closeOnce sync.Once
	closeErr  error
	silentErr error // first failure of a record without a callback since the last Flush

	spareBuilders    []*recordbatch.Builder // with their buffers, for later batches
	spareBytes       int
	spareCompletions [][]completion
	scratch          Record // what the partitioner sees

	callbacks       []callbackJob // to run, in order
	callbackBytes   int64
	callbackRunning bool // a goroutine runs them; not in wg, for it can begin after Close

	stop chan struct{}  // closed by Close when everything is drained
	wg   sync.WaitGroup // rounds, linger
}

// spaceWaiter is a Produce that waits for room in the buffer.
type spaceWaiter struct {
	bytes   int64
	granted chan struct{} // closed when the bytes are reserved for it, or on Close
}

// flushGroup counts the batches that were begun between two Flush calls, until
// they are stored, and their callbacks, until they have run.
type flushGroup struct {
	batches int
	sealed  bool          // no batch is added any more
	done    chan struct{} // closed when sealed and none is left
}

// NewProducer returns a producer; Close ends it, at the latest that of the Log.
// It returns a *ConfigError for a bad option.
func (l *Log) NewProducer(opts ...ProducerOption) (*Producer, error) {
	if err := l.begin(context.Background()); err != nil {
		return nil, err
	}
	defer l.end()
	cfg := defaultProducerConfig()
	for _, o := range opts {
		if o != nil {
			o(&cfg)
		}
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	p := &Producer{
		log:      l,
		cfg:      cfg,
		appender: l.appender,
		id:       recordbatch.NoProducerID,
		topics:   make(map[string]*producerTopic),
		groups:   []*flushGroup{{done: make(chan struct{})}},
		stop:     make(chan struct{}),
	}
	p.turn.L = &p.mu
	if cfg.idempotent {
		id, err := l.catalog.newProducerID(context.Background())
		if err != nil {
			return nil, l.mapError(err)
		}
		p.id = id
	}
	if err := l.adopt(p); err != nil {
		return nil, err
	}
	return p, nil
}

// Produce takes a record and returns; callback, if not nil, is called once with
// what became of it. What the record points to may be reused when Produce
// returns. Produce waits only for room in the buffer, until ctx ends; it fails
// with ErrBufferFull instead if the producer is non-blocking. Once a record is
// taken, ctx has no effect on it.
//
// Every failure goes to the callback: ErrUnknownTopic, ErrUnknownPartition, a
// *RecordTooLargeError, a *InvalidRecordError, ErrBufferFull, ErrClosed,
// ErrStorageFailed, or that of ctx. The first failure of a record without a
// callback is returned by the next Flush or Close.
func (p *Producer) Produce(ctx context.Context, r Record, callback func(RecordMetadata, error)) {
	if err := p.add(ctx, &r, completion{callback: callback}); err != nil {
		p.fail(RecordMetadata{Topic: r.Topic, Partition: r.Partition, Offset: -1, Timestamp: r.Timestamp}, callback, err)
	}
}

// ProduceSync stores records and returns when all are acknowledged. The metadata
// are in the order of the records; for one that failed the offset is -1. The
// error is the first failure, wrapped so that errors.Is and errors.As find it;
// the other records may be stored. When ctx ends first, its error is returned
// and the records that were taken may still become stored; a write that the call
// makes itself, because nobody else was there to, is waited for all the same.
func (p *Producer) ProduceSync(ctx context.Context, rs ...Record) ([]RecordMetadata, error) {
	if err := contextError(ctx); err != nil {
		return nil, err
	}
	if len(rs) == 0 {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.closed {
			return nil, ErrClosed
		}
		return nil, nil
	}
	call := &syncCall{results: make([]RecordMetadata, len(rs)), done: make(chan struct{})}
	call.left.Store(int32(len(rs)))
	for i := range rs {
		r := &rs[i]
		call.results[i] = RecordMetadata{Topic: r.Topic, Partition: r.Partition, Offset: -1, Timestamp: r.Timestamp}
		if err := p.add(ctx, r, completion{call: call, index: int32(i)}); err != nil {
			call.complete(i, call.results[i], err)
		}
	}
	p.mu.Lock()
	inline := p.startLocked()
	p.mu.Unlock()
	if inline {
		p.runInline()
	}
	select {
	case <-call.done:
	default:
		select {
		case <-call.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return call.results, call.err()
}

// add puts a record into its partition's open batch, and starts a round if one is
// due. A synchronous call starts its own when all its records are in.
func (p *Producer) add(ctx context.Context, r *Record, c completion) error {
	if err := contextError(ctx); err != nil {
		return err
	}
	size := int64(recordbatch.RecordSizeMax(r.Key, r.Value, r.Headers)) + recordbatch.HeaderSize
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	pt, err := p.topicLocked(ctx, r.Topic)
	if err != nil {
		return err
	}
	if size > p.cfg.bufferBytes {
		return &RecordTooLargeError{Topic: r.Topic, Bytes: int(size), Limit: int(p.cfg.bufferBytes), Setting: "the producer's buffer.memory"}
	}
	if p.buffered+size > p.cfg.bufferBytes || len(p.space) > 0 {
		if err := p.waitSpaceLocked(ctx, size); err != nil {
			return err
		}
	} else {
		p.buffered += size
	}
	if err := p.appendLocked(pt, r, size, c); err != nil {
		p.releaseLocked(size)
		return err
	}
	if c.call == nil && p.startLocked() {
		p.wg.Go(p.run)
	}
	return nil
}

// waitSpaceLocked reserves bytes of the buffer. It gives up p.mu while it waits.
func (p *Producer) waitSpaceLocked(ctx context.Context, bytes int64) error {
	if p.cfg.nonBlocking {
		return fmt.Errorf("%w: %d of %d bytes are in use", ErrBufferFull, p.buffered, p.cfg.bufferBytes)
	}
	// What fills the buffer must be on its way, else nobody makes room.
	p.flushing++
	if p.startLocked() {
		p.wg.Go(p.run)
	}
	w := &spaceWaiter{bytes: bytes, granted: make(chan struct{})}
	p.space = append(p.space, w)
	p.mu.Unlock()
	var err error
	select {
	case <-w.granted:
	case <-ctx.Done():
		err = ctx.Err()
	}
	p.mu.Lock()
	p.flushing--
	if err != nil {
		for i, x := range p.space {
			if x == w {
				p.space = append(p.space[:i], p.space[i+1:]...)
				p.grantLocked()
				return err
			}
		}
		p.releaseLocked(bytes) // it was granted meanwhile
		return err
	}
	if p.closed {
		p.releaseLocked(bytes)
		return ErrClosed
	}
	return nil
}

func (p *Producer) releaseLocked(bytes int64) {
	p.buffered -= bytes
	p.grantLocked()
}

func (p *Producer) grantLocked() {
	for len(p.space) > 0 && (p.closed || p.buffered+p.space[0].bytes <= p.cfg.bufferBytes) {
		w := p.space[0]
		p.space = p.space[1:]
		p.buffered += w.bytes
		close(w.granted)
	}
}

// startLocked reserves a round if there is something to do for one.
func (p *Producer) startLocked() bool {
	if p.dueCount == 0 && !(p.flushing > 0 && len(p.ready) > 0) {
		return false
	}
	if p.rounds > 0 && (p.rounds >= maxRounds || p.pending < pipelineBytes) {
		return false
	}
	p.rounds++
	return true
}

// run makes rounds until nothing is left for its slot.
func (p *Producer) run() {
	p.log.label(roleAppend)
	for again := true; again; {
		p.runRound()
		again = p.endRound(false)
	}
}

// runInline makes a round on the goroutine of a synchronous caller, unless it
// would have to wait for something that it need not: a disk that its acks do not
// ask for, or what its context would not end.
func (p *Producer) runInline() {
	if p.cfg.acks == AcksAll && p.order.TryLock() {
		p.mu.Lock()
		backlog := p.backlogLocked()
		p.mu.Unlock()
		if !backlog {
			p.runRoundOrdered()
			p.endRound(true) // what has come meanwhile is not for this caller to store
			return
		}
		p.order.Unlock()
	}
	p.wg.Go(p.run) // Close waits for the caller's records first
}

// endRound frees the slot of a round, and reserves it again if there is more to
// do: for the caller, or for a goroutine of its own.
func (p *Producer) endRound(spawn bool) (again bool) {
	p.gather()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rounds--
	if again = p.startLocked(); again && spawn {
		p.wg.Go(p.run)
	}
	return again
}

// gather lets the synchronous callers that a round has woken run, so that what
// they produce next shares the next round and its fsync: without it the next
// round would begin with the first that came and make the others wait for two. It
// gives up when a few turns brought nobody new.
func (p *Producer) gather() {
	const turnsWithoutNewsMax = 4
	p.mu.Lock()
	expected := p.woken + p.syncWaiting
	p.woken = 0
	before := p.syncWaiting
	p.mu.Unlock()
	if expected < 2 {
		return
	}
	for idle := 0; idle < turnsWithoutNewsMax; {
		runtime.Gosched()
		p.mu.Lock()
		now := p.syncWaiting
		p.mu.Unlock()
		if now >= expected {
			return
		}
		if now == before {
			idle++
		} else {
			idle, before = 0, now
		}
	}
}

// runRound takes the batches that are due, stores them and completes them.
func (p *Producer) runRound() {
	p.order.Lock()
	p.mu.Lock()
	for p.backlogLocked() {
		p.turn.Wait()
	}
	p.mu.Unlock()
	p.runRoundOrdered()
}

// backlogLocked reports whether callbacks are that much slower than the disk that
// nothing more may be stored.
func (p *Producer) backlogLocked() bool { return p.callbackBytes > p.cfg.bufferBytes }

// runRoundOrdered is runRound for who holds order, which it releases.
func (p *Producer) runRoundOrdered() {
	p.mu.Lock()
	batches := p.drainLocked()
	if len(batches) == 0 {
		p.mu.Unlock()
		p.order.Unlock()
		return
	}
	number := p.nextRound
	p.nextRound++
	p.active = append(p.active, number)
	behind := len(p.active) > 1
	p.mu.Unlock()

	appends := make([]*partitionAppend, 0, len(batches))
	for _, b := range batches {
		if b.err = b.seal(&p.compressor); b.err == nil {
			appends = append(appends, &b.append)
		}
	}
	p.recycleBuilders(batches)
	hooks := store.AppendHooks{Enqueued: p.order.Unlock}
	if p.cfg.acks == AcksLeader {
		hooks.Applied = func() { p.applied(batches) }
	}
	err := p.appender.Append(appends, hooks)

	p.waitTurn(number)
	if again := outcome(batches, err, behind); len(again) > 0 {
		p.retry(again)
	}
	p.complete(batches)
	p.mu.Lock()
	p.active = p.active[1:]
	if len(p.active) == 0 && len(p.ready) == 0 {
		p.trimSparesLocked()
	}
	p.turn.Broadcast()
	p.mu.Unlock()
}

// waitTurn returns when the round is the oldest that is not complete. Without it
// the goroutine of a later round could be quicker, and callbacks of a partition
// would run out of order.
func (p *Producer) waitTurn(number uint64) {
	p.mu.Lock()
	for p.active[0] != number {
		p.turn.Wait()
	}
	p.mu.Unlock()
}

// outcome notes what became of the batches and returns those worth a retry.
// behind says that an earlier round was under way when they were sent: what that
// one had to retry left a gap in the sequence, which is closed by now.
func outcome(batches []*producerBatch, err error, behind bool) []*producerBatch {
	var again []*producerBatch
	for _, b := range batches {
		if b.append.Batch == nil {
			continue // it could not be sealed
		}
		if b.err = b.append.Err; err != nil {
			b.err = err
		}
		if b.err != nil && (isRetriable(b.err) || (behind && errors.Is(b.err, store.ErrOutOfOrderSequence))) {
			again = append(again, b)
		}
	}
	return again
}

// isRetriable tells failures that may pass by themselves.
func isRetriable(err error) bool {
	var r interface{ Retriable() bool }
	return errors.As(err, &r) && r.Retriable()
}

const (
	retryBackoffMin = 20 * time.Millisecond
	retryBackoffMax = time.Second
)

// retry stores batches again until they are stored, fail for good, or time out.
// Its round is the oldest. While it is under way no later batch is stored: order
// is held, and a later round that was already sent finds a gap in the sequence
// and comes here in its turn, where the gap is closed.
func (p *Producer) retry(batches []*producerBatch) {
	p.order.Lock()
	defer p.order.Unlock()
	defer p.beginAnewAfterFailure(batches)
	clock := p.log.cfg.Clock
	deadline := clock.Now().Add(p.cfg.deliveryTimeout)
	backoff := retryBackoffMin
	for len(batches) > 0 {
		timer := clock.NewTimer(backoff)
		select {
		case <-timer.C():
		case <-p.log.leadersChanged():
		case <-p.log.ctx.Done():
			timer.Stop()
		}
		backoff = min(2*backoff, retryBackoffMax)
		appends := make([]*partitionAppend, len(batches))
		for i, b := range batches {
			b.append.Err = nil
			appends[i] = &b.append
		}
		err := p.appender.Append(appends, store.AppendHooks{})
		batches = outcome(batches, err, false)
		if clock.Now().After(deadline) || p.log.ctx.Err() != nil {
			for _, b := range batches {
				b.err = fmt.Errorf("%w after %v: %w", ErrDeliveryTimeout, p.cfg.deliveryTimeout, b.err)
			}
			return
		}
	}
}

// leadersChanged returns a channel that is closed when some partition gets another
// leader; nil on a Log without a cluster.
func (l *Log) leadersChanged() <-chan struct{} {
	if l.cluster == nil {
		return nil
	}
	return l.cluster.leaders.next()
}

// beginAnewAfterFailure gives the partitions of batches that failed for good the
// next epoch, whose sequence begins at 0: the failed batch left a gap that the
// current one cannot skip (KIP-360). The caller holds order.
func (p *Producer) beginAnewAfterFailure(batches []*producerBatch) {
	for _, b := range batches {
		if b.err != nil && p.id >= 0 && b.acc.epoch == b.append.Header.ProducerEpoch {
			b.acc.epoch++
			b.acc.sequence = 0
		}
	}
}

// Flush stores what was produced before the call, without lingering, and returns
// when it is durable, whatever the acks are, and its callbacks have returned, or
// with ctx's error. It also returns the first failure of a record that had no callback.
func (p *Producer) Flush(ctx context.Context) error {
	if ctx == nil {
		return contextError(ctx)
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return ErrClosed
	}
	p.mu.Unlock()
	return p.flush(ctx)
}

func (p *Producer) flush(ctx context.Context) error {
	p.mu.Lock()
	open := p.groups[len(p.groups)-1]
	open.sealed = true
	p.groups = append(p.groups, &flushGroup{done: make(chan struct{})})
	p.endGroupLocked(open)
	wait := append([]*flushGroup(nil), p.groups[:len(p.groups)-1]...)
	p.flushing++
	if p.startLocked() {
		p.wg.Go(p.run)
	}
	p.mu.Unlock()
	err := func() error {
		for _, g := range wait {
			select {
			case <-g.done:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}()
	p.mu.Lock()
	p.flushing--
	if err == nil {
		err, p.silentErr = p.silentErr, nil
	}
	p.mu.Unlock()
	return err
}

// endGroupLocked forgets a group whose batches are complete.
func (p *Producer) endGroupLocked(g *flushGroup) {
	if !g.sealed || g.batches > 0 {
		return
	}
	for i, x := range p.groups {
		if x == g {
			p.groups = append(p.groups[:i], p.groups[i+1:]...)
			close(g.done)
			return
		}
	}
}

// Close takes no more records, stores what it holds, waits for the callbacks and
// ends the producer. It returns the first failure of a record that had no
// callback. A Produce that waits for room fails with ErrClosed, and so does one
// that comes later, whose callback still gets a goroutine. The second call returns
// what the first did; it waits for such callbacks too.
func (p *Producer) Close() error {
	p.closeOnce.Do(func() {
		p.mu.Lock()
		p.closed = true
		p.flushing++
		p.grantLocked()
		p.mu.Unlock()
		p.closeErr = p.flush(context.Background())
		close(p.stop)
		p.wg.Wait()
		p.log.release(p)
	})
	p.mu.Lock()
	for p.callbackRunning {
		p.turn.Wait()
	}
	p.mu.Unlock()
	return p.closeErr
}

func (p *Producer) closeWithLog() error { return p.Close() }
