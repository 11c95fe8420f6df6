package coordinator

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
)

// GroupListing is a line of ListGroups.
type GroupListing struct {
	Group    string
	State    State
	Protocol Protocol
	// ProtocolType is what the members are: "consumer" of all of KIP-848's protocol,
	// in a classic group what they said. Empty if there never were any.
	ProtocolType string
}

// ListFilter says which groups ListGroups returns. Empty fields match all.
type ListFilter struct {
	States    []State
	Protocols []Protocol
}

// ListGroups returns the groups that this node coordinates, ordered by id. It
// loads each partition of __consumer_offsets that this node leads and has not
// loaded yet.
func (c *Coordinator) ListGroups(ctx context.Context, filter ListFilter) ([]GroupListing, error) {
	out := []GroupListing{}
	for p := range c.opts.Partitions {
		some, err := submit(ctx, c, p, func(t *tx) ([]GroupListing, error) {
			var some []GroupListing
			for id, g := range t.groups {
				l := GroupListing{Group: id, State: g.state(), Protocol: g.protocol(), ProtocolType: g.protocolType()}
				if (filter.States == nil || slices.Contains(filter.States, l.State)) &&
					(filter.Protocols == nil || slices.Contains(filter.Protocols, l.Protocol)) {
					some = append(some, l)
				}
			}
			return some, nil
		})
		if errors.Is(err, ErrNotCoordinator) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	slices.SortFunc(out, func(a, b GroupListing) int { return strings.Compare(a.Group, b.Group) })
	return out, nil
}

// GroupDescription is what DescribeGroup tells.
type GroupDescription struct {
	Group    string
	State    State
	Protocol Protocol
	// ProtocolType is as in GroupListing.
	ProtocolType string
	// Epoch is the group's, AssignmentEpoch the one that the target assignment is
	// made for. Of a classic group Epoch is the generation, and AssignmentEpoch that
	// of the last assignment.
	Epoch, AssignmentEpoch int32
	// Assignor is the server-side assignor in use; of a classic group the selected
	// protocol, empty unless it is stable.
	Assignor string
	// Partition is the one of __consumer_offsets that the group lives in.
	Partition int32
	// EmptySince is when the last member left; zero while there are members, or if
	// there never were any.
	EmptySince time.Time
	// Members are ordered by id.
	Members []MemberDescription
}

// MemberDescription is one member of a GroupDescription.
type MemberDescription struct {
	Member, InstanceID, Rack string
	ClientID, ClientHost     string
	// Epoch is the member's; StaticLeaveEpoch if it is away. Of a classic member it is
	// the generation.
	Epoch int32
	// State of a classic member is MemberStable while the group is stable, else
	// MemberUnreleased: it waits.
	State MemberState
	// Topics are the subscribed ones, ascending.
	Topics           []string
	RebalanceTimeout time.Duration
	SessionTimeout   time.Duration
	// Assigned is what it may read, Revoking what it still has to give up, Target
	// where it is heading to. Of a classic group Target is Assigned, and both and
	// Topics are known of consumers only, while the group is stable.
	Assigned, Revoking, Target []TopicPartitions
	// Metadata is what a classic member said of itself for the selected protocol, and
	// Assignment what the leader gave it: bytes that members understand. Nil unless
	// the group is classic and stable.
	Metadata, Assignment []byte
}

// DescribeGroup tells everything about a group (Kafka's ConsumerGroupDescribe, and
// DescribeGroups for a classic one: GroupDescription.Protocol says which it is). It
// fails with a *GroupError of ErrGroupNotFound.
func (c *Coordinator) DescribeGroup(ctx context.Context, group string) (GroupDescription, error) {
	if err := checkGroupID(group); err != nil {
		return GroupDescription{}, err
	}
	partition := c.PartitionFor(group)
	return submit(ctx, c, partition, func(t *tx) (GroupDescription, error) {
		g := t.groups[group]
		if g == nil {
			return GroupDescription{}, notFound(group)
		}
		d := GroupDescription{Group: g.id, State: g.state(), Protocol: g.protocol(), Epoch: g.epoch(),
			AssignmentEpoch: g.assignmentEpoch, Assignor: t.preferred(g), Partition: partition}
		d.ProtocolType = g.protocolType()
		if ms := g.emptyMs(); ms != 0 {
			d.EmptySince = time.UnixMilli(ms)
		}
		if g.protocol() == ProtocolClassic {
			t.describeClassic(g, &d)
			return d, nil
		}
		for _, id := range g.sortedMembers() {
			m := g.members[id]
			d.Members = append(d.Members, MemberDescription{
				Member: id, InstanceID: m.meta.instanceID, Rack: m.meta.rack,
				ClientID: m.meta.clientID, ClientHost: m.meta.clientHost,
				Epoch: m.current.epoch, State: m.current.state, Topics: slices.Clone(m.meta.topics),
				RebalanceTimeout: m.rebalanceTimeout(), SessionTimeout: m.sessionTimeout,
				Assigned: g.named(m.current.assigned), Revoking: g.named(m.current.revoking), Target: g.named(g.target[id]),
			})
		}
		return d, nil
	})
}

// DeleteGroup removes a group and its offsets (Kafka's DeleteGroups). It fails with
// a *GroupError of ErrGroupNotFound, or of ErrNonEmptyGroup if the group has
// members. A group with very many offsets goes in several appends; if one of them
// fails, call again.
func (c *Coordinator) DeleteGroup(ctx context.Context, group string) error {
	if err := checkGroupID(group); err != nil {
		return err
	}
	for first := true; ; first = false {
		done, err := submit(ctx, c, c.PartitionFor(group), func(t *tx) (bool, error) {
			g := t.groups[group]
			if g == nil {
				if first {
					return false, notFound(group)
				}
				return true, nil
			}
			if g.occupied() {
				return false, g.nonEmpty()
			}
			return t.deleteGroup(g), nil
		})
		if done || err != nil {
			return err
		}
	}
}

// deleteGroup emits the tombstones of an empty group, as many as fit. It reports
// whether that was all.
func (t *tx) deleteGroup(g *group) bool {
	for _, k := range g.sortedOffsets() {
		if t.bytes > t.opts.MaxBatchBytes {
			return false
		}
		t.emit(&offsetRecord{g.id, k.topic, k.partition, nil})
	}
	t.clearConsumer(g)
	t.clearClassic(g)
	return true
}

// clearConsumer removes what KIP-848's protocol left of a group without members.
func (t *tx) clearConsumer(g *group) {
	for _, id := range slices.Sorted(maps.Keys(g.target)) {
		t.emit(&targetMemberRecord{g.id, id, nil})
	}
	if g.assignmentEpoch != 0 {
		t.emit(&targetRecord{g.id, nil})
	}
	if g.meta != nil {
		t.emit(&groupRecord{g.id, nil})
	}
}
