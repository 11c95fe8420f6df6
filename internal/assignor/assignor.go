package assignor

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// The assignors' names in Kafka's protocol: a server-side assignor goes by one
// in ConsumerGroupHeartbeat, a client-side one in JoinGroup.
const (
	NameRange             = "range"
	NameRoundRobin        = "roundrobin"
	NameSticky            = "sticky"
	NameCooperativeSticky = "cooperative-sticky"
	NameUniform           = "uniform"
)

// Partitions is a set of partitions by topic. What this package returns has
// the lists ascending and no empty ones.
type Partitions map[string][]int32

// Assignment is what each member, by its id, is to read. Every member has an
// entry.
type Assignment map[string]Partitions

// Member is what an assignor knows of one consumer.
type Member struct {
	// ID is the member id, unique in the group.
	ID string
	// InstanceID is group.instance.id of a static member, else empty. range and
	// roundrobin order by it, so that a static member that comes back under a
	// new id has the place it had.
	InstanceID string
	// Rack is the member's rack; no assignor looks at it yet.
	Rack string
	// Topics are the subscribed topics, in any order; doubles count once.
	Topics []string
	// Owned is what the member owns, or was assigned last. What does not exist
	// any more, or is not subscribed to, is ignored. A partition that two
	// members claim stays with the higher Generation, then the lower ID.
	Owned Partitions
	// Generation is when Owned was assigned. It counts for the classic
	// protocol's sticky assignors only: the coordinator of a KIP-848 group knows
	// the owners and leaves it 0.
	Generation int32
}

// Func is an assignor. Members are in any order and have distinct ids;
// partitions has the partition count of each topic that exists. A subscribed
// topic that is not there, or has no partitions, is left out.
type Func func(members []Member, partitions map[string]int32) Assignment

// ServerNames is the names that Server knows, for messages.
const ServerNames = "uniform, range or roundrobin"

// Server returns the server-side assignor of that name (KIP-848's
// group.consumer.assignors), one of ServerNames. It reports whether there is one.
// Kafka's brokers come with uniform and range; roundrobin is there for groups that
// had it with the classic protocol.
func Server(name string) (Func, bool) {
	switch name {
	case NameUniform:
		return Uniform, true
	case NameRange:
		return ServerRange, true
	case NameRoundRobin:
		return RoundRobin, true
	}
	return nil, false
}

// Client returns the client-side assignor of that name, as the classic
// protocol's members list them (partition.assignment.strategy). It reports
// whether there is one.
func Client(name string) (Func, bool) {
	switch name {
	case NameRange:
		return Range, true
	case NameRoundRobin:
		return RoundRobin, true
	case NameSticky:
		return Sticky, true
	case NameCooperativeSticky:
		return CooperativeSticky, true
	}
	return nil, false
}

// Count returns how many partitions are in p.
func (p Partitions) Count() int {
	n := 0
	for _, list := range p {
		n += len(list)
	}
	return n
}

// newAssignment returns an Assignment with an empty entry for each member.
func newAssignment(members []Member) Assignment {
	a := make(Assignment, len(members))
	for i := range members {
		a[members[i].ID] = Partitions{}
	}
	return a
}

// byPlace returns the members in the order that range and roundrobin deal in:
// static ones first, by instance id, then the others by member id.
func byPlace(members []Member) []*Member {
	out := make([]*Member, len(members))
	for i := range members {
		out[i] = &members[i]
	}
	slices.SortFunc(out, func(a, b *Member) int {
		switch {
		case a.InstanceID == "" && b.InstanceID != "":
			return 1
		case a.InstanceID != "" && b.InstanceID == "":
			return -1
		}
		return cmp.Or(strings.Compare(a.InstanceID, b.InstanceID), strings.Compare(a.ID, b.ID))
	})
	return out
}

// subscribers returns, for each existing topic with partitions that somebody
// subscribes to, the indexes into members of its subscribers, ascending, and
// the names of those topics, ascending.
func subscribers(members []*Member, partitions map[string]int32) (byTopic map[string][]int32, topics []string) {
	byTopic = make(map[string][]int32)
	for i, m := range members {
		for _, t := range m.Topics {
			if partitions[t] <= 0 {
				continue
			}
			list := byTopic[t]
			if n := len(list); n > 0 && list[n-1] == int32(i) {
				continue // named twice
			}
			byTopic[t] = append(list, int32(i))
		}
	}
	return byTopic, slices.Sorted(maps.Keys(byTopic))
}
