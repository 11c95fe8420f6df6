package coordinator

import "time"

// reconcile takes a member a step towards its target. owned is what the member
// says it has, which is how it acknowledges a revocation; nil: it does not say.
// joins says that it starts with nothing.
//
//	Stable ──new target──▶ has to give something up? ──yes──▶ Unrevoked (keeps its epoch)
//	                          │ no                               │ owned no longer has it
//	                          ▼                                  ▼
//	              takes what is free, and the target's epoch ◀───┘
//	                 │ all free               │ somebody still has some
//	                 ▼                        ▼
//	               Stable                 Unreleased ──heartbeat──▶ tries again
func (t *tx) reconcile(g *group, m *member, joins bool, owned partitionSet) {
	next := g.step(m, joins, owned)
	if c := m.current; next != c {
		t.emit(&currentRecord{g.id, m.id, next})
	}
	if m.current.state != MemberUnrevoked {
		m.revokeEnds = time.Time{}
	} else if m.revokeEnds.IsZero() {
		m.revokeEnds = t.now.Add(m.rebalanceTimeout())
	}
}

// step returns where the member is next: its current value itself if nothing
// changes.
func (g *group) step(m *member, joins bool, owned partitionSet) *currentValue {
	c := m.current
	switch c.state {
	case MemberStable:
		if c.epoch == g.assignmentEpoch {
			return c
		}
	case MemberUnrevoked:
		if owned == nil {
			return c
		}
		if still, _ := owned.split(c.revoking); len(still) > 0 {
			return c
		}
	case MemberUnreleased:
		if c.epoch == g.assignmentEpoch && !g.anyFree(m) {
			return c
		}
	}

	// What it was revoking is given up by now; the rest it keeps as far as the
	// target has it.
	//
	// A member is asked to give up even what it says it does not have: it may have
	// been given that by an answer it has not acted on yet, and if our answer to
	// this heartbeat is lost it will act on that one, while somebody else reads the
	// partition already. Only one that joins has no such answer.
	target := g.target[m.id]
	keep, give := c.assigned.split(target)
	if len(give) > 0 && !joins {
		return &currentValue{epoch: c.epoch, previous: c.previous, state: MemberUnrevoked, assigned: keep, revoking: give}
	}
	next := &currentValue{epoch: g.assignmentEpoch, previous: c.epoch, state: MemberStable,
		assigned: partitionSet{}, revoking: partitionSet{}}
	if next.epoch == c.epoch {
		next.previous = c.previous
	}
	for id, list := range target {
		for _, p := range list {
			if owner, held := g.owners[topicPartition{id, p}]; held && owner != m.id {
				next.state = MemberUnreleased
				continue
			}
			next.assigned[id] = append(next.assigned[id], p)
		}
	}
	return next
}

// anyFree reports whether a member that waits for partitions could have one now.
func (g *group) anyFree(m *member) bool {
	_, missing := g.target[m.id].split(m.current.assigned)
	waits := false
	for id, list := range missing {
		for _, p := range list {
			waits = true
			if owner, held := g.owners[topicPartition{id, p}]; !held || owner == m.id {
				return true
			}
		}
	}
	return !waits // the target shrank to what it has: it is stable
}

// news reports whether the next heartbeat would bring the member something new.
func (g *group) news(m *member) bool {
	switch c := m.current; c.state {
	case MemberStable:
		return c.epoch != g.assignmentEpoch && c.epoch != StaticLeaveEpoch
	case MemberUnreleased:
		return c.epoch != g.assignmentEpoch || g.anyFree(m)
	}
	return false // it was told what to revoke: the next word is the member's
}
