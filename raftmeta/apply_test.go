package raftmeta

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestRefusals applies commands that are refused, each on a cluster of its own of
// three live nodes and a topic "orders" in shard 16, and sees that they change
// nothing.
func TestRefusals(t *testing.T) {
	t.Parallel()
	orders := TopicID{'o', 'r', 'd', 'e', 'r', 's'}
	with := func(change func(*RegisterBroker)) *RegisterBroker {
		r := register(4, "", 1, 1)
		change(r)
		return r
	}
	many := map[string]string{}
	for i := range topicConfigsMax + 1 {
		many[fmt.Sprint(i)] = ""
	}
	long := map[string]string{}
	for i := range 40 {
		long[fmt.Sprintf("%08d", i)] = strings.Repeat("x", 32<<10-8)
	}
	for _, tt := range []struct {
		name string
		cmd  Command
		code Code
		want string // part of the message
	}{
		{"bootstrap again", &Bootstrap{ClusterID: "other", Founders: []NodeID{1}}, AlreadyBootstrapped, `has id "test"`},
		{"bootstrap without id", &Bootstrap{Founders: []NodeID{1}}, InvalidRequest, "cluster id"},
		{"another cluster's", with(func(r *RegisterBroker) { r.ClusterID = "other" }), ClusterMismatch, `belongs to cluster "other", and this is "test"`},
		{"node 0", with(func(r *RegisterBroker) { r.Node = 0 }), InvalidRequest, "node id 0"},
		{"large node id", with(func(r *RegisterBroker) { r.Node = 1 << 31 }), InvalidRequest, "2147483648"},
		{"no address", with(func(r *RegisterBroker) { r.ClientAddr = "" }), InvalidRequest, "without a client address"},
		{"too old", with(func(r *RegisterBroker) { r.MinVersion, r.MaxVersion = 0, 0 }), UnsupportedVersion, "0 to 0, and the cluster uses 1"},
		{"Raft address taken", with(func(r *RegisterBroker) { r.RaftAddr = "10.0.0.2:7001" }), AddressInUse, "node 2's"},
		{"client address taken", with(func(r *RegisterBroker) { r.ClientAddr = "10.0.0.2:9092" }), AddressInUse, "node 2's"},
		{"id of a live node", register(2, "", 9, 9), NodeIDInUse, "node 2 is alive at 10.0.0.2:7001"},
		{"other Raft address", &RegisterBroker{Node: 2, ClusterID: "test", Incarnation: Incarnation{2, 2}, Directory: Directory{2, 1}, RaftAddr: "x:1", ClientAddr: "y:1", MinVersion: 1, MaxVersion: 1}, InvalidRequest, "cannot become x:1"},
		{"unfence unknown", &UnfenceBroker{BrokerEpoch{9, 1}}, UnknownNode, "node 9"},
		{"fence stale", &FenceBroker{BrokerEpoch{1, 1}}, StaleEpoch, "broker epoch"},
		{"drain unknown", &DrainBroker{Node: 9}, UnknownNode, "node 9"},
		{"remove with replicas", &RemoveBroker{Node: 1}, HasReplicas, "1 shard (16); drain it first"},
		{"topic exists", &CreateTopic{Name: "orders", ID: TopicID{1}, Factor: 1, Shards: []ShardID{16}}, TopicExists, `topic "orders" exists`},
		{"topic id exists", &CreateTopic{Name: "x", ID: orders, Factor: 1, Shards: []ShardID{16}}, TopicExists, `is topic "orders"'s`},
		{"no name", &CreateTopic{ID: TopicID{1}, Factor: 1, Shards: []ShardID{16}}, InvalidRequest, "1 to 249"},
		{"long name", &CreateTopic{Name: strings.Repeat("x", 250), ID: TopicID{1}, Factor: 1, Shards: []ShardID{16}}, InvalidRequest, "1 to 249"},
		{"no topic id", &CreateTopic{Name: "x", Factor: 1, Shards: []ShardID{16}}, InvalidRequest, "has no id"},
		{"factor 0", &CreateTopic{Name: "x", ID: TopicID{1}, Shards: []ShardID{16}}, InvalidRequest, "replication factor 0"},
		{"no partitions", &CreateTopic{Name: "x", ID: TopicID{1}, Factor: 1}, InvalidRequest, "there must be a new one"},
		{"unknown shard", &CreateTopic{Name: "x", ID: TopicID{1}, Factor: 1, Shards: []ShardID{99}}, Stale, "shard 99"},
		{"into the metadata", &CreateTopic{Name: "x", ID: TopicID{1}, Factor: 1, Shards: []ShardID{1}}, Stale, "shard 1"},
		{"shards made meanwhile", &CreateTopic{Name: "x", ID: TopicID{1}, Factor: 1, FirstShard: 16, NewShards: []NewShard{{Nodes: []NodeID{1}}}, Shards: []ShardID{16}}, Stale, "made meanwhile"},
		{"shard of an unknown node", &CreateTopic{Name: "x", ID: TopicID{1}, Factor: 1, FirstShard: 17, NewShards: []NewShard{{Nodes: []NodeID{9}}}, Shards: []ShardID{17}}, Stale, "node 9"},
		{"shard twice on a node", &CreateTopic{Name: "x", ID: TopicID{1}, Factor: 1, FirstShard: 17, NewShards: []NewShard{{Nodes: []NodeID{2, 2}}}, Shards: []ShardID{17}}, InvalidRequest, "node 2 is named twice"},
		{"shard of no node", &CreateTopic{Name: "x", ID: TopicID{1}, Factor: 1, FirstShard: 17, NewShards: []NewShard{{}}, Shards: []ShardID{17}}, InvalidRequest, "0 replicas"},
		{"delete unknown", &DeleteTopic{ID: TopicID{9}}, UnknownTopic, "not known"},
		{"add to unknown", &AddPartitions{Topic: TopicID{9}, Shards: []ShardID{16}}, UnknownTopic, "not known"},
		{"added meanwhile", &AddPartitions{Topic: orders, Count: 2, Shards: []ShardID{16}}, Stale, "1 partition now, not 2"},
		{"add none", &AddPartitions{Topic: orders, Count: 1}, InvalidRequest, "there must be a new one"},
		{"too many partitions", &AddPartitions{Topic: orders, Count: 1, Shards: make([]ShardID, TopicPartitionsMax)}, InvalidRequest, "at most 100000"},
		{"configs of unknown", &SetTopicConfigs{Topic: TopicID{9}}, UnknownTopic, "not known"},
		{"configs changed meanwhile", &SetTopicConfigs{Topic: orders, Version: 7}, Stale, "version 1, not 7"},
		{"too many configs", &SetTopicConfigs{Topic: orders, Set: many}, InvalidRequest, "1001 configs"},
		{"configs too long", &SetTopicConfigs{Topic: orders, Set: long}, InvalidRequest, "of 1310720 bytes"},
		{"move unknown", &MoveShard{Shard: 99, Version: 1, Voters: []NodeID{1}}, UnknownShard, "shard 99"},
		{"move changed meanwhile", &MoveShard{Shard: 16, Version: 7, Voters: []NodeID{1}}, Stale, "version 1, not 7"},
		{"move to nowhere", &MoveShard{Shard: 16, Version: 1}, InvalidRequest, "0 replicas"},
		{"move to unknown", &MoveShard{Shard: 16, Version: 1, Voters: []NodeID{9}}, UnknownNode, "node 9"},
		{"voter and observer", &MoveShard{Shard: 16, Version: 1, Voters: []NodeID{1}, Observers: []NodeID{1}}, InvalidRequest, "named twice"},
		{"advance what rests", &AdvanceMove{Shard: 16, Version: 1, Replica: 1, State: ReplicaLeaving}, NotMoving, "shard 16"},
		{"complete what rests", &CompleteMove{Shard: 16, Version: 1}, NotMoving, "shard 16"},
		{"preferred elsewhere", &SetPreferredLeaders{Shard: 16, Version: 1, Preferred: []NodeID{1, 2, 4}}, InvalidRequest, "and not on 1, 2, 4"},
		{"preferred twice", &SetPreferredLeaders{Shard: 16, Version: 1, Preferred: []NodeID{1, 2, 2}}, InvalidRequest, "and not on"},
		{"ids for a stale broker", &AllocateProducerIDs{BrokerEpoch{1, 9}}, StaleEpoch, "broker epoch"},
		{"unknown setting", &SetClusterSetting{Setting: 99, Value: 1}, Unsupported, "setting 99"},
		{"setting of 0", &SetClusterSetting{Setting: SettingShardsPerFactor}, InvalidRequest, "within 1 and 1024"},
		{"setting too large", &SetClusterSetting{Setting: SettingMinInsyncReplicas, Value: 65}, InvalidRequest, "within 1 and 64"},
		{"version ahead of a broker", &SetClusterSetting{Setting: SettingMetadataVersion, Value: 2}, UnsupportedVersion, "node 1 (1.0) understands metadata versions 1 to 1, not 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 3)
			c.create("orders", 1, 3, nil)
			before := c.img()
			r := c.apply(tt.cmd)
			if !errors.Is(r.Err(), tt.code) || !strings.Contains(r.Message, tt.want) {
				t.Errorf("got %v: %q, want %v that says %q", r.Code, r.Message, tt.code, tt.want)
			}
			if !(Delta{before, c.img()}).Empty() || c.img().nextShard != before.nextShard || c.img().nextPartition != before.nextPartition {
				t.Error("it changed something")
			}
			if c.img().Index() != before.Index()+1 || r.Index != c.img().Index() {
				t.Errorf("index %d after %d, result %d", c.img().Index(), before.Index(), r.Index)
			}
		})
	}
}

func TestBytesRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	for _, tt := range []struct {
		b    []byte
		code Code
	}{
		{nil, Malformed},
		{[]byte{1}, Malformed},
		{[]byte{byte(KindUser), 1}, Reserved},
		{[]byte{byte(KindACL), 9, 1}, Reserved},
		{[]byte{200, 1}, Unsupported},
		{[]byte{byte(KindDrainBroker), 2, 1, 0}, Unsupported},
		{[]byte{byte(KindDrainBroker), 0, 1, 0}, Unsupported},
		{[]byte{byte(KindDrainBroker), 1, 1, 2}, Malformed},
		{[]byte{byte(KindDrainBroker), 1, 1, 0, 0}, Malformed},
		{[]byte{byte(KindDrainBroker), 1, 0x81, 0x00, 0}, Malformed}, // 1 in two bytes
		{EncodeCommand(&SetTopicConfigs{Delete: []string{"\xff"}}), Malformed},
		{EncodeCommand(&SetTopicConfigs{Delete: []string{strings.Repeat("x", stringBytesMax+1)}}), Malformed},
	} {
		if r := c.applyBytes(tt.b); r.Code != tt.code {
			t.Errorf("%x: got %v, want %v", tt.b, r.Err(), tt.code)
		}
	}
	empty := &cluster{t: t, m: NewMachine()}
	if r := empty.apply(&DrainBroker{Node: 1}); r.Code != NotBootstrapped {
		t.Errorf("before Bootstrap: %v", r.Err())
	}
}

// TestHalt sees that a machine which cannot go on says so, and keeps its image.
func TestHalt(t *testing.T) {
	t.Parallel()
	cmd := EncodeCommand(&SetClusterSetting{Setting: SettingMetadataVersion, Value: uint64(MetadataVersionMax) + 1})
	newer := &cluster{t: t, m: NewMachine()}
	newer.must(&Bootstrap{ClusterID: "test", Founders: []NodeID{1}})
	r := register(1, "", 1, 1)
	r.MaxVersion = MetadataVersionMax + 1
	newer.must(r)
	again := newCluster(t, 1)
	for name, tt := range map[string]struct {
		c     *cluster
		index RaftIndex
		want  string
	}{
		"newer":    {newer, newer.index + 1, "upgrade this node"},
		"repeated": {again, again.index, "applied again"},
	} {
		w := tt.c.m.Watch(tt.c.img())
		before := tt.c.img()
		if r := tt.c.m.ApplyCommand(tt.index, cmd); r.Code != Halted || !strings.Contains(r.Message, tt.want) {
			t.Errorf("%s: %v", name, r.Err())
		}
		if err := tt.c.m.Err(); !errors.Is(err, Halted) {
			t.Errorf("%s: error %v", name, err)
		}
		if _, err := w.Next(t.Context()); !errors.Is(err, Halted) {
			t.Errorf("%s: watcher: %v", name, err)
		}
		w.Close()
		if r := tt.c.m.ApplyCommand(tt.index+1, EncodeCommand(&DrainBroker{Node: 1})); r.Code != Halted || tt.c.img() != before {
			t.Errorf("%s: it went on: %v", name, r.Err())
		}
		if err := tt.c.m.Restore(strings.NewReader("")); !errors.Is(err, Halted) {
			t.Errorf("%s: restored: %v", name, err)
		}
	}
}

// TestBroker goes through the life of a broker.
func TestBroker(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 4)
	c.create("orders", 4, 3, nil)
	state := func(want BrokerState) {
		t.Helper()
		if got := c.img().Broker(4).State(); got != want {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	state(BrokerActive)
	epoch := c.img().Broker(4).Epoch
	if r := c.must(register(4, "new", 1, 1)); r.Epoch != epoch || c.img().Broker(4).Rack != "new" {
		t.Errorf("the same life: epoch %d after %d, rack %q", r.Epoch, epoch, c.img().Broker(4).Rack)
	}
	state(BrokerActive)
	r := c.must(register(4, "new", 2, 1)) // a restart, before anybody noticed
	state(BrokerFenced)
	if r.Epoch == epoch || r.Epoch != r.Index {
		t.Errorf("epoch %d at %d after %d", r.Epoch, r.Index, epoch)
	}
	for s := range c.img().ShardsOn(4) {
		if s.Lost() {
			t.Errorf("shard %d lost a replica by a restart", s.ID)
		}
	}
	if r := c.apply(&UnfenceBroker{BrokerEpoch{4, epoch}}); r.Code != StaleEpoch {
		t.Errorf("the old life: %v", r.Err())
	}
	c.must(&UnfenceBroker{BrokerEpoch{4, r.Epoch}})
	c.must(&DrainBroker{Node: 4})
	state(BrokerDraining)
	c.must(register(4, "new", 3, 1))
	state(BrokerDraining)
	c.must(&DrainBroker{Node: 4, Cancel: true})
	state(BrokerFenced)
	r = c.must(register(4, "new", 4, 2)) // another directory
	for s := range c.img().ShardsOn(4) {
		for _, r := range s.Replicas {
			if r.Node == 4 && r.State != ReplicaLost {
				t.Errorf("shard %d: %v after its directory was lost", s.ID, r)
			}
		}
	}
	c.must(&UnfenceBroker{BrokerEpoch{4, r.Epoch}})
	c.must(&DrainBroker{Node: 4})
	moves, err := PlanDrain(c.img(), 4)
	if err != nil {
		t.Fatal(err)
	}
	g := newGroups(c)
	propose(c, moves)
	g.finish()
	c.must(&RemoveBroker{Node: 4})
	c.must(&RemoveBroker{Node: 4})
	state(BrokerRemoved)
	if r := c.apply(&DrainBroker{Node: 4}); r.Code != NodeRemoved {
		t.Errorf("drain: %v", r.Err())
	}
	var removed []NodeID
	for b := range c.img().RemovedBrokers() {
		removed = append(removed, b.ID)
	}
	if !slices.Equal(removed, []NodeID{4}) {
		t.Errorf("removed: %v", removed)
	}
	c.join(5, "")
	other := register(6, "", 1, 1)
	other.RaftAddr, other.ClientAddr = "10.0.0.4:7001", "10.0.0.4:9092" // free again
	c.must(other)
}

// TestTopic goes through the life of a topic.
func TestTopic(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	a := c.create("a", 2, 3, map[string]string{"x": "1"})
	own := c.create("own", 3, 2, map[string]string{ConfigDedicatedShards: "2"})
	if p, ok := c.img().Partition("own", 2); !ok || p != own.Partitions[2] || p.Shard != own.Partitions[0].Shard {
		t.Errorf("partition 2 of three in two dedicated shards: %v, %t, of %v", p, ok, own.Partitions)
	}
	for _, n := range []int32{-1, 3} {
		if _, ok := c.img().Partition("own", n); ok {
			t.Errorf("there is a partition %d", n)
		}
	}
	dedicated := c.img().Shard(own.Partitions[0].Shard)
	if dedicated.Kind != ShardDedicated || dedicated.Topic != own.ID || dedicated.Factor != 2 || dedicated.Partitions != 2 {
		t.Errorf("got %+v", dedicated)
	}
	if r := c.apply(&CreateTopic{Name: "b", ID: TopicID{1}, Factor: 2, Shards: []ShardID{dedicated.ID}}); r.Code != Stale {
		t.Errorf("another topic in a dedicated shard: %v", r.Err())
	}

	c.must(&SetTopicConfigs{Topic: a.ID, Version: a.Version, Set: map[string]string{"y": "2", "z": "3"}, Delete: []string{"x", "z"}})
	if got := c.img().Topic("a"); !maps.Equal(got.Configs, map[string]string{"y": "2", "z": "3"}) || got.Version != a.Version+1 || !maps.Equal(a.Configs, map[string]string{"x": "1"}) {
		t.Errorf("got %+v, before %+v", got, a)
	}
	add, err := PlanAddPartitions(c.img(), "a", 5)
	if err != nil {
		t.Fatal(err)
	}
	r := c.must(add)
	got := c.img().Topic("a")
	if len(got.Partitions) != 5 || got.Partitions[2].ID != r.FirstPartition || !slices.Equal(got.Partitions[:2], a.Partitions) {
		t.Errorf("got %+v, first new %d", got.Partitions, r.FirstPartition)
	}
	seen := make(map[ShardID]bool)
	for _, p := range got.Partitions {
		seen[p.Shard] = true
		if ref, ok := c.img().PartitionIn(p.Shard, p.ID); !ok || ref.Topic != a.ID {
			t.Errorf("partition %d in shard %d: %v, %t", p.ID, p.Shard, ref, ok)
		}
	}
	if len(seen) != 5 {
		t.Errorf("five partitions in %d shards", len(seen))
	}
	if r := c.apply(add); r.Code != Stale {
		t.Errorf("twice: %v", r.Err())
	}

	for _, name := range []string{"own", "a"} {
		del, err := PlanDeleteTopic(c.img(), name)
		if err != nil {
			t.Fatal(err)
		}
		c.must(del)
		if c.img().Topic(name) != nil || c.img().TopicByID(del.ID) != nil {
			t.Errorf("%s is still there", name)
		}
	}
	if _, err := PlanDeleteTopic(c.img(), "a"); !errors.Is(err, UnknownTopic) {
		t.Errorf("delete again: %v", err)
	}
	if c.img().Shard(dedicated.ID) != nil || c.img().Partitions() != 0 {
		t.Error("a dedicated shard or a partition outlived its topic")
	}
	if c.img().Shard(got.Partitions[0].Shard) == nil {
		t.Error("a shared shard went with a topic")
	}
	next := c.img().NextPartition()
	if anew := c.create("a", 1, 3, nil); anew.Partitions[0].ID < next || anew.Configs != nil {
		t.Errorf("created anew: %+v, ids from %d", anew, next)
	}
}

func TestProducerIDs(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	for i := range int64(5) {
		node := NodeID(i%2 + 1)
		if r := c.must(&AllocateProducerIDs{BrokerEpoch{node, c.img().Broker(node).Epoch}}); r.FirstProducerID != i*ProducerIDBlock {
			t.Errorf("block %d begins at %d", i, r.FirstProducerID)
		}
	}
	if got := c.img().NextProducerID(); got != 5*ProducerIDBlock {
		t.Errorf("the next is %d", got)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	c := &cluster{t: t, m: NewMachine()}
	c.must(&Bootstrap{ClusterID: "test", Founders: []NodeID{1}, ShardsPerFactor: 2, DefaultReplicationFactor: 1})
	c.must(&Bootstrap{ClusterID: "test", Founders: []NodeID{1, 2}, ShardsPerFactor: 5})
	c.join(1, "")
	if got := c.img().Settings(); got != (Settings{2, 1, 1, MetadataV1}) || c.img().ClusterID() != "test" {
		t.Errorf("got %+v of %q", got, c.img().ClusterID())
	}
	count := func() (n int) {
		for s := range c.img().Shards() {
			if s.Kind == ShardShared {
				n++
			}
		}
		return n
	}
	c.create("a", 5, 0, nil)
	if count() != 2 {
		t.Errorf("%d shards, want 2", count())
	}
	c.must(&SetClusterSetting{SettingShardsPerFactor, 4})
	c.must(&SetClusterSetting{SettingDefaultReplicationFactor, 2})
	c.must(&SetClusterSetting{SettingMinInsyncReplicas, 2})
	c.must(&SetClusterSetting{SettingMetadataVersion, 1})
	if got := c.img().Settings(); got != (Settings{4, 2, 2, MetadataV1}) {
		t.Errorf("got %+v", got)
	}
	c.create("b", 5, 1, nil)
	if count() != 4 {
		t.Errorf("%d shards, want 4", count())
	}
}
