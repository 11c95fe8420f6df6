package kafka

import (
	"crypto/rand"
	"encoding/binary"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
)

const (
	// fetchVersionSession is the first version with fetch sessions (KIP-227), and
	// fetchVersionIDs the first that names topics by id (KIP-516).
	fetchVersionSession = 7
	fetchVersionIDs     = 13
	// sessionEpochNone in a request wants no session, sessionEpochFirst a new one.
	sessionEpochNone  = -1
	sessionEpochFirst = 0
	// sessionIdleMin is for how long a session must not have been used before it makes
	// room for another (min.incremental.fetch.session.eviction.ms).
	sessionIdleMin = 2 * time.Minute
	// sessionsPerConn bounds those of one connection; a client needs one. The oldest
	// makes room.
	sessionsPerConn = 8
)

// fetchSession remembers the partitions that a client fetches, so that it names only
// what changed, and is told only of what is new (KIP-227). It ends with the connection
// that used it last.
type fetchSession struct {
	id  int32
	ids bool // topics are named by their ids

	// Guarded by sessions.mu:
	owner *conn
	used  time.Time // when the last request came or was answered
	busy  int       // requests that are under way
	gone  bool

	mu     sync.Mutex // lock order: sessions.mu, then mu
	epoch  int32      // that of the next request
	topics map[topicKey]*sessionTopic
	size   int         // of the list
	list   sessionPart // the ring's anchor; what was told of longest ago comes first
}

// topicKey names a topic by its id or by its name.
type topicKey struct {
	id   [16]byte
	name string
}

// sessionTopic is a topic of a session.
type sessionTopic struct {
	key   topicKey // with a name of its own memory
	parts map[int32]*sessionPart
}

// sessionPart is a partition of a session, and of a ring of them.
type sessionPart struct {
	topic    topicKey
	number   int32
	from     base.Offset
	maxBytes int32
	epoch    int32
	// high and start are what the client was told last, or -1.
	high, start base.Offset

	prev, next *sessionPart
}

func (p *sessionPart) unlink() { p.prev.next, p.next.prev = p.next, p.prev }

// linkLast puts p at the end of the ring.
func (s *fetchSession) linkLast(p *sessionPart) {
	p.prev, p.next = s.list.prev, &s.list
	p.prev.next, s.list.prev = p, p
}

// sessions are those of a server (max.incremental.fetch.session.cache.slots).
type sessions struct {
	clock                base.Clock
	maxCount, maxEntries int

	mu      sync.Mutex
	byID    map[int32]*fetchSession
	entries int // partitions of all sessions
	// full is until when no session is old enough to make room.
	full time.Time
}

func newSessions(clock base.Clock, l *Limits) *sessions {
	return &sessions{clock: clock, maxCount: l.FetchSessions, maxEntries: l.FetchSessionPartitions, byID: make(map[int32]*fetchSession)}
}

// begin finds or makes the session of a request and brings it up to date. Without an
// error and without a session the request stands for itself, in full. Whoever gets a
// session calls end.
func (ss *sessions) begin(c *conn, req *kmsg.FetchRequest) (s *fetchSession, incremental bool, code Code) {
	if req.Version < fetchVersionSession {
		return nil, false, None
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if req.SessionEpoch == sessionEpochNone || req.SessionEpoch == sessionEpochFirst {
		if old := ss.byID[req.SessionID]; old != nil {
			ss.removeLocked(old)
		}
		if req.SessionEpoch == sessionEpochNone {
			return nil, false, None
		}
		return ss.makeLocked(c, req), false, None
	}
	s = ss.byID[req.SessionID]
	if s == nil {
		return nil, false, FetchSessionIDNotFound
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case req.SessionEpoch != s.epoch:
		return nil, false, InvalidFetchSessionEpoch
	case s.ids != (req.Version >= fetchVersionIDs):
		return nil, false, FetchSessionTopicIDError
	}
	before := s.size
	s.forget(req)
	fits := s.update(req, ss.maxEntries-ss.entries+before)
	ss.entries += s.size - before
	switch {
	case !fits: // the client then names all of its partitions, for an answer without a session
		ss.removeLocked(s)
		return nil, false, FetchSessionIDNotFound
	case s.size == 0: // it ends so, by Kafka's rule
		ss.removeLocked(s)
		return nil, false, None
	}
	if s.epoch++; s.epoch <= 0 {
		s.epoch = 1
	}
	ss.useLocked(c, s)
	return s, true, None
}

// makeLocked returns a new session, or nil if there is no room for it or no need.
func (ss *sessions) makeLocked(c *conn, req *kmsg.FetchRequest) *fetchSession {
	n := 0
	for i := range req.Topics {
		n += len(req.Topics[i].Partitions)
	}
	now := ss.clock.Now()
	if len(c.sessions) >= sessionsPerConn {
		oldest := c.sessions[0]
		for _, s := range c.sessions {
			if s.used.Before(oldest.used) {
				oldest = s
			}
		}
		ss.removeLocked(oldest)
	}
	if n == 0 || n > ss.maxEntries {
		return nil
	}
	for len(ss.byID) >= ss.maxCount || ss.entries+n > ss.maxEntries {
		if !ss.evictLocked(now) {
			return nil
		}
	}
	s := &fetchSession{ids: req.Version >= fetchVersionIDs, epoch: 1, topics: make(map[topicKey]*sessionTopic, len(req.Topics))}
	s.list.prev, s.list.next = &s.list, &s.list
	s.update(req, n)
	for s.id == 0 || ss.byID[s.id] != nil {
		s.id = randomID()
	}
	ss.byID[s.id] = s
	ss.entries += s.size
	ss.useLocked(c, s)
	return s
}

// randomID returns a positive number that others do not guess.
func randomID() int32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails, by its documentation
	return int32(binary.BigEndian.Uint32(b[:]) >> 1)
}

// evictLocked removes the session that was not used for longest, if that is long
// enough. It reports whether it did.
func (ss *sessions) evictLocked(now time.Time) bool {
	if now.Before(ss.full) {
		return false
	}
	var oldest *fetchSession
	for _, s := range ss.byID {
		if s.busy == 0 && (oldest == nil || s.used.Before(oldest.used)) {
			oldest = s
		}
	}
	switch {
	case oldest == nil: // one that is in use now will have been used later
		ss.full = now.Add(sessionIdleMin)
		return false
	case now.Sub(oldest.used) < sessionIdleMin:
		ss.full = oldest.used.Add(sessionIdleMin)
		return false
	}
	ss.removeLocked(oldest)
	return true
}

// useLocked begins a request of c.
func (ss *sessions) useLocked(c *conn, s *fetchSession) {
	s.used = ss.clock.Now()
	s.busy++
	if s.owner != c {
		s.disownLocked()
		s.owner = c
		c.sessions = append(c.sessions, s)
	}
}

// disownLocked takes the session from its connection. conn.sessions is guarded by
// sessions.mu.
func (s *fetchSession) disownLocked() {
	if s.owner == nil {
		return
	}
	for i, o := range s.owner.sessions {
		if o == s {
			s.owner.sessions = append(s.owner.sessions[:i], s.owner.sessions[i+1:]...)
			break
		}
	}
	s.owner = nil
}

// end ends a request that begin gave a session.
func (ss *sessions) end(s *fetchSession) {
	ss.mu.Lock()
	s.busy--
	s.used = ss.clock.Now()
	ss.mu.Unlock()
}

func (ss *sessions) removeLocked(s *fetchSession) {
	if s.gone {
		return
	}
	s.gone = true
	s.disownLocked()
	delete(ss.byID, s.id)
	ss.entries -= s.size
}

// drop ends the sessions of a connection that has ended.
func (ss *sessions) drop(c *conn) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for len(c.sessions) > 0 {
		ss.removeLocked(c.sessions[0])
	}
}

// count returns how many sessions and partitions in them there are.
func (ss *sessions) count() (sessions, partitions int) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return len(ss.byID), ss.entries
}

// forget takes out what the client no longer fetches.
func (s *fetchSession) forget(req *kmsg.FetchRequest) {
	for i := range req.ForgottenTopics {
		t := &req.ForgottenTopics[i]
		key := topicKey{name: t.Topic}
		if s.ids {
			key = topicKey{id: t.TopicID}
		}
		topic := s.topics[key]
		if topic == nil {
			continue
		}
		for _, n := range t.Partitions {
			if p := topic.parts[n]; p != nil {
				p.unlink()
				delete(topic.parts, n)
				s.size--
			}
		}
		if len(topic.parts) == 0 {
			delete(s.topics, key)
		}
	}
}

// update takes over what the client says of partitions, new ones at the end. It stops
// and returns false when there would be more than room of them.
func (s *fetchSession) update(req *kmsg.FetchRequest, room int) bool {
	for i := range req.Topics {
		t := &req.Topics[i]
		key := topicKey{name: t.Topic}
		if s.ids {
			key = topicKey{id: t.TopicID}
		}
		topic := s.topics[key]
		if topic == nil {
			key.name = strings.Clone(key.name) // the request's is of its frame
			topic = &sessionTopic{key, make(map[int32]*sessionPart, len(t.Partitions))}
		}
		for j := range t.Partitions {
			from := &t.Partitions[j]
			p := topic.parts[from.Partition]
			if p == nil {
				if s.size >= room {
					return false
				}
				p = &sessionPart{topic: topic.key, number: from.Partition, high: -1, start: -1}
				topic.parts[p.number] = p
				s.topics[topic.key] = topic
				s.linkLast(p)
				s.size++
			}
			p.from, p.maxBytes, p.epoch = base.Offset(from.FetchOffset), from.PartitionMaxBytes, from.CurrentLeaderEpoch
		}
	}
	return true
}

// wanted returns the partitions in the order in which they are to be read.
func (s *fetchSession) wanted() []fetched {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := make([]fetched, 0, s.size)
	for p := s.list.next; p != &s.list; p = p.next {
		parts = append(parts, fetched{key: p.topic, number: p.number, from: p.from, maxBytes: int(p.maxBytes), epoch: p.epoch, preferred: NoNode})
	}
	return parts
}

// tell marks those parts silent that an incremental answer has nothing new of, and
// remembers what the client is told of the others.
func (s *fetchSession) tell(parts []fetched, incremental bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range parts {
		f := &parts[i]
		var p *sessionPart
		if topic := s.topics[f.key]; topic != nil {
			p = topic.parts[f.number]
		}
		if p == nil {
			continue // another request has forgotten it meanwhile
		}
		failed := f.code != None
		f.silent = incremental && !failed && f.preferred == NoNode && f.fetch.Bytes == 0 &&
			p.high == f.fetch.HighWatermark && p.start == f.fetch.LogStart
		p.high, p.start = f.fetch.HighWatermark, f.fetch.LogStart
		if failed {
			p.high, p.start = -1, -1 // what comes after the error is news
		}
		if f.fetch.Bytes > 0 { // others come first next time
			p.unlink()
			s.linkLast(p)
		}
	}
}
