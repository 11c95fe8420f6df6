package leat

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/leatlog/leat/internal/assignor"
)

// GroupOption sets something of a ConsumerGroup. A ConsumerOption is one too:
// StartAt says where a partition begins of which the group has committed no
// offset, WithResetPolicy, WithMaxPollRecords, WithMaxPollBytes and
// WithFetchBytes are what they are for a Consumer. Assign is refused: the group
// assigns.
type GroupOption interface{ applyToGroup(*groupConfig) }

func (o ConsumerOption) applyToGroup(c *groupConfig) {
	if o != nil {
		o(&c.consumer)
	}
}

type groupOption func(*groupConfig)

func (o groupOption) applyToGroup(c *groupConfig) { o(c) }

// Assignor names how a group's partitions are shared out among its members
// (KIP-848's group.consumer.assignors). A group uses what most of its members
// ask for.
type Assignor string

const (
	// Uniform gives every member the same number of partitions, within one, over
	// all topics, and moves as few as possible when members come and go: what
	// KIP-848 has in the place of the round-robin and sticky assignors of the older
	// protocol. A member goes on reading what it keeps during a rebalance, as
	// cooperative-sticky has it, whatever the assignor. The default.
	Uniform Assignor = "uniform"
	// Range gives every member a run of consecutive partitions of each topic, so
	// that partitions of equal number of topics with equal counts, and with them
	// equal keys, meet at one member.
	Range Assignor = "range"
	// RoundRobin deals the partitions of all topics to the members in turn. The
	// numbers are as even as Uniform's if all members have the same topics, but many
	// partitions move when a member comes or goes.
	RoundRobin Assignor = "roundrobin"
	// Sticky is Uniform under the name that the older protocol has for it.
	Sticky = Uniform
)

// known reports whether the coordinator has the assignor.
func (a Assignor) known() bool {
	_, ok := assignor.Server(string(a))
	return ok
}

type partitionsCallback func(ctx context.Context, tps []TopicPartition)

type groupConfig struct {
	consumer         consumerConfig
	onAssigned       partitionsCallback
	onRevoked        partitionsCallback
	onLost           partitionsCallback
	assignor         Assignor
	instanceID       string
	clientID         string
	sessionTimeout   time.Duration // 0: the Log's
	rebalanceTimeout time.Duration // 0: by maxPollInterval
	maxPollInterval  time.Duration
	autoCommit       time.Duration // not positive: none
}

const (
	defaultMaxPollInterval = 5 * time.Minute
	defaultAutoCommit      = 5 * time.Second
)

func defaultGroupConfig() groupConfig {
	c := groupConfig{
		consumer:        defaultConsumerConfig(),
		maxPollInterval: defaultMaxPollInterval,
		autoCommit:      defaultAutoCommit,
	}
	c.consumer.reset = ResetEarliest
	return c
}

// OnAssigned sets a function that is called with the partitions that the member
// gets, before their first record is handed out; Seek may be called in it.
//
// The three callbacks run inside of Poll, Records or Close, on the goroutine that
// calls them, one at a time. They may call the member's methods but those three,
// which would wait for themselves or return ErrConcurrentPoll. ctx is the one of
// the call. A panic in one is an error of that call.
func OnAssigned(fn func(ctx context.Context, tps []TopicPartition)) GroupOption {
	return groupOption(func(c *groupConfig) { c.onAssigned = fn })
}

// OnRevoked sets a function that is called with the partitions that the member
// has to give up, while it still has them: no other member reads them before it
// has returned and what is marked by then is committed. None of their records is
// handed out after it began. See OnAssigned for how it is called.
func OnRevoked(fn func(ctx context.Context, tps []TopicPartition)) GroupOption {
	return groupOption(func(c *groupConfig) { c.onRevoked = fn })
}

// OnLost sets a function that is called with the partitions that the member has
// lost without being asked, just before Poll says why with a *MemberLostError. It
// is too late to commit: others may read them already. See OnAssigned for how it
// is called.
func OnLost(fn func(ctx context.Context, tps []TopicPartition)) GroupOption {
	return groupOption(func(c *groupConfig) { c.onLost = fn })
}

// WithAssignor asks for a way to share out partitions (group.remote.assignor).
// Default Uniform.
func WithAssignor(a Assignor) GroupOption {
	return groupOption(func(c *groupConfig) { c.assignor = a })
}

// WithInstanceID makes the member a static one (group.instance.id, KIP-345): when
// it closes, its partitions wait for it until its session timeout has passed, and
// a member that joins under the same id meanwhile gets them without a rebalance.
// One member at a time can have an id.
func WithInstanceID(id string) GroupOption {
	return groupOption(func(c *groupConfig) { c.instanceID = id })
}

// WithClientID sets the name that DescribeGroup shows for the member (client.id).
func WithClientID(id string) GroupOption {
	return groupOption(func(c *groupConfig) { c.clientID = id })
}

// WithSessionTimeout says after how long without a heartbeat the member is taken
// for dead (session.timeout.ms). Heartbeats do not depend on Poll, so this is
// about members whose process hangs, and about how long a static member's place
// is kept. Default GroupsConfig.SessionTimeout; 1 s to 30 min.
func WithSessionTimeout(d time.Duration) GroupOption {
	return groupOption(func(c *groupConfig) { c.sessionTimeout = d })
}

// WithMaxPollInterval says for how long the program may keep from calling Poll, or
// from going on in the loop over Records, before the member leaves the group, its
// partitions go to others, and Poll returns a *MemberLostError
// (max.poll.interval.ms). It is noticed up to an eighth later. A static member's
// partitions go once its session timeout has passed too. Default 5 minutes; 1 ms
// to 24 days.
func WithMaxPollInterval(d time.Duration) GroupOption {
	return groupOption(func(c *groupConfig) { c.maxPollInterval = d })
}

// WithRebalanceTimeout says how long the member may take to give up partitions,
// from when it is told until its OnRevoked has returned and its marks are
// committed, before it is removed from the group (rebalance.timeout.ms). Default a
// quarter more than WithMaxPollInterval; 1 ms to 24 days.
func WithRebalanceTimeout(d time.Duration) GroupOption {
	return groupOption(func(c *groupConfig) { c.rebalanceTimeout = d })
}

// WithAutoCommit commits what is marked in the background, every so often
// (enable.auto.commit, auto.commit.interval.ms). Default 5 s; 0 or less means
// that Commit, a revocation and Close do, and nothing else.
func WithAutoCommit(every time.Duration) GroupOption {
	return groupOption(func(c *groupConfig) { c.autoCommit = every })
}

const groupTimeoutMax = math.MaxInt32 * time.Millisecond

func (c *groupConfig) validate() error {
	bad := func(name, value, rule string) error {
		return &ConfigError{Property: name, Value: value, Rule: rule}
	}
	timeout := func(d time.Duration) bool { return d >= time.Millisecond && d <= groupTimeoutMax }
	switch {
	case len(c.consumer.assign) > 0:
		return bad("Assign", c.consumer.assign[0].topic, "must not be given: the group assigns partitions")
	case c.assignor != "" && !c.assignor.known():
		return bad("group.remote.assignor", string(c.assignor), "must be "+assignor.ServerNames)
	case len(c.instanceID) > groupIDBytesMax:
		return bad("group.instance.id", strconv.Itoa(len(c.instanceID))+" bytes", "must not be longer than 32767 bytes")
	case len(c.clientID) > groupIDBytesMax:
		return bad("client.id", strconv.Itoa(len(c.clientID))+" bytes", "must not be longer than 32767 bytes")
	case c.sessionTimeout != 0 && (c.sessionTimeout < sessionTimeoutMin || c.sessionTimeout > sessionTimeoutMax):
		return bad("session.timeout.ms", c.sessionTimeout.String(), fmt.Sprintf("must be from %v to %v", sessionTimeoutMin, sessionTimeoutMax))
	case !timeout(c.maxPollInterval):
		return bad("max.poll.interval.ms", c.maxPollInterval.String(), "must be from 1 ms to 24 days")
	case c.rebalanceTimeout != 0 && !timeout(c.rebalanceTimeout):
		return bad("rebalance.timeout.ms", c.rebalanceTimeout.String(), "must be from 1 ms to 24 days")
	}
	return c.consumer.validate()
}

func (c *groupConfig) withDefaults() groupConfig {
	out := *c
	if out.rebalanceTimeout == 0 {
		// A member that does not poll notices itself, and can say so, before the
		// group takes it for one that is slow to give up partitions.
		out.rebalanceTimeout = min(out.maxPollInterval/4*5, groupTimeoutMax)
	}
	out.rebalanceTimeout = out.rebalanceTimeout.Truncate(time.Millisecond)
	return out
}
