package coordinator

import (
	"container/heap"
	"time"
)

// MemberState is where a member is on its way to the target assignment; the
// numbers are Kafka's.
type MemberState int8

const (
	// MemberStable: it has what the target of its epoch gives it.
	MemberStable MemberState = 1
	// MemberUnrevoked: it has to let go of partitions, and has not said so yet.
	MemberUnrevoked MemberState = 2
	// MemberUnreleased: it waits for partitions that others still have.
	MemberUnreleased MemberState = 3
)

func (s MemberState) String() string {
	switch s {
	case MemberStable:
		return "Stable"
	case MemberUnrevoked:
		return "UnrevokedPartitions"
	case MemberUnreleased:
		return "UnreleasedPartitions"
	}
	return "Unknown"
}

// The member epochs that are none.
const (
	// JoinEpoch is the epoch of a heartbeat that joins.
	JoinEpoch int32 = 0
	// LeaveEpoch is the epoch of a heartbeat that leaves for good.
	LeaveEpoch int32 = -1
	// StaticLeaveEpoch is the epoch of a heartbeat by which a static member
	// leaves and keeps its place until its session runs out.
	StaticLeaveEpoch int32 = -2
)

// member is one member of a group under KIP-848's protocol.
type member struct {
	group, id string
	meta      *memberValue
	current   *currentValue

	// The rest is not durable.

	sessionTimeout time.Duration
	sessionEnds    time.Time // when it is removed unless it is heard of
	revokeEnds     time.Time // when it is removed unless it has revoked; zero: nothing to revoke
	index          int       // in timers; -1: not there
	notified       bool      // its watchers were told of news since its last heartbeat
}

// member returns the member, making the group and it if there is none.
func (s *state) member(groupID, id string) *member {
	g := s.group(groupID)
	m := g.members[id]
	if m == nil {
		m = &member{group: groupID, id: id, index: -1, meta: &memberValue{}, current: &currentValue{state: MemberStable}}
		g.members[id] = m
	}
	return m
}

// defaultRebalanceTimeout is for a member whose record has none:
// max.poll.interval.ms of Kafka's consumers.
const defaultRebalanceTimeout = 5 * time.Minute

func (m *member) rebalanceTimeout() time.Duration {
	if m.meta.rebalanceTimeoutMs <= 0 {
		return defaultRebalanceTimeout
	}
	return time.Duration(m.meta.rebalanceTimeoutMs) * time.Millisecond
}

// hold notes m as the owner of what it has.
func (m *member) hold(owners map[topicPartition]string) {
	m.current.assigned.each(func(tp topicPartition) { owners[tp] = m.id })
	m.current.revoking.each(func(tp topicPartition) { owners[tp] = m.id })
}

// release takes m off as the owner of what it has.
func (m *member) release(owners map[topicPartition]string) {
	free := func(tp topicPartition) {
		if owners[tp] == m.id {
			delete(owners, tp)
		}
	}
	m.current.assigned.each(free)
	m.current.revoking.each(free)
}

func (r *memberRecord) apply(s *state) {
	s.touch(r.group)
	if r.value != nil {
		m := s.member(r.group, r.member)
		m.meta = r.value
		if r.value.instanceID != "" {
			s.groups[r.group].static[r.value.instanceID] = r.member
		}
		return
	}
	g := s.groups[r.group]
	if g == nil || g.members[r.member] == nil {
		return
	}
	m := g.members[r.member]
	m.release(g.owners)
	if g.static[m.meta.instanceID] == r.member {
		delete(g.static, m.meta.instanceID)
	}
	s.timers.remove(m)
	delete(g.members, r.member)
	s.gone = append(s.gone, memberName{r.group, r.member})
	s.drop(g)
}

func (r *currentRecord) apply(s *state) {
	s.touch(r.group)
	if r.value == nil {
		// The member's own tombstone follows; until then it has nothing.
		if g := s.groups[r.group]; g != nil && g.members[r.member] != nil {
			m := g.members[r.member]
			m.release(g.owners)
			m.current = &currentValue{state: MemberStable}
		}
		return
	}
	m := s.member(r.group, r.member)
	g := s.groups[r.group]
	m.release(g.owners)
	m.current = r.value
	m.hold(g.owners)
}

// timers is a heap of members by the time at which they are due.
type timers []*member

var _ heap.Interface = (*timers)(nil)

// due is when the member has to be removed.
func (m *member) due() time.Time {
	if !m.revokeEnds.IsZero() && m.revokeEnds.Before(m.sessionEnds) {
		return m.revokeEnds
	}
	return m.sessionEnds
}

func (t timers) Len() int { return len(t) }

func (t timers) Less(i, j int) bool {
	if a, b := t[i].due(), t[j].due(); !a.Equal(b) {
		return a.Before(b)
	}
	if t[i].group != t[j].group {
		return t[i].group < t[j].group
	}
	return t[i].id < t[j].id
}

func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i, j
}

// Push is heap's; use set.
func (t *timers) Push(x any) {
	m := x.(*member)
	m.index = len(*t)
	*t = append(*t, m)
}

// Pop is heap's; use remove.
func (t *timers) Pop() any {
	last := len(*t) - 1
	m := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	m.index = -1
	return m
}

// set puts m where its times say.
func (t *timers) set(m *member) {
	if m.index < 0 {
		heap.Push(t, m)
	} else {
		heap.Fix(t, m.index)
	}
}

func (t *timers) remove(m *member) {
	if m.index >= 0 {
		heap.Remove(t, m.index)
	}
}
