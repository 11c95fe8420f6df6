package leat

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// partition finds a partition by its name.
func (l *Log) partition(tp TopicPartition) (*Partition, error) {
	t := l.catalog.topic(tp.Topic)
	if t == nil {
		return nil, topicError(tp.Topic, ErrUnknownTopic)
	}
	return t.Partition(tp.Partition)
}

// assignTopic does what an Assign said.
func (c *Consumer) assignTopic(a topicAssignment) error {
	numbers := a.partitions
	if len(numbers) == 0 {
		t := c.log.catalog.topic(a.topic)
		if t == nil {
			return topicError(a.topic, ErrUnknownTopic)
		}
		for i := range t.NumPartitions() {
			numbers = append(numbers, int32(i))
		}
	}
	for _, n := range numbers {
		if err := c.add(TopicPartition{a.topic, n}, c.cfg.start); err != nil {
			return err
		}
	}
	return nil
}

func (c *Consumer) add(tp TopicPartition, start Start) error {
	part, err := c.log.partition(tp)
	if err != nil {
		return err
	}
	at, err := start(part)
	if err != nil {
		return err
	}
	return c.assign(part, at)
}

// assign makes the consumer read a partition from an offset on, which may be any
// from 0. If it reads it already, the position stays. A Poll that waits looks at
// it at once.
func (c *Consumer) assign(part *Partition, at Offset) error {
	r, err := part.replica()
	if err != nil {
		return err
	}
	tp := part.name()
	if at < 0 {
		return negativeOffset(tp, r, at)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.endErr
	}
	if c.assigned[tp] != nil {
		return nil
	}
	p := &assignedPartition{part: part, r: r, tp: tp}
	p.position.Store(int64(at))
	r.Watch(c.wake)
	c.assigned[tp] = p
	c.turns = append(c.turns, p)
	c.wakeUp()
	return nil
}

// unassign ends the reading of partitions and returns the positions at which that
// was, without those that were not assigned. When it returns, no record of them
// is handed out any more.
func (c *Consumer) unassign(tps ...TopicPartition) map[TopicPartition]Offset {
	c.mu.Lock()
	defer c.mu.Unlock()
	positions := make(map[TopicPartition]Offset, len(tps))
	for _, tp := range tps {
		p := c.assigned[tp]
		if p == nil {
			continue
		}
		if !c.closed {
			p.r.Unwatch(c.wake)
		}
		positions[tp] = Offset(p.position.Swap(removedPosition))
		delete(c.assigned, tp)
		c.removeTurnLocked(p)
		c.forgetLocked(p)
	}
	c.changes.Add(1)
	return positions
}

// forgetLocked drops what was read or decoded ahead of a partition.
func (c *Consumer) forgetLocked(p *assignedPartition) {
	if c.piece.p == p {
		c.piece.reset()
	}
	if c.left.p == p {
		c.dropLeftLocked()
	}
}

func (c *Consumer) removeTurnLocked(p *assignedPartition) {
	i := slices.Index(c.turns, p)
	c.turns = slices.Delete(c.turns, i, i+1)
	if c.turn > i {
		c.turn--
	}
	if c.turn >= len(c.turns) {
		c.turn = 0
	}
}

func (c *Consumer) nextTurnLocked() {
	if c.turn++; c.turn >= len(c.turns) {
		c.turn = 0
	}
}

// AddPartitions makes the consumer read more partitions; nil for start means that
// of StartAt. Where one is assigned already its position stays. It returns
// ErrUnknownTopic, ErrUnknownPartition or the error of the Start, and then the
// partitions before the failing one are assigned.
func (c *Consumer) AddPartitions(start Start, tps ...TopicPartition) error {
	if err := c.log.begin(context.Background()); err != nil {
		return err
	}
	defer c.log.end()
	if start == nil {
		start = c.cfg.start
	}
	for _, tp := range tps {
		if err := c.add(tp, start); err != nil {
			return err
		}
	}
	return nil
}

// RemovePartitions ends the reading of partitions. When it returns, no record of
// them is handed out any more. It returns ErrNotAssigned for one that was not
// assigned, the others are removed.
func (c *Consumer) RemovePartitions(tps ...TopicPartition) error {
	c.mu.Lock()
	closed, err := c.closed, c.endErr
	c.mu.Unlock()
	if closed {
		return err
	}
	removed := c.unassign(tps...)
	for _, tp := range tps {
		if _, ok := removed[tp]; !ok {
			return notAssigned(tp)
		}
	}
	return nil
}

// Assignment returns the partitions that the consumer reads, sorted.
func (c *Consumer) Assignment() []TopicPartition {
	return c.partitionsWhere(func(*assignedPartition) bool { return true })
}

// Paused returns the partitions that are paused, sorted.
func (c *Consumer) Paused() []TopicPartition {
	return c.partitionsWhere(func(p *assignedPartition) bool { return p.paused })
}

func (c *Consumer) partitionsWhere(pred func(*assignedPartition) bool) []TopicPartition {
	c.mu.Lock()
	defer c.mu.Unlock()
	tps := make([]TopicPartition, 0, len(c.turns))
	for _, p := range c.turns {
		if pred(p) {
			tps = append(tps, p.tp)
		}
	}
	slices.SortFunc(tps, func(a, b TopicPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return tps
}

// selectLocked returns the partitions of these names, all for none.
func (c *Consumer) selectLocked(tps []TopicPartition) ([]*assignedPartition, error) {
	if c.closed {
		return nil, c.endErr
	}
	if len(tps) == 0 {
		return slices.Clone(c.turns), nil
	}
	ps := make([]*assignedPartition, len(tps))
	for i, tp := range tps {
		if ps[i] = c.assigned[tp]; ps[i] == nil {
			return nil, notAssigned(tp)
		}
	}
	return ps, nil
}

// Pause keeps partitions, all when none is named, from being handed out until
// Resume; their positions stay. It returns ErrNotAssigned, and then pauses none.
func (c *Consumer) Pause(tps ...TopicPartition) error { return c.setPaused(true, tps) }

// Resume ends Pause for partitions, all when none is named.
func (c *Consumer) Resume(tps ...TopicPartition) error { return c.setPaused(false, tps) }

func (c *Consumer) setPaused(paused bool, tps []TopicPartition) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	ps, err := c.selectLocked(tps)
	if err != nil {
		return err
	}
	for _, p := range ps {
		p.paused = paused
	}
	if paused {
		c.changes.Add(1)
	}
	c.wakeUp()
	return nil
}

// Seek sets the position of a partition: the next record that is handed out is
// the first at this offset or behind it. An offset that the partition does not
// have is a matter of the reset policy, at the next Poll; a negative one is
// refused with an *OffsetOutOfRangeError.
func (c *Consumer) Seek(tp TopicPartition, o Offset) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	ps, err := c.selectLocked([]TopicPartition{tp})
	if err != nil {
		return err
	}
	if o < 0 {
		return negativeOffset(tp, ps[0].r, o)
	}
	ps[0].position.Store(int64(o))
	c.wakeUp()
	return nil
}

func negativeOffset(tp TopicPartition, r replica, o Offset) error {
	return &OffsetOutOfRangeError{Topic: tp.Topic, Partition: tp.Partition,
		Offset: o, LogStart: r.LogStart(), HighWatermark: r.HighWatermark()}
}

// SeekToTime sets the position of each partition to the first record whose
// timestamp is t or later; where there is none, behind the last record. On an
// error no position has changed.
func (c *Consumer) SeekToTime(ctx context.Context, t time.Time) error {
	return c.seekTo(ctx, nil, AtTime(t))
}

// SeekToBeginning sets the position of partitions, all when none is named, to the
// first record that there is.
func (c *Consumer) SeekToBeginning(tps ...TopicPartition) error {
	return c.seekTo(context.Background(), tps, Earliest)
}

// SeekToEnd sets the position of partitions, all when none is named, behind the
// last record that there is.
func (c *Consumer) SeekToEnd(tps ...TopicPartition) error {
	return c.seekTo(context.Background(), tps, Latest)
}

func (c *Consumer) seekTo(ctx context.Context, tps []TopicPartition, start Start) error {
	if err := c.log.begin(ctx); err != nil {
		return c.ended(err)
	}
	defer c.log.end()
	c.mu.Lock()
	ps, err := c.selectLocked(tps)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	// Looking for a time reads from disk: not with c.mu.
	targets := make([]Offset, len(ps))
	for i, p := range ps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if targets[i], err = start(p.part); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.endErr
	}
	for i, p := range ps {
		if c.assigned[p.tp] == p { // not removed meanwhile
			p.position.Store(int64(targets[i]))
		}
	}
	c.wakeUp()
	return nil
}

// Position returns the offset of the next record that is handed out, or where it
// will be.
func (c *Consumer) Position(tp TopicPartition) (Offset, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ps, err := c.selectLocked([]TopicPartition{tp})
	if err != nil {
		return 0, err
	}
	return Offset(ps[0].position.Load()), nil
}

// Lag returns for each partition how many offsets the position is behind the high
// watermark, 0 or more. Offsets that compaction emptied count.
func (c *Consumer) Lag() map[TopicPartition]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	lag := make(map[TopicPartition]int64, len(c.turns))
	for _, p := range c.turns {
		lag[p.tp] = max(0, int64(p.r.HighWatermark())-p.position.Load())
	}
	return lag
}
