package coordinator

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// JoinProtocol is a protocol that a classic member supports: an assignor, of
// consumers, and what the member says of itself for it.
type JoinProtocol struct {
	Name     string
	Metadata []byte
}

// JoinRequest is the classic protocol's JoinGroup.
type JoinRequest struct {
	// Group is the group's id: 1 to 32767 bytes.
	Group string
	// Member is empty for one that is new, or restarted under its InstanceID.
	Member string
	// InstanceID is group.instance.id; empty for a dynamic member.
	InstanceID string
	// ClientID and ClientHost are shown by DescribeGroup.
	ClientID, ClientHost string
	// SessionTimeout is after how much silence the member is removed, within
	// ClassicOptions.MinSessionTimeout and MaxSessionTimeout.
	SessionTimeout time.Duration
	// RebalanceTimeout is how long the group waits for this member when it rebalances.
	// Zero or negative: SessionTimeout, as in version 0 of JoinGroup.
	RebalanceTimeout time.Duration
	// ProtocolType is what the members are: "consumer", "connect". Not empty.
	ProtocolType string
	// Protocols are in the member's order of preference: 1 to 100, names of 1 to 32767
	// bytes, ClassicOptions.MemberMaxBytes in all.
	Protocols []JoinProtocol
	// RequireMemberID has a new dynamic member join twice, so that one that never
	// hears the answer leaves no trace (KIP-394): version 4 and above.
	RequireMemberID bool
	// CanSkipAssignment says that the member understands JoinResponse.SkipAssignment
	// (KIP-814): version 9 and above.
	CanSkipAssignment bool
}

// JoinResponse is what a member of the new generation is told.
type JoinResponse struct {
	Member                 string
	Generation             int32
	ProtocolType, Protocol string
	// Leader is the id of the member that makes the assignment. A static member that
	// was the leader and came back without a rebalance, and cannot skip the
	// assignment, finds its old id there: it is to behave as a follower.
	Leader string
	// SkipAssignment tells the leader that the assignment stands: it syncs with none.
	SkipAssignment bool
	// Members are all members, for the leader only.
	Members []JoinedMember
}

// JoinedMember is what the leader is told of a member.
type JoinedMember struct {
	Member, InstanceID string
	Metadata           []byte
}

// maxJoinProtocols bounds the protocols of one member.
const maxJoinProtocols = 100

// maxClientIDInMember bounds what of a client id becomes part of a member id.
const maxClientIDInMember = 255

// JoinGroup lets a member into the next generation of its group. It returns when
// that begins: when all members have joined, or the rebalance timeout has passed, or
// for an empty group the initial delay. That can take minutes; if ctx ends first, the
// member stays in the group until its session runs out. A second request of the same
// member ends the first with ErrRebalanceInProgress.
//
// Refusals: *MemberError of ErrMemberIDRequired (join again with MemberError.Member),
// ErrUnknownMember (join again without an id), ErrFencedInstance,
// ErrRebalanceInProgress; *GroupError of ErrInconsistentProtocol, ErrGroupMaxSize,
// ErrInvalidSessionTimeout, ErrInvalidGroupID; *RequestError.
func (c *Coordinator) JoinGroup(ctx context.Context, req JoinRequest) (JoinResponse, error) {
	if err := c.checkJoin(&req); err != nil {
		return JoinResponse{}, err
	}
	return await(ctx, c, c.PartitionFor(req.Group), func(t *tx) (*answer[JoinResponse], error) { return t.join(&req) })
}

// checkJoin refuses what needs no state, and completes the request. It copies what
// the request's slices hold.
func (c *Coordinator) checkJoin(r *JoinRequest) error {
	bad := func(field, rule string) error { return &RequestError{"JoinRequest." + field, rule} }
	if err := checkClassicGroupID(r.Group); err != nil {
		return err
	}
	for field, s := range map[string]string{"Member": r.Member, "InstanceID": r.InstanceID, "ClientID": r.ClientID,
		"ClientHost": r.ClientHost, "ProtocolType": r.ProtocolType} {
		if len(s) > maxStringBytes {
			return bad(field, "at most 32767 bytes")
		}
	}
	if lo, hi := c.opts.Classic.MinSessionTimeout, c.opts.Classic.MaxSessionTimeout; r.SessionTimeout < lo || r.SessionTimeout > hi {
		return &GroupError{Group: r.Group, Err: ErrInvalidSessionTimeout,
			Detail: fmt.Sprintf("%v is not in [%v, %v]", r.SessionTimeout, lo, hi)}
	}
	if r.RebalanceTimeout <= 0 {
		r.RebalanceTimeout = r.SessionTimeout
	}
	r.RebalanceTimeout = min(r.RebalanceTimeout, math.MaxInt32*time.Millisecond)
	// As a record keeps them.
	r.SessionTimeout = r.SessionTimeout.Truncate(time.Millisecond)
	r.RebalanceTimeout = max(r.RebalanceTimeout.Truncate(time.Millisecond), time.Millisecond)
	if r.ProtocolType == "" || len(r.Protocols) == 0 {
		return &GroupError{Group: r.Group, Err: ErrInconsistentProtocol, Detail: "the member names no protocol type, or no protocol"}
	}
	if len(r.Protocols) > maxJoinProtocols {
		return bad("Protocols", fmt.Sprintf("at most %d", maxJoinProtocols))
	}
	if n := protocolBytes(r.Protocols); n > c.opts.Classic.MemberMaxBytes {
		return bad("Protocols", fmt.Sprintf("at most %d bytes in all, these are %d", c.opts.Classic.MemberMaxBytes, n))
	}
	protocols := make([]JoinProtocol, 0, len(r.Protocols))
	for _, p := range r.Protocols {
		if p.Name == "" || len(p.Name) > maxStringBytes {
			return bad("Protocols", "names of 1 to 32767 bytes")
		}
		if !slices.ContainsFunc(protocols, func(o JoinProtocol) bool { return o.Name == p.Name }) {
			protocols = append(protocols, JoinProtocol{p.Name, append([]byte(nil), p.Metadata...)})
		}
	}
	r.Protocols = protocols
	return nil
}

func checkClassicGroupID(group string) error {
	if group == "" || len(group) > maxStringBytes {
		return &GroupError{Group: string(clip([]byte(group), 64)), State: StateDead, Err: ErrInvalidGroupID}
	}
	return nil
}

func (t *tx) join(req *JoinRequest) (*answer[JoinResponse], error) {
	g, old, err := t.admitClassic(req)
	if err != nil {
		return nil, err
	}
	if g == nil {
		g = t.group(req.Group)
	}
	c := g.classicGroup()
	switch {
	case old != nil && req.Member == "":
		return t.replaceStatic(g, old, req)
	case old != nil:
		return t.rejoin(g, old, req)
	case c.pending[req.Member] == nil && req.InstanceID == "" && req.RequireMemberID:
		return nil, t.giveID(g, req)
	}
	return t.addMember(g, req), nil
}

// admitClassic decides whether the request may be handled, and changes nothing. It
// returns the group if there is one, and the member that joins or whose place is
// taken, nil for a new one.
func (t *tx) admitClassic(req *JoinRequest) (*group, *classicMember, error) {
	full := func(g *group, detail string) (*group, *classicMember, error) {
		e := &GroupError{Group: req.Group, State: StateDead, Detail: detail, Err: ErrGroupMaxSize}
		if g != nil {
			e.State = g.state()
		}
		return nil, nil, e
	}
	g := t.groups[req.Group]
	if g == nil {
		if req.Member != "" {
			return nil, nil, t.refuseClassic(&group{id: req.Group}, req.Member, req.InstanceID, -1, ErrUnknownMember)
		}
		if len(t.groups) >= t.opts.MaxGroups {
			return full(nil, fmt.Sprintf("the partition has %d groups", len(t.groups)))
		}
		return nil, nil, nil
	}
	if len(g.members) > 0 {
		return nil, nil, &GroupError{Group: g.id, State: g.state(), Err: ErrInconsistentProtocol,
			Detail: "its members use KIP-848's protocol (group.protocol=consumer)"}
	}
	c := g.classic
	if c == nil {
		if req.Member != "" {
			return nil, nil, t.refuseClassic(g, req.Member, req.InstanceID, -1, ErrUnknownMember)
		}
		return g, nil, nil
	}

	old := c.members[req.Member]
	if req.InstanceID != "" {
		holder := c.static[req.InstanceID]
		switch {
		case req.Member == "":
			old = c.members[holder]
		case holder == "":
			return nil, nil, t.refuseClassic(g, req.Member, req.InstanceID, -1, ErrUnknownMember)
		case holder != req.Member:
			return nil, nil, t.refuseClassic(g, req.Member, req.InstanceID, -1, ErrFencedInstance)
		}
	}
	if req.Member != "" && old == nil && c.pending[req.Member] == nil {
		return nil, nil, t.refuseClassic(g, req.Member, req.InstanceID, -1, ErrUnknownMember)
	}
	if !c.supports(req.ProtocolType, req.Protocols, old) {
		return nil, nil, &GroupError{Group: g.id, State: g.state(), Err: ErrInconsistentProtocol,
			Detail: fmt.Sprintf("its protocol type is %q, and no protocol of the member is one of all others", clip([]byte(c.protocolType), 64))}
	}
	if n := c.room(old); n >= t.opts.GroupMaxSize {
		return full(g, fmt.Sprintf("it has %d members (group.max.size)", n))
	}
	total := c.bytes + protocolBytes(req.Protocols)
	if old != nil {
		total -= old.bytes()
	}
	if limit := 4 * t.opts.Classic.GroupMaxBytes; total > limit {
		return full(g, fmt.Sprintf("its members' metadata would be %d bytes, %d are allowed", total, limit))
	}
	return g, old, nil
}

// room returns how many places are taken by others than m. In a rebalance a dynamic
// member that has not joined again holds none: who comes first is in.
func (c *classicGroup) room(m *classicMember) int {
	n := 0
	for _, o := range c.members {
		if o != m && (c.state != StatePreparingRebalance || o.joining != nil || o.instanceID != "") {
			n++
		}
	}
	return n
}

// newClassicID makes a member id as Kafka does: what tells people who it is, and
// then what makes it unique.
func (t *tx) newClassicID(req *JoinRequest) string {
	name := strings.ToValidUTF8(req.ClientID, "?")
	if req.InstanceID != "" {
		name = strings.ToValidUTF8(req.InstanceID, "?")
	}
	for len(name) > maxClientIDInMember {
		_, n := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-n]
	}
	return name + "-" + t.opts.NewMemberID()
}

// giveID gives a new member the id to join with, and keeps it for the time of its
// session. If there are too many such ids the oldest is taken back.
func (t *tx) giveID(g *group, req *JoinRequest) error {
	c := g.classic
	if len(c.pending) >= t.opts.GroupMaxSize {
		oldest := ""
		for id, p := range c.pending {
			if oldest == "" || p.seq < c.pending[oldest].seq {
				oldest = id
			}
		}
		t.dropPending(c, oldest)
	}
	id := t.newClassicID(req)
	c.seq++
	p := &pendingMember{seq: c.seq}
	p.expires.ring = func(t *tx) { t.expirePending(g, id) }
	c.pending[id] = p
	t.alarms.set(&p.expires, t.now.Add(req.SessionTimeout))
	return t.refuseClassic(g, id, "", -1, ErrMemberIDRequired)
}

// addMember lets a new member in.
func (t *tx) addMember(g *group, req *JoinRequest) *answer[JoinResponse] {
	c := t.toClassic(g)
	id := req.Member
	if id == "" {
		id = t.newClassicID(req)
	}
	t.dropPending(c, id)
	c.seq++
	m := &classicMember{id: id, instanceID: req.InstanceID, seq: c.seq, isNew: true, joining: newAnswer[JoinResponse]()}
	m.session.ring = func(t *tx) { t.expireSession(g, m) }
	t.alarms.set(&m.session, t.now.Add(newMemberJoinTimeout))
	if len(c.members) == 0 {
		c.protocolType = req.ProtocolType
	}
	c.members[id] = m
	if m.instanceID != "" {
		c.static[m.instanceID] = id
	}
	c.say(m, req)
	c.grown = true
	a := m.joining
	t.changed(g, "a member joined")
	return a
}

// say writes down what the member says of itself.
func (c *classicGroup) say(m *classicMember, req *JoinRequest) {
	c.bytes += protocolBytes(req.Protocols) - m.bytes()
	m.protocols = req.Protocols
	m.clientID, m.clientHost = req.ClientID, req.ClientHost
	m.sessionTimeout, m.rebalanceTimeout = req.SessionTimeout, req.RebalanceTimeout
}

// rejoin handles a member that the group knows. It rebalances if the member has
// changed, or if it is the leader, who asks for a new assignment by it.
func (t *tx) rejoin(g *group, m *classicMember, req *JoinRequest) (*answer[JoinResponse], error) {
	c := g.classic
	if !m.isNew && sameProtocols(m.protocols, req.Protocols) &&
		(c.state == StateCompletingRebalance || c.state == StateStable && c.leader != m.id) {
		// Our answer did not reach it, perhaps.
		t.heard(m)
		return replyNow(t, c.joined(m)), nil
	}
	reply(t, &m.joining, JoinResponse{}, t.refuseClassic(g, m.id, m.instanceID, -1, ErrRebalanceInProgress))
	c.say(m, req)
	m.joining = newAnswer[JoinResponse]()
	a := m.joining
	t.changed(g, "a member joined again")
	return a, nil
}

// replaceStatic lets the new process of a static member take the place of the old
// one, which is fenced from now on. A stable group does not rebalance for it if the
// member asks for what it asked for before (KIP-345).
func (t *tx) replaceStatic(g *group, old *classicMember, req *JoinRequest) (*answer[JoinResponse], error) {
	c := g.classic
	fenced := t.refuseClassic(g, old.id, old.instanceID, -1, ErrFencedInstance)
	reply(t, &old.joining, JoinResponse{}, fenced)
	reply(t, &old.syncing, SyncResponse{}, fenced)
	leader := c.leader
	t.dropMember(g, old)

	c.seq++
	m := &classicMember{id: t.newClassicID(req), instanceID: req.InstanceID, assignment: old.assignment, seq: c.seq,
		isNew: old.isNew, synced: old.synced}
	m.session.ring = func(t *tx) { t.expireSession(g, m) }
	t.alarms.set(&m.session, t.now.Add(newMemberJoinTimeout))
	c.members[m.id] = m
	c.static[m.instanceID] = m.id
	if leader == old.id {
		c.leader = m.id
	}
	before := old.metadata(c.protocol)
	c.say(m, req)

	if c.state == StateStable && c.selected() == c.protocol && sameSubscription(c.protocolType, before, m.metadata(c.protocol)) {
		t.emit(&classicRecord{g.id, c.asValue(c.value.stateMs)})
		t.heard(m)
		resp := c.joined(m)
		if c.leader == m.id {
			resp.SkipAssignment = req.CanSkipAssignment
			if !req.CanSkipAssignment {
				resp.Leader, resp.Members = leader, nil
			}
		}
		return replyNow(t, resp), nil
	}
	m.joining = newAnswer[JoinResponse]()
	a := m.joining
	t.changed(g, "a static member came back")
	return a, nil
}

// joined is what a member of the generation is told.
func (c *classicGroup) joined(m *classicMember) JoinResponse {
	resp := JoinResponse{Member: m.id, Generation: c.generation, ProtocolType: c.protocolType, Protocol: c.protocol, Leader: c.leader}
	if c.leader == m.id {
		for _, o := range c.ordered() {
			resp.Members = append(resp.Members, JoinedMember{o.id, o.instanceID, bytes.Clone(o.metadata(c.protocol))})
		}
	}
	return resp
}
