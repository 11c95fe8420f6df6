package coordinator

import "context"

// ClassicHeartbeatRequest is the classic protocol's Heartbeat.
type ClassicHeartbeatRequest struct {
	Group, Member string
	// InstanceID is group.instance.id of a static member; empty: not checked.
	InstanceID string
	Generation int32
}

// ClassicHeartbeat says that a member is alive. It fails with a *MemberError of
// ErrRebalanceInProgress (the member is to join again; it counts as alive),
// ErrUnknownMember, ErrFencedInstance or ErrIllegalGeneration, or a *GroupError of
// ErrInvalidGroupID.
func (c *Coordinator) ClassicHeartbeat(ctx context.Context, req ClassicHeartbeatRequest) error {
	if err := checkClassicGroupID(req.Group); err != nil {
		return err
	}
	_, err := submit(ctx, c, c.PartitionFor(req.Group), func(t *tx) (struct{}, error) {
		g, m, err := t.checkClassic(req.Group, req.Member, req.InstanceID, req.Generation)
		if err != nil {
			return struct{}{}, err
		}
		t.heard(m)
		if g.classic.state == StatePreparingRebalance {
			err = t.refuseClassic(g, m.id, m.instanceID, req.Generation, ErrRebalanceInProgress)
		}
		return struct{}{}, err
	})
	return err
}

// LeavingMember is a member that leaves, or that an administrator removes.
type LeavingMember struct {
	// Member may be empty if InstanceID is given: then it is whoever holds that.
	Member     string
	InstanceID string
}

// LeaveRequest is the classic protocol's LeaveGroup. A request of version 2 and below
// is one with a single member.
type LeaveRequest struct {
	Group   string
	Members []LeavingMember
}

// LeaveResult is what became of one LeavingMember.
type LeaveResult struct {
	Member, InstanceID string
	// Err is nil, or a *MemberError of ErrUnknownMember or ErrFencedInstance; the
	// other members are not affected.
	Err error
}

// LeaveGroup removes members of a classic group, which rebalances. The results are in
// the request's order. Members of a KIP-848 group, and all of one that does not exist,
// are unknown. It fails with a *GroupError of ErrInvalidGroupID.
func (c *Coordinator) LeaveGroup(ctx context.Context, req LeaveRequest) ([]LeaveResult, error) {
	if err := checkClassicGroupID(req.Group); err != nil {
		return nil, err
	}
	return submit(ctx, c, c.PartitionFor(req.Group), func(t *tx) ([]LeaveResult, error) { return t.leave(&req), nil })
}

func (t *tx) leave(req *LeaveRequest) []LeaveResult {
	results := make([]LeaveResult, len(req.Members))
	g := t.groups[req.Group]
	if g == nil {
		g = &group{id: req.Group} // for the errors
	}
	c := g.classic
	removed, pending := false, false
	for i, l := range req.Members {
		results[i] = LeaveResult{Member: l.Member, InstanceID: l.InstanceID}
		refuse := func(kind error) {
			results[i].Err = t.refuseClassic(g, l.Member, l.InstanceID, -1, kind)
		}
		if c == nil {
			refuse(ErrUnknownMember)
			continue
		}
		id := l.Member
		if l.InstanceID != "" {
			holder := c.static[l.InstanceID]
			if holder == "" {
				refuse(ErrUnknownMember)
				continue
			}
			if id != "" && id != holder {
				refuse(ErrFencedInstance)
				continue
			}
			id = holder
		}
		switch {
		case c.members[id] != nil:
			t.dropMember(g, c.members[id])
			removed = true
		case c.pending[id] != nil:
			t.dropPending(c, id)
			pending = true
		default:
			refuse(ErrUnknownMember)
		}
	}
	switch {
	case removed:
		t.changed(g, "members left")
	case pending:
		t.tryCompleteJoin(g)
		t.dropClassic(g)
	}
	return results
}
