package kafka

import (
	"encoding/binary"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/store"
)

const (
	// fetchWaitMax is the longest that a Fetch waits, whatever the client says.
	fetchWaitMax = 5 * time.Minute
	// copiedBytes is up to where a batch is copied beside what is around it, which
	// costs less than to hand it to the network on its own.
	copiedBytes = 1 << 10
)

// fetched is what a Fetch finds in one partition.
type fetched struct {
	number   int32
	from     base.Offset
	maxBytes int
	part     *store.Partition // nil if code says why
	code     Code
	fetch    store.Fetch
}

// fetch reads batches and waits until there are enough of them. It takes no part in
// fetch sessions (KIP-227): every answer has session id 0, and clients then name all
// partitions every time.
func (c *conn) fetch(r *request, req *kmsg.FetchRequest) error {
	if req.Version >= 7 && (req.SessionID != 0 || req.SessionEpoch > 0) {
		return c.send(&answer{build: func() net.Buffers {
			return encodeFetch(r, req, FetchSessionIDNotFound, nil)
		}})
	}
	parts := c.resolveFetch(req)
	limit := c.server.limits.FetchBytes
	if req.MaxBytes >= 0 {
		limit = min(limit, int(req.MaxBytes))
	}
	wait := min(max(time.Duration(req.MaxWaitMillis)*time.Millisecond, 0), fetchWaitMax)
	held, err := c.await(parts, limit, min(int(req.MinBytes), limit), wait)
	if err != nil {
		return err
	}
	return c.send(&answer{build: func() net.Buffers { return encodeFetch(r, req, None, parts) }, held: held})
}

// resolveFetch finds the partitions, in the request's order.
func (c *conn) resolveFetch(req *kmsg.FetchRequest) []fetched {
	n := 0
	for i := range req.Topics {
		n += len(req.Topics[i].Partitions)
	}
	parts := make([]fetched, 0, n)
	seen := make(map[*store.Partition]struct{}, n)
	for i := range req.Topics {
		t := &req.Topics[i]
		var topic Topic
		missing := UnknownTopicOrPartition
		if req.Version >= 13 {
			topic, missing = c.server.backend.TopicByID(t.TopicID), UnknownTopicID
		} else {
			topic = c.server.backend.Topic(t.Topic)
		}
		for j := range t.Partitions {
			p := &t.Partitions[j]
			f := fetched{number: p.Partition, from: base.Offset(p.FetchOffset), maxBytes: int(p.PartitionMaxBytes)}
			if topic == nil {
				f.code = missing
			} else if part, err := topic.Replica(p.Partition); err != nil {
				f.code = c.storeCode(err)
			} else if !first(seen, part) {
				f.code = InvalidRequest // else it would be read and watched many times
			} else if f.code = checkLeaderEpoch(p.CurrentLeaderEpoch); f.code == None {
				f.part = part
			}
			parts = append(parts, f)
		}
	}
	return parts
}

// checkLeaderEpoch is KIP-320's check of the epoch that a client knows; -1 is none.
func checkLeaderEpoch(epoch int32) Code {
	if epoch > leaderEpoch {
		return UnknownLeaderEpoch
	}
	return None
}

// await reads until there are minBytes, something is to be told at once, or the
// time is up. It returns what it holds of the server's memory for answers.
func (c *conn) await(parts []fetched, limit, minBytes int, wait time.Duration) (held int64, err error) {
	var timer base.Timer
	var wake chan struct{}
	for {
		// What is read from disk takes memory: first ask for it.
		if held, err = c.acquire(c.server.answers, int64(limit)); err != nil {
			return 0, err
		}
		total, urgent := c.readAll(parts, limit)
		c.server.answers.release(max(0, held-int64(total)))
		held = min(held, int64(total))
		if urgent || total >= minBytes || wait == 0 {
			return held, nil
		}
		switch {
		case timer == nil:
			timer = c.server.backend.Clock().NewTimer(wait)
			defer timer.Stop()
			wake = make(chan struct{}, 1)
			for i := range parts {
				if p := parts[i].part; p != nil {
					p.Watch(wake)
					defer p.Unwatch(wake)
				}
			}
		default:
			c.server.answers.release(held)
			select {
			case <-wake:
			case <-timer.C():
				wait = 0
			case <-c.ctx.Done():
				return 0, c.ctx.Err()
			}
			continue
		}
		c.server.answers.release(held) // look once more, now that nothing is missed
	}
}

// readAll reads what there is, at most limit bytes but for a first batch. It reports
// whether the client should know at once: an error.
func (c *conn) readAll(parts []fetched, limit int) (total int, urgent bool) {
	for i := range parts {
		f := &parts[i]
		f.fetch.Batches, f.fetch.Bytes = f.fetch.Batches[:0], 0
		if f.part == nil {
			urgent = true
			continue
		}
		f.code = None
		room := limit - total
		if total > 0 && room <= 0 {
			f.fetch.HighWatermark, f.fetch.LogStart = f.part.HighWatermark(), f.part.LogStart()
			continue
		}
		err := f.part.Read(&f.fetch, f.from, min(room, f.maxBytes))
		if err != nil && len(f.fetch.Batches) == 0 {
			f.code = c.storeCode(err)
			urgent = true
		}
		if total > 0 && f.fetch.Bytes > room { // only the first may be larger
			f.fetch.Batches, f.fetch.Bytes = f.fetch.Batches[:0], 0
		}
		total += f.fetch.Bytes
	}
	return total, urgent
}

// encodeFetch writes the answer without copying the batches, but for small ones.
func encodeFetch(r *request, req *kmsg.FetchRequest, code Code, parts []fetched) net.Buffers {
	e := fetchEncoder{flexible: r.version >= r.api.shape.flexible}
	e.buf = r.appendHeader(nil)
	e.int32(0) // throttle time
	if r.version >= 7 {
		e.int16(int16(code))
		e.int32(0) // session id
	}
	if code != None {
		e.arrayLen(0)
	} else {
		e.arrayLen(len(req.Topics))
		for i := range req.Topics {
			t := &req.Topics[i]
			if r.version >= 13 {
				e.buf = append(e.buf, t.TopicID[:]...)
			} else {
				e.string(t.Topic)
			}
			e.arrayLen(len(t.Partitions))
			for range t.Partitions {
				e.partition(r.version, &parts[0])
				parts = parts[1:]
			}
			e.tags()
		}
	}
	e.tags()
	return e.finish()
}

// fetchEncoder collects an answer as pieces: what it wrote itself, and batches.
type fetchEncoder struct {
	flexible bool
	out      net.Buffers
	buf      []byte // the piece that is written
	size     int    // of the pieces in out
}

func (e *fetchEncoder) int16(v int16) { e.buf = binary.BigEndian.AppendUint16(e.buf, uint16(v)) }
func (e *fetchEncoder) int32(v int32) { e.buf = binary.BigEndian.AppendUint32(e.buf, uint32(v)) }
func (e *fetchEncoder) int64(v int64) { e.buf = binary.BigEndian.AppendUint64(e.buf, uint64(v)) }

func (e *fetchEncoder) tags() {
	if e.flexible {
		e.buf = append(e.buf, 0)
	}
}

// arrayLen writes the length of an array or of bytes.
func (e *fetchEncoder) arrayLen(n int) {
	if e.flexible {
		e.buf = binary.AppendUvarint(e.buf, uint64(n+1))
	} else {
		e.int32(int32(n))
	}
}

func (e *fetchEncoder) string(s string) {
	if e.flexible {
		e.buf = binary.AppendUvarint(e.buf, uint64(len(s)+1))
	} else {
		e.int16(int16(len(s)))
	}
	e.buf = append(e.buf, s...)
}

func (e *fetchEncoder) partition(version int16, f *fetched) {
	hw, start := int64(f.fetch.HighWatermark), int64(f.fetch.LogStart)
	if f.part == nil {
		hw, start = -1, -1
	}
	e.int32(f.number)
	e.int16(int16(f.code))
	e.int64(hw)
	e.int64(hw) // the last stable offset: there are no transactions
	if version >= 5 {
		e.int64(start)
	}
	e.arrayLen(0) // aborted transactions
	if version >= 11 {
		e.int32(-1) // preferred read replica
	}
	e.arrayLen(f.fetch.Bytes)
	for _, b := range f.fetch.Batches {
		if len(b) <= copiedBytes {
			e.buf = append(e.buf, b...)
			continue
		}
		e.cut()
		e.out = append(e.out, b)
		e.size += len(b)
	}
	e.tags()
}

// cut ends the piece that is written.
func (e *fetchEncoder) cut() {
	if len(e.buf) > 0 {
		e.out = append(e.out, e.buf)
		e.size += len(e.buf)
		e.buf = nil
	}
}

func (e *fetchEncoder) finish() net.Buffers {
	e.cut()
	binary.BigEndian.PutUint32(e.out[0], uint32(e.size-4)) // the first piece begins with it
	return e.out
}
