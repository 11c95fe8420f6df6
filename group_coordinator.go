package leat

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatlog/leat/internal/coordinator"
)

// inProcessHost begins the client host of this library's own members; behind it
// is which opening of the Log they belong to.
const inProcessHost = "in-process/"

// groups is a Log's group coordinator. It is made when a group is asked for
// first: a Log without groups has neither its goroutines nor its topic.
type groups struct {
	log *Log
	// opening names this opening of the Log.
	opening string

	made atomic.Pointer[coordinator.Coordinator] // set with mu

	mu sync.Mutex
	// swept has the groups whose members of earlier openings are gone.
	swept map[string]struct{}

	commits, commitErrors, assigned, revoked, lost atomic.Int64 // for Metrics
}

func newGroups(l *Log) *groups {
	var id [12]byte
	_, _ = rand.Read(id[:]) // never fails, by its documentation
	return &groups{log: l, opening: inProcessHost + base64.RawURLEncoding.EncodeToString(id[:]),
		swept: make(map[string]struct{})}
}

// service returns the coordinators to use, nil if there are no groups yet and create
// is false.
func (g *groups) service(ctx context.Context, create bool) (groupService, error) {
	c, err := g.get(ctx, create)
	if c == nil || err != nil {
		return nil, err
	}
	if g.log.cluster != nil {
		return clusterGroups{g.log.cluster}, nil
	}
	return c, nil
}

// get returns this node's coordinator, nil if there are no groups yet and create is
// false.
func (g *groups) get(ctx context.Context, create bool) (*coordinator.Coordinator, error) {
	if c := g.made.Load(); c != nil {
		return c, nil
	}
	t := g.log.catalog.topic(offsetsTopic)
	if t == nil {
		if !create {
			return nil, nil
		}
		var err error
		t, err = g.log.createTopic(ctx, offsetsTopic, offsetsTopicConfig(g.log.cfg.Groups.OffsetsPartitions))
		if errors.Is(err, ErrTopicExists) {
			t, err = g.log.Topic(ctx, offsetsTopic) // somebody else was first
		}
		if err != nil {
			return nil, err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.made.Load(); c != nil {
		return c, nil
	}
	c, err := coordinator.New(g.log.cfg.Groups.options(g.log, t))
	if err != nil {
		return nil, err
	}
	g.made.Store(c)
	return c, nil
}

// options are the coordinator's; l and t are nil when only the settings are to be
// checked.
func (c GroupsConfig) options(l *Log, t *Topic) coordinator.Options {
	o := coordinator.Options{
		Partitions:        int32(c.OffsetsPartitions),
		SessionTimeout:    c.SessionTimeout,
		HeartbeatInterval: c.HeartbeatInterval,
		GroupMaxSize:      c.MaxMembers,
		OffsetsRetention:  c.OffsetsRetention,
		MinSessionTimeout: sessionTimeoutMin,
		MaxSessionTimeout: sessionTimeoutMax,
		Classic: coordinator.ClassicOptions{
			MinSessionTimeout:     c.MinSessionTimeout,
			MaxSessionTimeout:     c.MaxSessionTimeout,
			InitialRebalanceDelay: c.InitialRebalanceDelay,
		},
	}
	if t == nil {
		return o
	}
	o.Partitions = int32(t.NumPartitions()) // as it was made: a group never moves
	o.Clock, o.Logger = l.cfg.Clock, l.cfg.Logger
	o.Topics = groupTopics{&l.catalog}
	o.Logs = func(ctx context.Context, number int32) (coordinator.Log, error) {
		p, err := t.Partition(number)
		if err != nil {
			return nil, err
		}
		if l.cluster != nil {
			return l.cluster.groupLog(ctx, p)
		}
		r, err := p.local()
		if err != nil {
			return nil, err
		}
		return &offsetsLog{part: p, stored: r, appender: l.appender, clock: l.cfg.Clock}, nil
	}
	return o
}

// close ends the coordinator, after the last call.
func (g *groups) close() error {
	if c := g.made.Load(); c != nil {
		return c.Close()
	}
	return nil
}

// sweep makes the members of a group leave that belonged to an earlier opening of
// this Log, which has ended, perhaps by a crash: their partitions do not wait for
// their sessions to run out. It holds as long as a Log has its directory to
// itself: a group's members are then of this process, or clients with a host of
// their own.
func (g *groups) sweep(ctx context.Context, c groupService, group string) error {
	if g.log.cluster != nil {
		return nil // they may be of other nodes
	}
	g.mu.Lock()
	_, done := g.swept[group]
	g.mu.Unlock()
	if done {
		return nil
	}
	d, err := c.DescribeGroup(ctx, group)
	if err != nil && !errors.Is(err, coordinator.ErrGroupNotFound) {
		return err
	}
	for _, m := range d.Members {
		if !strings.HasPrefix(m.ClientHost, inProcessHost) || m.ClientHost == g.opening || m.Epoch == coordinator.StaticLeaveEpoch {
			continue
		}
		req := coordinator.HeartbeatRequest{Group: group, Member: m.Member, Epoch: coordinator.LeaveEpoch, InstanceID: m.InstanceID}
		if m.InstanceID != "" {
			req.Epoch = coordinator.StaticLeaveEpoch
		}
		_, err := c.Heartbeat(ctx, req)
		if err != nil && !errors.Is(err, coordinator.ErrUnknownMember) && !errors.Is(err, coordinator.ErrFencedInstance) {
			return err
		}
	}
	g.mu.Lock()
	g.swept[group] = struct{}{}
	g.mu.Unlock()
	return nil
}

// newMemberID returns an id as Kafka's clients make them.
func newMemberID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails, by its documentation
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// mapGroupError tells an error of the coordinator in the package's terms.
func (l *Log) mapGroupError(err error) error {
	switch {
	case errors.Is(err, coordinator.ErrClosed):
		return ErrClosed
	case errors.Is(err, coordinator.ErrUnknownTopicOrPartition):
		return fmt.Errorf("%w: %w", ErrUnknownTopic, err)
	}
	if bad := (*coordinator.RequestError)(nil); errors.As(err, &bad) {
		return &ConfigError{Property: bad.Field, Rule: "must be " + bad.Rule}
	}
	return l.mapError(err)
}

const (
	sessionTimeoutMin = time.Second
	sessionTimeoutMax = 30 * time.Minute
)

// validate returns a *ConfigError for settings that do not go together.
func (c GroupsConfig) validate() error {
	session, beat := c.SessionTimeout, c.HeartbeatInterval
	if session == 0 {
		session = defaultSessionTimeout
	}
	if beat == 0 {
		beat = defaultHeartbeatInterval
	}
	if beat >= session {
		return &ConfigError{Property: "Groups.HeartbeatInterval", Value: beat.String(),
			Rule: fmt.Sprintf("must be less than the session timeout, %v", session)}
	}
	lo, hi := cmp.Or(c.MinSessionTimeout, classicSessionTimeoutMin), cmp.Or(c.MaxSessionTimeout, classicSessionTimeoutMax)
	switch {
	case lo < time.Millisecond || lo > hi:
		return &ConfigError{Property: "Groups.MinSessionTimeout", Value: lo.String(),
			Rule: fmt.Sprintf("must be from 1 ms to MaxSessionTimeout, %v", hi)}
	case hi > math.MaxInt32*time.Millisecond:
		return &ConfigError{Property: "Groups.MaxSessionTimeout", Value: hi.String(), Rule: "must be at most 24 days"}
	}
	return nil
}

const (
	defaultSessionTimeout    = 45 * time.Second
	defaultHeartbeatInterval = 5 * time.Second
	classicSessionTimeoutMin = 6 * time.Second
	classicSessionTimeoutMax = 30 * time.Minute
)
