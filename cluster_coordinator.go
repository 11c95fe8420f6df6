package leat

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/coordinator"
	"github.com/leatlog/leat/kafka"
)

// loadedGroups is in which leadership the partitions of __consumer_offsets were loaded
// that this node's coordinator has.
type loadedGroups struct {
	mu sync.Mutex
	by map[int32]leadership
}

// groupLog returns the log of a partition of __consumer_offsets for this node's
// coordinator, which must lead it: with all that was acknowledged before.
func (c *cluster) groupLog(ctx context.Context, p *Partition) (coordinator.Log, error) {
	at := c.leaderOf(p)
	elsewhere := func(err error) error {
		return fmt.Errorf("%w: node %d leads partition %d of %s: %v", coordinator.ErrNotCoordinator, c.leaderOf(p).Node, p.number, offsetsTopic, err)
	}
	if at.Node != c.self {
		return nil, elsewhere(c.notLeader(at.Shard))
	}
	sh := c.shards.get(at.Shard)
	if sh == nil {
		return nil, elsewhere(c.notLeader(at.Shard))
	}
	// What a coordinator before this one has still on its way must not come behind what
	// is read now.
	if err := sh.raft.Fence(ctx, at.epoch()); err != nil {
		return nil, elsewhere(err)
	}
	stored := c.stored(p)
	if now := c.leaderOf(p); now != at || stored == nil {
		return nil, elsewhere(c.notLeader(at.Shard))
	}
	c.loaded.mu.Lock()
	if c.loaded.by == nil {
		c.loaded.by = make(map[int32]leadership)
	}
	c.loaded.by[p.number] = at
	c.loaded.mu.Unlock()
	return &clusterGroupLog{offsetsLog{part: p, stored: stored, clock: c.log.cfg.Clock}, c, at}, nil
}

// clusterGroupLog is a partition of __consumer_offsets that this node leads. What it
// appends counts only in the term in which it was loaded.
type clusterGroupLog struct {
	offsetsLog
	c  *cluster
	at leadership
}

var _ coordinator.Log = (*clusterGroupLog)(nil)

// Append implements coordinator.Log.
func (o *clusterGroupLog) Append(ctx context.Context, records []coordinator.KV) error {
	batch, _, err := o.encode(ctx, records)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	p, err := o.c.proposeAppend(o.part, o.at, batch)
	if err != nil {
		return err
	}
	_, err = p.Wait(ctx)
	return err
}

// keepGroups gives up the partitions of __consumer_offsets that this node does not lead
// any more, or leads anew after others may have, until the node closes.
func (c *cluster) keepGroups() {
	for {
		changed := c.leaders.next()
		if coord := c.log.groups.made.Load(); coord != nil {
			for _, n := range c.outdatedGroups() {
				coord.Unload(n)
			}
		}
		select {
		case <-changed:
		case <-c.ctx.Done():
			return
		}
	}
}

// outdatedGroups returns, and forgets, the partitions that were loaded in a leadership
// that has ended.
func (c *cluster) outdatedGroups() (numbers []int32) {
	c.loaded.mu.Lock()
	defer c.loaded.mu.Unlock()
	for n, at := range c.loaded.by {
		if c.leaders.get(at.Shard) != at {
			numbers = append(numbers, n)
			delete(c.loaded.by, n)
		}
	}
	return numbers
}

// groupPartition returns the partition of __consumer_offsets that a group lives in,
// which is made if there are no groups yet.
func (c *cluster) groupPartition(ctx context.Context, group string) (*Partition, error) {
	coord, err := c.log.groups.get(ctx, true)
	if err != nil {
		return nil, err
	}
	t := c.log.catalog.topic(offsetsTopic)
	if t == nil {
		return nil, topicError(offsetsTopic, ErrUnknownTopic)
	}
	return t.Partition(coord.PartitionFor(group))
}

// coordinatorOf returns the node that coordinates a group.
func (c *cluster) coordinatorOf(ctx context.Context, group string) (int32, error) {
	p, err := c.groupPartition(ctx, group)
	if err != nil {
		return 0, errors.Join(kafka.ErrCoordinatorNotAvailable, err)
	}
	node := c.leaderOf(p).Node
	if node == 0 {
		return 0, kafka.ErrCoordinatorNotAvailable
	}
	return int32(node), nil
}

// coordinatorNode is coordinatorOf for this node's own calls; 0 while there is none.
func (c *cluster) coordinatorNode(ctx context.Context, group string) (base.NodeID, error) {
	p, err := c.groupPartition(ctx, group)
	if err != nil {
		return 0, err
	}
	return c.leaderOf(p).Node, nil
}
