package leattest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/leatlog/leat"
	"github.com/leatlog/leat/internal/faultdisk"
	"github.com/leatlog/leat/internal/faultnet"
	"github.com/leatlog/leat/internal/seam"
	"github.com/leatlog/leat/replication"
)

const (
	raftPort   = 7001
	clientPort = 9092
	// clientName is the machine that Dial connects from.
	clientName = "client"
	// clusterDir is the directory of each node on its own disk.
	clusterDir = "/leat"
	// openTimeout bounds how long a node may take to become part of the cluster.
	openTimeout = time.Minute
	// Nodes are missed sooner than by default.
	heartbeatInterval = 200 * time.Millisecond
	sessionTimeout    = 2 * time.Second
)

// Cluster is a cluster whose nodes are in this process, each with a disk in memory,
// on a network of their own. Nodes have the numbers 1, 2, ... All methods may be
// called concurrently, but those that stop and start one node may not.
//
// A method that cannot do what it says ends the test, so that those that do are
// called from the test's goroutine; what is said of a number that is no node's does
// too.
type Cluster struct {
	t       testing.TB
	options settings
	net     *faultnet.Network
	seeds   map[uint64]string
	ending  sync.WaitGroup // of Logs that were killed

	mu    sync.Mutex
	nodes []*clusterNode // node i is at i-1; never shorter
}

// clusterNode is a machine. Its fields are guarded by Cluster.mu but the disk,
// which guards itself.
type clusterNode struct {
	id       int
	disk     *faultdisk.Disk
	log      *leat.Log // nil while it is down
	process  *faultnet.Process
	join     bool // it was not there when the cluster was formed, or was wiped
	isolated bool // by Isolate
	killed   map[*leat.Log]bool
}

// WithSeed sets the seed of what a Cluster's network and disks do by chance.
// Default 1.
func WithSeed(seed uint64) Option { return func(s *settings) { s.seed = seed } }

// NewCluster opens the nodes 1 to n of a new cluster and returns when all are part
// of it. Options apply to every node; WithDir is not for clusters. A WithConfig may
// set Config.Cluster; NewCluster fills in who and where the node is.
//
// When the test ends all nodes are closed, and the test fails if that fails or if a
// goroutine that began after NewCluster is still there, see New.
func NewCluster(t testing.TB, n int, options ...Option) *Cluster {
	t.Helper()
	c := &Cluster{t: t, options: newSettings(t), seeds: make(map[uint64]string)}
	c.options.config.InMemory = false
	for _, o := range options {
		if o != nil {
			o(&c.options)
		}
	}
	if n < 1 || c.options.config.Dir != "" {
		t.Fatalf("leattest: a cluster has at least one node and keeps them in memory; got %d nodes and directory %q", n, c.options.config.Dir)
	}
	before := goleak.IgnoreCurrent()
	c.net = faultnet.New(c.options.seed)
	for id := 1; id <= n; id++ {
		c.seeds[uint64(id)] = address(id, raftPort)
		c.add(id, false)
	}
	t.Cleanup(func() {
		c.close()
		if !c.options.leakCheck {
			return
		}
		if err := goleak.Find(before); err != nil {
			t.Errorf("leattest: goroutines are left: %v", err)
		}
	})
	ids := make([]int, n)
	for i := range ids {
		ids[i] = i + 1
	}
	c.Start(ids...)
	return c
}

func (c *Cluster) add(id int, join bool) {
	n := &clusterNode{id: id, disk: faultdisk.New(c.options.seed + uint64(id)), join: join, killed: make(map[*leat.Log]bool)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes = append(c.nodes, n)
	c.net.Node(name(id))
}

func name(id int) string { return fmt.Sprintf("node%d", id) }

func address(id, port int) string { return fmt.Sprintf("%s:%d", name(id), port) }

// close ends all nodes at once, and waits for those that were killed.
func (c *Cluster) close() {
	c.net.Heal()
	c.net.Fast()
	var all sync.WaitGroup
	c.mu.Lock()
	nodes := c.nodes
	c.mu.Unlock()
	for _, n := range nodes {
		n.disk.Repair()
		if l := c.take(n); l != nil {
			all.Go(func() {
				if err := closing(l); err != nil {
					c.t.Errorf("leattest: closing node %d: %v", n.id, err)
				}
			})
		}
	}
	all.Wait()
	c.ending.Wait()
}

// take takes the Log from a node, which is down from then on.
func (c *Cluster) take(n *clusterNode) *leat.Log {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := n.log
	n.log = nil
	return l
}

// node returns a node, or ends the test.
func (c *Cluster) node(id int) *clusterNode {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if id < 1 || id > len(c.nodes) {
		c.t.Fatalf("leattest: there is no node %d, only 1 to %d", id, len(c.nodes))
	}
	return c.nodes[id-1]
}

// Len returns how many nodes there are, down or not.
func (c *Cluster) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.nodes)
}

// Node returns the Log of a node, or nil while it is down. After Kill, Stop or Wipe
// and Start it is another one.
func (c *Cluster) Node(id int) *leat.Log {
	c.t.Helper()
	n := c.node(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	return n.log
}

// Start starts nodes that are down, at once, and returns when they are part of the
// cluster.
func (c *Cluster) Start(ids ...int) {
	c.t.Helper()
	var all sync.WaitGroup
	errs := make([]error, len(ids))
	for i, id := range ids {
		n := c.node(id)
		all.Go(func() { errs[i] = c.start(n) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		c.t.Fatalf("leattest: %v", err)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), openTimeout)
	defer cancel()
	for _, id := range ids {
		if l := c.Node(id); l != nil {
			if err := awaitActive(ctx, l, ids); err != nil {
				c.t.Fatalf("leattest: node %d: %v", id, err)
			}
		}
	}
}

// awaitActive returns when a node knows that others are alive.
func awaitActive(ctx context.Context, l *leat.Log, ids []int) error {
	for {
		info, err := l.ClusterInfo(ctx)
		if err != nil {
			return err
		}
		active := 0
		for _, n := range info.Nodes {
			if n.State == "active" && slices.Contains(ids, int(n.ID)) {
				active++
			}
		}
		if active == len(ids) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not all of nodes %v were known to be active: %w", ids, ctx.Err())
		case <-time.After(5 * time.Millisecond): // until it has heard of them
		}
	}
}

func (c *Cluster) start(n *clusterNode) error {
	c.mu.Lock()
	if n.log != nil {
		c.mu.Unlock()
		return fmt.Errorf("node %d is running", n.id)
	}
	n.process = c.net.Node(name(n.id)).Process()
	if !n.isolated {
		c.net.Rejoin(name(n.id))
	}
	cfg := c.options.config
	fs := n.disk.FS()
	cfg.Dir = clusterDir
	cfg.Machine = seam.Machine{FS: fs, RaftFS: replication.NewFS(fs), Network: n.process}
	cfg.Logger = cfg.Logger.With(slog.Int("node", n.id))
	cluster := leat.ClusterConfig{HeartbeatInterval: heartbeatInterval, SessionTimeout: sessionTimeout}
	if cfg.Cluster != nil {
		cluster = *cfg.Cluster
	}
	cluster.Insecure = cluster.TLS == nil // nobody else is on this network
	cluster.NodeID = uint64(n.id)
	cluster.RaftAddr, cluster.ClientAddr = address(n.id, raftPort), address(n.id, clientPort)
	cluster.Seeds, cluster.Join = c.seeds, n.join
	cfg.Cluster = &cluster
	c.mu.Unlock()

	ctx, cancel := context.WithTimeout(c.t.Context(), openTimeout)
	defer cancel()
	l, err := leat.Open(ctx, cfg)
	if err != nil {
		return fmt.Errorf("node %d cannot be opened: %w", n.id, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n.log = l
	return nil
}

// Kill takes the power from nodes, all at the same time: what their disks have not
// synced is lost, and the network does not say that they are gone. Their Logs are
// closed.
//
// The goroutines of a test outlive the node that they use. What a Log of a killed
// node answers them nobody would have seen: Killed tells.
func (c *Cluster) Kill(ids ...int) { c.t.Helper(); c.Crash(0, ids...) }

// Crash is Kill with disks that keep some of what was not synced, 0 to 100 percent,
// chosen by chance. With 100 it is what kill -9 does.
func (c *Cluster) Crash(unsyncedPercent int, ids ...int) {
	c.t.Helper()
	var nodes []*clusterNode
	for _, id := range ids {
		nodes = append(nodes, c.node(id))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range nodes { // first of all nobody hears of them any more
		if n.log == nil {
			c.t.Errorf("leattest: node %d is down", n.id)
			continue
		}
		n.killed[n.log] = true
		c.net.Isolate(name(n.id))
	}
	for _, n := range nodes {
		c.net.Node(name(n.id)).Crash()
		n.disk.Crash(unsyncedPercent)
		if l := n.log; l != nil {
			n.log = nil
			c.ending.Go(func() { _ = l.Close() }) // its disk and network are gone
		}
	}
}

// Killed tells whether a Log's node was killed since it was opened. A call whose
// result came before Killed is asked, and says no, had its effect before the node
// died.
func (c *Cluster) Killed(l *leat.Log) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.nodes {
		if n.killed[l] {
			return true
		}
	}
	return false
}

// Stop closes a node's Log as a program that ends in order does.
func (c *Cluster) Stop(id int) {
	c.t.Helper()
	n := c.node(id)
	l := c.take(n)
	if l == nil {
		c.t.Fatalf("leattest: node %d is down", id)
	}
	if err := closing(l); err != nil {
		c.t.Fatalf("leattest: closing node %d: %v", id, err)
	}
}

// closing closes a Log. That its disk has failed, or that its group members could not
// reach their coordinator to leave, is what the test did to it.
func closing(l *leat.Log) error {
	err := l.Close()
	if errors.Is(err, leat.ErrStorageFailed) || errors.Is(err, leat.ErrGroupNotAvailable) {
		return nil
	}
	return err
}

// Restart stops a node that is not down, and starts it.
func (c *Cluster) Restart(id int) {
	c.t.Helper()
	if c.Node(id) != nil {
		c.Stop(id)
	}
	c.Start(id)
}

// Wipe kills a node, if it is not down, and gives it an empty disk. After Start it
// is the node of its number with nothing on its disk.
func (c *Cluster) Wipe(id int) {
	c.t.Helper()
	if c.Node(id) != nil {
		c.Kill(id)
	}
	n := c.node(id)
	n.disk.Wipe()
	c.mu.Lock()
	defer c.mu.Unlock()
	n.join = true
}

// AddNode adds a node to the cluster and returns its number.
func (c *Cluster) AddNode() int {
	c.t.Helper()
	id := c.Len() + 1
	c.add(id, true)
	c.Start(id)
	return id
}

// ClientAddrs returns where Kafka's clients find the nodes, with Dial.
func (c *Cluster) ClientAddrs() []string {
	var addrs []string
	for id := 1; id <= c.Len(); id++ {
		addrs = append(addrs, address(id, clientPort))
	}
	return addrs
}

// Dial connects a client to a node, from a machine of its own. It is what Kafka's
// clients in Go take to connect; the network is ignored.
func (c *Cluster) Dial(ctx context.Context, _, addr string) (net.Conn, error) {
	return c.net.Node(clientName).Dial(ctx, addr)
}
