package raftmeta

import (
	"bytes"
	"context"
	"fmt"
	"testing"
)

// cluster is a machine and what tests do with it.
type cluster struct {
	t interface {
		Helper()
		Fatalf(string, ...any)
	}
	m     *Machine
	index RaftIndex
	log   [][]byte // every command that was applied, by index from 1
}

// newCluster returns a bootstrapped cluster of live nodes 1 to n; racks names
// theirs in turn.
func newCluster(t interface {
	Helper()
	Fatalf(string, ...any)
}, n int, racks ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, m: NewMachine()}
	founders := make([]NodeID, 0, n)
	for i := range min(n, 3) {
		founders = append(founders, NodeID(i+1))
	}
	c.must(&Bootstrap{ClusterID: "test", Founders: founders})
	for i := range n {
		rack := ""
		if len(racks) > 0 {
			rack = racks[i%len(racks)]
		}
		c.join(NodeID(i+1), rack)
	}
	return c
}

// register returns the registration of a node's life in a directory.
func register(node NodeID, rack string, life, directory byte) *RegisterBroker {
	return &RegisterBroker{
		Node: node, ClusterID: "test", Incarnation: Incarnation{byte(node), life}, Directory: Directory{byte(node), directory},
		RaftAddr: fmt.Sprintf("10.0.0.%d:7001", node), ClientAddr: fmt.Sprintf("10.0.0.%d:9092", node), Rack: rack,
		Software: "1.0", MinVersion: MetadataV1, MaxVersion: MetadataV1,
	}
}

func (c *cluster) join(node NodeID, rack string) {
	c.t.Helper()
	r := c.must(register(node, rack, 1, 1))
	c.must(&UnfenceBroker{BrokerEpoch{node, r.Epoch}})
}

// apply applies a command through its encoding.
func (c *cluster) apply(cmd Command) Result {
	c.t.Helper()
	return c.applyBytes(EncodeCommand(cmd))
}

func (c *cluster) applyBytes(b []byte) Result {
	c.t.Helper()
	c.index++
	c.log = append(c.log, bytes.Clone(b))
	r, err := DecodeResult(c.m.Apply(c.index, b))
	if err != nil {
		c.t.Fatalf("result: %v", err)
	}
	if problem := c.img().valid(); problem != "" {
		c.t.Fatalf("after command %d: %s", c.index, problem)
	}
	return r
}

// must applies a command that is not refused.
func (c *cluster) must(cmd Command) Result {
	c.t.Helper()
	r := c.apply(cmd)
	if err := r.Err(); err != nil {
		c.t.Fatalf("%T %+v: %v", cmd, cmd, err)
	}
	return r
}

func (c *cluster) img() *Image { return c.m.Image() }

// create makes a topic whose id is its name.
func (c *cluster) create(name string, partitions, factor int, configs map[string]string) *Topic {
	c.t.Helper()
	var id TopicID
	copy(id[:], name)
	cmd, err := PlanCreateTopic(c.img(), CreateTopicRequest{Name: name, ID: id, Partitions: partitions, ReplicationFactor: factor, Configs: configs})
	if err != nil {
		c.t.Fatalf("create %s: %v", name, err)
	}
	c.must(cmd)
	return c.img().Topic(name)
}

func (c *cluster) snapshot() []byte {
	c.t.Helper()
	var b bytes.Buffer
	if err := c.m.Snapshot(&b); err != nil {
		c.t.Fatalf("snapshot: %v", err)
	}
	return b.Bytes()
}

func TestFirstSteps(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	w := c.m.Watch(nil)
	defer w.Close()
	topic := c.create("orders", 20, 0, nil)
	d, err := w.Next(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if got := d.To.Topic("orders"); got != topic || len(topic.Partitions) != 20 {
		t.Fatalf("got %+v", got)
	}
	shards := 0
	for s := range c.img().Shards() {
		if s.Kind == ShardShared {
			shards++
		}
	}
	if shards != 12 {
		t.Errorf("%d shards for 20 partitions, want 12", shards)
	}
	m := NewMachine()
	if err := m.Restore(bytes.NewReader(c.snapshot())); err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := m.Snapshot(&again); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.Bytes(), c.snapshot()) {
		t.Error("the snapshot of a restored machine differs")
	}
}
