package raftmeta

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// upkeep proposes what is due, and carries moves out a bit, until all is done.
func (g *groups) upkeep(movesMax int) {
	c := g.c
	for round := 0; ; round++ {
		if round > 2000 {
			c.t.Fatalf("there is no end to it")
		}
		commands, err := PlanUpkeep(c.img(), movesMax)
		if err != nil {
			c.t.Fatalf("%v", err)
		}
		propose(c, commands)
		moving, progress := 0, len(commands) > 0
		for s := range c.img().Shards() {
			if s.Moving() && s.Kind != ShardMetadata {
				moving++
			}
			progress = g.step(s.ID) || progress
		}
		if movesMax > 0 && moving > movesMax {
			c.t.Fatalf("%d shards move at a time, and not %d at most", moving, movesMax)
		}
		if !progress {
			return
		}
	}
}

// TestUpkeep lets several things happen at once and sees that upkeep alone brings
// the cluster to where nothing is to be done.
func TestUpkeep(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.IntRange(5, 8).Draw(t, "nodes")
		c := newCluster(t, nodes)
		g := newGroups(c)
		movesMax := rapid.IntRange(0, 3).Draw(t, "moves")
		g.upkeep(movesMax)
		for i := range rapid.IntRange(1, 3).Draw(t, "topics") {
			c.create(fmt.Sprint("t", i), rapid.IntRange(1, 15).Draw(t, "partitions"), rapid.IntRange(2, 3).Draw(t, "factor"), nil)
		}
		g.upkeep(movesMax)
		var gone []NodeID
		for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(1, nodes), 0, nodes-3, rapid.ID[int]).Draw(t, "drained") {
			c.must(&DrainBroker{Node: NodeID(n)})
			gone = append(gone, NodeID(n))
		}
		for n := range rapid.IntRange(0, 3).Draw(t, "joined") {
			c.join(NodeID(nodes+1+n), "")
		}
		wiped := NodeID(rapid.IntRange(1, nodes).Draw(t, "wiped"))
		if g.kill(wiped) {
			delete(g.dead, wiped)
			c.must(&FenceBroker{BrokerEpoch{wiped, c.img().Broker(wiped).Epoch}})
			r := c.must(register(wiped, "", 2, 2))
			c.must(&UnfenceBroker{BrokerEpoch{wiped, r.Epoch}})
		}
		g.upkeep(movesMax)
		for _, n := range gone {
			c.must(&RemoveBroker{n})
		}
		g.upkeep(movesMax)
		if replicas, _ := c.spreadOf(); replicas > 1 {
			t.Fatalf("uneven by %d replicas", replicas)
		}
		for s := range c.img().Shards() {
			if s.Moving() || s.Lost() || slices.ContainsFunc(s.Replicas, func(r Replica) bool { return slices.Contains(gone, r.Node) }) {
				t.Fatalf("shard %+v, without %v", s, gone)
			}
		}
		for b := range c.img().Brokers() {
			if _, ok := c.img().Shard(MetadataShard).On(b.ID); !ok {
				t.Fatalf("node %d has no replica of the metadata", b.ID)
			}
		}
	})
}

// TestUpkeepSaysWhatItCannot sees that one shard in trouble does not hold up the
// others.
func TestUpkeepSaysWhatItCannot(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 4)
	c.create("three", 1, 3, nil)
	c.create("four", 1, 4, nil)
	c.must(&DrainBroker{Node: 1})
	commands, err := PlanUpkeep(c.img(), 0)
	if !errors.Is(err, NotEnoughBrokers) {
		t.Errorf("got %v", err)
	}
	three := c.img().Topic("three").Partitions[0].Shard
	if !slices.ContainsFunc(commands, func(c Command) bool { m, ok := c.(*MoveShard); return ok && m.Shard == three }) {
		t.Errorf("shard %d does not move: %+v", three, commands)
	}
}
