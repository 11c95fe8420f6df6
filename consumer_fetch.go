package leat

import (
	"errors"
	"time"

	"github.com/leatlog/leat/internal/recordbatch"
	"github.com/leatlog/leat/internal/store"
)

// piece is what was read of one partition and is being handed out. A consumer
// has one, so that what it holds does not grow with its partitions.
type piece struct {
	p       *assignedPartition // nil when there is none
	fetch   store.Fetch
	from    Offset // where it was read from
	batch   int    // index of the first batch that is not open yet
	open    bool   // it is in the middle of a batch
	it      recordbatch.Iterator
	next    Offset // the position that the decoded records lead to
	failure error  // what is behind the batches, or nil
}

// run is a sequence of decoded records of one partition. Handing it out takes the
// position from at to next.
type run struct {
	p        *assignedPartition
	at, next Offset
	records  []Record // set where the run is kept
}

// reset drops what the piece has.
func (pc *piece) reset() {
	clear(pc.fetch.Batches)
	*pc = piece{fetch: store.Fetch{Batches: pc.fetch.Batches[:0]}}
}

// exhausted reports whether nothing is left to hand out, not even an error.
func (pc *piece) exhausted() bool {
	return !pc.open && pc.batch == len(pc.fetch.Batches) && pc.failure == nil
}

// goTo makes the piece go on at a position; it reports whether it has it.
func (pc *piece) goTo(p *assignedPartition, at Offset) bool {
	switch {
	case pc.p != p || at < pc.from || at > pc.next && pc.exhausted():
		return false
	case at == pc.next:
		return true
	case at < pc.next:
		pc.batch, pc.open = 0, false
	}
	pc.next, pc.failure = at, nil
	return true
}

// takeLocked appends records of one partition, in runs of one, until dst has limit:
// of the partition whose turn it is, or the first behind it that has some. It
// appends none when there is none. The position is the caller's to move.
func (c *Consumer) takeLocked(dst []Record, limit int) ([]Record, run, error) {
	if out, r := c.takeLeftLocked(dst, limit); r.p != nil {
		return out, r, nil
	}
	for range c.turns {
		p := c.turns[c.turn]
		out, r, err := c.takeOfLocked(p, dst, limit)
		if err != nil {
			return dst, run{}, err
		}
		if c.piece.p == p && c.piece.exhausted() {
			c.piece.reset()
		}
		if c.piece.p != p {
			c.nextTurnLocked()
		}
		if len(out) > len(dst) {
			return out, r, nil
		}
	}
	return dst, run{}, nil
}

// takeOfLocked is takeLocked for one partition.
func (c *Consumer) takeOfLocked(p *assignedPartition, dst []Record, limit int) ([]Record, run, error) {
	n := len(dst)
	for !p.paused {
		if p.part.topic.deleted.Load() {
			return dst, run{}, topicError(p.tp.Topic, ErrTopicDeleted)
		}
		at := Offset(p.position.Load())
		if p.r.AtEnd(at) {
			break
		}
		if at < p.r.LogStart() || !c.piece.goTo(p, at) {
			moved, err := c.readLocked(p, at)
			if err != nil {
				return dst, run{}, err
			}
			if moved {
				continue
			}
		}
		var err error
		if dst, err = c.piece.decode(c, dst, limit); err != nil {
			return dst[:n], run{}, err
		}
		if len(dst) > n {
			return dst, run{p: p, at: at, next: c.piece.next}, nil
		}
		// Only what is not for the program: markers, or what was skipped.
		p.position.CompareAndSwap(int64(at), int64(c.piece.next))
		if c.piece.exhausted() {
			c.piece.reset()
		}
	}
	if c.piece.p == p {
		c.piece.reset()
	}
	return dst, run{}, nil
}

// readLocked reads the next piece of a partition. moved says that the position
// is elsewhere now and nothing was read.
func (c *Consumer) readLocked(p *assignedPartition, at Offset) (moved bool, err error) {
	pc := &c.piece
	pc.reset()
	err = p.r.Read(&pc.fetch, at, c.cfg.fetchBytes)
	c.read += pc.fetch.Bytes
	if len(pc.fetch.Batches) > 0 {
		c.log.metrics.fetched(pc.fetch.Bytes)
		// An error is for when what is before it has been handed out.
		pc.p, pc.from, pc.next = p, at, at
		return false, nil
	}
	if err != nil {
		return c.failedLocked(p, at, err)
	}
	// Compaction left nothing from here to the end.
	p.position.CompareAndSwap(int64(at), int64(pc.fetch.HighWatermark))
	return true, nil
}

// failedLocked applies the reset policy, or tells what went wrong.
func (c *Consumer) failedLocked(p *assignedPartition, at Offset, err error) (moved bool, _ error) {
	var oor *store.OffsetOutOfRangeError
	var bad *store.CorruptBatchError
	switch {
	case errors.As(err, &oor) && c.cfg.reset != ResetNone:
		to := oor.LogStart
		if c.cfg.reset == ResetLatest {
			to = oor.HighWatermark
		}
		p.position.CompareAndSwap(int64(at), int64(to))
		c.log.cfg.Logger.Warn("consumer position reset", "topic", p.tp.Topic, "partition", p.tp.Partition,
			"offset", at, "to", to, "log_start", oor.LogStart, "high_watermark", oor.HighWatermark)
		return true, nil
	case errors.As(err, &bad):
		next, nextErr := p.r.NextBatch(bad.Offset)
		if nextErr != nil {
			return false, errors.Join(p.part.mapError(err), nextErr)
		}
		return false, c.corrupt(p, at, next, err)
	}
	return false, p.part.mapError(err)
}

func (c *Consumer) corrupt(p *assignedPartition, at, next Offset, err error) error {
	return &CorruptRecordsError{Topic: p.tp.Topic, Partition: p.tp.Partition, Offset: at, Next: next, Err: err}
}

// decode appends records until dst has limit or the piece ends. An error comes only
// alone; records that are before it come first.
func (pc *piece) decode(c *Consumer, dst []Record, limit int) ([]Record, error) {
	n := len(dst)
	for len(dst) < limit && pc.failure == nil {
		if !pc.open {
			if pc.batch == len(pc.fetch.Batches) {
				break
			}
			pc.openBatch(c, pc.fetch.Batches[pc.batch])
			pc.batch++
			continue
		}
		dst = pc.decodeBatch(c, dst, limit)
	}
	if len(dst) == n && pc.failure != nil {
		err := pc.failure
		pc.reset()
		return dst, err
	}
	return dst, nil
}

// openBatch starts on a batch, or skips it.
func (pc *piece) openBatch(c *Consumer, batch []byte) {
	h, err := recordbatch.ParseHeader(batch)
	if err != nil {
		pc.failure = c.corrupt(pc.p, pc.next, pc.next+1, err)
		return
	}
	if h.LastOffset() < pc.next {
		return
	}
	if h.IsControl() {
		pc.next = h.NextOffset()
		return
	}
	if err := pc.it.Reset(batch, c.unpacker); err != nil {
		pc.failure = c.corrupt(pc.p, pc.next, h.NextOffset(), err)
		return
	}
	if h.Codec() != recordbatch.None {
		c.unpacker.Detach() // the records belong to the program
	}
	pc.open = true
}

// decodeBatch appends records of the open batch.
func (pc *piece) decodeBatch(c *Consumer, dst []Record, limit int) []Record {
	h := pc.it.Header()
	topic, number, epoch, next := pc.p.tp.Topic, pc.p.tp.Partition, h.LeaderEpoch, pc.next
	// The last record's Next belongs to its run, so that an exhausted piece is
	// known as one and the next partition's turn comes.
	for len(dst) < limit || next > h.LastOffset() {
		if !pc.it.Next() {
			pc.open = false
			if err := pc.it.Err(); err != nil {
				pc.failure = c.corrupt(pc.p, next, h.NextOffset(), err)
				break
			}
			next = max(next, h.NextOffset()) // a Seek may have gone beyond
			break
		}
		in := pc.it.Record()
		if in.Offset < next {
			continue
		}
		if len(dst) == cap(dst) {
			dst = append(dst, Record{})
		} else {
			dst = dst[:len(dst)+1]
		}
		out := &dst[len(dst)-1]
		out.Topic, out.Partition = topic, number
		out.Offset, out.LeaderEpoch = in.Offset, epoch
		out.Timestamp = timestamp(in.Timestamp)
		out.Key, out.Value, out.Headers = in.Key, in.Value, nil
		if in.NumHeaders > 0 {
			var err error
			if out.Headers, err = c.decodeHeaders(in); err != nil {
				dst = dst[:len(dst)-1]
				pc.open = false
				pc.failure = c.corrupt(pc.p, in.Offset, in.Offset+1, err)
				break
			}
		}
		next = in.Offset + 1
	}
	pc.next = next
	return dst
}

// timestamp returns the time of ms; -1 is none.
func timestamp(ms int64) time.Time {
	if ms == -1 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// headersRoom is for how many headers memory is allocated at once.
const headersRoom = 64

func (c *Consumer) decodeHeaders(r *recordbatch.Record) ([]Header, error) {
	if cap(c.headers)-len(c.headers) < r.NumHeaders {
		c.headers = make([]Header, 0, max(headersRoom, r.NumHeaders))
	}
	n := len(c.headers)
	hs, err := r.Headers(c.headers)
	if err != nil {
		return nil, err
	}
	c.headers = hs
	return hs[n:len(hs):len(hs)], nil
}
