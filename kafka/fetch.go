package kafka

import (
	"net"
	"slices"
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
	key      topicKey
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
	silent    bool // there is nothing to tell that the client's session does not know
}

// fetcher serves one Fetch.
type fetcher struct {
	conn    *conn
	version int16
	parts   []fetched
	limit   int  // of bytes, but for a first batch that is larger
	lent    loan // where batches are that were read from disk
	// near are the nodes in the client's rack, if it is not that of this node (KIP-392).
	near map[int32]struct{}
}

// fetch reads batches and waits until there are enough of them.
func (c *conn) fetch(r *request, req *kmsg.FetchRequest) error {
	session, incremental, code := c.server.sessions.begin(c, req)
	if code != None {
		return c.send(r, &answer{failed: true, build: func() net.Buffers { return encodeFetch(c, r, code, 0, nil) }})
	}
	id := int32(0)
	if session != nil {
		defer c.server.sessions.end(session)
		id = session.id
	}
	f := &fetcher{conn: c, version: req.Version, limit: c.server.limits.FetchBytes, near: c.nearNodes(req.Rack)}
	f.lent.from = &c.server.memory
	if req.MaxBytes >= 0 {
		f.limit = min(f.limit, int(req.MaxBytes))
	}
	if incremental {
		f.parts = session.wanted()
	} else {
		f.parts = wantedParts(req)
	}
	f.resolve()
	wait := min(max(time.Duration(req.MaxWaitMillis)*time.Millisecond, 0), fetchWaitMax)
	held, err := f.await(min(int(req.MinBytes), f.limit), wait)
	if err != nil {
		f.lent.release()
		return err
	}
	if session != nil {
		session.tell(f.parts, incremental)
	}
	bad := slices.ContainsFunc(f.parts, func(one fetched) bool { return one.code != None })
	return c.send(r, &answer{build: func() net.Buffers { return encodeFetch(c, r, None, id, f.parts) }, held: held, done: f.lent.release, failed: bad})
}

// wantedParts returns the partitions that a request names, in its order.
func wantedParts(req *kmsg.FetchRequest) []fetched {
	n := 0
	for i := range req.Topics {
		n += len(req.Topics[i].Partitions)
	}
	parts := make([]fetched, 0, n)
	for i := range req.Topics {
		t := &req.Topics[i]
		key := topicKey{name: t.Topic}
		if req.Version >= fetchVersionIDs {
			key = topicKey{id: t.TopicID}
		}
		for j := range t.Partitions {
			p := &t.Partitions[j]
			parts = append(parts, fetched{key: key, number: p.Partition, from: base.Offset(p.FetchOffset),
				maxBytes: int(p.PartitionMaxBytes), epoch: p.CurrentLeaderEpoch, preferred: NoNode})
		}
	}
	return parts
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

// resolve finds the partitions.
func (f *fetcher) resolve() {
	type place struct {
		topic     topicKey
		partition int32
	}
	seen := make(map[place]struct{}, len(f.parts))
	b := f.conn.server.backend
	var topic Topic
	for i := range f.parts {
		one := &f.parts[i]
		byID := f.version >= fetchVersionIDs
		if i == 0 || f.parts[i-1].key != one.key {
			if byID {
				topic = b.TopicByID(one.key.id)
			} else {
				topic = b.Topic(one.key.name)
			}
		}
		switch {
		case topic == nil && byID:
			one.code = UnknownTopicID
		case topic == nil:
			one.code = UnknownTopicOrPartition
		case !first(seen, place{one.key, one.number}):
			one.code = InvalidRequest // else it would be read and watched many times
		default:
			one.topic = topic
			f.locate(one)
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
		if held, err = c.acquire(c.answers, int64(f.limit)); err != nil {
			return 0, err
		}
		total, urgent := f.readAll()
		c.answers.release(max(0, held-int64(total)))
		held = min(held, int64(total))
		if urgent || total >= minBytes {
			return held, nil
		}
		if wait == 0 {
			f.refuseAhead()
			return held, nil
		}
		c.answers.release(held)
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
	f.lent.release() // of the look before
	alloc := f.lent.alloc
	for i := range f.parts {
		one := &f.parts[i]
		one.fetch.Alloc = alloc
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
