package coordinator

import "log/slog"

// prepareRebalance asks all members to join again, or begins an empty group's first
// generation. Nothing happens if that is under way.
func (t *tx) prepareRebalance(g *group, why string) {
	c := g.classic
	if c.state == StatePreparingRebalance {
		return
	}
	t.opts.Logger.Debug("rebalance begins", "group", g.id, "generation", c.generation, "members", len(c.members), "why", why)
	if c.state == StateCompletingRebalance {
		for _, m := range c.ordered() {
			if m.syncing != nil {
				reply(t, &m.syncing, SyncResponse{}, t.refuseClassic(g, m.id, m.instanceID, c.generation, ErrRebalanceInProgress))
				t.heard(m)
			}
		}
	}
	c.initial = c.state == StateEmpty
	c.state = StatePreparingRebalance
	c.timer.ring = func(t *tx) { t.classicTimer(g) }
	limit := c.rebalanceTimeout()
	if !c.initial {
		t.alarms.set(&c.timer, t.now.Add(limit))
		t.tryCompleteJoin(g)
		return
	}
	delay := min(t.opts.Classic.InitialRebalanceDelay, limit)
	if delay <= 0 {
		t.completeJoin(g)
		return
	}
	c.grown, c.wait = false, limit-delay
	t.alarms.set(&c.timer, t.now.Add(delay))
}

// classicTimer is what the group's timer does.
func (t *tx) classicTimer(g *group) {
	c := g.classic
	switch {
	case c.state == StatePreparingRebalance && c.initial && c.grown && c.wait > 0:
		delay := min(t.opts.Classic.InitialRebalanceDelay, c.wait)
		c.grown, c.wait = false, c.wait-delay
		t.alarms.set(&c.timer, t.now.Add(delay))
	case c.state == StatePreparingRebalance:
		t.completeJoin(g)
	case c.state == StateCompletingRebalance || c.state == StateStable:
		t.expireUnsynced(g)
	}
}

// tryCompleteJoin ends the wait for members once all are there, and all to whom an
// id was given.
func (t *tx) tryCompleteJoin(g *group) {
	c := g.classic
	if c.state != StatePreparingRebalance || c.initial || len(c.pending) > 0 {
		return
	}
	for _, m := range c.members {
		if m.joining == nil {
			return
		}
	}
	t.completeJoin(g)
}

// completeJoin begins the next generation, with those who have joined. Static
// members who have not keep their place until their session ends.
func (t *tx) completeJoin(g *group) {
	c := g.classic
	c.initial = false
	t.alarms.stop(&c.timer)
	for _, m := range c.ordered() {
		if m.joining == nil && m.instanceID == "" {
			t.opts.Logger.Warn("member removed", slog.String("group", g.id), slog.String("member", m.id),
				slog.Any("generation", c.generation), slog.String("why", "it did not join again within the rebalance timeout"))
			t.dropMember(g, m)
		}
	}
	if len(c.members) > 0 && !c.elect() {
		// Only static members who are away are left: their sessions will end.
		t.alarms.set(&c.timer, t.now.Add(c.rebalanceTimeout()))
		return
	}
	c.generation = c.nextGeneration()
	if len(c.members) == 0 {
		c.state, c.protocol, c.leader = StateEmpty, "", ""
		t.emit(&classicRecord{g.id, c.asValue(t.nowMs())})
		return
	}
	c.state, c.protocol = StateCompletingRebalance, c.selected()
	for _, m := range c.ordered() {
		m.isNew, m.synced = false, false
		reply(t, &m.joining, c.joined(m), nil)
		t.heard(m)
	}
	t.alarms.set(&c.timer, t.now.Add(c.rebalanceTimeout()))
}

// elect makes sure that the leader is one who has joined, the first by age if it
// has to be another one. It reports false if nobody has.
func (c *classicGroup) elect() bool {
	if m := c.members[c.leader]; m != nil && m.joining != nil {
		return true
	}
	for _, m := range c.ordered() {
		if m.joining != nil {
			c.leader = m.id
			return true
		}
	}
	return false
}

// expireUnsynced removes the members who have not asked for their assignment within
// the rebalance timeout: they may not even know the generation.
func (t *tx) expireUnsynced(g *group) {
	removed := false
	for _, m := range g.classic.ordered() {
		if !m.synced {
			t.opts.Logger.Warn("member removed", slog.String("group", g.id), slog.String("member", m.id),
				slog.String("instance", m.instanceID), slog.Any("generation", g.classic.generation),
				slog.String("why", "it did not sync within the rebalance timeout"))
			t.dropMember(g, m)
			removed = true
		}
	}
	if removed {
		t.prepareRebalance(g, "members did not sync")
	}
}

// expireSession removes a member that was silent for too long.
func (t *tx) expireSession(g *group, m *classicMember) {
	if !m.isNew && (m.joining != nil || m.syncing != nil) {
		return // it waits for others; it has to be heard of again once it is answered
	}
	t.opts.Logger.Warn("member removed", slog.String("group", g.id), slog.String("member", m.id),
		slog.String("instance", m.instanceID), slog.Any("generation", g.classic.generation), slog.String("why", "its session ran out"))
	t.dropMember(g, m)
	t.changed(g, "a member's session ran out")
}

// expirePending takes an id back that nobody joined with.
func (t *tx) expirePending(g *group, id string) {
	t.dropPending(g.classic, id)
	t.tryCompleteJoin(g)
	t.dropClassic(g)
}

// changed lets the group move on after members were dropped.
func (t *tx) changed(g *group, why string) {
	if g.classic.state == StatePreparingRebalance {
		t.tryCompleteJoin(g)
	} else {
		t.prepareRebalance(g, why)
	}
}

// dropMember takes a member out of the group and answers what it waits for; changed
// or prepareRebalance has to follow.
func (t *tx) dropMember(g *group, m *classicMember) {
	c := g.classic
	gone := t.refuseClassic(g, m.id, m.instanceID, c.generation, ErrUnknownMember)
	reply(t, &m.joining, JoinResponse{}, gone)
	reply(t, &m.syncing, SyncResponse{}, gone)
	t.alarms.stop(&m.session)
	delete(c.members, m.id)
	c.bytes -= m.bytes()
	if c.static[m.instanceID] == m.id {
		delete(c.static, m.instanceID)
	}
	if c.leader == m.id {
		c.leader = ""
	}
}

// heard starts the member's session anew.
func (t *tx) heard(m *classicMember) {
	if !m.isNew {
		t.alarms.set(&m.session, t.now.Add(m.sessionTimeout))
	}
}

// refuseClassic makes the error for a member of a classic group.
func (t *tx) refuseClassic(g *group, member, instance string, generation int32, kind error) error {
	e := &MemberError{Group: g.id, Member: member, InstanceID: instance, Epoch: generation, Current: -1, Err: kind}
	if g.classic != nil && kind != ErrUnknownMember {
		e.Current = g.classic.generation
	}
	return e
}

// checkClassic returns the group and the member if it is a current one: known, not
// fenced, of this generation.
func (t *tx) checkClassic(id, member, instance string, generation int32) (*group, *classicMember, error) {
	g := t.groups[id]
	if g == nil {
		g = &group{id: id} // for the error
	}
	if g.classic == nil {
		return nil, nil, t.refuseClassic(g, member, instance, generation, ErrUnknownMember)
	}
	c := g.classic
	if instance != "" {
		if holder := c.static[instance]; holder != "" && holder != member {
			return nil, nil, t.refuseClassic(g, member, instance, generation, ErrFencedInstance)
		} else if holder == "" {
			return nil, nil, t.refuseClassic(g, member, instance, generation, ErrUnknownMember)
		}
	}
	m := c.members[member]
	switch {
	case m == nil:
		return nil, nil, t.refuseClassic(g, member, instance, generation, ErrUnknownMember)
	case generation != c.generation || m.isNew: // a new one is of the next generation
		return nil, nil, t.refuseClassic(g, member, instance, generation, ErrIllegalGeneration)
	}
	return g, m, nil
}

// mayCommitClassic fences: in a group with members nobody but a member of this
// generation commits, and not before it can know what is assigned to it.
func (t *tx) mayCommitClassic(g *group, req *CommitRequest) error {
	_, m, err := t.checkClassic(req.Group, req.Member, req.InstanceID, req.Epoch)
	if err != nil {
		return err
	}
	if g.classic.state == StateCompletingRebalance {
		return t.refuseClassic(g, req.Member, req.InstanceID, req.Epoch, ErrRebalanceInProgress)
	}
	t.heard(m)
	return nil
}
