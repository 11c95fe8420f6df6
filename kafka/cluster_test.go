package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/recordbatch"
	"github.com/leatlog/leat/internal/store"
)

// fakeCluster is three nodes with a listener each and what a cluster's metadata would
// tell them. Nothing replicates by itself: a test moves leaders, and records to
// followers.
type fakeCluster struct {
	nodes []*fakeNode

	mu          sync.Mutex
	topics      []*fakeTopic
	coordinator int32
	loading     bool
	moving      []OngoingReassignment
	draining    map[int32]bool
	deposed     map[int32]bool // nodes whose Append and ReadBarrier learn that they lead no longer
}

type fakeTopic struct {
	name  string
	id    [16]byte
	parts []*fakePartition
	gone  bool
	props map[string]string
}

// fakePartition: its replicas are of one shard with all others of its topic.
type fakePartition struct {
	Placement
	replicas map[int32]*fakeReplica
}

type fakeReplica struct {
	*store.Partition
	epochEnds []base.Offset // by epoch, without the last
	mu        sync.Mutex
	watchers  []chan<- struct{}
}

func (r *fakeReplica) RecordForTime(ms int64) (base.Offset, int64, bool, error) {
	at, found, err := r.OffsetForTime(ms)
	return at, ms, found, err
}

func (r *fakeReplica) EpochEnd(epoch base.LeaderEpoch) (base.LeaderEpoch, base.Offset, error) {
	if epoch < 0 {
		return -1, -1, nil
	}
	if int(epoch) < len(r.epochEnds) {
		return epoch, r.epochEnds[epoch], nil
	}
	return base.LeaderEpoch(len(r.epochEnds)), r.HighWatermark(), nil
}

func (r *fakeReplica) Producers(context.Context) ([]ProducerState, error) {
	list, err := r.Partition.Producers()
	var states []ProducerState
	for _, p := range list {
		states = append(states, ProducerState(p))
	}
	return states, err
}

func (r *fakeReplica) Watch(c chan<- struct{}) {
	r.Partition.Watch(c)
	r.mu.Lock()
	r.watchers = append(r.watchers, c)
	r.mu.Unlock()
}

func (r *fakeReplica) Unwatch(c chan<- struct{}) {
	r.Partition.Unwatch(c)
	r.mu.Lock()
	if i := slices.Index(r.watchers, c); i >= 0 {
		r.watchers = slices.Delete(r.watchers, i, i+1)
	}
	r.mu.Unlock()
}

func (r *fakeReplica) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.watchers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// fakeNode is a node of the cluster as its listener's backend.
type fakeNode struct {
	cluster *fakeCluster
	id      int32
	rack    string
	store   *store.Store
	server  *Server
	addr    string
}

var _ Backend = (*fakeNode)(nil)

func newFakeCluster(t testing.TB, limits Limits) *fakeCluster {
	fc := &fakeCluster{coordinator: 2, deposed: make(map[int32]bool), draining: make(map[int32]bool)}
	for i := range int32(3) {
		n := &fakeNode{cluster: fc, id: i + 1, rack: string(rune('a' + i))}
		fc.nodes = append(fc.nodes, n)
		var err error
		n.store, err = store.Open(store.Options{Dir: "node", FS: store.NewMemFS()})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, n.store.Close()) })
		n.server, err = NewServer(n, Options{Limits: limits})
		require.NoError(t, err)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		n.addr = ln.Addr().String()
		ended := make(chan error, 1)
		go func() { ended <- n.server.Serve(context.Background(), ln) }()
		t.Cleanup(func() {
			n.server.Close()
			require.NoError(t, <-ended)
			sessions, partitions := n.server.sessions.count()
			require.Zero(t, sessions, "sessions are left")
			require.Zero(t, partitions, "partitions of sessions are left")
			require.True(t, n.server.answers.try(n.server.limits.MemoryBytes), "memory of answers is not given back")
			require.True(t, n.server.requests.try(n.server.limits.MemoryBytes), "memory of requests is not given back")
		})
	}
	return fc
}

// addTopic makes a topic whose partitions node 1 leads in epoch 0, with replicas on
// the first rf nodes.
func (fc *fakeCluster) addTopic(t testing.TB, name string, partitions, rf int) *fakeTopic {
	fc.mu.Lock()
	defer fc.mu.Unlock()
	topic := &fakeTopic{name: name, props: map[string]string{"cleanup.policy": "delete"}}
	binary.BigEndian.PutUint32(topic.id[12:], uint32(len(fc.topics)+1))
	for i := range partitions {
		p := &fakePartition{replicas: make(map[int32]*fakeReplica)}
		p.Leader = 1
		for n := range rf {
			id := fc.nodes[n].id
			sp, err := fc.nodes[n].store.Partition(base.PartitionID(1 + len(fc.topics)*1000 + i))
			require.NoError(t, err)
			p.replicas[id] = &fakeReplica{Partition: sp}
			p.Replicas, p.InSync = append(p.Replicas, id), append(p.InSync, id)
		}
		topic.parts = append(topic.parts, p)
	}
	fc.topics = append(fc.topics, topic)
	return topic
}

// lead makes a node the leader of a partition, in the next epoch.
func (fc *fakeCluster) lead(t *fakeTopic, partition, node int32) {
	fc.mu.Lock()
	p := t.parts[partition]
	for _, r := range p.replicas {
		r.epochEnds = append(r.epochEnds, p.replicas[p.Replicas[0]].HighWatermark())
	}
	p.Leader = node
	p.Epoch++
	fc.mu.Unlock()
	for _, r := range p.replicas {
		r.wake()
	}
}

// replicate brings a follower up to the leader.
func (fc *fakeCluster) replicate(t testing.TB, topic *fakeTopic, partition, node int32) {
	fc.mu.Lock()
	p := topic.parts[partition]
	from, to := p.replicas[p.Replicas[0]], p.replicas[node]
	fc.mu.Unlock()
	var f store.Fetch
	require.NoError(t, from.Read(&f, to.HighWatermark(), 1<<30))
	for _, b := range f.Batches {
		b = slices.Clone(b)
		h, err := recordbatch.ParseHeader(b)
		require.NoError(t, err)
		a := &store.Append{Partition: to.Partition, Batch: b, Header: h}
		require.NoError(t, fc.nodes[node-1].store.Append([]*store.Append{a}, store.AppendHooks{}))
		require.NoError(t, a.Err)
	}
}

func (n *fakeNode) Code(error) Code               { return UnknownServerError }
func (n *fakeNode) Clock() base.Clock             { return base.SystemClock{} }
func (n *fakeNode) NodeID() int32                 { return n.id }
func (n *fakeNode) NodeConfig() map[string]string { return map[string]string{"broker.rack": n.rack} }

func (n *fakeNode) Membership() Membership { return n.cluster }

// Member knows nodes 1 to 3, which have a shard each until they drain.
func (fc *fakeCluster) Member(node int32) (Member, bool) {
	fc.mu.Lock()
	defer fc.mu.Unlock()
	m := Member{Draining: fc.draining[node]}
	if !m.Draining {
		m.Shards = 1
	}
	return m, node >= 1 && node <= 3
}

func (fc *fakeCluster) SetDraining(_ context.Context, node int32, draining bool) error {
	fc.mu.Lock()
	defer fc.mu.Unlock()
	fc.draining[node] = draining
	return nil
}

func (fc *fakeCluster) Remove(_ context.Context, node int32) error {
	switch m, ok := fc.Member(node); {
	case !ok:
		return refuse(BrokerIDNotRegistered, "there is no node %d", node)
	case m.Shards > 0:
		return refuse(InvalidRequest, "node %d has replicas", node)
	}
	return nil
}

func (n *fakeNode) Cluster() Cluster {
	c := Cluster{ID: "fake", Controller: 3}
	for _, o := range n.cluster.nodes {
		node := Node{ID: o.id, Rack: o.rack}
		if o != n { // its own address is the listener's
			host, port, err := splitAddr(o.addr)
			if err != nil {
				panic(err)
			}
			node.Host, node.Port = host, port
		}
		c.Nodes = append(c.Nodes, node)
	}
	return c
}

func (n *fakeNode) LogDir(context.Context) (LogDir, error) {
	return LogDir{Path: fmt.Sprintf("/data/%d", n.id), TotalBytes: 100, UsableBytes: 50}, nil
}

func (n *fakeNode) find(match func(*fakeTopic) bool) Topic {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	for _, t := range n.cluster.topics {
		if !t.gone && match(t) {
			return nodeTopic{n, t}
		}
	}
	return nil
}

func (n *fakeNode) Topic(name string) Topic {
	return n.find(func(t *fakeTopic) bool { return t.name == name })
}

func (n *fakeNode) TopicByID(id [16]byte) Topic {
	return n.find(func(t *fakeTopic) bool { return t.id == id })
}

func (n *fakeNode) Topics() (all []Topic) {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	for _, t := range n.cluster.topics {
		all = append(all, nodeTopic{n, t})
	}
	slices.SortFunc(all, func(a, b Topic) int { return slices.Compare([]byte(a.Name()), []byte(b.Name())) })
	return all
}

func (n *fakeNode) UseTopic(context.Context, string) (Topic, error) {
	return nil, refuse(UnknownTopicOrPartition, "no topics are made")
}

func (n *fakeNode) CreateTopic(_ context.Context, t NewTopic, _ bool) (Topic, error) {
	return nil, refuse(PolicyViolation, "no topics are made: %+v", t)
}

func (n *fakeNode) DeleteTopic(context.Context, Topic) error {
	return refuse(PolicyViolation, "no topics are deleted")
}

func (n *fakeNode) AddPartitions(context.Context, string, int32, [][]int32, bool) error {
	return refuse(PolicyViolation, "no partitions are made")
}

func (n *fakeNode) AlterConfigs(_ context.Context, name string, a ConfigAlteration) error {
	t, ok := n.Topic(name).(nodeTopic)
	if !ok {
		return refuse(UnknownTopicOrPartition, "no topic %q", name)
	}
	if a.Replace {
		t.t.props = map[string]string{}
	}
	for _, c := range a.Changes {
		t.t.props[c.Name] = fmt.Sprint(c.Op, c.Value)
	}
	return nil
}

func (n *fakeNode) DeleteRecords(_ context.Context, t Topic, partition int32, _ base.Offset) (base.Offset, error) {
	at, err := t.Locate(partition)
	if err != nil {
		return 0, err
	}
	return at.Replica.LogStart(), nil
}

func (n *fakeNode) isDeposed() bool {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	return n.cluster.deposed[n.id]
}

func (n *fakeNode) Append(_ context.Context, appends []*Append, _ time.Duration, hooks store.AppendHooks) error {
	if n.isDeposed() {
		hooks.Enqueued()
		for _, a := range appends {
			a.Err = &NotLeaderError{Leader: 2, Epoch: 9}
		}
		return nil
	}
	var list []*store.Append
	for _, a := range appends {
		a.Partition = a.Replica.(*fakeReplica).Partition
		list = append(list, &a.Append)
	}
	return n.store.Append(list, hooks)
}

func (n *fakeNode) ReadBarrier(_ context.Context, replicas []Replica) []error {
	if !n.isDeposed() {
		return nil
	}
	errs := make([]error, len(replicas))
	errs[0] = &NotLeaderError{Leader: 2, Epoch: 9}
	return errs
}

func (n *fakeNode) NewProducerID(context.Context) (int64, error) { return 1000, nil }

func (n *fakeNode) Coordinator(context.Context, string) (int32, error) {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	if n.cluster.coordinator == NoNode {
		return NoNode, ErrCoordinatorNotAvailable
	}
	return n.cluster.coordinator, nil
}

// ServeGroup knows Heartbeat only.
func (n *fakeNode) ServeGroup(_ context.Context, _ Client, req kmsg.Request) kmsg.Response {
	resp := kmsg.NewPtrHeartbeatResponse()
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	var err error
	switch {
	case n.cluster.coordinator != n.id:
		err = ErrNotCoordinator
	case n.cluster.loading:
		err = ErrCoordinatorLoading
	}
	code, _ := CodeOf(err)
	resp.ErrorCode = int16(code)
	_ = req.(*kmsg.HeartbeatRequest)
	return resp
}

func (n *fakeNode) ElectLeaders(_ context.Context, kind ElectionType, partitions []TopicPartition, _ time.Duration) ([]PartitionResult, error) {
	if kind == UncleanElection {
		return nil, refuse(InvalidRequest, "a majority decides here")
	}
	var results []PartitionResult
	all := partitions == nil
	for _, t := range n.cluster.topics {
		for i, p := range (nodeTopic{n, t}).Placements() {
			tp := TopicPartition{t.name, int32(i)}
			switch {
			case !all && !slices.Contains(partitions, tp):
			case p.Leader != p.Replicas[0]:
				n.cluster.lead(t, int32(i), p.Replicas[0])
				results = append(results, PartitionResult{tp, nil})
			case !all:
				results = append(results, PartitionResult{tp, refuse(ElectionNotNeeded, "node %d leads", p.Leader)})
			}
		}
	}
	return results, nil
}

// AlterReassignments: the partitions of a topic are one shard.
func (n *fakeNode) AlterReassignments(_ context.Context, list []Reassignment, o ReassignOptions) ([]error, error) {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	each := make([]error, len(list))
	for i, r := range list {
		var topic *fakeTopic
		for _, t := range n.cluster.topics {
			if t.name == r.Topic {
				topic = t
			}
		}
		if topic == nil || int(r.Partition) >= len(topic.parts) {
			each[i] = refuse(UnknownTopicOrPartition, "no %v", r.TopicPartition)
			continue
		}
		now := topic.parts[r.Partition].Replicas
		together := 0
		for _, other := range list {
			if other.Topic == r.Topic && slices.Equal(other.Replicas, r.Replicas) {
				together++
			}
		}
		switch {
		case slices.Equal(r.Replicas, now):
		case o.FixedReplicationFactor && len(r.Replicas) != len(now):
			each[i] = refuse(InvalidReplicationFactor, "%d replicas, not %d", len(now), len(r.Replicas))
		case together < len(topic.parts):
			each[i] = refuse(InvalidReplicaAssignment, "the shard has %d partitions", len(topic.parts))
		default:
			n.cluster.moving = append(n.cluster.moving, OngoingReassignment{r.TopicPartition, r.Replicas, []int32{3}, []int32{1}})
		}
	}
	return each, nil
}

func (n *fakeNode) Reassignments(_ context.Context, partitions []TopicPartition) (list []OngoingReassignment, err error) {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	for _, m := range n.cluster.moving {
		if partitions == nil || slices.Contains(partitions, m.TopicPartition) {
			list = append(list, m)
		}
	}
	return list, nil
}

// nodeTopic is a topic as a node sees it.
type nodeTopic struct {
	n *fakeNode
	t *fakeTopic
}

func (t nodeTopic) Name() string       { return t.t.name }
func (t nodeTopic) UniqueID() [16]byte { return t.t.id }
func (t nodeTopic) IsInternal() bool   { return false }
func (t nodeTopic) NumPartitions() int { return len(t.t.parts) }
func (t nodeTopic) Rules() Rules       { return Rules{} }

func (t nodeTopic) Placements() (all []Placement) {
	t.n.cluster.mu.Lock()
	defer t.n.cluster.mu.Unlock()
	for _, p := range t.t.parts {
		all = append(all, p.Placement)
	}
	return all
}

func (t nodeTopic) Locate(partition int32) (Location, error) {
	t.n.cluster.mu.Lock()
	defer t.n.cluster.mu.Unlock()
	if t.t.gone || partition < 0 || int(partition) >= len(t.t.parts) {
		return Location{}, refuse(UnknownTopicOrPartition, "no partition %d", partition)
	}
	p := t.t.parts[partition]
	at := Location{Leader: p.Leader, Epoch: p.Epoch, InSync: p.InSync}
	if r := p.replicas[t.n.id]; r != nil { // a nil one would not be nil in the interface
		at.Replica = r
	}
	return at, nil
}

func (t nodeTopic) Properties() (map[string]string, map[string]bool) {
	return t.t.props, map[string]bool{}
}

func (t nodeTopic) Sizes(context.Context) (sizes []ReplicaSize, err error) {
	for i, p := range t.t.parts {
		if r := p.replicas[t.n.id]; r != nil {
			sizes = append(sizes, ReplicaSize{Partition: int32(i), Bytes: r.SizeBytes(), Lag: int64(i)})
		}
	}
	return sizes, nil
}

// testClient is one connection that sends a request at a time.
type testClient struct {
	t    testing.TB
	conn net.Conn
}

func (n *fakeNode) dial(t testing.TB) *testClient {
	t.Helper()
	c, err := net.Dial("tcp", n.addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(30*time.Second)))
	return &testClient{t, c}
}

func (c *testClient) send(req kmsg.Request) {
	c.t.Helper()
	b := make([]byte, 4)
	b = binary.BigEndian.AppendUint16(b, uint16(req.Key()))
	b = binary.BigEndian.AppendUint16(b, uint16(req.GetVersion()))
	b = binary.BigEndian.AppendUint32(b, 1)
	b = append(b, 0, 4, 't', 'e', 's', 't')
	if req.IsFlexible() {
		b = append(b, 0)
	}
	b = req.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	_, err := c.conn.Write(b)
	require.NoError(c.t, err)
}

func (c *testClient) receive(req kmsg.Request) kmsg.Response {
	c.t.Helper()
	var size [4]byte
	_, err := io.ReadFull(c.conn, size[:])
	require.NoError(c.t, err)
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err = io.ReadFull(c.conn, body)
	require.NoError(c.t, err)
	body = body[4:]
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if resp.IsFlexible() && req.Key() != int16(kmsg.ApiVersions) {
		body = body[1:]
	}
	require.NoError(c.t, resp.ReadFrom(body))
	return resp
}

// ask sends a request and returns its answer.
func ask[Resp kmsg.Response](c *testClient, req kmsg.Request) Resp {
	c.t.Helper()
	c.send(req)
	return c.receive(req).(Resp)
}

// testBatch is a batch of n records with values of the given size.
func testBatch(t testing.TB, n, size int) []byte {
	var b recordbatch.Builder
	b.Reset(nil)
	for range n {
		require.NoError(t, b.Append(time.Now().UnixMilli(), nil, make([]byte, size), nil))
	}
	batch, err := b.Finish(recordbatch.FinishOptions{ProducerID: -1})
	require.NoError(t, err)
	return slices.Clone(batch)
}

func produceRequest(version int16, topic *fakeTopic, partition int32, batch []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = version, -1, 1000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic, rt.TopicID = topic.name, topic.id
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Partition, rp.Records = partition, batch
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

func (c *testClient) produce(topic *fakeTopic, partition int32, n int) {
	c.t.Helper()
	resp := ask[*kmsg.ProduceResponse](c, produceRequest(12, topic, partition, testBatch(c.t, n, 100)))
	require.Zero(c.t, resp.Topics[0].Partitions[0].ErrorCode)
}

// fetchRequest is one of partitions, each from offset 0, that does not wait.
func fetchRequest(version int16, topic *fakeTopic, partitions ...int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxBytes, req.MinBytes = version, 1<<20, 1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = topic.name, topic.id
	for _, n := range partitions {
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.Partition, rp.PartitionMaxBytes = n, 1<<20
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	return req
}
