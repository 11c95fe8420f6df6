package history

import (
	"cmp"
	"maps"
	"slices"

	"github.com/anishathalye/porcupine"
)

// groupPartition is what an offset is committed for.
type groupPartition struct {
	group string
	Partition
}

// groupFacts is what is known of a group's partition.
type groupFacts struct {
	commits []int // not those that failed
	fetches []int // OK
	owns    []int
}

// checkGroups looks at committed offsets and owners (invariants 13 and 14).
func (c *checker) checkGroups() {
	all := make(map[groupPartition]*groupFacts)
	of := func(group string, p Partition) *groupFacts {
		k := groupPartition{group, p}
		if all[k] == nil {
			all[k] = &groupFacts{}
		}
		return all[k]
	}
	for i, o := range c.ops {
		switch a := o.Action.(type) {
		case Commit:
			if o.Outcome == OK {
				c.report.Commits++
			}
			if o.Outcome != Failed {
				g := of(a.Group, a.Partition)
				g.commits = append(g.commits, i)
			}
		case Committed:
			if o.Outcome == OK {
				g := of(a.Group, a.Partition)
				g.fetches = append(g.fetches, i)
			}
		case Own:
			g := of(a.Group, a.Partition)
			g.owns = append(g.owns, i)
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(all), func(a, b groupPartition) int {
		return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Number, b.Number))
	}) {
		c.checkCommitted(k, all[k])
		c.checkOwners(k, all[k])
	}
}

// checkCommitted compares what was fetched with what was committed.
func (c *checker) checkCommitted(k groupPartition, g *groupFacts) {
	found := false
	for _, i := range g.fetches {
		fetch := c.ops[i]
		value := fetch.Result.Offset
		var writers []int
		for _, w := range g.commits {
			if c.ops[w].Action.(Commit).Offset == value && c.ops[w].Start <= fetch.End {
				writers = append(writers, w)
			}
		}
		if value != None && len(writers) == 0 {
			found = true
			c.violated(13, []int{i}, "%s of group %s: offset %d was committed by nobody", k.Partition, k.group, value)
			continue
		}
		// A commit that ended before the fetch began hides every commit that ended
		// before that one began, and the time before all commits.
		for _, w := range g.commits {
			newer := c.ops[w]
			if newer.Outcome != OK || newer.End >= fetch.Start || newer.Action.(Commit).Offset == value {
				continue
			}
			hidden := !slices.ContainsFunc(writers, func(j int) bool { return c.ops[j].Outcome != OK || c.ops[j].End >= newer.Start })
			if hidden {
				found = true
				c.violated(13, append([]int{i, w}, writers...), "%s of group %s is at %d again after %d was committed", k.Partition, k.group, value, newer.Action.(Commit).Offset)
				break
			}
		}
	}
	if found {
		return // porcupine would only say so too
	}
	events := slices.Concat(g.commits, g.fetches)
	slices.Sort(events)
	fetched := make(map[int64]bool)
	for _, i := range g.fetches {
		fetched[c.ops[i].Result.Offset] = true
	}
	for first := 0; first < len(events); first += pieceOps {
		last := min(first+pieceOps, len(events))
		state := int64(None)
		var piece []porcupine.Operation
		if first > 0 {
			state = anyOffset
		}
		for n, i := range events[:last] {
			o := c.ops[i]
			a, isCommit := o.Action.(Commit)
			end := o.End
			if o.Outcome == Unknown {
				end = Never
				if isCommit && !fetched[a.Offset] {
					continue // nobody saw it: as if it had not happened
				}
			}
			if n < first && end < c.ops[events[first]].Start {
				continue
			}
			piece = append(piece, porcupine.Operation{Input: registerInput{isCommit, a.Offset}, Output: o.Result.Offset, Call: int64(o.Start), Return: int64(end)})
		}
		switch r, _ := porcupine.CheckOperationsVerbose(registerModel(state), piece, pieceTime); r {
		case porcupine.Unknown:
			c.report.Timeouts++
		case porcupine.Illegal:
			c.violated(13, []int{events[first], events[last-1]}, "%s of group %s: %d commits and fetches between these are in no order that is right", k.Partition, k.group, len(piece))
		}
	}
}

// anyOffset is the state of a register that nobody has read yet.
const anyOffset = int64(-2)

type registerInput struct {
	write bool
	value int64
}

// registerModel is a committed offset as porcupine knows it.
func registerModel(state int64) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return state },
		Step: func(state, input, output any) (bool, any) {
			in := input.(registerInput)
			if in.write {
				return true, in.value
			}
			return state == output || state == anyOffset, output
		},
	}
}

// checkOwners looks for two owners of a generation and for commits of members
// that are owners no more.
func (c *checker) checkOwners(k groupPartition, g *groupFacts) {
	owner := make(map[int64]int)
	for _, i := range g.owns {
		own := c.ops[i].Action.(Own)
		if own.Generation == None {
			continue
		}
		if j, ok := owner[own.Generation]; !ok {
			owner[own.Generation] = i
		} else if other := c.ops[j].Action.(Own); other.Member != own.Member {
			c.violated(14, []int{i, j}, "%s of group %s has two owners in generation %d: %s and %s", k.Partition, k.group, own.Generation, other.Member, own.Member)
		}
	}
	for _, i := range g.commits {
		o := c.ops[i]
		if o.Outcome != OK {
			continue
		}
		commit := o.Action.(Commit)
		// The last that was given the partition before the commit began, if no other
		// was given it at the same time.
		last := -1
		for _, j := range g.owns {
			own := c.ops[j]
			if own.Start < o.Start && own.End >= o.Start {
				last = -1 // who came last is not known
				break
			}
			if own.End < o.Start && (last < 0 || own.Start >= c.ops[last].Start) {
				last = j
			}
		}
		if last < 0 {
			continue
		}
		own := c.ops[last].Action.(Own)
		known := own.Generation != None && commit.Generation != None
		if own.Member != commit.Member && (!known || commit.Generation < own.Generation) {
			c.violated(14, []int{last, i}, "%s of group %s: a commit of member %s was accepted when %s was the owner", k.Partition, k.group, commit.Member, own.Member)
		}
	}
}
