package replication

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/faultdisk"
	"github.com/leatlog/leat/internal/faultnet"
	"github.com/leatlog/leat/internal/store"
)

// cluster is nodes in one process, with disks in memory and a network that can
// be cut.
type cluster struct {
	t     testing.TB
	net   *faultnet.Network
	nodes []*member
	tune  func(*Config)
	mu    sync.RWMutex // guards data of nodes, where goroutines use it
}

// member is one node of a cluster; what is open is nil while it is down.
type member struct {
	c    *cluster
	id   base.NodeID
	disk *faultdisk.Disk
	fs   *FS

	store     *store.Store
	transport *Transport
	node      *Node
	meta      *MetaShard
	data      *DataShard
	register  *register
}

func (m *member) addr() string { return fmt.Sprintf("node%d:7001", m.id) }

func newCluster(t testing.TB, nodes int, tune func(*Config)) *cluster {
	t.Helper()
	c := &cluster{t: t, net: faultnet.New(1), tune: tune}
	for i := range nodes {
		m := &member{c: c, id: base.NodeID(i + 1), disk: faultdisk.New(uint64(i)), fs: NewMemFS()}
		c.nodes = append(c.nodes, m)
		m.open()
	}
	t.Cleanup(func() {
		for _, m := range c.nodes {
			m.close()
		}
	})
	return c
}

func (m *member) open() {
	m.c.t.Helper()
	if err := m.tryOpen(); err != nil {
		m.c.t.Fatal(err)
	}
}

func (m *member) tryOpen() error {
	t := m.c.t
	t.Helper()
	var err error
	if m.store, err = store.Open(store.Options{Dir: "store", FS: m.disk.FS()}); err != nil {
		t.Fatal(err)
	}
	m.transport, err = NewTransport(TransportConfig{NodeID: m.id, ClusterID: "c", RaftAddr: m.addr(),
		Network: m.c.net.Node(fmt.Sprintf("node%d", m.id)), Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.transport.Listen(); err != nil {
		t.Fatal(err)
	}
	conf := Config{Transport: m.transport, Store: m.store, Dir: "raft", FS: m.fs, Tick: 10 * time.Millisecond}
	if m.c.tune != nil {
		m.c.tune(&conf)
	}
	m.node, err = Open(t.Context(), conf)
	return err
}

func (m *member) close() {
	if m.node == nil {
		return
	}
	t := m.c.t
	if err := m.node.Close(); err != nil {
		t.Error(err)
	}
	if err := m.transport.Close(); err != nil {
		t.Error(err)
	}
	if err := m.store.Close(); err != nil && !errors.Is(err, store.ErrFailed) {
		t.Error(err)
	}
	m.node, m.meta = nil, nil
	m.c.mu.Lock()
	m.data = nil
	m.c.mu.Unlock()
}

// powerOff takes a node's power: what was not synced is lost but for a part. The
// node is cut off first, for in this process it goes on until it is closed, and
// would confirm what it writes to a disk that is gone.
func (m *member) powerOff(unsyncedPercent int) {
	m.fs.Crash(func() {
		m.c.net.Isolate(fmt.Sprintf("node%d", m.id))
		m.disk.Crash(unsyncedPercent)
	})
}

// powerOn is called when the node is closed, before it is opened again.
func (m *member) powerOn() {
	m.fs.Restart()
	m.c.net.Rejoin(fmt.Sprintf("node%d", m.id))
}

func (c *cluster) members() map[base.ReplicaID]string {
	out := make(map[base.ReplicaID]string)
	for _, m := range c.nodes {
		out[base.ReplicaID(m.id)] = m.addr()
	}
	return out
}

const metaShard base.ShardID = 1

func (m *member) startMeta(members map[base.ReplicaID]string) {
	t := m.c.t
	t.Helper()
	m.register = &register{}
	var err error
	m.meta, err = m.node.StartMeta(ShardConfig{Shard: metaShard, Replica: base.ReplicaID(m.id), Members: members}, m.register)
	if err != nil {
		t.Fatal(err)
	}
}

// register is a MetaMachine that keeps the sum and the number of what was
// proposed, each a number.
type register struct {
	mu       sync.Mutex
	sum, n   uint64
	restored int
}

func (r *register) Apply(_ base.RaftIndex, cmd []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum += binary.BigEndian.Uint64(cmd)
	r.n++
	return binary.BigEndian.AppendUint64(nil, r.sum)
}

func (r *register) Snapshot(w io.Writer) error {
	sum, n := r.state()
	_, err := w.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, sum), n))
	return err
}

func (r *register) Restore(from io.Reader) error {
	var b [16]byte
	if _, err := io.ReadFull(from, b[:]); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum, r.n = binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])
	r.restored++
	return nil
}

func (r *register) state() (sum, n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sum, r.n
}

// metaLeader waits until a node that is up leads the metadata.
func (c *cluster) metaLeader() *member {
	c.t.Helper()
	var leader *member
	waitFor(c.t, "a leader", func() bool {
		for _, m := range c.nodes {
			if m.meta != nil && m.meta.IsLeader() {
				leader = m
				return true
			}
		}
		return false
	})
	return leader
}

// add proposes a number until it is certain that it was applied.
func (c *cluster) add(v uint64) uint64 {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	for {
		got, err := c.metaLeader().meta.Propose(ctx, binary.BigEndian.AppendUint64(nil, v))
		if err == nil {
			return binary.BigEndian.Uint64(got)
		}
		if !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrDropped) {
			c.t.Fatal(err)
		}
	}
}

func (c *cluster) requireSum(want uint64) {
	c.t.Helper()
	for _, m := range c.nodes {
		if m.meta == nil {
			continue
		}
		if err := m.meta.ReadIndex(c.t.Context()); err != nil {
			c.t.Fatalf("node %d: %v", m.id, err)
		}
		if sum, _ := m.register.state(); sum != want {
			c.t.Errorf("node %d has the sum %d, want %d", m.id, sum, want)
		}
	}
}

func TestMetaSurvivesLeaders(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, func(c *Config) { c.SnapshotEntries, c.LogTailEntries = 20, 5 })
	for _, m := range c.nodes {
		m.startMeta(c.members())
	}
	var sum uint64
	add := func(n int) {
		for i := range n {
			sum += uint64(i)
			if got := c.add(uint64(i)); got != sum {
				t.Fatalf("got the sum %d, want %d", got, sum)
			}
		}
	}
	add(10)
	c.requireSum(sum)
	for range 3 {
		dead := c.metaLeader()
		dead.close()
		add(50) // the log moves on to where only a Raft snapshot leads
		dead.open()
		dead.startMeta(nil)
		c.requireSum(sum)
	}
	// All at once.
	for _, m := range c.nodes {
		m.close()
	}
	for _, m := range c.nodes {
		m.open()
		m.startMeta(nil)
	}
	c.requireSum(sum)
	add(1)
	restored := 0
	for _, m := range c.nodes {
		restored += m.register.restored
	}
	if restored == 0 {
		t.Error("no Raft snapshot was restored")
	}
}
