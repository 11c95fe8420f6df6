package leat

import (
	"context"
	"errors"
	"iter"
)

// recordsAhead is how many records Records decodes at a time.
const recordsAhead = 256

// Records returns the records one by one, waiting for each; the partitions take
// turns as in Poll. The position moves as a record is handed out: after the loop
// is left, Poll or another Records goes on with the record behind the last one,
// and what Seek, Pause and RemovePartitions do in the loop's body shows at the
// next record. A record may be kept beyond the loop.
//
// An error comes with an empty Record. Behind ErrClosed, ErrConcurrentPoll and
// the error of ctx the sequence ends. The others are those of Poll about one
// partition: a loop that goes on gets the records of the others, and the error
// again until a Seek or RemovePartitions settles it.
func (c *Consumer) Records(ctx context.Context) iter.Seq2[Record, error] {
	return c.records(ctx, func() bool { return false })
}

// RecordsToEnd is Records, but ends, without an error, when the positions of all
// partitions that are not paused are where the high watermarks were when the loop
// began, or behind: to build a state from all that there is. Some records that
// came meanwhile may be among them.
func (c *Consumer) RecordsToEnd(ctx context.Context) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		c.mu.Lock()
		ends := make(map[*assignedPartition]Offset, len(c.turns))
		for _, p := range c.turns {
			ends[p] = p.r.HighWatermark()
		}
		c.mu.Unlock()
		c.records(ctx, func() bool {
			for _, p := range c.turns {
				if end, ok := ends[p]; ok && !p.paused && Offset(p.position.Load()) < end {
					return false
				}
			}
			return true
		})(yield)
	}
}

// errAtEnd ends the sequence of records.
var errAtEnd = errors.New("leat: at the end")

// records is Records that ends when atEnd, which is called with c.mu held, says
// so.
func (c *Consumer) records(ctx context.Context, atEnd func() bool) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		buffer := c.takeSpare()
		var rest run // what was decoded and is not handed out
		defer func() { c.keep(rest, buffer) }()
		for {
			changes, err := c.nextRun(ctx, buffer, &rest, atEnd)
			switch {
			case err == errAtEnd:
				return
			case err == nil:
				if !c.yieldRun(ctx, &rest, changes, yield) {
					return
				}
			case !yield(Record{}, err), err == ctx.Err(), err == ErrConcurrentPoll, c.isClosed() && err == c.endErr:
				return
			}
		}
	}
}

// nextRun decodes records into buffer and shows them in rest; it returns errAtEnd
// when atEnd says so. changes is what c.changes was.
func (c *Consumer) nextRun(ctx context.Context, buffer []Record, rest *run, atEnd func() bool) (changes uint64, err error) {
	err = c.await(ctx, func() (bool, error) {
		changes = c.changes.Load()
		*rest = run{}
		if atEnd() {
			return false, errAtEnd
		}
		out, r, err := c.takeLocked(buffer[:0], cap(buffer))
		if err != nil {
			c.nextTurnLocked()
		}
		*rest = run{p: r.p, at: r.at, next: r.next, records: out}
		if err == nil && len(out) == 0 && atEnd() { // nothing was left but holes
			err = errAtEnd
		}
		return len(out) > 0, err
	})
	return changes, err
}

// yieldRun hands out the records of a run as long as nobody changed anything
// about them; rest is what is left. It reports whether the loop goes on.
func (c *Consumer) yieldRun(ctx context.Context, rest *run, changes uint64, yield func(Record, error) bool) bool {
	done := ctx.Done()
	p, at, records := rest.p, rest.at, rest.records
	defer func() {
		c.log.metrics.handedOut(len(rest.records) - len(records))
		rest.at, rest.records = at, records
	}()
	for len(records) > 0 {
		r := &records[0]
		to := r.Offset + 1
		if len(records) == 1 {
			to = rest.next
		}
		select {
		case <-done:
			return true
		default:
		}
		if c.changes.Load() != changes || !p.position.CompareAndSwap(int64(at), int64(to)) {
			return true
		}
		at, records = to, records[1:]
		if !yield(*r, nil) {
			return false
		}
	}
	return true
}

func (c *Consumer) isClosed() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// takeSpare returns room for recordsAhead records.
func (c *Consumer) takeSpare() []Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.spare; b != nil {
		c.spare = nil
		return b
	}
	return make([]Record, 0, recordsAhead)
}

// keep takes back the room of a Records that ends, with the records in it that
// it did not hand out: who reads one record in each of many loops does not pay
// for decoding the others again.
func (c *Consumer) keep(rest run, buffer []Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	if len(rest.records) == 0 || c.left.p != nil || c.assigned[rest.p.tp] != rest.p {
		clear(buffer[:cap(buffer)])
		c.spare = buffer
		return
	}
	c.left, c.leftBuffer = rest, buffer
}

// takeLeftLocked takes from what a Records left, as takeLocked does.
func (c *Consumer) takeLeftLocked(dst []Record, limit int) ([]Record, run) {
	l := &c.left
	if l.p == nil {
		return dst, run{}
	}
	p := l.p
	if p.paused || p.position.Load() != int64(l.at) || l.at < p.r.LogStart() || p.part.topic.deleted.Load() {
		c.dropLeftLocked()
		return dst, run{}
	}
	r := run{p: p, at: l.at, next: l.next}
	n := min(len(l.records), limit-len(dst))
	dst = append(dst, l.records[:n]...)
	if n < len(l.records) {
		r.next = l.records[n-1].Offset + 1
		l.at, l.records = r.next, l.records[n:]
		return dst, r
	}
	c.dropLeftLocked()
	return dst, r
}

func (c *Consumer) dropLeftLocked() {
	clear(c.leftBuffer[:cap(c.leftBuffer)])
	c.spare, c.left, c.leftBuffer = c.leftBuffer, run{}, nil
}
