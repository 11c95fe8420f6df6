package leat

import (
	"context"
	"errors"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/raftmeta"
)

// livenessState is what the node that leads the metadata knows of signs of life.
type livenessState struct {
	term    uint64 // in which it leads
	tracker *raftmeta.Liveness
}

// alive takes note of a sign of life, ready unless the node is about to close.
func (c *cluster) alive(node base.NodeID, epoch base.RaftIndex, ready bool) {
	b := c.machine.Image().Broker(node)
	if b == nil || b.Epoch != epoch {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.liveness != nil {
		c.liveness.tracker.Heartbeat(node, b.Incarnation, ready, c.log.cfg.Clock.Now())
	}
}

// controlInterval is the time between two looks at what the leader of the metadata has
// to do, when nothing tells it to look.
const controlInterval = 500 * time.Millisecond

// control does, while this node leads the metadata, what one node does for all: fence
// the dead, replace what is lost, empty nodes that drain, keep replicas even, and bring
// the metadata's own group in order.
func (c *cluster) control() {
	w := c.machine.Watch(nil)
	defer w.Close()
	timer := c.log.cfg.Clock.NewTimer(controlInterval)
	defer timer.Stop()
	for {
		select {
		case <-w.News():
			w.Take()
		case <-timer.C():
			timer.Reset(controlInterval)
		case <-c.ctx.Done():
			return
		}
		if err := c.controlOnce(c.ctx); err != nil && c.ctx.Err() == nil {
			c.log.cfg.Logger.Debug("a duty of the metadata's leader failed", "err", err)
		}
	}
}

func (c *cluster) controlOnce(ctx context.Context) error {
	s := c.metaShard()
	_, term, _ := s.Leader()
	if !s.IsLeader() {
		c.mu.Lock()
		c.liveness = nil
		c.mu.Unlock()
		return nil
	}
	now := c.log.cfg.Clock.Now()
	img := c.machine.Image()
	c.mu.Lock()
	if c.liveness == nil || c.liveness.term != term {
		c.liveness = &livenessState{term, raftmeta.NewLiveness(c.cfg.SessionTimeout, now)}
	}
	cmds, _ := c.liveness.tracker.Decide(img, now)
	c.mu.Unlock()

	meta := img.Shard(raftmeta.MetadataShard)
	if meta == nil {
		return nil
	}
	due, err := raftmeta.PlanUpkeep(img, movesMax)
	c.cannot("replicas cannot be moved", err)
	cmds = append(cmds, due...)
	var errs []error
	for _, cmd := range cmds {
		if f, ok := cmd.(*raftmeta.FenceBroker); ok {
			c.log.cfg.Logger.Warn("node is taken for dead", "node", f.Node)
		}
		res, err := c.propose(ctx, cmd)
		if err == nil {
			err = res.Err()
		}
		if err != nil && !errors.Is(err, raftmeta.Stale) {
			errs = append(errs, err)
		}
	}
	if len(cmds) == 0 && meta.Moving() {
		errs = append(errs, c.advance(ctx, s.Shard, meta))
	}
	return errors.Join(errs...)
}

// movesMax is how many shards are moved at a time.
const movesMax = 4

// cannot reports what cannot be done for now, once for each reason.
func (c *cluster) cannot(what string, err error) {
	if err == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told == nil {
		c.told = make(map[string]string)
	}
	if c.told[what] != err.Error() {
		c.told[what] = err.Error()
		c.log.cfg.Logger.Warn(what, "err", err)
	}
}
