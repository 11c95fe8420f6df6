package assignor

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func member(id string, topics ...string) Member { return Member{ID: id, Topics: topics} }

func TestAssignors(t *testing.T) {
	static := func(id, instance string, topics ...string) Member {
		return Member{ID: id, InstanceID: instance, Topics: topics}
	}
	for _, tc := range []struct {
		name       string
		f          Func
		members    []Member
		partitions map[string]int32
		want       Assignment
	}{
		{"range cuts each topic alike", Range, []Member{member("b", "t", "u"), member("a", "u", "t")},
			map[string]int32{"t": 3, "u": 3},
			Assignment{"a": {"t": {0, 1}, "u": {0, 1}}, "b": {"t": {2}, "u": {2}}}},
		{"range with more members than partitions", Range, []Member{member("a", "t"), member("b", "t"), member("c", "t")},
			map[string]int32{"t": 2}, Assignment{"a": {"t": {0}}, "b": {"t": {1}}, "c": {}}},
		{"range orders by instance id", Range, []Member{static("z", "1", "t"), static("a", "2", "t"), member("0", "t")},
			map[string]int32{"t": 3}, Assignment{"z": {"t": {0}}, "a": {"t": {1}}, "0": {"t": {2}}}},
		{"range leaves unknown topics out", Range, []Member{member("a", "gone", "t", "t")},
			map[string]int32{"t": 1, "other": 4}, Assignment{"a": {"t": {0}}}},
		{"round robin goes on in the next topic", RoundRobin, []Member{member("a", "t", "u"), member("b", "t", "u")},
			map[string]int32{"t": 3, "u": 3},
			Assignment{"a": {"t": {0, 2}, "u": {1}}, "b": {"t": {1}, "u": {0, 2}}}},
		{"round robin passes over", RoundRobin, []Member{member("a", "t"), member("b", "t", "u"), member("c", "t", "u", "v")},
			map[string]int32{"t": 1, "u": 2, "v": 3},
			Assignment{"a": {"t": {0}}, "b": {"u": {0}}, "c": {"u": {1}, "v": {0, 1, 2}}}},
		{"uniform deals in turns", Uniform, []Member{member("a", "t"), member("b", "t")},
			map[string]int32{"t": 3}, Assignment{"a": {"t": {0, 2}}, "b": {"t": {1}}}},
		{"uniform keeps", Uniform, []Member{
			{ID: "a", Topics: []string{"t"}, Owned: Partitions{"t": {1}}},
			{ID: "b", Topics: []string{"t"}, Owned: Partitions{"t": {0, 2, 3}}},
		}, map[string]int32{"t": 4}, Assignment{"a": {"t": {1, 3}}, "b": {"t": {0, 2}}}},
		{"uniform: the one with more keeps the odd one", Uniform, []Member{
			{ID: "a", Topics: []string{"t"}},
			{ID: "b", Topics: []string{"t"}, Owned: Partitions{"t": {0, 1, 2}}},
		}, map[string]int32{"t": 3}, Assignment{"a": {"t": {2}}, "b": {"t": {0, 1}}}},
		{"uniform with other subscriptions relieves along a chain", Uniform, []Member{
			{ID: "a", Topics: []string{"t"}, Owned: Partitions{"t": {0, 1, 2}}},
			{ID: "b", Topics: []string{"t", "u"}, Owned: Partitions{"u": {0, 1}}},
			{ID: "c", Topics: []string{"u"}, Owned: Partitions{"u": {2}}},
		}, map[string]int32{"t": 3, "u": 3},
			Assignment{"a": {"t": {0, 1}}, "b": {"t": {2}, "u": {0}}, "c": {"u": {1, 2}}}},
		{"sticky: the later generation has it", Sticky, []Member{
			{ID: "a", Topics: []string{"t"}, Owned: Partitions{"t": {0, 1}}, Generation: 1},
			{ID: "b", Topics: []string{"t"}, Owned: Partitions{"t": {0}}, Generation: 2},
		}, map[string]int32{"t": 2}, Assignment{"a": {"t": {1}}, "b": {"t": {0}}}},
		{"cooperative: what moves waits", CooperativeSticky, []Member{
			{ID: "a", Topics: []string{"t"}, Owned: Partitions{"t": {0, 1}}},
			{ID: "b", Topics: []string{"t"}},
		}, map[string]int32{"t": 3}, Assignment{"a": {"t": {0, 1}}, "b": {"t": {2}}}},
		{"cooperative: first round", CooperativeSticky, []Member{
			{ID: "a", Topics: []string{"t"}, Owned: Partitions{"t": {0, 1}}},
			{ID: "b", Topics: []string{"t"}},
		}, map[string]int32{"t": 2}, Assignment{"a": {"t": {0}}, "b": {}}},
		{"what is owned may be nonsense", Uniform, []Member{
			{ID: "a", Topics: []string{"t"}, Owned: Partitions{"t": {-1, 7, 0, 0}, "x": {1}}},
		}, map[string]int32{"t": 1}, Assignment{"a": {"t": {0}}}},
		{"nobody", Uniform, nil, map[string]int32{"t": 1}, Assignment{}},
		{"nothing", Uniform, []Member{member("a")}, nil, Assignment{"a": {}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.want, tc.f(tc.members, tc.partitions))
		})
	}
}

func TestByName(t *testing.T) {
	for _, name := range []string{NameUniform, NameRange, NameRoundRobin} {
		require.Contains(t, ServerNames, name)
		_, ok := Server(name)
		require.True(t, ok, name)
	}
	for _, name := range []string{NameRange, NameRoundRobin, NameSticky, NameCooperativeSticky} {
		_, ok := Client(name)
		require.True(t, ok, name)
	}
	_, ok := Server(NameSticky)
	require.False(t, ok)
	_, ok = Client("")
	require.False(t, ok)
}

// group draws topics and members; equal ones subscribe to the same topics.
func group(t *rapid.T, equal bool) ([]Member, map[string]int32) {
	partitions := map[string]int32{}
	var topics []string
	for i := range rapid.IntRange(1, 5).Draw(t, "topics") {
		name := fmt.Sprintf("t%d", i)
		topics = append(topics, name)
		partitions[name] = rapid.Int32Range(0, 12).Draw(t, "partitions")
	}
	ids := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,3}`), 1, 8, rapid.ID[string]).Draw(t, "ids")
	members := make([]Member, len(ids))
	for i, id := range ids {
		members[i] = Member{ID: id, Topics: topics, Owned: Partitions{}}
		if !equal {
			members[i].Topics = rapid.SliceOfDistinct(rapid.SampledFrom(topics), rapid.ID[string]).Draw(t, "subscribed")
		}
		if rapid.Bool().Draw(t, "static") {
			members[i].InstanceID = "i" + id
		}
		for _, topic := range topics {
			if owned := rapid.SliceOf(rapid.Int32Range(-1, 13)).Draw(t, "owned"); len(owned) > 0 {
				members[i].Owned[topic] = owned
			}
		}
	}
	return members, partitions
}

// checkComplete fails unless each partition that has a subscriber is with
// exactly one of them, and nothing else is with anybody.
func checkComplete(t require.TestingT, members []Member, partitions map[string]int32, a Assignment) {
	require.Len(t, a, len(members))
	owner := map[string]map[int32]string{}
	for _, m := range members {
		for topic, list := range a[m.ID] {
			require.Contains(t, m.Topics, topic)
			require.NotEmpty(t, list)
			require.True(t, slices.IsSorted(list))
			for _, p := range list {
				require.Less(t, p, partitions[topic])
				if owner[topic] == nil {
					owner[topic] = map[int32]string{}
				}
				require.NotContains(t, owner[topic], p)
				owner[topic][p] = m.ID
			}
		}
	}
	for topic, n := range partitions {
		if slices.ContainsFunc(members, func(m Member) bool { return slices.Contains(m.Topics, topic) }) {
			require.Len(t, owner[topic], int(n))
		}
	}
}

func checkBalanced(t require.TestingT, a Assignment) {
	least, most := -1, 0
	for _, parts := range a {
		n := parts.Count()
		if least < 0 || n < least {
			least = n
		}
		most = max(most, n)
	}
	require.LessOrEqual(t, most-least, 1)
}

func shuffled(t *rapid.T, members []Member) []Member {
	out := rapid.Permutation(members).Draw(t, "order")
	for i := range out {
		out[i].Topics = rapid.Permutation(out[i].Topics).Draw(t, "topic order")
	}
	return out
}

var all = map[string]Func{
	"range": Range, "server-range": ServerRange, "roundrobin": RoundRobin, "sticky": Sticky, "uniform": Uniform,
}

func TestCompleteAndDeterministic(t *testing.T) {
	for name, f := range all {
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			equal := rapid.Bool().Draw(t, "equal")
			members, partitions := group(t, equal)
			a := f(members, partitions)
			checkComplete(t, members, partitions, a)
			if equal && name != "range" && name != "server-range" {
				checkBalanced(t, a)
			}
			require.Equal(t, a, f(shuffled(t, members), partitions))
		}))
	}
}

// TestRelieved checks balance for different subscriptions against a plain
// search: no chain of hand-overs leads from a member to one with two less.
func TestRelieved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members, partitions := group(t, false)
		a := Uniform(members, partitions)
		for _, m := range members {
			reached := map[string]bool{m.ID: true}
			for grew := true; grew; {
				grew = false
				for _, x := range members {
					for _, y := range members {
						if !reached[x.ID] || reached[y.ID] {
							continue
						}
						for topic := range a[x.ID] {
							if slices.Contains(y.Topics, topic) {
								reached[y.ID], grew = true, true
							}
						}
					}
				}
			}
			for id := range reached {
				require.Less(t, a[m.ID].Count()-a[id].Count(), 2, "%s could relieve %s", id, m.ID)
			}
		}
	})
}

// own returns the members with what a gives them as what they own.
func own(members []Member, a Assignment) []Member {
	out := slices.Clone(members)
	for i := range out {
		out[i].Owned = a[out[i].ID]
	}
	return out
}

// moves counts the partitions that are with another member in b than in a.
func moves(a, b Assignment) int {
	n := 0
	for id, parts := range a {
		if _, stayed := b[id]; !stayed {
			continue // somebody has to take those of one that left
		}
		for topic, list := range parts {
			for _, p := range list {
				if !slices.Contains(b[id][topic], p) {
					n++
				}
			}
		}
	}
	return n
}

func TestStickyWithEqualSubscriptions(t *testing.T) {
	for _, name := range []string{"sticky", "uniform"} {
		f := all[name]
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			members, partitions := group(t, true)
			before := f(members, partitions)
			require.Equal(t, before, f(own(members, before), partitions), "nothing changed")

			joined := append(own(members, before), Member{ID: "+new", Topics: members[0].Topics})
			after := f(joined, partitions)
			checkComplete(t, joined, partitions, after)
			checkBalanced(t, after)
			require.Equal(t, after["+new"].Count(), moves(before, after), "only what the new member gets may move")

			gone := rapid.IntRange(0, len(members)-1).Draw(t, "leaver")
			left := slices.Delete(own(members, before), gone, gone+1)
			after = f(left, partitions)
			checkComplete(t, left, partitions, after)
			require.Zero(t, moves(before, after), "only what the leaver had may move")
		}))
	}
}

func TestStickyWithOtherSubscriptions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members, partitions := group(t, false)
		before := Uniform(members, partitions)
		require.Equal(t, before, Uniform(own(members, before), partitions), "nothing changed")
	})
}

// TestCooperative runs rounds until nobody revokes: at no time may a partition
// be given to one while another owns it, and the end is what Sticky wants.
func TestCooperative(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members, partitions := group(t, rapid.Bool().Draw(t, "equal"))
		members = own(members, Sticky(members, partitions))
		members = append(members, Member{ID: "+new", Topics: members[0].Topics})
		for round := 0; ; round++ {
			require.Less(t, round, 4, "does not settle")
			next := CooperativeSticky(members, partitions)
			revoked := 0
			for _, m := range members {
				for topic, list := range next[m.ID] {
					for _, p := range list {
						for _, other := range members {
							if other.ID != m.ID {
								require.NotContains(t, other.Owned[topic], p)
							}
						}
					}
				}
				for topic, list := range m.Owned {
					for _, p := range list {
						if !slices.Contains(next[m.ID][topic], p) {
							revoked++
						}
					}
				}
			}
			members = own(members, next)
			if revoked == 0 {
				checkComplete(t, members, partitions, next)
				require.Equal(t, next, Sticky(members, partitions))
				return
			}
		}
	})
}

func big(equal bool) ([]Member, map[string]int32) {
	partitions := map[string]int32{}
	var topics []string
	for i := range 100 {
		name := fmt.Sprintf("topic-%03d", i)
		topics = append(topics, name)
		partitions[name] = 100
	}
	members := make([]Member, 1000)
	for i := range members {
		members[i] = Member{ID: fmt.Sprintf("m%04d", i), Topics: topics}
		if !equal {
			at := i % 51
			members[i].Topics = topics[at : at+1+i%50]
		}
	}
	return members, partitions
}

// BenchmarkAssign is 1,000 members and 10,000 partitions: from nothing, and
// with one member that has just joined.
func BenchmarkAssign(b *testing.B) {
	for _, name := range []string{"range", "roundrobin", "sticky", "uniform"} {
		for _, equal := range []bool{true, false} {
			members, partitions := big(equal)
			f := all[name]
			b.Run(fmt.Sprintf("assignor=%s/equal=%v/change=all", name, equal), func(b *testing.B) {
				for b.Loop() {
					f(members, partitions)
				}
			})
			members = append(own(members, f(members, partitions)), Member{ID: "new", Topics: members[49].Topics})
			b.Run(fmt.Sprintf("assignor=%s/equal=%v/change=join", name, equal), func(b *testing.B) {
				for b.Loop() {
					f(members, partitions)
				}
			})
			for i := range members {
				members[i].Owned = nil
			}
			members[49].Owned = Partitions{}
			for _, topic := range members[49].Topics {
				for p := range partitions[topic] {
					members[49].Owned[topic] = append(members[49].Owned[topic], p)
				}
			}
			b.Run(fmt.Sprintf("assignor=%s/equal=%v/change=hoarder", name, equal), func(b *testing.B) {
				for b.Loop() {
					f(members, partitions)
				}
			})
		}
	}
}
