package replication

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/faultdisk"
	"github.com/leatlog/leat/internal/recordbatch"
	"github.com/leatlog/leat/internal/store"
)

const dataShard base.ShardID = 16

// batchOf returns a batch of one record per value, of a producer if it has an id.
func batchOf(t testing.TB, producer int64, sequence int32, values ...string) []byte {
	t.Helper()
	var b recordbatch.Builder
	b.Reset(nil)
	for _, v := range values {
		if err := b.Append(1_700_000_000_000, nil, []byte(v), nil); err != nil {
			t.Fatal(err)
		}
	}
	o := recordbatch.FinishOptions{ProducerID: recordbatch.NoProducerID}
	if producer >= 0 {
		o.ProducerID, o.BaseSequence = producer, sequence
	}
	out, err := b.Finish(o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (m *member) startData(sc ShardConfig) *DataShard {
	t := m.c.t
	t.Helper()
	sc.Shard = dataShard
	s, err := m.node.StartData(sc)
	if err != nil {
		t.Fatal(err)
	}
	m.data = s
	return s
}

func newDataCluster(t testing.TB, nodes int, tune func(*Config)) *cluster {
	c := newCluster(t, nodes, tune)
	for _, m := range c.nodes {
		m.startData(ShardConfig{Replica: base.ReplicaID(m.id), Members: c.members()})
	}
	return c
}

func (c *cluster) dataLeader() *member {
	c.t.Helper()
	var leader *member
	waitFor(c.t, "a leader of the data shard", func() bool {
		for _, m := range c.nodes {
			if m.data != nil && m.data.IsLeader() {
				leader = m
				return true
			}
		}
		return false
	})
	return leader
}

// lead runs f with the leader until it has an outcome; outcomes that are not
// known are tried again, so f must be idempotent.
func (c *cluster) lead(f func(ctx context.Context, s *DataShard) error) error {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	for {
		err := f(ctx, c.dataLeader().data)
		if err == nil || !Retriable(err) || ctx.Err() != nil {
			return err
		}
	}
}

func (c *cluster) createPartition(id base.PartitionID) {
	c.t.Helper()
	if err := c.lead(func(ctx context.Context, s *DataShard) error { return s.CreatePartition(ctx, id) }); err != nil {
		c.t.Fatal(err)
	}
}

// produce appends n batches as an idempotent producer, from a sequence on.
func (c *cluster) produce(id base.PartitionID, sequence, n int, size int) {
	c.t.Helper()
	for i := sequence; i < sequence+n; i++ {
		b := batchOf(c.t, 7, int32(i), fmt.Sprintf("%d %0*d", i, size, 0))
		var got AppendResult
		err := c.lead(func(ctx context.Context, s *DataShard) error {
			p, err := s.Append(AppendCommand{Partition: id, Epoch: 1, NowMillis: 1_700_000_000_000, Batch: b})
			if err != nil {
				return err
			}
			got, err = p.Wait(ctx)
			return err
		})
		if err != nil {
			c.t.Fatalf("batch %d: %v", i, err)
		}
		if got.Offset != base.Offset(i) {
			c.t.Fatalf("batch %d got offset %d", i, got.Offset)
		}
	}
}

// requireBatches reads all of a partition from one node's store.
func (m *member) requireBatches(id base.PartitionID, n int) {
	t := m.c.t
	t.Helper()
	if err := m.data.ReadIndex(t.Context()); err != nil {
		t.Fatalf("node %d: %v", m.id, err)
	}
	p, err := m.store.Replicated(id)
	if err != nil {
		t.Fatalf("node %d: %v", m.id, err)
	}
	if hw := p.HighWatermark(); hw != base.Offset(n) {
		t.Fatalf("node %d: high watermark %d, want %d", m.id, hw, n)
	}
	var f store.Fetch
	for at := p.LogStart(); at < base.Offset(n); {
		if err := p.Read(&f, at, 1<<20); err != nil {
			t.Fatalf("node %d: read %d: %v", m.id, at, err)
		}
		for _, b := range f.Batches {
			h, err := recordbatch.Verify(b)
			if err != nil {
				t.Fatal(err)
			}
			if h.BaseOffset != at || h.BaseSequence != int32(at) {
				t.Fatalf("node %d: offset %d has sequence %d, at %d", m.id, h.BaseOffset, h.BaseSequence, at)
			}
			at = h.NextOffset()
		}
	}
}

// requireEqual compares the replicas at one applied index.
func (c *cluster) requireEqual() {
	c.t.Helper()
	var want [32]byte
	var index base.RaftIndex
	for _, m := range c.nodes {
		if m.data == nil {
			continue
		}
		if err := m.data.ReadIndex(c.t.Context()); err != nil {
			c.t.Fatal(err)
		}
		sum, applied, err := m.store.ShardHash(dataShard, nil)
		if err != nil {
			c.t.Fatal(err)
		}
		if index == 0 {
			want, index = sum, applied
		}
		if applied != index || sum != want {
			c.t.Errorf("node %d has %x at %d, another %x at %d", m.id, sum, applied, want, index)
		}
	}
}

func TestDataSurvivesLeaders(t *testing.T) {
	t.Parallel()
	c := newDataCluster(t, 3, func(c *Config) { c.SnapshotEntries = 32 })
	c.createPartition(100)
	n := 0
	produce := func(k int) { c.produce(100, n, k, 100); n += k }
	produce(20)
	for range 2 {
		dead := c.dataLeader()
		dead.close()
		produce(40)
		dead.open()
		dead.startData(ShardConfig{Replica: base.ReplicaID(dead.id)})
		for _, m := range c.nodes {
			m.requireBatches(100, n)
		}
	}
	for _, m := range c.nodes {
		m.close()
	}
	for _, m := range c.nodes {
		m.open()
		m.startData(ShardConfig{Replica: base.ReplicaID(m.id)})
	}
	for _, m := range c.nodes {
		m.requireBatches(100, n)
	}
	produce(5)
	c.requireEqual()
}

// What a partition says to a command reaches who proposed it.
func TestDataResults(t *testing.T) {
	t.Parallel()
	c := newDataCluster(t, 1, nil)
	c.createPartition(100)
	c.createPartition(100)
	s := c.dataLeader().data
	ctx := t.Context()
	wait := func(p *PendingAppend, err error) (AppendResult, error) {
		if err != nil {
			return AppendResult{}, err
		}
		return p.Wait(ctx)
	}
	appendTo := func(id base.PartitionID, b []byte) (AppendResult, error) {
		return wait(s.Append(AppendCommand{Partition: id, NowMillis: 1, Batch: b}))
	}
	first := batchOf(t, 5, 0, "a", "b")
	for _, tt := range []struct {
		batch []byte
		want  AppendResult
	}{
		{first, AppendResult{Offset: 0}},
		{batchOf(t, 5, 2, "c"), AppendResult{Offset: 2}},
		{first, AppendResult{Offset: 0, Duplicate: true}},
	} {
		if got, err := appendTo(100, tt.batch); err != nil || got != tt.want {
			t.Fatalf("got %+v, %v, want %+v", got, err, tt.want)
		}
	}
	var sequence *store.SequenceError
	if _, err := appendTo(100, batchOf(t, 5, 9, "x")); !errors.As(err, &sequence) || !errors.Is(err, store.ErrOutOfOrderSequence) ||
		sequence.ProducerID != 5 || sequence.Sequence != 9 || sequence.ExpectedNext != 3 || sequence.Partition != 100 {
		t.Fatalf("a gap: %v", err)
	}
	if _, err := appendTo(101, first); !errors.Is(err, store.ErrUnknownPartition) {
		t.Fatalf("an unknown partition: %v", err)
	}
	if _, err := appendTo(100, []byte("not a batch")); !errors.Is(err, recordbatch.ErrInvalidRecord) {
		t.Fatalf("garbage: %v", err)
	}
	if _, err := appendTo(100, append(first[:len(first):len(first)], 0)); !errors.Is(err, recordbatch.ErrInvalidRecord) {
		t.Fatalf("a batch and a byte: %v", err)
	}
	if _, err := appendTo(100, nil); err == nil {
		t.Fatal("nothing was appended")
	}
	if _, err := appendTo(100, make([]byte, DefaultMaxFrameBytes)); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("too large: %v", err)
	}
	if start, err := s.Trim(ctx, 100, 2); err != nil || start != 2 {
		t.Fatalf("trim: %d, %v", start, err)
	}
	var outside *store.OffsetOutOfRangeError
	if _, err := s.Trim(ctx, 100, 4); !errors.As(err, &outside) || outside.Offset != 4 || outside.HighWatermark != 3 || outside.LogStart != 2 {
		t.Fatalf("trim above the end: %v", err)
	}
	if err := s.DropPartition(ctx, 100); err != nil {
		t.Fatal(err)
	}
	if err := s.DropPartition(ctx, 100); err != nil {
		t.Fatalf("dropped again: %v", err)
	}
	if _, err := appendTo(100, first); !errors.Is(err, store.ErrUnknownPartition) {
		t.Fatal(err)
	}
	if err := s.Barrier(ctx); err != nil {
		t.Fatal(err)
	}
}

// Appends that are under way together keep their order.
func TestAppendsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	c := newDataCluster(t, 3, nil)
	c.createPartition(100)
	s := c.dataLeader().data
	var pending []*PendingAppend
	for i := range 500 {
		p, err := s.Append(AppendCommand{Partition: 100, NowMillis: 1, Batch: batchOf(t, 3, int32(i), "v")})
		if err != nil {
			t.Fatal(err)
		}
		pending = append(pending, p)
	}
	for i, p := range pending {
		if got, err := p.Wait(t.Context()); err != nil || got.Offset != base.Offset(i) {
			t.Fatalf("append %d: %+v, %v", i, got, err)
		}
	}
}

// A node that was away for longer than the log reaches back, and one that is new,
// are built from a Raft snapshot; a node whose disk was wiped comes back under a
// new id.
func TestReplicasAreBuiltFromRaftSnapshots(t *testing.T) {
	t.Parallel()
	c := newDataCluster(t, 3, func(c *Config) { c.SnapshotEntries, c.LogTailEntries = 16, 4 })
	c.createPartition(100)
	c.createPartition(101)
	ctx := t.Context()
	c.produce(100, 0, 30, 2000)
	var away *member
	for _, m := range c.nodes {
		if !m.data.IsLeader() {
			away = m
		}
	}
	away.close()
	c.produce(100, 30, 60, 2000)
	c.produce(101, 0, 40, 2000)
	away.open()
	away.startData(ShardConfig{Replica: base.ReplicaID(away.id)})
	for _, m := range c.nodes {
		m.requireBatches(100, 90)
		m.requireBatches(101, 40)
	}
	c.requireEqual()
	if in := away.node.Transfers(); len(in) == 0 || !in[0].Incoming || in[0].Bytes == 0 || in[0].Shard != dataShard {
		t.Errorf("the node that was away got %+v", in)
	}

	// A node joins without a vote, and gets it once it has caught up.
	fresh := &member{c: c, id: 4, disk: faultdisk.New(4), fs: NewMemFS()}
	c.nodes = append(c.nodes, fresh)
	fresh.open()
	change := func(what string, f func(s *DataShard, version uint64) error) {
		t.Helper()
		err := c.lead(func(ctx context.Context, s *DataShard) error {
			m, err := s.Membership(ctx)
			if err != nil {
				return err
			}
			return f(s, m.Version)
		})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	change("add", func(s *DataShard, v uint64) error { return s.AddNonVoting(ctx, 4, fresh.addr(), v) })
	fresh.startData(ShardConfig{Replica: 4, Join: true, NonVoting: true})
	fresh.requireBatches(100, 90)
	change("promote", func(s *DataShard, v uint64) error { return s.Promote(ctx, 4, fresh.addr(), v) })
	m, err := c.dataLeader().data.Membership(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Voters) != 4 || m.Voters[4] != fresh.addr() || len(m.NonVoting) != 0 {
		t.Fatalf("members %+v", m)
	}
	if err := c.dataLeader().data.RemoveReplica(ctx, 4, m.Version-1); !errors.Is(err, ErrRejected) {
		t.Fatalf("a change on an old view of the members: %v", err)
	}
	// The first is wiped, and replaced under a new id.
	wiped := c.nodes[0]
	wiped.close()
	change("remove", func(s *DataShard, v uint64) error { return s.RemoveReplica(ctx, 1, v) })
	wiped.disk, wiped.fs = faultdisk.New(5), NewMemFS()
	wiped.open()
	change("add", func(s *DataShard, v uint64) error { return s.AddReplica(ctx, 5, wiped.addr(), v) })
	wiped.startData(ShardConfig{Replica: 5, Join: true})
	c.produce(100, 90, 10, 10)
	for _, m := range c.nodes {
		m.requireBatches(100, 100)
		m.requireBatches(101, 40)
	}
	c.requireEqual()

	// The leadership goes where it is wanted.
	if err := c.dataLeader().data.Transfer(ctx, 5); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the new leader to know", wiped.data.IsLeader)

	// A replica that was removed leaves nothing, and does not start again.
	change("remove", func(s *DataShard, v uint64) error { return s.RemoveReplica(ctx, 4, v) })
	if err := fresh.node.StopShard(dataShard); err != nil && !errors.Is(err, ErrShardStopped) {
		t.Fatal(err)
	}
	if err := fresh.node.RemoveReplicaData(ctx, dataShard, 4); err != nil {
		t.Fatal(err)
	}
	if _, err := fresh.node.StartData(ShardConfig{Shard: dataShard, Replica: 6, Join: true}); !errors.Is(err, ErrOtherReplica) {
		t.Fatalf("a replica on the data of another: %v", err)
	}
	if err := fresh.store.RemoveShard(dataShard); err != nil {
		t.Fatal(err)
	}
	fresh.data = nil
}

// What retention frees waits for the Raft log; CompactLog moves that on.
func TestCompactLog(t *testing.T) {
	t.Parallel()
	c := newDataCluster(t, 3, nil)
	c.createPartition(100)
	c.produce(100, 0, 200, 100)
	for _, m := range c.nodes {
		if err := m.data.ReadIndex(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := m.data.CompactLog(t.Context()); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the log to be removed", func() bool {
			first, _, err := m.store.LogBounds(dataShard, base.ReplicaID(m.id))
			return err == nil && first > 100
		})
	}
	if err := c.nodes[0].data.CompactLog(t.Context()); err != nil {
		t.Errorf("again, with nothing to do: %v", err)
	}
	c.produce(100, 200, 10, 100)
	for _, m := range c.nodes {
		m.requireBatches(100, 210)
	}
}
