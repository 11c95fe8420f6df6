package leat

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/leatlog/leat/internal/recordbatch"
)

// Consumer reads partitions that it was told to read, each from a position on
// that moves with what Poll or Records hand out. Records of a partition come in
// the order of their offsets, none is left out, none comes twice.
//
// All methods may be called concurrently, but one goroutine at a time polls: a
// Poll beside another gets ErrConcurrentPoll. A Consumer has no goroutine, and
// reads nothing while no new record is there: it is woken by what is written.
type Consumer struct {
	log *Log
	cfg consumerConfig

	// wake tells a waiting Poll to look again. The partitions, the catalog and
	// the consumer's own methods send on it, without blocking; it has room for
	// one and is never closed.
	wake chan struct{}
	done chan struct{} // closed by Close
	// polling is held by the Poll under way: wake has one receiver.
	polling atomic.Bool
	// changes counts what makes records that were decoded ahead unwanted without
	// a change of the position: Pause, RemovePartitions, Close.
	changes     atomic.Uint64
	interrupted atomic.Bool // see interrupt

	mu         sync.Mutex
	closed     bool
	endErr     error // what calls return once closed
	assigned   map[TopicPartition]*assignedPartition
	turns      []*assignedPartition // in the order of assignment
	turn       int                  // index in turns of the partition to read; 0 when empty
	piece      piece
	left       run // what a Records that ended left over, in leftBuffer
	leftBuffer []Record
	unpacker   *recordbatch.Decompressor
	headers    []Header // room for headers; what was handed out is not used again
	polled     []Record // what the last Poll returned
	spare      []Record // for the next Records
	read       int      // bytes read by the Poll under way
}

// assignedPartition is a partition that the consumer reads.
type assignedPartition struct {
	part *Partition
	r    replica
	tp   TopicPartition
	// position is the offset of the next record to hand out, or removedPosition.
	// Whoever hands out a record swaps the position from what it was when the
	// record was decoded to the one behind it, and keeps the record to itself when
	// that fails: then another handed it out, or Seek went elsewhere.
	position atomic.Int64
	paused   bool // guarded by Consumer.mu
}

// removedPosition is no position that a record could be decoded for.
const removedPosition = -1

// errInterrupted is returned by the poll that interrupt ended.
var errInterrupted = errors.New("leat: poll was interrupted")

// NewConsumer returns a consumer; Close ends it, at the latest that of the Log.
// Without Assign it reads nothing, and Poll waits, until AddPartitions.
// It returns a *ConfigError for a bad option, ErrUnknownTopic or
// ErrUnknownPartition for what is assigned but is not there, or the error of the
// Start.
func (l *Log) NewConsumer(opts ...ConsumerOption) (*Consumer, error) {
	if err := l.begin(context.Background()); err != nil {
		return nil, err
	}
	defer l.end()
	cfg := defaultConsumerConfig()
	for _, o := range opts {
		if o != nil {
			o(&cfg)
		}
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c := l.newConsumer(cfg)
	made := false
	defer func() {
		if !made { // or the program's Start panicked
			c.closeWith(ErrClosed)
		}
	}()
	for _, a := range cfg.assign {
		if err := c.assignTopic(a); err != nil {
			return nil, err
		}
	}
	if err := l.adopt(c); err != nil {
		return nil, err
	}
	made = true
	return c, nil
}

// newConsumer returns a consumer without partitions that the Log does not know:
// whoever makes it ends it with closeWith before the Log's calls are waited for.
func (l *Log) newConsumer(cfg consumerConfig) *Consumer {
	c := &Consumer{
		log:      l,
		cfg:      cfg,
		wake:     make(chan struct{}, 1),
		done:     make(chan struct{}),
		assigned: make(map[TopicPartition]*assignedPartition),
		unpacker: recordbatch.NewDecompressor(maxDecompressedBytes),
	}
	// A topic that is deleted wakes whoever waits for its records.
	l.catalog.watch(c.wake)
	return c
}

// Poll returns the next records, at least one and at most max; a max of 0 or
// less means WithMaxPollRecords. It takes what there is without waiting for more,
// and waits only if there is nothing, until ctx ends, whose error it returns. The
// partitions take turns, each with a piece of WithFetchBytes.
//
// The slice is overwritten by the next Poll; what the records point to stays
// valid, and must not be written to.
//
// An error is about one partition, whose position stays; the next Poll goes on
// with the others, and comes back to it. It needs a Seek or RemovePartitions:
// *OffsetOutOfRangeError without a reset policy, *CorruptRecordsError for damage,
// ErrTopicDeleted. Records that were found before an error are returned first.
// Once the Consumer or the Log is closed Poll returns ErrClosed, also if it is
// waiting.
func (c *Consumer) Poll(ctx context.Context, max int) ([]Record, error) {
	if max <= 0 {
		max = c.cfg.maxPollRecords
	}
	var rs []Record
	err := c.await(ctx, func() (bool, error) {
		var err error
		rs, err = c.fillLocked(max)
		return len(rs) > 0, err
	})
	return rs, err
}

// await calls try, with c.mu held, until it reports that it found something or an
// error.
func (c *Consumer) await(ctx context.Context, try func() (bool, error)) error {
	if err := c.log.begin(ctx); err != nil {
		return c.ended(err)
	}
	defer c.log.end()
	if !c.polling.CompareAndSwap(false, true) {
		return ErrConcurrentPoll
	}
	defer c.polling.Store(false)
	for {
		c.mu.Lock()
		if c.closed {
			defer c.mu.Unlock()
			return c.endErr
		}
		found, err := try()
		c.mu.Unlock()
		if found || err != nil {
			return err
		}
		if c.interrupted.CompareAndSwap(true, false) {
			return errInterrupted
		}
		select {
		case <-c.wake:
		case <-c.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ended returns what the consumer was closed with rather than the Log's error.
func (c *Consumer) ended(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.endErr
	}
	return err
}

// fillLocked returns what is there for a Poll.
func (c *Consumer) fillLocked(max int) ([]Record, error) {
	rs := c.polled[:0]
	var failure error
	for c.read = 0; len(rs) < max && c.read < c.cfg.maxPollBytes; {
		n := len(rs)
		var r run
		rs, r, failure = c.takeLocked(rs, max)
		if failure != nil || len(rs) == n {
			break
		}
		if !r.p.position.CompareAndSwap(int64(r.at), int64(r.next)) {
			rs = rs[:n] // a Records handed them out
		}
	}
	if n := len(rs); n < len(c.polled) {
		clear(c.polled[n:]) // do not hold on to old batches
	}
	c.polled = rs
	if len(rs) > 0 {
		c.log.metrics.handedOut(len(rs))
		return rs, nil // the failing partition is the next to be asked
	}
	if failure != nil {
		c.nextTurnLocked()
	}
	return nil, failure
}

// interrupt makes the poll under way, or the next one, return errInterrupted once
// it finds nothing to hand out.
func (c *Consumer) interrupt() {
	c.interrupted.Store(true)
	c.wakeUp()
}

func (c *Consumer) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Close ends the consumer; a Poll that waits returns ErrClosed. It may be called
// more than once.
func (c *Consumer) Close() error {
	c.closeWith(ErrClosed)
	c.log.release(c)
	return nil
}

func (c *Consumer) closeWithLog() error { return c.Close() }

// closeWith ends the consumer and says what its calls return from now on.
func (c *Consumer) closeWith(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed, c.endErr = true, err
	c.changes.Add(1)
	close(c.done)
	c.log.catalog.unwatch(c.wake)
	for _, p := range c.turns {
		p.r.Unwatch(c.wake)
	}
	c.piece, c.left = piece{}, run{}
	c.leftBuffer, c.headers, c.polled, c.spare = nil, nil, nil, nil
}
