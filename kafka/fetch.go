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
	// fetchVersionFollower is the first version in which followers serve (KIP-392).
	fetchVersionFollower = 11
	// fetchVersionEndpoints is the first version that tells where leaders are (KIP-951).
	fetchVersionEndpoints = 16
)

// fetched is what a Fetch finds in one partition.
type fetched struct {
	topic    Topic // nil if code says why
	number   int32
	from     base.Offset
	maxBytes int
	epoch    int32 // the leader epoch that the client knows, or noEpoch

	replica   Replica // what is read from; nil if nothing is to be read
	follows   bool    // the replica is not the leader's
	ahead     bool    // from is beyond what the replica has, and the leader may have it
	watched   Replica
	code      Code
	moved     Location // where the leader is, with NotLeaderOrFollower and the like
	preferred int32    // the node that the client is sent to, or NoNode
	fetch     store.Fetch
}

// fetcher serves one Fetch.
type fetcher struct {
	conn    *conn
	version int16
	parts   []fetched
	limit   int // of bytes, but for a first batch that is larger
	// near are the nodes in the client's rack, if it is not that of this node (KIP-392).
	near map[int32]struct{}
}

// fetch reads batches and waits until there are enough of them. It takes no part in
// fetch sessions (KIP-227): every answer has session id 0, and clients then name all
// partitions every time.
func (c *conn) fetch(r *request, req *kmsg.FetchRequest) error {
	if req.Version >= 7 && (req.SessionID != 0 || req.SessionEpoch > 0) {
		return c.send(&answer{build: func() net.Buffers {
			return encodeFetch(c, r, req, FetchSessionIDNotFound, nil)
		}})
	}
	f := &fetcher{conn: c, version: req.Version, limit: c.server.limits.FetchBytes, near: c.nearNodes(req.Rack)}
	if req.MaxBytes >= 0 {
		f.limit = min(f.limit, int(req.MaxBytes))
	}
	c.resolveFetch(f, req)
	for i := range f.parts {
		f.locate(&f.parts[i])
	}
	wait := min(max(time.Duration(req.MaxWaitMillis)*time.Millisecond, 0), fetchWaitMax)
	held, err := f.await(min(int(req.MinBytes), f.limit), wait)
	if err != nil {
		return err
	}
	return c.send(&answer{build: func() net.Buffers { return encodeFetch(c, r, req, None, f.parts) }, held: held})
}

// nearNodes returns the nodes in a rack, nil if this one is in it or none is.
func (c *conn) nearNodes(rack string) (near map[int32]struct{}) {
	if rack == "" {
		return nil
	}
	cluster := c.server.backend.Cluster()
	for i := range cluster.Nodes {
		n := &cluster.Nodes[i]
		switch {
		case n.Rack != rack:
		case n.ID == c.server.self:
			return nil
		default:
			if near == nil {
				near = make(map[int32]struct{})
			}
			near[n.ID] = struct{}{}
		}
	}
	return near
}

// resolveFetch finds the partitions, in the request's order.
func (c *conn) resolveFetch(f *fetcher, req *kmsg.FetchRequest) {
	n := 0
	for i := range req.Topics {
		n += len(req.Topics[i].Partitions)
	}
	f.parts = make([]fetched, 0, n)
	type key struct {
		topic     [16]byte
		partition int32
	}
	seen := make(map[key]struct{}, n)
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
			one := fetched{number: p.Partition, from: base.Offset(p.FetchOffset), maxBytes: int(p.PartitionMaxBytes),
				epoch: p.CurrentLeaderEpoch, preferred: NoNode}
			if topic == nil {
				one.code = missing
			} else if !first(seen, key{topic.UniqueID(), p.Partition}) {
				one.code = InvalidRequest // else it would be read and watched many times
			} else {
				one.topic = topic
			}
			f.parts = append(f.parts, one)
		}
	}
}

// locate finds what to read a partition from. It is done anew each time that something
// happened: leaders move.
func (f *fetcher) locate(one *fetched) {
	if one.topic == nil {
		return
	}
	one.replica, one.follows, one.preferred, one.code = nil, false, NoNode, None
	at, err := one.topic.Locate(one.number)
	if err == nil {
		err = checkEpoch(at.Epoch, one.epoch)
	}
	leads := at.Leader == f.conn.server.self
	switch {
	case err == nil && leads && at.Replica != nil:
		if one.preferred = f.prefer(one.number, at.InSync); one.preferred == NoNode {
			one.replica = at.Replica
		}
	case err == nil && !leads && at.Replica != nil && f.version >= fetchVersionFollower:
		one.replica, one.follows = at.Replica, true
	case err == nil:
		err = notLeader(&at)
	}
	if err != nil {
		one.code, one.moved = f.conn.code(err), at
	}
}

// prefer picks one of the nodes in sync that is in the client's rack, spread by
// partition; NoNode if there is none.
func (f *fetcher) prefer(partition int32, inSync []int32) int32 {
	n := 0
	for _, id := range inSync {
		if _, ok := f.near[id]; ok {
			n++
		}
	}
	if n == 0 {
		return NoNode
	}
	n = int(partition) % n
	for _, id := range inSync {
		if _, ok := f.near[id]; ok {
			if n == 0 {
				return id
			}
			n--
		}
	}
	return NoNode
}

// await reads until there are minBytes, something is to be told at once, or the
// time is up. It returns what it holds of the server's memory for answers.
func (f *fetcher) await(minBytes int, wait time.Duration) (held int64, err error) {
	c := f.conn
	var timer base.Timer
	var wake chan struct{}
	defer f.unwatch(&wake)
	for {
		// What is read from disk takes memory: first ask for it.
		if held, err = c.acquire(c.server.answers, int64(f.limit)); err != nil {
			return 0, err
		}
		total, urgent := f.readAll()
		c.server.answers.release(max(0, held-int64(total)))
		held = min(held, int64(total))
		if urgent || total >= minBytes {
			return held, nil
		}
		if wait == 0 {
			f.refuseAhead()
			return held, nil
		}
		c.server.answers.release(held)
		if timer == nil {
			timer = c.server.backend.Clock().NewTimer(wait)
			defer timer.Stop()
			wake = make(chan struct{}, 1)
			f.watch(wake)
			continue // look once more, now that nothing is missed
		}
		select {
		case <-wake:
			f.watch(wake)
		case <-timer.C():
			wait = 0
		case <-c.ctx.Done():
			return 0, c.ctx.Err()
		}
	}
}

// watch has the replicas of now tell of changes.
func (f *fetcher) watch(wake chan struct{}) {
	for i := range f.parts {
		one := &f.parts[i]
		f.locate(one)
		if one.watched == one.replica {
			continue
		}
		if one.watched != nil {
			one.watched.Unwatch(wake)
		}
		if one.watched = one.replica; one.watched != nil {
			one.watched.Watch(wake)
		}
	}
}

func (f *fetcher) unwatch(wake *chan struct{}) {
	for i := range f.parts {
		if r := f.parts[i].watched; r != nil {
			r.Unwatch(*wake)
		}
	}
}

// readAll reads what there is, at most limit bytes but for a first batch. It reports
// whether the client should know at once: an error, or another node to ask.
func (f *fetcher) readAll() (total int, urgent bool) {
	for i := range f.parts {
		one := &f.parts[i]
		one.fetch.Batches, one.fetch.Bytes, one.ahead = one.fetch.Batches[:0], 0, false
		if one.replica == nil {
			urgent = true
			continue
		}
		one.fetch.HighWatermark, one.fetch.LogStart = one.replica.HighWatermark(), one.replica.LogStart()
		room := f.limit - total
		if total > 0 && room <= 0 {
			continue
		}
		if one.follows && one.from > one.fetch.HighWatermark {
			one.ahead = true
			continue
		}
		err := one.replica.Read(&one.fetch, one.from, min(room, one.maxBytes))
		if err != nil && len(one.fetch.Batches) == 0 {
			one.code = f.conn.code(err)
			urgent = true
		}
		if total > 0 && one.fetch.Bytes > room { // only the first may be larger
			one.fetch.Batches, one.fetch.Bytes = one.fetch.Batches[:0], 0
		}
		total += one.fetch.Bytes
	}
	return total, urgent
}

// refuseAhead ends the wait of a follower for what it does not have yet: the client
// then asks the leader, which knows whether there is such an offset.
func (f *fetcher) refuseAhead() {
	for i := range f.parts {
		if f.parts[i].ahead {
			f.parts[i].code = OffsetOutOfRange
		}
	}
}

// encodeFetch writes the answer without copying the batches, but for small ones.
func encodeFetch(c *conn, r *request, req *kmsg.FetchRequest, code Code, parts []fetched) net.Buffers {
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
	e.endpoints(c.endpoints(e.leaders))
	return e.finish()
}

// fetchEncoder collects an answer as pieces: what it wrote itself, and batches.
type fetchEncoder struct {
	flexible bool
	out      net.Buffers
	buf      []byte             // the piece that is written
	size     int                // of the pieces in out
	leaders  map[int32]struct{} // that were named to clients that ask where they are
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
	if f.replica == nil {
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
		e.int32(f.preferred)
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
	if !f.code.aboutLeader() {
		e.tags()
		return
	}
	e.currentLeader(version, &f.moved)
}

// aboutLeader reports whether the answer tells who leads instead.
func (code Code) aboutLeader() bool {
	return code == NotLeaderOrFollower || code == FencedLeaderEpoch
}

// currentLeader writes the tagged field that names the leader.
func (e *fetchEncoder) currentLeader(version int16, at *Location) {
	if !e.flexible {
		return
	}
	const tag, size = 1, 4 + 4 + 1
	e.buf = append(e.buf, 1, tag, size)
	e.int32(at.Leader)
	e.int32(int32(at.Epoch))
	e.tags()
	if version >= fetchVersionEndpoints && at.Leader != NoNode {
		if e.leaders == nil {
			e.leaders = make(map[int32]struct{})
		}
		e.leaders[at.Leader] = struct{}{}
	}
}

// endpoints ends the answer, with the tagged field that tells where leaders are.
func (e *fetchEncoder) endpoints(nodes []Node) {
	if len(nodes) == 0 {
		e.tags()
		return
	}
	in := fetchEncoder{flexible: true}
	in.arrayLen(len(nodes))
	for i := range nodes {
		n := &nodes[i]
		in.int32(n.ID)
		in.string(n.Host)
		in.int32(n.Port)
		if n.Rack == "" {
			in.buf = append(in.buf, 0) // null
		} else {
			in.string(n.Rack)
		}
		in.tags()
	}
	e.buf = append(e.buf, 1, 0)
	e.buf = binary.AppendUvarint(e.buf, uint64(len(in.buf)))
	e.buf = append(e.buf, in.buf...)
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
