package coordinator

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/leatlog/leat/internal/assignor"
)

// HeartbeatRequest is KIP-848's ConsumerGroupHeartbeat: a member joins, stays,
// says what changed, acknowledges revocations and leaves by it.
type HeartbeatRequest struct {
	// Group is the group's id: 1 to 32767 bytes.
	Group string
	// Member is the member's id, chosen by the member and kept for its lifetime
	// (16 random bytes, say), at most 32767 bytes. Empty with JoinEpoch: the
	// coordinator makes one and returns it.
	Member string
	// Epoch is the member epoch of the last response; or JoinEpoch, LeaveEpoch,
	// StaticLeaveEpoch.
	Epoch int32
	// InstanceID is group.instance.id: not empty for a static member, in its first
	// heartbeat and when it leaves; it may be left out in between.
	InstanceID string
	// Rack is the member's; empty: unchanged.
	Rack string
	// ClientID and ClientHost are shown by DescribeGroup; empty: unchanged.
	ClientID, ClientHost string
	// RebalanceTimeout is how long the member may take to revoke partitions before
	// it is removed (max.poll.interval.ms), in whole milliseconds. Zero: unchanged;
	// positive when joining.
	RebalanceTimeout time.Duration
	// SessionTimeout overrides Options.SessionTimeout for a member of this process,
	// within Min- and MaxSessionTimeout, from this heartbeat on. It has no field in
	// Kafka's protocol, and a new coordinator learns it from the next heartbeat that
	// has it. Zero: unchanged.
	SessionTimeout time.Duration
	// Topics are the subscribed topics' names. Nil: unchanged; not nil when joining.
	// A topic need not exist yet.
	Topics []string
	// Assignor is the server-side assignor that the member prefers, one of assignor.ServerNames.
	// Empty: unchanged, or no preference. The group takes what most of its members
	// prefer.
	Assignor string
	// Owned are the partitions that the member has: those it reads, and those that
	// an earlier response gave it and that it might still start to read. Nil:
	// unchanged since the last heartbeat; empty but not nil: none. When joining it is
	// none in either case. To give up partitions that the response left out, send
	// what is left.
	Owned []TopicPartitions
}

// HeartbeatResponse is what the member has to know.
type HeartbeatResponse struct {
	// Member is the member's id, Epoch its epoch from now on.
	Member string
	Epoch  int32
	// HeartbeatInterval is after how long the next heartbeat is due at the latest.
	HeartbeatInterval time.Duration
	// Assignment is what the member may read, complete, ordered by topic. Nil: as
	// before. What it has and does not find here it has to stop reading, commit,
	// and acknowledge with Owned in a heartbeat, before its rebalance timeout.
	Assignment *Assignment
}

// Assignment is a set of partitions by topic.
type Assignment struct{ Topics []TopicPartitions }

// maxSubscriptionBytes bounds the names of the topics that a member subscribes
// to, so that its record fits into a batch.
const maxSubscriptionBytes = 256 << 10

// Heartbeat handles one heartbeat and returns once what it changed is durable.
//
// Refusals are *MemberError, *GroupError and *RequestError. On ErrUnknownMember
// and ErrFencedMemberEpoch the member has lost all it had: it stops reading and
// joins with JoinEpoch. Joining a group with members of the classic protocol is refused
// with ErrGroupNotFound: a classic group becomes one of this protocol once it is empty.
// After an error that leaves the outcome open
// (ErrNotAvailable, ErrNotCoordinator, ctx's) it sends a full heartbeat:
// RebalanceTimeout, Topics and Owned all set, Epoch as it knows it; the answer then
// has the Assignment. (Owned alone does too, if it is not what is assigned.)
func (c *Coordinator) Heartbeat(ctx context.Context, req HeartbeatRequest) (HeartbeatResponse, error) {
	if err := c.checkHeartbeat(&req); err != nil {
		return HeartbeatResponse{}, err
	}
	return submit(ctx, c, c.PartitionFor(req.Group), func(t *tx) (HeartbeatResponse, error) { return t.heartbeat(&req) })
}

// checkHeartbeat refuses what needs no state, and completes the request. It
// copies what the request's slices hold.
func (c *Coordinator) checkHeartbeat(r *HeartbeatRequest) error {
	bad := func(field, rule string) error { return &RequestError{"HeartbeatRequest." + field, rule} }
	if err := checkGroupID(r.Group); err != nil {
		return err
	}
	for field, s := range map[string]string{"Member": r.Member, "InstanceID": r.InstanceID, "Rack": r.Rack,
		"ClientID": r.ClientID, "ClientHost": r.ClientHost} {
		if len(s) > maxStringBytes {
			return bad(field, "at most 32767 bytes")
		}
	}
	switch {
	case r.Epoch < StaticLeaveEpoch:
		return bad("Epoch", "at least -2")
	case r.Epoch == StaticLeaveEpoch && r.InstanceID == "":
		return bad("InstanceID", "set when leaving with epoch -2")
	case r.Member == "" && r.Epoch != JoinEpoch:
		return bad("Member", "set after the first heartbeat")
	case r.RebalanceTimeout < 0 || r.RebalanceTimeout > math.MaxInt32*time.Millisecond ||
		r.RebalanceTimeout%time.Millisecond != 0:
		return bad("RebalanceTimeout", "whole milliseconds, at most 24 days")
	case r.SessionTimeout != 0 &&
		(r.SessionTimeout < c.opts.MinSessionTimeout || r.SessionTimeout > c.opts.MaxSessionTimeout):
		return bad("SessionTimeout", fmt.Sprintf("in [%v, %v]", c.opts.MinSessionTimeout, c.opts.MaxSessionTimeout))
	}
	if r.Epoch == JoinEpoch {
		switch {
		case r.RebalanceTimeout == 0:
			return bad("RebalanceTimeout", "positive when joining")
		case r.Topics == nil:
			return bad("Topics", "set when joining")
		case len(r.Owned) > 0:
			return bad("Owned", "empty when joining")
		}
		if r.Member == "" {
			r.Member = c.opts.NewMemberID()
		}
		r.Owned = []TopicPartitions{}
	}
	if r.Assignor != "" {
		if _, ok := assignor.Server(r.Assignor); !ok {
			return &GroupError{Group: r.Group, Detail: fmt.Sprintf("%q: use %s", clip([]byte(r.Assignor), 64), assignor.ServerNames),
				Err: ErrUnsupportedAssignor}
		}
	}
	if r.Topics != nil {
		size := 0
		for _, topic := range r.Topics {
			if topic == "" || len(topic) > maxStringBytes {
				return bad("Topics", "names of 1 to 32767 bytes")
			}
			size += len(topic) + 2
		}
		if size > maxSubscriptionBytes {
			return bad("Topics", "at most 256 KiB of names")
		}
		topics := append([]string{}, r.Topics...)
		slices.Sort(topics)
		r.Topics = slices.Compact(topics)
	}
	return nil
}

func checkGroupID(group string) error {
	if group == "" || len(group) > maxStringBytes {
		return &RequestError{"Group", "1 to 32767 bytes"}
	}
	return nil
}

func (t *tx) heartbeat(req *HeartbeatRequest) (HeartbeatResponse, error) {
	m, replaces, err := t.admit(req)
	if err != nil {
		return HeartbeatResponse{}, err
	}
	if req.Epoch < 0 {
		g := t.groups[req.Group]
		if req.Epoch == StaticLeaveEpoch {
			t.leaveStatic(m)
		} else {
			t.remove(g, m)
			t.rebalance(g)
		}
		return HeartbeatResponse{Member: req.Member, Epoch: req.Epoch, HeartbeatInterval: t.opts.HeartbeatInterval}, nil
	}

	t.toConsumer(req.Group)
	g := t.group(req.Group)
	// What the member was last told, for all we know; for one that joins, nothing.
	var told partitionSet
	missed := false // an answer of ours, it seems
	if m != nil {
		told = m.current.assigned
		missed = req.Epoch != m.current.epoch
	}
	changed := t.update(g, m, replaces, req)
	m = g.members[req.Member]
	owned := t.owned(g, req.Owned)
	if changed {
		t.rebalance(g)
	} else if g.epoch() > g.assignmentEpoch {
		t.retarget(g)
	}
	t.reconcile(g, m, req.Epoch == JoinEpoch, owned)

	if req.SessionTimeout != 0 {
		m.sessionTimeout = req.SessionTimeout
	}
	m.sessionEnds = t.now.Add(m.sessionTimeout)
	m.notified = false
	t.timers.set(m)

	resp := HeartbeatResponse{Member: m.id, Epoch: m.current.epoch, HeartbeatInterval: t.opts.HeartbeatInterval}
	missed = missed || req.Owned != nil && !owned.equal(m.current.assigned)
	full := req.RebalanceTimeout != 0 && req.Topics != nil && req.Owned != nil
	if req.Epoch == JoinEpoch || full || missed || !m.current.assigned.equal(told) {
		resp.Assignment = &Assignment{Topics: g.named(m.current.assigned)}
	}
	return resp, nil
}

// admit decides whether the heartbeat may be handled, and changes nothing. It
// returns the member if there is one already, and for a static member that comes
// back under another id the member whose place it takes.
func (t *tx) admit(req *HeartbeatRequest) (m, replaces *member, err error) {
	refuse := func(current int32, kind error) (*member, *member, error) {
		return nil, nil, &MemberError{Group: req.Group, Member: req.Member, InstanceID: req.InstanceID,
			Epoch: req.Epoch, Current: current, Err: kind}
	}
	join := req.Epoch == JoinEpoch
	g := t.groups[req.Group]
	if g == nil {
		if !join {
			return refuse(-1, ErrUnknownMember)
		}
		if len(t.groups) >= t.opts.MaxGroups {
			return nil, nil, &GroupError{Group: req.Group, State: StateDead,
				Detail: fmt.Sprintf("the partition has %d groups", len(t.groups)), Err: ErrGroupMaxSize}
		}
		return nil, nil, nil
	}
	if join && g.classic != nil && g.classic.state != StateEmpty {
		// Who comes with an epoch was a member once and is unknown now, as below: it
		// gives up what it had, and finds out when it joins.
		return nil, nil, &GroupError{Group: g.id, State: g.state(), Err: ErrGroupNotFound,
			Detail: "it is no group of KIP-848's protocol: its members use the classic one (group.protocol=classic)"}
	}
	m = g.members[req.Member]
	if req.InstanceID != "" {
		holder := g.members[g.static[req.InstanceID]]
		switch {
		case holder == nil && !join:
			return refuse(-1, ErrUnknownMember)
		case holder != nil && holder.id != req.Member && !join:
			return refuse(holder.current.epoch, ErrFencedInstance)
		case holder != nil && holder.id != req.Member && holder.current.epoch != StaticLeaveEpoch:
			return refuse(holder.current.epoch, ErrUnreleasedInstance)
		case holder != nil && holder.id != req.Member && m == nil:
			return nil, holder, nil
		}
	}
	if join {
		if m != nil && m.meta.instanceID != req.InstanceID {
			return nil, nil, &RequestError{"HeartbeatRequest.InstanceID", "the one that the member joined with"}
		}
		if m == nil && len(g.members) >= t.opts.GroupMaxSize {
			return nil, nil, &GroupError{Group: g.id, State: g.state(),
				Detail: fmt.Sprintf("it has %d members (group.consumer.max.size)", len(g.members)), Err: ErrGroupMaxSize}
		}
		return m, nil, nil
	}
	switch {
	case m == nil:
		return refuse(-1, ErrUnknownMember)
	case req.Epoch < 0:
		return m, nil, nil
	case req.Epoch == m.current.epoch:
		return m, nil, nil
	case req.Epoch == m.current.previous && req.Owned != nil && m.current.epoch > 0 &&
		t.owned(g, req.Owned).subsetOf(m.current.assigned):
		// Our last answer, which had the new epoch, did not reach it.
		return m, nil, nil
	}
	return refuse(m.current.epoch, ErrFencedMemberEpoch)
}

// owned turns what a request says into a set; nil is nil. Topics that the group
// does not know by name are left out.
func (t *tx) owned(g *group, list []TopicPartitions) partitionSet {
	if list == nil {
		return nil
	}
	s := partitionSet{}
	for _, tp := range list {
		id := tp.ID
		if id == (TopicID{}) {
			topic, ok := t.opts.Topics.Topic(tp.Topic)
			if !ok {
				continue
			}
			id = topic.ID
		}
		s.add(id, tp.Partitions...)
	}
	return s
}

// update writes down what the member says of itself, making it if need be. It
// reports whether the group has to rebalance.
func (t *tx) update(g *group, m, replaces *member, req *HeartbeatRequest) bool {
	before := &memberValue{rebalanceTimeoutMs: -1}
	switch {
	case m != nil:
		before = m.meta
	case replaces != nil:
		before = replaces.meta
	}
	after := *before
	set := func(field *string, v string) {
		if v != "" {
			*field = v
		}
	}
	set(&after.instanceID, req.InstanceID)
	set(&after.rack, req.Rack)
	set(&after.clientID, req.ClientID)
	set(&after.clientHost, req.ClientHost)
	set(&after.assignor, req.Assignor)
	if req.Topics != nil {
		after.topics = req.Topics
	}
	if req.RebalanceTimeout != 0 {
		after.rebalanceTimeoutMs = int32(req.RebalanceTimeout / time.Millisecond)
	}

	preferred, votes := "", before.assignor != after.assignor
	if votes {
		preferred = t.preferred(g)
	}
	switch {
	case replaces != nil:
		target, assigned := g.target[replaces.id], replaces.current.assigned
		t.remove(g, replaces)
		t.emit(&memberRecord{g.id, req.Member, &after})
		if target != nil {
			t.emit(&targetMemberRecord{g.id, req.Member, target})
		}
		t.emit(&currentRecord{g.id, req.Member,
			&currentValue{state: MemberStable, assigned: assigned, revoking: partitionSet{}}})
		g.members[req.Member].sessionTimeout = t.opts.SessionTimeout
	case m == nil:
		t.emit(&memberRecord{g.id, req.Member, &after})
		g.members[req.Member].sessionTimeout = t.opts.SessionTimeout
		return true
	case !sameMember(before, &after):
		t.emit(&memberRecord{g.id, req.Member, &after})
	}
	return !slices.Equal(before.topics, after.topics) || votes && t.preferred(g) != preferred
}

func sameMember(a, b *memberValue) bool {
	return a.instanceID == b.instanceID && a.rack == b.rack && a.clientID == b.clientID &&
		a.clientHost == b.clientHost && slices.Equal(a.topics, b.topics) && a.regex == b.regex &&
		a.rebalanceTimeoutMs == b.rebalanceTimeoutMs && a.assignor == b.assignor
}

// leaveStatic lets a static member go for a while: it keeps its place and what
// it was assigned; what it had to revoke is free, for it reads nothing any more.
func (t *tx) leaveStatic(m *member) {
	if m.current.epoch != StaticLeaveEpoch {
		t.emit(&currentRecord{m.group, m.id, &currentValue{epoch: StaticLeaveEpoch, previous: m.current.epoch,
			state: MemberStable, assigned: m.current.assigned, revoking: partitionSet{}}})
	}
	m.sessionEnds = t.now.Add(m.sessionTimeout)
	m.revokeEnds = time.Time{}
	t.timers.set(m)
}

// remove takes a member out of its group; the caller rebalances.
func (t *tx) remove(g *group, m *member) {
	t.emit(&currentRecord{g.id, m.id, nil})
	if g.target[m.id] != nil {
		t.emit(&targetMemberRecord{g.id, m.id, nil})
	}
	t.emit(&memberRecord{g.id, m.id, nil})
}

// expireMembers removes the members that were silent or slow to revoke for too
// long.
func (t *tx) expireMembers(log func(g *group, m *member)) {
	var groups []*group
	for len(t.timers) > 0 && !t.timers[0].due().After(t.now) {
		m := t.timers[0]
		g := t.groups[m.group]
		log(g, m)
		t.remove(g, m)
		if !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	for _, g := range groups {
		t.rebalance(g)
	}
}
