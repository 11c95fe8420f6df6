package raftmeta

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestPlacement creates topics and sees that partitions have shards of their own
// while there are enough, and shared ones evenly from then on.
func TestPlacement(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.IntRange(1, 6).Draw(t, "nodes")
		c := newCluster(t, nodes)
		limit := rapid.IntRange(1, 12).Draw(t, "shards")
		c.must(&SetClusterSetting{SettingShardsPerFactor, uint64(limit)})
		total := make(map[int]int)
		for i := range rapid.IntRange(1, 6).Draw(t, "topics") {
			factor := rapid.IntRange(1, nodes).Draw(t, "factor")
			n := rapid.IntRange(1, 20).Draw(t, "partitions")
			name := fmt.Sprint("t", i)
			topic := c.create(name, n, factor, nil)
			if rapid.Bool().Draw(t, "more") {
				more := rapid.IntRange(1, 5).Draw(t, "added")
				cmd, err := PlanAddPartitions(c.img(), name, n+more)
				if err != nil {
					t.Fatal(err)
				}
				c.must(cmd)
				n += more
				topic = c.img().Topic(name)
			}
			total[factor] += n
			if topic.Factor != factor || len(topic.Partitions) != n {
				t.Fatalf("got %+v", topic)
			}
			for factor, partitions := range total {
				var counts []int
				for s := range c.img().Shards() {
					if s.Kind == ShardShared && s.Factor == factor {
						counts = append(counts, s.Partitions)
						if len(s.Replicas) != factor || !slices.Equal(s.Preferred, s.Initial) {
							t.Fatalf("shard %+v", s)
						}
					}
				}
				if len(counts) != min(limit, partitions) || slices.Max(counts)-slices.Min(counts) > 1 {
					t.Fatalf("%d partitions of factor %d are in shards of %v, with %d shards at most", partitions, factor, counts, limit)
				}
			}
		}
		l := newLoad(c.img())
		replicas := 0
		for _, n := range l.eligible {
			replicas += l.replicas[n]
		}
		for _, n := range l.eligible {
			if over := l.replicas[n]*nodes - replicas; over >= nodes || over <= -nodes {
				t.Fatalf("replicas %v", l.replicas)
			}
		}
	})
}

func TestCreateRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 4)
	c.create("orders", 1, 2, nil)
	c.must(&FenceBroker{BrokerEpoch{2, c.img().Broker(2).Epoch}})
	c.must(&DrainBroker{Node: 3})
	good := CreateTopicRequest{Name: "x", ID: TopicID{1}, Partitions: 1, ReplicationFactor: 2}
	for _, tt := range []struct {
		name   string
		change func(*CreateTopicRequest)
		code   Code
		want   string
	}{
		{"as it is", func(*CreateTopicRequest) {}, OK, ""},
		{"no name", func(r *CreateTopicRequest) { r.Name = "" }, InvalidRequest, "1 to 249"},
		{"no id", func(r *CreateTopicRequest) { r.ID = TopicID{} }, InvalidRequest, "no id"},
		{"taken", func(r *CreateTopicRequest) { r.Name = "orders" }, TopicExists, `"orders" exists`},
		{"0 partitions", func(r *CreateTopicRequest) { r.Partitions = 0 }, InvalidRequest, "0 partitions"},
		{"too many partitions", func(r *CreateTopicRequest) { r.Partitions = TopicPartitionsMax + 1 }, InvalidRequest, "100001 partitions"},
		{"factor -2", func(r *CreateTopicRequest) { r.ReplicationFactor = -2 }, InvalidRequest, "-2"},
		{"factor 65", func(r *CreateTopicRequest) { r.ReplicationFactor = 65 }, InvalidRequest, "65"},
		{"factor 3", func(r *CreateTopicRequest) { r.ReplicationFactor = 3 }, NotEnoughBrokers, "of 4 brokers there are 2 active, 1 fenced, 1 draining"},
		{"default factor", func(r *CreateTopicRequest) { r.ReplicationFactor = -1 }, NotEnoughBrokers, "replication factor 3"},
		{"dedicated words", func(r *CreateTopicRequest) { r.Configs = map[string]string{ConfigDedicatedShards: "two"} }, InvalidRequest, `"two"`},
		{"dedicated -1", func(r *CreateTopicRequest) { r.Configs = map[string]string{ConfigDedicatedShards: "-1"} }, InvalidRequest, `"-1"`},
	} {
		req := good
		tt.change(&req)
		cmd, err := PlanCreateTopic(c.img(), req)
		if tt.code == OK {
			if err != nil || cmd == nil {
				t.Errorf("%s: %v", tt.name, err)
			}
		} else if !errors.Is(err, tt.code) || !strings.Contains(err.Error(), tt.want) || cmd != nil {
			t.Errorf("%s: got %v, want %v that says %q", tt.name, err, tt.code, tt.want)
		}
	}
	if _, err := PlanCreateTopic(emptyImage(), good); !errors.Is(err, NotBootstrapped) {
		t.Errorf("got %v", err)
	}
	for count, code := range map[int]Code{0: InvalidRequest, 1: InvalidRequest, TopicPartitionsMax + 1: InvalidRequest} {
		if _, err := PlanAddPartitions(c.img(), "orders", count); !errors.Is(err, code) {
			t.Errorf("%d partitions: %v", count, err)
		}
	}
	if _, err := PlanAddPartitions(c.img(), "y", 1); !errors.Is(err, UnknownTopic) {
		t.Errorf("got %v", err)
	}
}

// TestShareWhileDown creates a topic while too few nodes are up for a new shard:
// it shares the shard that there is.
func TestShareWhileDown(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	shard := c.create("a", 1, 3, nil).Partitions[0].Shard
	c.must(&FenceBroker{BrokerEpoch{2, c.img().Broker(2).Epoch}})
	for _, p := range c.create("b", 3, 3, nil).Partitions {
		if p.Shard != shard {
			t.Errorf("in shard %d, want %d", p.Shard, shard)
		}
	}
}

// TestRace lets two nodes plan on the same image: one of the commands is Stale,
// and planned anew it is not.
func TestRace(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	img := c.img()
	var cmds []*CreateTopic
	for i := range byte(2) {
		cmd, err := PlanCreateTopic(img, CreateTopicRequest{Name: string('a' + rune(i)), ID: TopicID{i + 1}, Partitions: 2})
		if err != nil {
			t.Fatal(err)
		}
		cmds = append(cmds, cmd)
	}
	c.must(cmds[0])
	if r := c.apply(cmds[1]); r.Code != Stale || !r.Code.Retriable() {
		t.Errorf("got %v", r.Err())
	}
	c.create("b", 2, 0, nil)
	if got, want := c.img().Topic("b").Partitions[0].Shard, FirstShard+2; got != want {
		t.Errorf("in shard %d, want %d", got, want)
	}
}

func TestReassignment(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 4)
	g := newGroups(c)
	c.must(&SetClusterSetting{SettingShardsPerFactor, 2})
	c.create("a", 2, 3, nil)
	c.create("b", 3, 3, nil) // b-0 and b-2 share with a-0, b-1 with a-1
	first := c.img().Topic("a").Partitions[0].Shard
	on := func(topic string, n int32, nodes ...NodeID) Reassignment {
		return Reassignment{Topic: topic, Partition: n, Replicas: nodes}
	}
	for _, tt := range []struct {
		name     string
		requests []Reassignment
		moves    int
		code     Code
		want     string
	}{
		{"a whole shard", []Reassignment{on("a", 0, 4, 2, 1), on("b", 0, 4, 2, 1), on("b", 2, 4, 2, 1)}, 1, OK, ""},
		{"a part", []Reassignment{on("a", 0, 4, 2, 1)}, 0, PartialShard, "the request lacks 2 partitions of them: b-0, b-2"},
		{"different nodes", []Reassignment{on("a", 0, 4, 2, 1), on("b", 0, 4, 2, 1), on("b", 2, 4, 2, 3)}, 0, InvalidRequest, "partitions a-0 and b-2 share shard 16"},
		{"unknown topic", []Reassignment{on("x", 0, 1)}, 0, UnknownTopic, `"x"`},
		{"unknown partition", []Reassignment{on("a", 7, 1)}, 0, UnknownTopic, "partition 7"},
		{"unknown node", []Reassignment{on("a", 0, 9), on("b", 0, 9), on("b", 2, 9)}, 0, UnknownNode, "node 9"},
		{"twice the same node", []Reassignment{on("a", 0, 1, 1), on("b", 0, 1, 1), on("b", 2, 1, 1)}, 0, InvalidRequest, "named twice"},
		{"nothing to cancel", []Reassignment{on("a", 0), on("b", 0), on("b", 2)}, 0, NotMoving, "shard 16"},
		{"no nodes", []Reassignment{{"a", 0, []NodeID{}}, {"b", 0, []NodeID{}}, {"b", 2, []NodeID{}}}, 0, InvalidRequest, "0 replicas"},
	} {
		moves, errs := PlanReassignment(c.img(), tt.requests)
		if len(moves) != tt.moves || len(errs) != len(tt.requests) {
			t.Errorf("%s: %d moves, %d errors", tt.name, len(moves), len(errs))
		}
		for _, err := range errs {
			if tt.code == OK && err != nil || tt.code != OK && (!errors.Is(err, tt.code) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%s: got %v, want %v that says %q", tt.name, err, tt.code, tt.want)
			}
		}
	}
	// One shard of two in a request can be had.
	moves, errs := PlanReassignment(c.img(), []Reassignment{on("b", 0, 4), on("a", 1, 4, 2, 1), on("b", 1, 4, 2, 1)})
	if len(moves) != 1 || !errors.Is(errs[0], PartialShard) || errs[1] != nil || errs[2] != nil {
		t.Errorf("got %v, %v", moves, errs)
	}
	// The same partition twice is refused, with all of its shard.
	twice := []Reassignment{on("a", 1, 4, 2, 1), on("b", 1, 4, 2, 1), on("b", 1, 4, 2, 1)}
	if moves, errs := PlanReassignment(c.img(), twice); len(moves) != 0 || !errors.Is(errs[2], InvalidRequest) {
		t.Errorf("got %v, %v", moves, errs)
	}
	// As it is, there is nothing to move.
	as := c.img().Shard(first).Preferred
	if moves, errs := PlanReassignment(c.img(), []Reassignment{on("a", 0, as...), on("b", 0, as...), on("b", 2, as...)}); len(moves) != 0 || errs[0] != nil {
		t.Errorf("got %v, %v", moves, errs)
	}

	before := c.img().Shard(first).Preferred
	whole := []Reassignment{on("a", 0, 4, 2), on("b", 0, 4, 2), on("b", 2, 4, 2)}
	moves, _ = PlanReassignment(c.img(), whole)
	propose(c, moves)
	for range 4 { // one replica is gone already
		g.step(first)
	}
	for i := range whole {
		whole[i].Replicas = nil
	}
	moves, errs = PlanReassignment(c.img(), whole)
	if len(moves) != 1 {
		t.Fatalf("cancel: %v", errs)
	}
	propose(c, moves)
	g.finish()
	s := c.img().Shard(first)
	if s.Moving() || s.Factor != 3 || !slices.Equal(s.Preferred, before) {
		t.Errorf("after a cancelled move: %+v, before on %v", s, before)
	}
}

func TestLeaderPreference(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 4)
	g := newGroups(c)
	c.create("a", 1, 3, nil)
	id := FirstShard
	want := func(nodes ...NodeID) {
		t.Helper()
		if got := c.img().LeaderPreference(id); !slices.Equal(got, nodes) {
			t.Errorf("got %v, want %v", got, nodes)
		}
	}
	s := c.img().Shard(id)
	c.must(&SetPreferredLeaders{Shard: id, Version: s.Version, Preferred: []NodeID{3, 1, 2}})
	want(3, 1, 2)
	c.must(&FenceBroker{BrokerEpoch{3, c.img().Broker(3).Epoch}})
	want(1, 2, 3)
	c.must(&DrainBroker{Node: 1})
	want(2, 1, 3)
	moves, err := PlanDrain(c.img(), 1)
	if err != nil {
		t.Fatal(err)
	}
	propose(c, moves)
	want(2, 1, 3) // 4 has no vote yet
	g.finish()
	want(4, 2, 3)
	if got := c.img().LeaderPreference(99); got != nil {
		t.Errorf("of an unknown shard: %v", got)
	}
}

// TestSpread compares with the best that there is, found by trying all.
func TestSpread(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.IntRange(1, 5).Draw(t, "nodes")
		node := rapid.Map(rapid.IntRange(1, nodes), func(n int) NodeID { return NodeID(n) })
		shards := rapid.SliceOfN(rapid.SliceOfNDistinct(node, 1, min(3, nodes), rapid.ID[NodeID]), 1, 7).Draw(t, "shards")
		counts := make(map[NodeID]int)
		for n := range nodes {
			counts[NodeID(n+1)] = rapid.IntRange(0, 2).Draw(t, "others")
		}
		squares := func(counts map[NodeID]int) (sum int) {
			for _, n := range counts {
				sum += n * n
			}
			return sum
		}
		var best func(i int) int
		best = func(i int) int {
			if i == len(shards) {
				return squares(counts)
			}
			least := 1 << 30
			for _, n := range shards[i] {
				counts[n]++
				least = min(least, best(i+1))
				counts[n]--
			}
			return least
		}
		want := best(0)
		before := make([][]NodeID, len(shards))
		for i, s := range shards {
			before[i] = slices.Clone(s)
			counts[s[0]]++
		}
		spread(shards, counts)
		if got := squares(counts); got != want {
			t.Fatalf("%v became %v: %v, a sum of squares of %d and not %d", before, shards, counts, got, want)
		}
		for i := range shards {
			if !slices.Equal(slices.Sorted(slices.Values(shards[i])), slices.Sorted(slices.Values(before[i]))) {
				t.Fatalf("%v became %v", before[i], shards[i])
			}
		}
	})
}

// TestMetadataVoters goes through the sizes of a cluster.
func TestMetadataVoters(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	g := newGroups(c)
	check := func(voters, observers int) {
		t.Helper()
		if m := PlanMetadata(c.img()); m != nil {
			c.must(m)
			if again := PlanMetadata(c.img()); again != nil {
				t.Errorf("planned again under way: %+v", again)
			}
			g.finish()
		}
		s := c.img().Shard(MetadataShard)
		if len(s.Preferred) != voters || len(s.observers()) != observers {
			t.Errorf("%d voters, %d observers, want %d and %d: %v", len(s.Preferred), len(s.observers()), voters, observers, s.Replicas)
		}
	}
	check(1, 0)
	for n, want := range [][2]int{2: {2, 0}, 3: {3, 0}, 4: {3, 1}, 5: {5, 0}, 6: {5, 1}, 7: {5, 2}} {
		if n >= 2 {
			c.join(NodeID(n), "")
			check(want[0], want[1])
		}
	}
	c.must(&FenceBroker{BrokerEpoch{2, c.img().Broker(2).Epoch}})
	check(5, 2) // who is away for a while keeps its vote
	c.must(&DrainBroker{Node: 2})
	check(5, 2)
	if r, ok := c.img().Shard(MetadataShard).On(2); !ok || r.State != ReplicaVoter || r.ID != 2 {
		t.Errorf("a draining node has %+v, %t", r, ok)
	}
	c.must(&RemoveBroker{Node: 2})
	check(5, 1)
	for n := NodeID(3); n <= 6; n++ {
		c.must(&DrainBroker{Node: n})
	}
	check(5, 1) // who drains votes until it is removed
	c.must(&RemoveBroker{Node: 3})
	check(5, 0)
	for n := NodeID(4); n <= 6; n++ {
		c.must(&RemoveBroker{Node: n})
		g.finish()
	}
	check(2, 0)
}

// TestFoundersFirst sees that a founder that is late keeps its vote.
func TestFoundersFirst(t *testing.T) {
	t.Parallel()
	c := &cluster{t: t, m: NewMachine()}
	c.must(&Bootstrap{ClusterID: "test", Founders: []NodeID{1, 2, 3}})
	c.join(1, "")
	c.join(2, "")
	if m := PlanMetadata(c.img()); m != nil {
		t.Errorf("the third founder loses its vote: %+v", m)
	}
	c.join(3, "")
	if m := PlanMetadata(c.img()); m != nil {
		t.Errorf("it moves: %+v", m)
	}
}

// TestNewRack sees that a rack that comes gets one replica of each shard.
func TestNewRack(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 4, "a", "b")
	g := newGroups(c)
	c.create("orders", 6, 3, nil)
	c.join(5, "c")
	moves := PlanBalance(c.img())
	if len(moves) != 6 {
		t.Errorf("%d shards move, want 6", len(moves))
	}
	propose(c, moves)
	g.finish()
	c.checkRacks()
	if again := PlanBalance(c.img()); len(again) != 0 {
		t.Errorf("it moves on: %+v", again[0])
	}
}

func TestReplicationFactor(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 4)
	g := newGroups(c)
	c.create("orders", 1, 2, nil)
	for _, tt := range []struct {
		shard  ShardID
		factor int
		code   Code
	}{
		{99, 2, UnknownShard}, {MetadataShard, 3, InvalidRequest}, {FirstShard, 0, InvalidRequest}, {FirstShard, 65, InvalidRequest}, {FirstShard, 5, NotEnoughBrokers},
	} {
		if _, err := PlanReplicationFactor(c.img(), tt.shard, tt.factor); !errors.Is(err, tt.code) {
			t.Errorf("shard %d to %d: got %v, want %v", tt.shard, tt.factor, err, tt.code)
		}
	}
	for _, factor := range []int{4, 1, 3} {
		old := c.img().Shard(FirstShard).Preferred
		m, err := PlanReplicationFactor(c.img(), FirstShard, factor)
		if err != nil {
			t.Fatal(err)
		}
		c.must(m)
		if _, err := PlanReplicationFactor(c.img(), FirstShard, 2); !errors.Is(err, MoveInProgress) {
			t.Errorf("while it moves: %v", err)
		}
		g.finish()
		s := c.img().Shard(FirstShard)
		if s.Factor != factor || len(s.Replicas) != factor {
			t.Errorf("factor %d: %+v", factor, s)
		}
		for _, n := range s.Preferred[:min(factor, len(old))] {
			if !slices.Contains(old, n) {
				t.Errorf("from %v to %v", old, s.Preferred)
			}
		}
	}
	// New partitions go to shards of the factor that the topic has now.
	cmd, err := PlanAddPartitions(c.img(), "orders", 3)
	if err != nil {
		t.Fatal(err)
	}
	c.must(cmd)
	for _, p := range c.img().Topic("orders").Partitions {
		if s := c.img().Shard(p.Shard); s.Factor != 3 {
			t.Errorf("partition %d has factor %d", p.ID, s.Factor)
		}
	}
}
