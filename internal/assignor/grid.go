package assignor

import (
	"cmp"
	"slices"
	"strings"
)

// nobody is the index of no member.
const nobody = int32(-1)

// grid is the state of a balanced assignment: topics and members by index, in
// the order of their names, and who has each partition.
type grid struct {
	members  []*Member
	topics   []string
	subs     [][]int32 // by topic: its subscribers, ascending; never empty
	topicsOf [][]int32 // by member: its topics, ascending
	// owner is who has each partition, by topic; had is who had it at the start.
	owner, had [][]int32
	// load is how many partitions of owner a member has.
	load []int
}

// newGrid reads the input: what is subscribed to, and who owns what of it.
func newGrid(members []Member, partitions map[string]int32) *grid {
	g := &grid{members: make([]*Member, len(members)), load: make([]int, len(members))}
	for i := range members {
		g.members[i] = &members[i]
	}
	slices.SortFunc(g.members, func(a, b *Member) int { return strings.Compare(a.ID, b.ID) })
	byTopic, topics := subscribers(g.members, partitions)
	g.topics = topics
	g.subs = make([][]int32, len(topics))
	g.owner = make([][]int32, len(topics))
	g.had = make([][]int32, len(topics))
	g.topicsOf = make([][]int32, len(members))
	index := make(map[string]int32, len(topics))
	for t, name := range topics {
		index[name] = int32(t)
		g.subs[t] = byTopic[name]
		for _, m := range g.subs[t] {
			g.topicsOf[m] = append(g.topicsOf[m], int32(t))
		}
		g.owner[t] = slices.Repeat([]int32{nobody}, int(partitions[name]))
	}
	for m, member := range g.members {
		for topic, list := range member.Owned {
			t, ok := index[topic]
			if !ok || !g.subscribes(int32(m), t) {
				continue
			}
			for _, p := range list {
				if p < 0 || int(p) >= len(g.owner[t]) {
					continue
				}
				// Members come by ascending id: the lower one keeps it unless the
				// later one has it of a later generation.
				if o := g.owner[t][p]; o == nobody || g.members[o].Generation < member.Generation {
					g.owner[t][p] = int32(m)
				}
			}
		}
	}
	for t := range g.owner {
		g.had[t] = slices.Clone(g.owner[t])
		for _, m := range g.owner[t] {
			if m != nobody {
				g.load[m]++
			}
		}
	}
	return g
}

func (g *grid) subscribes(m, t int32) bool {
	_, ok := slices.BinarySearch(g.subs[t], m)
	return ok
}

// assign balances and returns the result.
func (g *grid) assign(members []Member) Assignment {
	g.balance()
	return g.result(members)
}

// balance gives every partition an owner and evens out the loads.
func (g *grid) balance() {
	if len(g.topics) == 0 {
		return
	}
	if g.homogeneous() {
		g.balanceEqual()
		return
	}
	g.fill()
	g.relieve()
}

// homogeneous reports whether all members that subscribe to anything that
// exists subscribe to the same.
func (g *grid) homogeneous() bool {
	for t := range g.subs {
		if !slices.Equal(g.subs[t], g.subs[0]) {
			return false
		}
	}
	return true
}

// balanceEqual is for equal subscriptions: each subscriber keeps what it has up
// to its quota, and the rest goes to those below theirs. The quota is the
// average rounded down, and one more for as many members as the rest of the
// division says: first those that have that many already.
func (g *grid) balanceEqual() {
	subs := g.subs[0]
	total := 0
	for t := range g.owner {
		total += len(g.owner[t])
	}
	least, more := total/len(subs), total%len(subs)
	quota := make([]int, len(g.members))
	for _, m := range subs {
		quota[m] = least
		if g.load[m] > least && more > 0 {
			quota[m]++
			more--
		}
	}
	for _, m := range subs {
		if more == 0 {
			break
		}
		if quota[m] == least {
			quota[m]++
			more--
		}
	}
	for t := len(g.owner) - 1; t >= 0; t-- {
		for p := len(g.owner[t]) - 1; p >= 0; p-- {
			if m := g.owner[t][p]; m != nobody && g.load[m] > quota[m] {
				g.owner[t][p] = nobody
				g.load[m]--
			}
		}
	}
	// Deal the rest in turns rather than member by member: a topic's partitions
	// then spread over the members.
	at := 0
	for t := range g.owner {
		for p, m := range g.owner[t] {
			if m != nobody {
				continue
			}
			for g.load[subs[at]] >= quota[subs[at]] {
				at = (at + 1) % len(subs)
			}
			g.owner[t][p] = subs[at]
			g.load[subs[at]]++
			at = (at + 1) % len(subs)
		}
	}
}

// fill gives each partition without an owner to the subscriber with the least;
// the topics with the fewest subscribers first, because theirs have no choice.
func (g *grid) fill() {
	order := make([]int, len(g.topics))
	for t := range order {
		order[t] = t
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(g.subs[a]), len(g.subs[b])) })
	for _, t := range order {
		for p, m := range g.owner[t] {
			if m != nobody {
				continue
			}
			least := g.subs[t][0]
			for _, s := range g.subs[t] {
				if g.load[s] < g.load[least] {
					least = s
				}
			}
			g.owner[t][p] = least
			g.load[least]++
		}
	}
}

// result turns the owners into an Assignment.
func (g *grid) result(members []Member) Assignment {
	out := newAssignment(members)
	for t, topic := range g.topics {
		for p, m := range g.owner[t] {
			if m == nobody {
				continue
			}
			parts := out[g.members[m].ID]
			parts[topic] = append(parts[topic], int32(p))
		}
	}
	return out
}
