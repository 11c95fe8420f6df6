package raftmeta

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// randomCommand draws a command, most of them sensible for the image.
func randomCommand(t *rapid.T, img *Image) []byte {
	node := NodeID(rapid.IntRange(1, 6).Draw(t, "node"))
	epoch := BrokerEpoch{Node: node}
	if b := img.Broker(node); b != nil {
		epoch.Epoch = b.Epoch
	}
	name := fmt.Sprint("t", rapid.IntRange(0, 5).Draw(t, "name"))
	var topic TopicID
	if known := img.Topic(name); known != nil {
		topic = known.ID
	}
	var shards []*Shard
	for s := range img.Shards() {
		shards = append(shards, s)
	}
	shard := &Shard{}
	if len(shards) > 0 {
		shard = rapid.SampledFrom(shards).Draw(t, "shard")
	}
	nodes := func() []NodeID {
		return rapid.SliceOfNDistinct(rapid.Map(rapid.IntRange(1, 6), func(n int) NodeID { return NodeID(n) }), 1, 3, rapid.ID[NodeID]).Draw(t, "nodes")
	}
	switch rapid.IntRange(0, 16).Draw(t, "kind") {
	case 0:
		return rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "garbage")
	case 1, 2:
		return EncodeCommand(register(node, "", rapid.Byte().Draw(t, "life"), byte(rapid.IntRange(1, 2).Draw(t, "directory"))))
	case 3, 4:
		return EncodeCommand(&UnfenceBroker{epoch})
	case 5:
		return EncodeCommand(&FenceBroker{epoch})
	case 6:
		return EncodeCommand(&DrainBroker{node, rapid.Bool().Draw(t, "cancel")})
	case 7:
		return EncodeCommand(&RemoveBroker{node})
	case 8, 9:
		id := TopicID{byte(img.index), byte(img.index >> 8), 1}
		c, err := PlanCreateTopic(img, CreateTopicRequest{Name: name, ID: id, Partitions: rapid.IntRange(1, 20).Draw(t, "partitions"), ReplicationFactor: rapid.IntRange(1, 3).Draw(t, "factor"), Configs: map[string]string{ConfigDedicatedShards: fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "dedicated")), "x": "y", "z": ""}})
		if err != nil {
			return EncodeCommand(&DeleteTopic{topic})
		}
		return EncodeCommand(c)
	case 10:
		c, err := PlanAddPartitions(img, name, rapid.IntRange(1, 30).Draw(t, "count"))
		if err != nil {
			return EncodeCommand(&SetTopicConfigs{Topic: topic, Set: map[string]string{"a": "1", "b": "2"}, Delete: []string{"z"}})
		}
		return EncodeCommand(c)
	case 11, 12:
		return EncodeCommand(&MoveShard{Shard: shard.ID, Version: shard.Version, Voters: nodes()})
	case 13:
		r := Replica{ID: 1}
		if len(shard.Replicas) > 0 {
			r = rapid.SampledFrom(shard.Replicas).Draw(t, "replica")
		}
		return EncodeCommand(&AdvanceMove{Shard: shard.ID, Version: shard.Version, Replica: r.ID, State: rapid.SampledFrom([]ReplicaState{ReplicaVoter, ReplicaLeaving}).Draw(t, "state")})
	case 14:
		return EncodeCommand(&CompleteMove{Shard: shard.ID, Version: shard.Version})
	case 15:
		preferred := slices.Clone(shard.Preferred)
		slices.Reverse(preferred)
		return EncodeCommand(&SetPreferredLeaders{Shard: shard.ID, Version: shard.Version, Preferred: preferred})
	}
	return EncodeCommand(&AllocateProducerIDs{epoch})
}

// TestDeterminism applies one random log on three machines: one from the
// beginning, one from a snapshot on, and one that is restored from snapshots
// again and again while it goes. Results and snapshots are the same bytes; a watcher
// that looks now and then is told exactly what differs.
func TestDeterminism(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := newCluster(t, 3)
		other, restored := NewMachine(), NewMachine()
		for i, cmd := range c.log {
			other.Apply(RaftIndex(i+1), cmd)
		}
		w := c.m.Watch(nil)
		defer w.Close()
		for range rapid.IntRange(1, 80).Draw(t, "commands") {
			if rapid.IntRange(0, 9).Draw(t, "restore") == 0 || restored.Image().Index() == 0 {
				if err := restored.Restore(bytes.NewReader(c.snapshot())); err != nil {
					t.Fatal(err)
				}
			}
			cmd := randomCommand(t, c.img())
			c.index += RaftIndex(rapid.IntRange(0, 2).Draw(t, "gap")) // what Raft keeps for itself
			result := c.applyBytes(cmd)
			for i, m := range []*Machine{other, restored} {
				if got := m.ApplyCommand(c.index, cmd); got != result {
					t.Fatalf("machine %d: %+v, want %+v", i, got, result)
				}
				var b bytes.Buffer
				if err := m.Snapshot(&b); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(b.Bytes(), c.snapshot()) {
					t.Fatalf("machine %d has another snapshot after %x", i, cmd)
				}
			}
			if rapid.IntRange(0, 3).Draw(t, "look") == 0 {
				if d, ok := w.Take(); ok {
					checkDelta(t, d)
				}
			}
			// What shares nothing with the other image differs in the same.
			checkDelta(t, Delta{restored.Image(), c.img()})
			if d := (Delta{restored.Image(), c.img()}); !d.Empty() {
				t.Fatal("equal images differ")
			}
		}
	})
}

// checkDelta compares a delta with what a look at everything finds.
func checkDelta(t *rapid.T, d Delta) {
	checkChanges(t, "broker", slices.Collect(d.Brokers()), func(img *Image) map[NodeID]*Broker {
		m := make(map[NodeID]*Broker)
		for _, b := range img.brokers.all() {
			m[b.ID] = b
		}
		return m
	}, d, func(b *Broker) NodeID { return b.ID })
	checkChanges(t, "shard", slices.Collect(d.Shards()), func(img *Image) map[ShardID]*Shard {
		m := make(map[ShardID]*Shard)
		for s := range img.Shards() {
			m[s.ID] = s
		}
		return m
	}, d, func(s *Shard) ShardID { return s.ID })
	checkChanges(t, "topic", slices.Collect(d.Topics()), func(img *Image) map[string]*Topic {
		m := make(map[string]*Topic)
		for t := range img.Topics() {
			m[t.Name] = t
		}
		return m
	}, d, func(t *Topic) string { return t.Name })
}

func checkChanges[K cmp.Ordered, T any](t *rapid.T, what string, got []Change[T], all func(*Image) map[K]*T, d Delta, key func(*T) K) {
	old, new := all(d.From), all(d.To)
	text := func(v *T) string {
		if v == nil {
			return ""
		}
		return fmt.Sprintf("%+v", *v)
	}
	var last K
	n := 0
	for _, c := range got {
		v := c.New
		if v == nil {
			v = c.Old
		}
		k := key(v)
		if c.Old != old[k] || c.New != new[k] || text(c.Old) == text(c.New) {
			t.Fatalf("%s %v: told of %s and %s, there is %s and %s", what, k, text(c.Old), text(c.New), text(old[k]), text(new[k]))
		}
		if n > 0 && k <= last {
			t.Fatalf("%s %v after %v", what, k, last)
		}
		last = k
		n++
	}
	want := 0
	for k, v := range old {
		if text(v) != text(new[k]) {
			want++
		}
	}
	for k := range new {
		if old[k] == nil {
			want++
		}
	}
	if n != want {
		t.Fatalf("%d changes of a %s were told, of %d", n, what, want)
	}
}

// TestOldImages sees that an image stays what it was.
func TestOldImages(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := newCluster(t, 3)
		images, snapshots := []*Image{c.img()}, [][]byte{c.snapshot()}
		for range rapid.IntRange(1, 40).Draw(t, "commands") {
			c.applyBytes(randomCommand(t, c.img()))
			images, snapshots = append(images, c.img()), append(snapshots, c.snapshot())
		}
		for i, img := range images {
			var b bytes.Buffer
			if err := img.Snapshot(&b); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.Bytes(), snapshots[i]) {
				t.Fatalf("image %d of %d changed", i, len(images))
			}
			if problem := img.valid(); problem != "" {
				t.Fatalf("image %d: %s", i, problem)
			}
		}
	})
}
