package raftmeta

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// group is a Raft group as far as its members go.
type group struct {
	members Membership
	removed map[ReplicaID]bool
	node    map[ReplicaID]NodeID
}

// groups is the Raft groups of a cluster; dead is the nodes that are not running.
type groups struct {
	c    *cluster
	of   map[ShardID]*group
	dead map[NodeID]bool
}

func newGroups(c *cluster) *groups {
	return &groups{c: c, of: make(map[ShardID]*group), dead: make(map[NodeID]bool)}
}

func (g *groups) group(s *Shard) *group {
	if gr := g.of[s.ID]; gr != nil {
		return gr
	}
	gr := &group{removed: make(map[ReplicaID]bool), node: make(map[ReplicaID]NodeID)}
	for i, node := range s.Initial {
		id := ReplicaID(i + 1)
		gr.members.Voters = append(gr.members.Voters, id)
		gr.node[id] = node
	}
	g.of[s.ID] = gr
	return gr
}

// alive reports whether a replica runs: the image says that its living node
// should have it run.
func (g *groups) alive(s *Shard, gr *group, id ReplicaID) bool {
	r, ok := s.On(gr.node[id])
	return ok && r.ID == id && !g.dead[gr.node[id]]
}

// majority reports whether the voters that run can decide.
func (g *groups) majority(s *Shard, gr *group) bool {
	n := 0
	for _, id := range gr.members.Voters {
		if g.alive(s, gr, id) {
			n++
		}
	}
	return n > len(gr.members.Voters)/2
}

// kill ends a node if every group survives it; it reports whether.
func (g *groups) kill(node NodeID) bool {
	g.dead[node] = true
	for s := range g.c.img().Shards() {
		if !g.majority(s, g.group(s)) {
			delete(g.dead, node)
			return false
		}
	}
	return true
}

// step carries out the next step of a shard's move; false when it cannot, as
// what it waits for is dead, or there is nothing to do.
func (g *groups) step(id ShardID) bool {
	c := g.c
	s := c.img().Shard(id)
	gr := g.group(s)
	if !g.majority(s, gr) {
		c.t.Fatalf("shard %d has no majority: %+v, replicas %v, dead %v", id, gr.members, s.Replicas, g.dead)
	}
	if leader := gr.members.Leader; leader == 0 || !slices.Contains(gr.members.Voters, leader) || !g.alive(s, gr, leader) {
		for _, v := range gr.members.Voters {
			if g.alive(s, gr, v) {
				gr.members.Leader = v
			}
		}
	}
	m := gr.members
	for _, id := range m.Voters {
		if g.dead[gr.node[id]] {
			m.Down = append(m.Down, id)
		}
	}
	step := NextStep(s, m)
	r := step.Replica
	switch step.Kind {
	case StepNone:
		return false
	case StepAddObserver:
		if gr.removed[r.ID] || gr.members.Has(r.ID) {
			c.t.Fatalf("shard %d: replica %d is added again", id, r.ID)
		}
		for other, node := range gr.node {
			if node == r.Node && gr.members.Has(other) {
				c.t.Fatalf("shard %d: replica %d is added beside %d on node %d", id, r.ID, other, node)
			}
		}
		gr.node[r.ID] = r.Node
		gr.members.Observers = append(gr.members.Observers, r.ID)
	case StepPromote:
		if !slices.Contains(gr.members.Observers, r.ID) {
			c.t.Fatalf("shard %d: replica %d is promoted and no observer", id, r.ID)
		}
		if !g.alive(s, gr, r.ID) {
			return false // never catches up
		}
		gr.members.Observers = slices.DeleteFunc(gr.members.Observers, func(o ReplicaID) bool { return o == r.ID })
		gr.members.Voters = append(gr.members.Voters, r.ID)
	case StepRemove:
		if r.ID == gr.members.Leader {
			c.t.Fatalf("shard %d: the leader, replica %d, is removed", id, r.ID)
		}
		if r.State != ReplicaLost && r.State != ReplicaLeaving {
			c.t.Fatalf("shard %d: replica %d is removed while %v", id, r.ID, r.State)
		}
		gr.members.Observers = slices.DeleteFunc(gr.members.Observers, func(o ReplicaID) bool { return o == r.ID })
		gr.members.Voters = slices.DeleteFunc(gr.members.Voters, func(o ReplicaID) bool { return o == r.ID })
		gr.removed[r.ID] = true
	case StepTransfer:
		if !slices.Contains(gr.members.Voters, r.ID) {
			c.t.Fatalf("shard %d: replica %d shall lead and has no vote", id, r.ID)
		}
		if g.dead[r.Node] {
			return false
		}
		gr.members.Leader = r.ID
	case StepPropose:
		c.must(step.Command)
	}
	if !g.majority(c.img().Shard(id), gr) {
		c.t.Fatalf("shard %d has lost its majority by %v of %+v: %+v, dead %v", id, step.Kind, r, gr.members, g.dead)
	}
	return true
}

// finish carries out all moves and compares the groups with the image.
func (g *groups) finish() {
	c := g.c
	for s := range c.img().Shards() {
		steps := 0
		for g.step(s.ID) {
			if steps++; steps > 500 {
				c.t.Fatalf("the move of shard %d does not end: %+v", s.ID, c.img().Shard(s.ID))
			}
		}
		s = c.img().Shard(s.ID)
		if s.Moving() {
			c.t.Fatalf("shard %d still moves: %+v, group %+v, dead %v", s.ID, s, g.group(s).members, g.dead)
		}
		var voters, observers []ReplicaID
		for _, r := range s.Replicas {
			switch r.State {
			case ReplicaVoter, ReplicaLost:
				voters = append(voters, r.ID)
			case ReplicaObserver:
				observers = append(observers, r.ID)
			}
		}
		m := g.group(s).members
		slices.Sort(m.Voters)
		slices.Sort(m.Observers)
		if !slices.Equal(m.Voters, voters) || !slices.Equal(m.Observers, observers) {
			c.t.Fatalf("shard %d: the group is %+v, the image has %v", s.ID, m, s.Replicas)
		}
	}
}

func propose[C Command](c *cluster, commands []C) {
	c.t.Helper()
	for _, cmd := range commands {
		c.must(cmd)
	}
}

// spreadOf returns how far the most and the least loaded of the active nodes are
// apart, in replicas and in shards to lead.
func (c *cluster) spreadOf() (replicas, leaders int) {
	l := newLoad(c.img())
	var counts, leads []int
	for _, n := range l.eligible {
		counts = append(counts, l.replicas[n])
		leads = append(leads, l.leaders[n])
	}
	return slices.Max(counts) - slices.Min(counts), slices.Max(leads) - slices.Min(leads)
}

// checkRacks fails when a shard's voters share a rack although there are active
// nodes in others.
func (c *cluster) checkRacks() {
	c.t.Helper()
	l := newLoad(c.img())
	for s := range c.img().Shards() {
		if nodes := s.Voters(); s.Kind != ShardMetadata && l.racks(nodes) < min(len(nodes), l.racks(l.eligible)) {
			c.t.Fatalf("shard %d is in %d racks, and there are %d: %v", s.ID, l.racks(nodes), l.racks(l.eligible), nodes)
		}
	}
}

// TestElasticity lets nodes come, die, lose their disks and go, carries every move
// out, and holds the cluster against what it should be at every step.
func TestElasticity(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.IntRange(3, 7).Draw(t, "nodes")
		racks := []string(nil)
		if rapid.Bool().Draw(t, "racked") {
			racks = []string{"a", "b", "c"}
		}
		c := newCluster(t, nodes, racks...)
		g := newGroups(c)
		for i := range rapid.IntRange(1, 4).Draw(t, "topics") {
			configs := map[string]string{}
			if rapid.IntRange(0, 3).Draw(t, "dedicated") == 0 {
				configs[ConfigDedicatedShards] = "3"
			}
			c.create(fmt.Sprint("t", i), rapid.IntRange(1, 15).Draw(t, "partitions"), 3, configs)
			// A later topic cannot change who leads the shards of an earlier one.
			if replicas, leaders := c.spreadOf(); racks == nil && (replicas > 1 || leaders > 1 && i == 0) {
				t.Fatalf("new shards are uneven by %d replicas and %d leaders", replicas, leaders)
			}
		}
		propose(c, PlanLeaders(c.img()))
		if replicas, leaders := c.spreadOf(); racks == nil && (replicas > 1 || leaders > 1) {
			t.Fatalf("shards are uneven by %d replicas and %d leaders", replicas, leaders)
		}
		c.checkRacks()
		next := NodeID(nodes + 1)
		life := byte(1)
		for range rapid.IntRange(1, 6).Draw(t, "events") {
			var live []NodeID
			for b := range c.img().Brokers() {
				live = append(live, b.ID)
			}
			node := rapid.SampledFrom(live).Draw(t, "node")
			partly := func() { // some steps, so that what comes next meets moves under way
				for s := range c.img().Shards() {
					for range rapid.IntRange(0, 12).Draw(t, "steps") {
						g.step(s.ID)
					}
				}
			}
			switch rapid.SampledFrom([]string{"join", "drain", "wipe", "dead", "cancel", "factor"}).Draw(t, "event") {
			case "join":
				rack := ""
				if racks != nil {
					rack = racks[int(next)%len(racks)]
				}
				c.join(next, rack)
				next++
				propose(c, PlanBalance(c.img()))
			case "drain", "dead":
				if len(live) < 5 {
					continue
				}
				c.must(&DrainBroker{Node: node})
				moves, err := PlanDrain(c.img(), node)
				if err != nil {
					t.Fatal(err)
				}
				if rapid.Bool().Draw(t, "dead") {
					g.kill(node)
				}
				propose(c, moves)
				partly()
				if m := PlanMetadata(c.img()); m != nil {
					c.must(m)
				}
				g.finish()
				c.must(&RemoveBroker{Node: node})
				if m := PlanMetadata(c.img()); m != nil {
					c.must(m)
				}
				if r := c.apply(register(node, "", 200, 200)); r.Code != NodeRemoved {
					t.Fatalf("a removed node came back: %v", r.Err())
				}
			case "wipe":
				if rapid.Bool().Draw(t, "settled") {
					g.finish()
				}
				if !g.kill(node) {
					continue
				}
				delete(g.dead, node)
				c.must(&FenceBroker{BrokerEpoch{node, c.img().Broker(node).Epoch}})
				life++
				r := c.must(register(node, c.img().Broker(node).Rack, life, life))
				for s := range c.img().Shards() {
					if r, ok := s.On(node); ok && g.group(s).members.Has(r.ID) {
						t.Fatalf("a wiped node has a replica to run that it does not have any more: %v", s.Replicas)
					}
				}
				moves, err := PlanReplaceLost(c.img())
				if err != nil {
					t.Fatal(err)
				}
				propose(c, moves)
				c.must(&UnfenceBroker{BrokerEpoch{node, r.Epoch}})
			case "cancel":
				partly()
				for s := range c.img().Shards() {
					if s.Kind == ShardMetadata || !s.Moving() {
						continue
					}
					if m, err := cancel(c.img(), s); err == nil {
						c.must(m)
					}
				}
			case "factor":
				g.finish()
				for s := range c.img().Shards() {
					if s.Kind == ShardShared {
						m, err := PlanReplicationFactor(c.img(), s.ID, rapid.IntRange(2, 3).Draw(t, "factor"))
						if err != nil {
							t.Fatal(err)
						}
						c.must(m)
						break
					}
				}
			}
			if m := PlanMetadata(c.img()); m != nil && rapid.Bool().Draw(t, "metadata") {
				c.must(m)
			}
			partly()
		}
		g.finish()
		propose(c, PlanBalance(c.img()))
		g.finish()
		propose(c, PlanLeaders(c.img()))
		if replicas, leaders := c.spreadOf(); racks == nil && (replicas > 1 || leaders > 1) {
			t.Fatalf("balanced shards are uneven by %d replicas and %d leaders", replicas, leaders)
		}
		c.checkRacks()
		if again := PlanBalance(c.img()); len(again) > 0 {
			t.Fatalf("a balanced cluster is to be balanced: %+v", again[0])
		}
		if m := PlanMetadata(c.img()); m != nil {
			c.must(m)
			g.finish()
		}
		if m := PlanMetadata(c.img()); m != nil {
			t.Fatalf("the metadata moves again: %+v", m)
		}
	})
}

// TestLeastMovement counts what a join moves: no more than the new node's share.
func TestLeastMovement(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	g := newGroups(c)
	c.create("orders", 12, 3, nil)
	c.join(4, "")
	moves := PlanBalance(c.img())
	moved := 0
	for _, m := range moves {
		if slices.Contains(m.Voters, 4) {
			moved++
		}
	}
	if moved != 9 || len(moves) != 9 { // 36 replicas on four nodes
		t.Errorf("%d shards move, %d of them to the new node, want 9", len(moves), moved)
	}
	propose(c, moves)
	if replicas, leaders := c.spreadOf(); replicas != 0 || leaders != 0 {
		t.Errorf("uneven by %d replicas and %d leaders", replicas, leaders)
	}
	g.finish()
}

func TestDrainWithoutPlace(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.create("orders", 2, 3, nil)
	c.must(&FenceBroker{BrokerEpoch{2, c.img().Broker(2).Epoch}})
	c.must(&DrainBroker{Node: 3})
	moves, err := PlanDrain(c.img(), 3)
	want := "raftmeta: node 3 cannot hand over 2 shards (16, 17): replication factor 3 needs as many active brokers, and of 3 brokers there are 1 active, 1 fenced, 1 draining"
	if !errors.Is(err, NotEnoughBrokers) || err.Error() != want || len(moves) != 0 {
		t.Errorf("got %v, %v, want %q", moves, err, want)
	}
	if _, err := PlanDrain(c.img(), 1); !errors.Is(err, InvalidRequest) {
		t.Errorf("a node that does not drain: %v", err)
	}
	if _, err := PlanDrain(c.img(), 9); !errors.Is(err, UnknownNode) {
		t.Errorf("an unknown node: %v", err)
	}
}

func TestUnrecoverable(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.create("one", 3, 1, nil)
	c.create("three", 1, 3, nil)
	c.must(&FenceBroker{BrokerEpoch{2, c.img().Broker(2).Epoch}})
	c.must(register(2, "", 2, 2))
	moves, err := PlanReplaceLost(c.img())
	if !errors.Is(err, Unrecoverable) {
		t.Fatalf("got %v", err)
	}
	var shards []ShardID
	for _, m := range moves {
		shards = append(shards, m.Shard)
	}
	three := c.img().Topic("three").Partitions[0].Shard
	if !slices.Equal(shards, []ShardID{MetadataShard, three}) {
		t.Errorf("replaced in %v, want the metadata and shard %d", shards, three)
	}
}
