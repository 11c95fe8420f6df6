package coordinator

import (
	"bytes"
	"maps"
	"math"
	"slices"
	"time"
)

// classicGroup is a group under the classic protocol. All of it but value lives in
// memory only: a new coordinator starts from the last stable generation, and
// members that were on their way to the next one join again.
//
//	          first member                 all joined, or time is up
//	Empty ───────────────▶ PreparingRebalance ─────────────▶ CompletingRebalance
//	  ▲                      │    ▲        ▲                    │      │ leader syncs:
//	  └───nobody is left─────┘    │        └────member changes──┘      ▼ value is written
//	                              └──────────member changes────────── Stable
type classicGroup struct {
	// value is what is durable; nil: nothing yet. While the group is Stable or Empty
	// it says the same as the fields below.
	value *classicValue

	state State // Empty, PreparingRebalance, CompletingRebalance, Stable
	// generation grows by one when the members of the next one are fixed.
	generation   int32
	protocolType string
	protocol     string // the selected one of the generation
	// leader is a member, but empty for a moment after it was removed.
	leader  string
	members map[string]*classicMember
	static  map[string]string // instance id -> member id
	// pending are ids that were given out and have not joined yet: at most
	// Options.GroupMaxSize.
	pending map[string]*pendingMember

	// initial says that the rebalance is that of an empty group, which waits for
	// InitialRebalanceDelay rather than for its members; grown that one came since it
	// was looked at last, wait for how much longer it may be extended.
	initial, grown bool
	wait           time.Duration
	// timer ends PreparingRebalance, and is when members that have not synced are
	// removed after that.
	timer alarm
	seq   uint64 // of the last member or id
	bytes int    // of all members' protocols
}

// classicMember is one member of a classicGroup.
type classicMember struct {
	id, instanceID       string
	clientID, clientHost string
	sessionTimeout       time.Duration
	rebalanceTimeout     time.Duration
	protocols            []JoinProtocol // in the member's order of preference; never changed
	assignment           []byte         // of the last stable generation; never changed

	seq    uint64 // the order in which members came
	isNew  bool   // it joined, and no generation has it yet
	synced bool   // it asked for its assignment in this generation
	// joining and syncing are what its requests wait for, one of each at most.
	joining *answer[JoinResponse]
	syncing *answer[SyncResponse]
	session alarm
}

// pendingMember is an id that was given out with ErrMemberIDRequired.
type pendingMember struct {
	seq     uint64
	expires alarm
}

// newMemberJoinTimeout is after what a new member is given up whose JoinGroup waits
// for the others: nobody hears of it meanwhile. It is Kafka's.
const newMemberJoinTimeout = 5 * time.Minute

// classicGroup returns the group's classic side, making it if there is none.
func (g *group) classicGroup() *classicGroup {
	if g.classic == nil {
		g.classic = &classicGroup{
			state:   StateEmpty,
			members: make(map[string]*classicMember),
			static:  make(map[string]string),
			pending: make(map[string]*pendingMember),
		}
	}
	return g.classic
}

// dropClassic forgets the classic side of a group if nothing is left of it.
func (s *state) dropClassic(g *group) {
	if c := g.classic; c.value == nil && c.state == StateEmpty && len(c.pending) == 0 {
		g.classic = nil
		s.drop(g)
	}
}

// loadClassic builds the group from what is durable.
func (s *state) loadClassic(g *group, now time.Time, timeout time.Duration) {
	c, v := g.classic, g.classic.value
	c.generation, c.protocolType, c.protocol, c.leader = v.generation, v.protocolType, v.protocol, v.leader
	millis := func(ms int32) time.Duration {
		if ms <= 0 {
			return timeout
		}
		return time.Duration(ms) * time.Millisecond
	}
	for _, mv := range v.members {
		if mv.id == "" {
			continue // of another hand, as what follows: an empty id is nobody's
		}
		if old := c.members[mv.id]; old != nil {
			s.alarms.stop(&old.session)
			c.bytes -= old.bytes()
			delete(c.static, old.instanceID)
		}
		c.seq++
		m := &classicMember{id: mv.id, instanceID: mv.instanceID, clientID: mv.clientID, clientHost: mv.clientHost,
			sessionTimeout: millis(mv.sessionTimeoutMs), rebalanceTimeout: millis(mv.rebalanceTimeoutMs),
			protocols: []JoinProtocol{{v.protocol, mv.subscription}}, assignment: mv.assignment, seq: c.seq, synced: true}
		c.members[m.id] = m
		c.bytes += m.bytes()
		if m.instanceID != "" {
			c.static[m.instanceID] = m.id
		}
		m.session.ring = func(t *tx) { t.expireSession(g, m) }
		s.alarms.set(&m.session, now.Add(m.sessionTimeout))
	}
	if len(c.members) > 0 {
		c.state = StateStable
	} else {
		c.protocol, c.leader = "", ""
	}
}

// ordered returns the members in the order in which they came.
func (c *classicGroup) ordered() []*classicMember {
	return slices.SortedFunc(maps.Values(c.members), func(a, b *classicMember) int {
		if a.seq < b.seq {
			return -1
		}
		return 1
	})
}

// rebalanceTimeout is the longest of the members'.
func (c *classicGroup) rebalanceTimeout() time.Duration {
	var d time.Duration
	for _, m := range c.members {
		d = max(d, m.rebalanceTimeout)
	}
	return d
}

// common returns the protocols that every member but except supports, all of them
// (nil) if there is none.
func (c *classicGroup) common(except *classicMember) map[string]bool {
	var common map[string]bool
	for _, m := range c.members {
		if m == except {
			continue
		}
		if len(m.protocols) == len(common) && !slices.ContainsFunc(m.protocols, func(p JoinProtocol) bool { return !common[p.Name] }) {
			continue // the usual case: all have the same ones
		}
		next := make(map[string]bool, len(m.protocols))
		for _, p := range m.protocols {
			if common == nil || common[p.Name] {
				next[p.Name] = true
			}
		}
		common = next
	}
	return common
}

// supports reports whether somebody with these protocols can be in the group, in
// the place of except if that is not nil.
func (c *classicGroup) supports(protocolType string, protocols []JoinProtocol, except *classicMember) bool {
	common := c.common(except)
	if common == nil {
		return true
	}
	return protocolType == c.protocolType &&
		slices.ContainsFunc(protocols, func(p JoinProtocol) bool { return common[p.Name] })
}

// selected returns the protocol that most members like best of those that all
// support; of several the one that the first member prefers.
func (c *classicGroup) selected() string {
	common := c.common(nil)
	votes := make(map[string]int)
	var names []string // in the order of preference, of the first member first
	for _, m := range c.ordered() {
		voted := false
		for _, p := range m.protocols {
			if !common[p.Name] {
				continue
			}
			if !voted {
				votes[p.Name]++
				voted = true
			}
			if !slices.Contains(names, p.Name) {
				names = append(names, p.Name)
			}
		}
	}
	best := ""
	for _, name := range names {
		if best == "" || votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

// subscribed adds the topics that members subscribe to, and reports false if it
// cannot tell which those are.
func (c *classicGroup) subscribed(into map[string]bool) bool {
	for _, m := range c.members {
		for _, p := range m.protocols {
			topics, ok := subscribedTopics(p.Metadata)
			if !ok {
				return false
			}
			for _, topic := range topics {
				into[topic] = true
			}
		}
	}
	return true
}

// metadata returns what the member says for a protocol; nil if it does not have it.
func (m *classicMember) metadata(protocol string) []byte {
	for _, p := range m.protocols {
		if p.Name == protocol {
			return p.Metadata
		}
	}
	return nil
}

// bytes is the size of the member's protocols.
func (m *classicMember) bytes() int { return protocolBytes(m.protocols) }

func protocolBytes(protocols []JoinProtocol) int {
	n := 0
	for _, p := range protocols {
		n += len(p.Name) + len(p.Metadata) + recordOverheadBytes
	}
	return n
}

func sameProtocols(a, b []JoinProtocol) bool {
	return slices.EqualFunc(a, b, func(a, b JoinProtocol) bool {
		return a.Name == b.Name && bytes.Equal(a.Metadata, b.Metadata)
	})
}

// asValue is the group as a record has it.
func (c *classicGroup) asValue(nowMs int64) *classicValue {
	v := &classicValue{protocolType: c.protocolType, generation: c.generation, protocol: c.protocol, leader: c.leader,
		stateMs: nowMs}
	for _, m := range c.ordered() {
		v.members = append(v.members, classicMemberValue{id: m.id, instanceID: m.instanceID, clientID: m.clientID,
			clientHost: m.clientHost, rebalanceTimeoutMs: int32(m.rebalanceTimeout / time.Millisecond),
			sessionTimeoutMs: int32(m.sessionTimeout / time.Millisecond),
			subscription:     m.metadata(c.protocol), assignment: m.assignment})
	}
	return v
}

// nextGeneration follows the generation, never negative.
func (c *classicGroup) nextGeneration() int32 {
	if c.generation < 0 || c.generation == math.MaxInt32 {
		return 1
	}
	return c.generation + 1
}

// toClassic makes the group one of the classic protocol. It has no members.
func (t *tx) toClassic(g *group) *classicGroup {
	c := g.classicGroup()
	if g.meta != nil || g.assignmentEpoch != 0 || len(g.target) > 0 {
		since := g.emptyMs()
		t.clearConsumer(g)
		t.emit(&classicRecord{g.id, &classicValue{stateMs: since}})
	}
	return c
}

// toConsumer makes the group, if there is one, one of KIP-848's protocol. It has no
// classic members.
func (t *tx) toConsumer(id string) {
	if g := t.groups[id]; g != nil {
		t.clearClassic(g)
	}
}

// clearClassic removes what the classic protocol left of a group without members.
func (t *tx) clearClassic(g *group) {
	c := g.classic
	if c == nil {
		return
	}
	for id := range c.pending { // in no order: only alarms are stopped
		t.dropPending(c, id)
	}
	if c.value != nil {
		t.emit(&classicRecord{g.id, nil})
	} else {
		t.dropClassic(g)
	}
}

func (t *tx) dropPending(c *classicGroup, id string) {
	if p := c.pending[id]; p != nil {
		t.alarms.stop(&p.expires)
		delete(c.pending, id)
	}
}

// describeClassic completes a description. As in Kafka, what members say and have is
// shown of a stable group only.
func (t *tx) describeClassic(g *group, d *GroupDescription) {
	c := g.classic
	d.Epoch, d.Assignor = c.generation, ""
	if c.value != nil {
		d.AssignmentEpoch = c.value.generation
	}
	if c.state == StateStable {
		d.Assignor = c.protocol
	}
	id := func(name string) TopicID {
		topic, _ := t.opts.Topics.Topic(name)
		return topic.ID
	}
	for _, name := range slices.Sorted(maps.Keys(c.members)) {
		m := c.members[name]
		md := MemberDescription{Member: m.id, InstanceID: m.instanceID, ClientID: m.clientID, ClientHost: m.clientHost,
			Epoch: c.generation, State: MemberUnreleased, RebalanceTimeout: m.rebalanceTimeout, SessionTimeout: m.sessionTimeout}
		if c.state == StateStable {
			md.State = MemberStable
			md.Metadata, md.Assignment = bytes.Clone(m.metadata(c.protocol)), bytes.Clone(m.assignment)
			if c.protocolType == protocolTypeConsumer {
				md.Topics, _ = subscribedTopics(md.Metadata)
				md.Assigned = assignedPartitions(md.Assignment, id)
				md.Target = assignedPartitions(md.Assignment, id)
			}
		}
		d.Members = append(d.Members, md)
	}
}

// protocolType is what the group's members are.
func (g *group) protocolType() string {
	switch g.protocol() {
	case ProtocolConsumer:
		return protocolTypeConsumer
	case ProtocolClassic:
		return g.classic.protocolType
	}
	return ""
}
