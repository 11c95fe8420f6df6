package leat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/leatlog/leat/internal/coordinator"
)

// settle does what is to be done between two records: it tells what went wrong,
// gives up partitions and takes others. It runs with g.turn, so that it and the
// callbacks are alone.
func (g *ConsumerGroup) settle(ctx context.Context) error {
	g.mu.Lock()
	if g.state == memberOut {
		g.state = memberJoining
		g.beatSoon()
	}
	g.mu.Unlock()
	for g.pending.Swap(false) {
		if err := g.settleOnce(ctx); err != nil {
			g.pending.Store(true) // there may be more to do
			return err
		}
	}
	return nil
}

func (g *ConsumerGroup) settleOnce(ctx context.Context) error {
	g.mu.Lock()
	switch {
	case g.closing:
		g.mu.Unlock()
		return ErrClosed
	case g.state == memberLost:
		lost, untold := g.lost, g.untold
		g.state, g.untold = memberOut, nil
		g.mu.Unlock()
		if err := call(ctx, "OnLost", g.cfg.onLost, untold); err != nil {
			return errors.Join(lost, err)
		}
		return lost
	case g.trouble != nil:
		err := g.trouble
		g.trouble = nil
		g.mu.Unlock()
		return err
	}
	revoke := sortedPartitions(g.owned, func(o *ownedPartition) bool { return !g.targetsLocked(o.tp, o.topicID) })
	g.mu.Unlock()
	if err := g.revoke(ctx, revoke); err != nil {
		return err
	}
	return g.take(ctx)
}

// call calls a callback of the program's.
func call(ctx context.Context, name string, fn partitionsCallback, tps []TopicPartition) (err error) {
	if fn == nil || len(tps) == 0 {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("leat: the function given to %s panicked: %v", name, v)
		}
	}()
	fn(ctx, slices.Clone(tps))
	return nil
}

// revoke gives partitions up: it tells the program, commits what is marked, stops
// reading, and tells the group. When it fails it goes on where it was at the next
// call.
func (g *ConsumerGroup) revoke(ctx context.Context, tps []TopicPartition) error {
	if len(tps) == 0 {
		return nil
	}
	var told []TopicPartition
	g.mu.Lock()
	for _, tp := range tps {
		if o := g.owned[tp]; o != nil && !o.revoking {
			o.revoking = true
			told = append(told, tp)
		}
	}
	g.mu.Unlock()
	panicked := call(ctx, "OnRevoked", g.cfg.onRevoked, told)

	if err := g.speak(ctx); err != nil {
		return errors.Join(panicked, err)
	}
	defer g.hush()
	if err := g.commitTalking(ctx, g.dirty(tps)); err != nil && !errors.Is(err, ErrMemberLost) {
		return errors.Join(panicked, err)
	}
	g.consumer.unassign(tps...)
	g.mu.Lock()
	for _, tp := range tps {
		delete(g.owned, tp)
	}
	g.marked = nil
	g.ack = g.state == memberJoined
	g.mu.Unlock()
	g.log.groups.revoked.Add(int64(len(tps)))
	g.beatSoon()
	return panicked
}

// take begins to read the partitions that the member was given and does not read
// yet.
func (g *ConsumerGroup) take(ctx context.Context) error {
	g.mu.Lock()
	missing := make(map[TopicPartition]*ownedPartition)
	for tp, id := range g.target {
		if g.owned[tp] == nil {
			missing[tp] = &ownedPartition{tp: tp, topicID: id}
		}
	}
	g.mu.Unlock()
	if len(missing) == 0 {
		return nil
	}
	tps := sortedPartitions(missing, func(*ownedPartition) bool { return true })
	committed, err := g.Committed(ctx, tps...)
	if err != nil {
		return err
	}
	var taken []TopicPartition
	for _, tp := range tps {
		o := missing[tp]
		at, ok := committed[tp]
		var start Start
		if !ok {
			start = g.cfg.consumer.start
		}
		if err = g.takeOne(o, at.Offset, start); err != nil {
			if isGone(err) {
				err = nil // the group will notice
				continue
			}
			break
		}
		// While it was looked up the group may have thought otherwise.
		g.mu.Lock()
		keep := g.state == memberJoined && !g.closing && g.targetsLocked(tp, o.topicID)
		if keep {
			g.owned[tp] = o
			taken = append(taken, tp)
		}
		g.mu.Unlock()
		if !keep {
			g.consumer.unassign(tp)
		}
	}
	g.log.groups.assigned.Add(int64(len(taken)))
	return errors.Join(err, call(ctx, "OnAssigned", g.cfg.onAssigned, taken))
}

// takeOne makes the consumer read a partition from an offset, or where start says
// if it is not nil.
func (g *ConsumerGroup) takeOne(o *ownedPartition, at Offset, start Start) error {
	part, err := g.log.partition(o.tp)
	if err != nil {
		return err
	}
	if coordinator.TopicID(part.topic.id) != o.topicID {
		return topicError(o.tp.Topic, ErrTopicDeleted)
	}
	o.next, o.committed = at, at
	if start != nil {
		if at, err = start(part); err != nil {
			return err
		}
		o.next, o.committed = 0, 0
	}
	if err := g.consumer.assign(part, at); err != nil {
		return err
	}
	g.consumer.mu.Lock()
	o.assigned = g.consumer.assigned[o.tp]
	g.consumer.mu.Unlock()
	if o.assigned == nil {
		return ErrClosed
	}
	return nil
}

// dropDeleted stops reading topics that were deleted. The group takes their
// partitions away.
func (g *ConsumerGroup) dropDeleted() {
	g.consumer.unassign(g.consumer.partitionsWhere(func(p *assignedPartition) bool { return p.part.topic.deleted.Load() })...)
}

// depart is the end of a member: it gives up everything and leaves. g.turn is
// held.
func (g *ConsumerGroup) depart(ctx context.Context) error {
	g.mu.Lock()
	told := sortedPartitions(g.owned, func(o *ownedPartition) bool { return !o.revoking })
	for _, o := range g.owned {
		o.revoking = true
	}
	g.mu.Unlock()
	err := call(ctx, "OnRevoked", g.cfg.onRevoked, told)

	g.talk <- struct{}{} // whoever has it gives it back within groupCallTimeout
	defer g.hush()
	bounded, cancel := context.WithTimeout(ctx, groupCallTimeout)
	defer cancel()
	err = errors.Join(err, g.commitTalking(bounded, g.dirty(nil)))
	g.consumer.unassign(g.consumer.Assignment()...)
	g.mu.Lock()
	state, lost, untold := g.state, g.lost, g.untold
	g.state, g.marked, g.trouble, g.untold = memberLeft, nil, nil, nil
	g.log.groups.revoked.Add(int64(len(g.owned)))
	clear(g.owned)
	g.mu.Unlock()
	switch state {
	case memberLost:
		err = errors.Join(err, call(ctx, "OnLost", g.cfg.onLost, untold))
		if !errors.Is(err, ErrMemberLost) {
			err = errors.Join(lost, err)
		}
	case memberJoining, memberJoined:
		err = errors.Join(err, g.leaveTalking(bounded))
	}
	return err
}

// sortedPartitions returns the names of the partitions that pred holds for.
func sortedPartitions(owned map[TopicPartition]*ownedPartition, pred func(*ownedPartition) bool) []TopicPartition {
	tps := make([]TopicPartition, 0, len(owned))
	for tp, o := range owned {
		if pred(o) {
			tps = append(tps, tp)
		}
	}
	return sorted(tps)
}

// sorted orders by topic and number, in place.
func sorted(tps []TopicPartition) []TopicPartition {
	slices.SortFunc(tps, func(a, b TopicPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return tps
}
