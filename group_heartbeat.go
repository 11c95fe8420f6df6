package leat

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leatlog/leat/internal/coordinator"
)

const (
	// pollChecks is how many times per max.poll.interval.ms it is looked whether
	// the program polls.
	pollChecks = 8
	// retryMin is the time before the first retry of a heartbeat that failed; it
	// doubles up to the heartbeat interval.
	retryMin = 50 * time.Millisecond
)

// run is the member's goroutine: it sends the heartbeats, commits in the
// background, and sees to it that the program polls.
func (g *ConsumerGroup) run() {
	defer close(g.ended)
	g.log.label(roleMember)
	clock := g.log.cfg.Clock
	interval := g.heartbeatInterval()
	retry := time.Duration(0) // of the last failure
	beat := clock.NewTimer(interval)
	defer beat.Stop()
	check := max(g.cfg.maxPollInterval/pollChecks, time.Millisecond)
	polls := clock.NewTimer(check)
	defer polls.Stop()
	steps, active := g.steps.Load(), clock.Now()
	var commits <-chan time.Time
	var commit Timer
	if g.cfg.autoCommit > 0 {
		commit = clock.NewTimer(g.cfg.autoCommit)
		defer commit.Stop()
		commits = commit.C()
	}
	for {
		select {
		case <-g.ctx.Done():
			return
		case <-g.news:
		case <-g.kick:
		case <-beat.C():
		case <-commits:
			g.commitInBackground()
			commit.Reset(g.cfg.autoCommit)
			continue
		case <-polls.C():
			now := clock.Now()
			if s := g.steps.Load(); s != steps || g.polls() {
				steps, active = s, now
			} else if now.Sub(active) >= g.cfg.maxPollInterval {
				g.giveUp()
				active = now
			}
			polls.Reset(check)
			continue
		}
		if err := g.heartbeatSoon(); err != nil && g.ctx.Err() == nil {
			retry = min(max(2*retry, retryMin), interval)
			beat.Reset(retry)
			g.report(err)
			continue
		}
		retry = 0
		beat.Reset(interval)
	}
}

// groupCallTimeout bounds what a member says to its group by itself: on a node that is
// cut off from the group's coordinator there is no answer, and Close waits for its turn to
// speak (request.timeout.ms).
const groupCallTimeout = 5 * time.Second

// heartbeatSoon sends a heartbeat of the goroutine.
func (g *ConsumerGroup) heartbeatSoon() error {
	ctx, cancel := context.WithTimeout(g.ctx, groupCallTimeout)
	defer cancel()
	err := g.heartbeat(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: the group's coordinator has not answered for %v", coordinator.ErrNotAvailable, groupCallTimeout)
	}
	return err
}

// heartbeatInterval is the time between two heartbeats, well within the session.
func (g *ConsumerGroup) heartbeatInterval() time.Duration {
	d := g.log.cfg.Groups.HeartbeatInterval
	if d == 0 {
		d = defaultHeartbeatInterval
	}
	if s := g.cfg.sessionTimeout; s > 0 {
		d = min(d, s/3)
	}
	return d
}

// polls reports whether the program is in a call of ours.
func (g *ConsumerGroup) polls() bool { return g.inside.Load() || g.consumer.polling.Load() }

// report makes the next Poll return an error of the goroutine.
func (g *ConsumerGroup) report(err error) {
	err = g.log.mapGroupError(err)
	g.log.cfg.Logger.Warn("group member has trouble", "group", g.group, "member", g.id, "err", err)
	g.mu.Lock()
	g.trouble = err
	g.mu.Unlock()
	g.rouse()
}

// rouse makes a Poll that waits, or the next one, settle.
func (g *ConsumerGroup) rouse() {
	g.pending.Store(true)
	g.consumer.interrupt()
}

// beatSoon wakes the goroutine.
func (g *ConsumerGroup) beatSoon() {
	select {
	case g.kick <- struct{}{}:
	default:
	}
}

// speak takes g.talk; hush gives it back.
func (g *ConsumerGroup) speak(ctx context.Context) error {
	select {
	case g.talk <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *ConsumerGroup) hush() { <-g.talk }

// heartbeat sends one if the member is in the group or on its way there. The
// errors are those after which it is worth while to try again.
func (g *ConsumerGroup) heartbeat(ctx context.Context) error {
	if err := g.speak(ctx); err != nil {
		return err
	}
	defer g.hush()
	return g.heartbeatTalking(ctx)
}

func (g *ConsumerGroup) heartbeatTalking(ctx context.Context) error {
	g.mu.Lock()
	req := coordinator.HeartbeatRequest{Group: g.group, Member: g.id, SessionTimeout: g.cfg.sessionTimeout}
	joins, ack := g.state == memberJoining, g.ack
	switch {
	case joins:
		req.Epoch = coordinator.JoinEpoch
		req.InstanceID, req.ClientID, req.ClientHost = g.cfg.instanceID, g.cfg.clientID, g.log.groups.opening
		req.Assignor = string(g.cfg.assignor)
	case g.state == memberJoined:
		req.Epoch = g.epoch
		if g.ack || g.full {
			req.Owned = g.ownedLocked()
		}
	default:
		g.mu.Unlock()
		return nil
	}
	if joins || g.full {
		req.Topics, req.RebalanceTimeout = g.topics, g.cfg.rebalanceTimeout
	}
	g.ack = false
	g.mu.Unlock()

	resp, err := g.coord.Heartbeat(ctx, req)

	g.mu.Lock()
	switch {
	case err != nil && !joins && isLoss(err):
		g.mu.Unlock()
		g.lose(err)
		return nil
	case err != nil:
		g.ack, g.full = g.ack || ack, true // it may have been handled
		g.mu.Unlock()
		return err
	}
	g.state, g.epoch, g.full, g.trouble = memberJoined, resp.Epoch, false, nil
	if joins {
		g.lost = nil
	}
	news := resp.Assignment != nil && g.aimLocked(resp.Assignment.Topics)
	g.mu.Unlock()
	if news {
		g.rouse()
	}
	return nil
}

// isLoss reports whether an error says that the member is no longer one.
func isLoss(err error) bool {
	return errors.Is(err, coordinator.ErrUnknownMember) || errors.Is(err, coordinator.ErrFencedMemberEpoch) ||
		errors.Is(err, coordinator.ErrFencedInstance)
}

// aimLocked takes note of what the member is to read, and reports whether that is
// not what it reads.
func (g *ConsumerGroup) aimLocked(given []coordinator.TopicPartitions) bool {
	before := g.target
	g.given = given
	g.target = make(map[TopicPartition]coordinator.TopicID)
	for _, t := range given {
		if t.Topic == "" {
			continue // it is gone
		}
		for _, p := range t.Partitions {
			g.target[TopicPartition{t.Topic, p}] = t.ID
		}
	}
	for tp, id := range before {
		if o := g.owned[tp]; !g.targetsLocked(tp, id) && (o == nil || o.topicID != id) {
			// It was given, is taken back, and no Poll has begun to read it: nothing is
			// to be done but to say so.
			g.ack = true
			g.beatSoon()
			break
		}
	}
	if len(g.target) != len(g.owned) {
		return true
	}
	for tp, o := range g.owned {
		if !g.targetsLocked(tp, o.topicID) {
			return true
		}
	}
	return false
}

func (g *ConsumerGroup) targetsLocked(tp TopicPartition, id coordinator.TopicID) bool {
	to, ok := g.target[tp]
	return ok && to == id
}

// ownedLocked is what the member has: what it was given, read already or not, and
// what it reads still.
func (g *ConsumerGroup) ownedLocked() []coordinator.TopicPartitions {
	list := make([]coordinator.TopicPartitions, 0, len(g.given))
	list = append(list, g.given...)
	for tp, o := range g.owned {
		if !g.targetsLocked(tp, o.topicID) {
			list = append(list, coordinator.TopicPartitions{Topic: tp.Topic, ID: o.topicID, Partitions: []int32{tp.Partition}})
		}
	}
	return list
}

// lose takes note that the member is out of its group: none of its partitions is
// handed out any more, and the next Poll says why. g.talk is held.
func (g *ConsumerGroup) lose(why error) {
	g.mu.Lock()
	if g.state != memberJoined {
		g.mu.Unlock()
		return
	}
	lost := sortedPartitions(g.owned, func(*ownedPartition) bool { return true })
	g.untold = sortedPartitions(g.owned, func(o *ownedPartition) bool { return !o.revoking })
	g.state = memberLost
	g.lost = &MemberLostError{Group: g.group, Member: g.id, Partitions: lost, Err: why}
	clear(g.owned)
	g.given, g.target, g.marked, g.ack, g.full, g.trouble = nil, nil, nil, false, false, nil
	g.mu.Unlock()
	g.consumer.unassign(g.consumer.Assignment()...)
	g.log.groups.lost.Add(int64(len(lost)))
	g.log.cfg.Logger.Warn("group member lost its partitions", "group", g.group, "member", g.id, "partitions", len(lost), "err", why)
	g.rouse()
}

// giveUp leaves the group because the program does not poll. What is marked is
// processed, so it is committed.
func (g *ConsumerGroup) giveUp() {
	if err := g.speak(g.ctx); err != nil {
		return // closing
	}
	defer g.hush()
	g.mu.Lock()
	joined := g.state == memberJoined && !g.closing
	g.mu.Unlock()
	if !joined {
		return
	}
	marked := g.dirty(nil)
	g.lose(ErrMaxPollInterval)
	ctx, cancel := context.WithTimeout(g.ctx, groupCallTimeout)
	defer cancel()
	if err := g.commitTalking(ctx, marked); err != nil {
		g.log.cfg.Logger.Warn("marks not committed", "group", g.group, "member", g.id, "err", err)
	}
	if err := g.leaveTalking(ctx); err != nil {
		// It goes with its session, for it sends no more heartbeats.
		g.log.cfg.Logger.Warn("group member could not leave", "group", g.group, "member", g.id, "err", err)
	}
}

// leaveTalking tells the group that the member is gone, for a while if it is a
// static one.
func (g *ConsumerGroup) leaveTalking(ctx context.Context) error {
	req := coordinator.HeartbeatRequest{Group: g.group, Member: g.id, Epoch: coordinator.LeaveEpoch, InstanceID: g.cfg.instanceID}
	if req.InstanceID != "" {
		req.Epoch = coordinator.StaticLeaveEpoch
	}
	if _, err := g.coord.Heartbeat(ctx, req); err != nil && !isLoss(err) {
		return g.log.mapGroupError(err)
	}
	return nil
}
