package coordinator

import (
	"bytes"
	"context"
	"fmt"
)

// MemberAssignment is what the leader gives a member, as bytes that members
// understand.
type MemberAssignment struct {
	Member     string
	Assignment []byte
}

// SyncRequest is the classic protocol's SyncGroup.
type SyncRequest struct {
	Group, Member string
	// InstanceID is group.instance.id of a static member; empty: not checked.
	InstanceID string
	Generation int32
	// ProtocolType and Protocol are those of the JoinResponse; empty: not checked.
	ProtocolType, Protocol string
	// Assignments are the leader's; of others they are not looked at. A member that
	// is left out has nothing, one that does not exist is passed over.
	Assignments []MemberAssignment
}

// SyncResponse is what a member has to do.
type SyncResponse struct {
	ProtocolType, Protocol string
	Assignment             []byte
}

// SyncGroup gives a member its assignment, and takes the leader's for all. It returns
// when the leader's is durable. That can take as long as the rebalance timeout; a
// second request of the same member ends the first with ErrRebalanceInProgress.
//
// Refusals: *MemberError of ErrUnknownMember, ErrFencedInstance, ErrIllegalGeneration
// or ErrRebalanceInProgress; *GroupError of ErrInconsistentProtocol or
// ErrInvalidGroupID; *RequestError of a leader whose assignments exceed
// ClassicOptions.GroupMaxBytes.
func (c *Coordinator) SyncGroup(ctx context.Context, req SyncRequest) (SyncResponse, error) {
	if err := checkClassicGroupID(req.Group); err != nil {
		return SyncResponse{}, err
	}
	return await(ctx, c, c.PartitionFor(req.Group), func(t *tx) (*answer[SyncResponse], error) { return t.sync(&req) })
}

func (t *tx) sync(req *SyncRequest) (*answer[SyncResponse], error) {
	g, m, err := t.checkClassic(req.Group, req.Member, req.InstanceID, req.Generation)
	if err != nil {
		return nil, err
	}
	c := g.classic
	if req.ProtocolType != "" && req.ProtocolType != c.protocolType || req.Protocol != "" && req.Protocol != c.protocol {
		return nil, &GroupError{Group: g.id, State: c.state, Err: ErrInconsistentProtocol,
			Detail: fmt.Sprintf("this generation's is %q of type %q", clip([]byte(c.protocol), 64), clip([]byte(c.protocolType), 64))}
	}
	switch {
	case c.state == StatePreparingRebalance:
		return nil, t.refuseClassic(g, m.id, m.instanceID, req.Generation, ErrRebalanceInProgress)
	case c.state == StateCompletingRebalance && c.leader == m.id:
		if err := t.assign(g, req.Assignments); err != nil {
			return nil, err
		}
	case c.state == StateCompletingRebalance:
		reply(t, &m.syncing, SyncResponse{}, t.refuseClassic(g, m.id, m.instanceID, req.Generation, ErrRebalanceInProgress))
		m.synced, m.syncing = true, newAnswer[SyncResponse]()
		return m.syncing, nil
	}
	m.synced = true
	t.heard(m)
	return replyNow(t, c.assignedTo(m)), nil
}

// assign writes the leader's assignment down, and tells those who wait for it. The
// timer goes on for those who have not asked yet.
func (t *tx) assign(g *group, assignments []MemberAssignment) error {
	c := g.classic
	given := make(map[string][]byte, len(c.members))
	for _, a := range assignments {
		if c.members[a.Member] != nil {
			given[a.Member] = a.Assignment
		}
	}
	v := c.asValue(t.nowMs())
	size := 0
	for i := range v.members {
		m := &v.members[i]
		m.assignment = append([]byte(nil), given[m.id]...)
		size += len(m.id) + len(m.instanceID) + len(m.clientID) + len(m.clientHost) + len(m.subscription) + len(m.assignment) + 32
	}
	if limit := t.opts.Classic.GroupMaxBytes; size > limit {
		return &RequestError{"SyncRequest.Assignments",
			fmt.Sprintf("at most %d bytes as a record together with the members' metadata, these are %d", limit, size)}
	}
	for i := range v.members {
		c.members[v.members[i].id].assignment = v.members[i].assignment
	}
	t.emit(&classicRecord{g.id, v})
	c.state = StateStable
	for _, m := range c.ordered() {
		if m.syncing != nil {
			reply(t, &m.syncing, c.assignedTo(m), nil)
			t.heard(m)
		}
	}
	return nil
}

func (c *classicGroup) assignedTo(m *classicMember) SyncResponse {
	return SyncResponse{ProtocolType: c.protocolType, Protocol: c.protocol, Assignment: bytes.Clone(m.assignment)}
}
