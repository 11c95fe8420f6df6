package coordinator

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// State is the state of a group, by Kafka's names.
type State string

// The states of a group: StateEmpty and StateStable of both protocols,
// StateAssigning and StateReconciling of KIP-848's, StatePreparingRebalance and
// StateCompletingRebalance of the classic one.
const (
	// StateEmpty: no members; perhaps committed offsets.
	StateEmpty State = "Empty"
	// StateAssigning: the target assignment is older than the group's epoch.
	StateAssigning State = "Assigning"
	// StateReconciling: some member is not yet where the target wants it.
	StateReconciling State = "Reconciling"
	// StateStable: every member has what the target gives it.
	StateStable State = "Stable"
	// StatePreparingRebalance: members are to join again, and are waited for.
	StatePreparingRebalance State = "PreparingRebalance"
	// StateCompletingRebalance: all have joined, the leader's assignment is awaited.
	StateCompletingRebalance State = "CompletingRebalance"
	// StateDead: there is no such group.
	StateDead State = "Dead"
)

// Protocol says how a group's members are coordinated.
type Protocol string

// The protocols. A group is of one until it is empty.
const (
	// ProtocolNone is a group that only holds offsets: it never had members.
	ProtocolNone Protocol = ""
	// ProtocolConsumer is KIP-848's, "consumer" in Kafka's ListGroups.
	ProtocolConsumer Protocol = "consumer"
	// ProtocolClassic is that of JoinGroup and SyncGroup.
	ProtocolClassic Protocol = "classic"
)

// state is what one group partition holds: what Replay of its log gives.
type state struct {
	groups map[string]*group
	// touched are the groups whose members may have news since the last round,
	// gone the members that were removed.
	touched map[string]struct{}
	gone    []memberName
	timers  timers
	alarms  alarms
}

type memberName struct{ group, member string }

func newState() *state {
	return &state{groups: make(map[string]*group), touched: make(map[string]struct{})}
}

// group is one consumer group. The offsets are common to both protocols; classic
// is the classic one's, the fields below it are KIP-848's. A group has members of one
// protocol at a time.
//
// Durable fields change in apply methods only.
type group struct {
	id      string
	offsets map[offsetKey]*offsetValue

	// classic is nil unless somebody joined by the classic protocol, or was given a
	// member id for it.
	classic *classicGroup

	// meta is nil until the group had its first member.
	meta *groupValue
	// assignmentEpoch is the group epoch that target was made for; it is at most
	// meta.epoch.
	assignmentEpoch int32
	target          map[string]partitionSet
	members         map[string]*member
	static          map[string]string // instance id -> member id
	// owners is who holds each partition: it is in that member's assigned or
	// revoking. One owner at most is what the protocol is for.
	owners map[topicPartition]string

	// names are the topics' names by id, of those that the group deals with, as
	// far as they are known. Not durable.
	names map[TopicID]string
}

type offsetKey struct {
	topic     string
	partition int32
}

func (k offsetKey) compare(o offsetKey) int {
	return cmp.Or(strings.Compare(k.topic, o.topic), cmp.Compare(k.partition, o.partition))
}

// group returns the group, making it if there is none.
func (s *state) group(id string) *group {
	g := s.groups[id]
	if g == nil {
		g = &group{
			id:      id,
			offsets: make(map[offsetKey]*offsetValue),
			target:  make(map[string]partitionSet),
			members: make(map[string]*member),
			static:  make(map[string]string),
			owners:  make(map[topicPartition]string),
			names:   make(map[TopicID]string),
		}
		s.groups[id] = g
	}
	return g
}

// drop forgets the group if nothing is left of it.
func (s *state) drop(g *group) {
	if g.meta == nil && g.classic == nil && g.assignmentEpoch == 0 && len(g.offsets) == 0 && len(g.members) == 0 && len(g.target) == 0 {
		delete(s.groups, g.id)
	}
}

func (g *group) state() State {
	switch {
	case g.protocol() == ProtocolClassic:
		return g.classic.state
	case len(g.members) == 0:
		return StateEmpty
	case g.epoch() > g.assignmentEpoch:
		return StateAssigning
	}
	for _, m := range g.members {
		if m.current.state != MemberStable || m.current.epoch != g.assignmentEpoch {
			return StateReconciling
		}
	}
	return StateStable
}

func (g *group) epoch() int32 {
	if g.meta == nil {
		return 0
	}
	return g.meta.epoch
}

func (g *group) protocol() Protocol {
	switch {
	case g.meta != nil:
		return ProtocolConsumer
	case g.classic != nil:
		return ProtocolClassic
	}
	return ProtocolNone
}

// size is how many members the group has, of either protocol.
func (g *group) size() int {
	if g.classic != nil {
		return len(g.members) + len(g.classic.members)
	}
	return len(g.members)
}

// occupied reports whether the group is not Empty: it has members, or had some a
// moment ago whose place a rebalance still holds.
func (g *group) occupied() bool {
	return len(g.members) > 0 || g.classic != nil && g.classic.state != StateEmpty
}

// emptyMs is when the last member left, Unix milliseconds; 0 while there are
// members, or if there never were any.
func (g *group) emptyMs() int64 {
	switch {
	case g.meta != nil:
		return g.meta.emptyMs
	case g.classic != nil && g.classic.value != nil && !g.occupied():
		return max(g.classic.value.stateMs, 0)
	}
	return 0
}

// sortedMembers returns the member ids in ascending order.
func (g *group) sortedMembers() []string { return slices.Sorted(maps.Keys(g.members)) }

// sortedOffsets returns the keys of the committed offsets in ascending order.
func (g *group) sortedOffsets() []offsetKey {
	return slices.SortedFunc(maps.Keys(g.offsets), offsetKey.compare)
}

// subscribed returns the topic names that any member subscribes to, ascending.
func (g *group) subscribed() []string {
	set := make(map[string]struct{})
	for _, m := range g.members {
		for _, t := range m.meta.topics {
			set[t] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// named turns a set into what callers get: by topic name, partitions copied.
func (g *group) named(s partitionSet) []TopicPartitions {
	out := make([]TopicPartitions, 0, len(s))
	for _, id := range s.ids() {
		out = append(out, TopicPartitions{Topic: g.names[id], ID: id, Partitions: slices.Clone(s[id])})
	}
	slices.SortStableFunc(out, func(a, b TopicPartitions) int { return strings.Compare(a.Topic, b.Topic) })
	return out
}

func (r *offsetRecord) apply(s *state) {
	k := offsetKey{r.topic, r.partition}
	if r.value != nil {
		s.group(r.group).offsets[k] = r.value
	} else if g := s.groups[r.group]; g != nil {
		delete(g.offsets, k)
		s.drop(g)
	}
}

func (r *groupRecord) apply(s *state) {
	if r.value != nil {
		s.group(r.group).meta = r.value
	} else if g := s.groups[r.group]; g != nil {
		g.meta = nil
		s.drop(g)
	}
	s.touch(r.group)
}

func (r *targetRecord) apply(s *state) {
	if r.value != nil {
		s.group(r.group).assignmentEpoch = r.value.epoch
	} else if g := s.groups[r.group]; g != nil {
		g.assignmentEpoch = 0
		s.drop(g)
	}
	s.touch(r.group)
}

func (r *targetMemberRecord) apply(s *state) {
	if r.value != nil {
		s.group(r.group).target[r.member] = r.value
	} else if g := s.groups[r.group]; g != nil {
		delete(g.target, r.member)
		s.drop(g)
	}
	s.touch(r.group)
}

func (s *state) touch(group string) { s.touched[group] = struct{}{} }

// loaded completes the state after a replay: what is derived, and the timers,
// which start anew because the members talked to another coordinator until now.
func (s *state) loaded(now time.Time, timeout time.Duration) {
	for _, id := range slices.Sorted(maps.Keys(s.groups)) {
		g := s.groups[id]
		clear(g.owners)
		if g.meta == nil && len(g.members) > 0 {
			g.meta = &groupValue{epoch: g.assignmentEpoch} // a log of another hand
		}
		for _, m := range g.members {
			m.hold(g.owners)
			m.sessionTimeout = timeout
			m.sessionEnds = now.Add(timeout)
			if m.current.state == MemberUnrevoked {
				m.revokeEnds = now.Add(m.rebalanceTimeout())
			}
			s.timers.set(m)
		}
		if len(g.members) > 0 {
			g.classic = nil // again a log of another hand: a group is of one protocol
		} else if g.classic != nil {
			s.loadClassic(g, now, timeout)
		}
	}
	clear(s.touched)
	s.gone = nil
}
