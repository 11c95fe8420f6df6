package leat

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/peer"
	"github.com/leatlog/leat/raftmeta"
	"github.com/leatlog/leat/replication"
)

// cluster is this node's part in its cluster: its replicas, what it knows of the
// others, and the goroutines that keep both as the metadata says.
type cluster struct {
	log         *Log
	cfg         ClusterConfig
	self        base.NodeID
	incarnation raftmeta.Incarnation
	proposal    string // the id of a cluster that this node would form

	transport *replication.Transport
	node      *replication.Node
	machine   *raftmeta.Machine
	peers     *peer.Pool
	topics    *metaTopics
	leaders   leaderTable
	shards    clusterShards
	clients   net.Listener // at the client address
	listener  *clusterListener
	loaded    loadedGroups
	// arrived fires when a partition came to this node, or went.
	arrived  broadcast
	arrivals *arrivals

	meta     atomic.Pointer[replication.MetaShard]
	epoch    atomic.Uint64 // of the registration; 0 before it
	seedTurn atomic.Uint32
	beatNow  chan struct{} // room for one
	serving  atomic.Bool   // the node takes requests of clients
	stopping atomic.Bool   // the node is about to close
	removed  atomic.Bool   // the node was removed from the cluster
	// leaderChanges counts those of the shards that run here.
	leaderChanges atomic.Int64

	mu       sync.Mutex
	identity clusterIdentity
	liveness *livenessState    // while this node leads the metadata
	told     map[string]string // what cannot be done and why, as last logged

	ctx    context.Context // ends with the Log
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// changing ends when the Log begins to close, so that what waits for the metadata does
	// not keep it.
	changing   context.Context
	endChanges context.CancelFunc
}

// openCluster makes the Log a node of its cluster. It returns once the node is a part
// of it, which may have to wait for others until ctx ends.
func openCluster(ctx context.Context, l *Log) (_ *cluster, err error) {
	c := &cluster{
		log: l, cfg: l.cfg.Cluster.withDefaults(), self: base.NodeID(l.cfg.Cluster.NodeID),
		machine: raftmeta.NewMachine(), beatNow: make(chan struct{}, 1), arrivals: newArrivals(),
	}
	c.topics = &metaTopics{catalog: &l.catalog, cluster: c}
	_, _ = rand.Read(c.incarnation[:]) // never fails, by its documentation
	if c.proposal = c.cfg.ClusterID; c.proposal == "" {
		c.proposal = newTopicID().String()
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.changing, c.endChanges = context.WithCancel(c.ctx)
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	if c.identity, err = loadIdentity(l.store, l.cfg.Dir, &c.cfg); err != nil {
		return nil, err
	}
	if err := c.listen(); err != nil {
		return nil, err
	}
	if c.identity.ClusterID == "" {
		err = c.enter(ctx)
	} else {
		err = c.checkRemoved(ctx)
	}
	if err != nil {
		return nil, err
	}
	if err := c.transport.SetClusterID(c.identity.ClusterID); err != nil {
		return nil, err
	}
	if err := c.startNode(ctx); err != nil {
		return nil, err
	}
	if err := c.startPeers(); err != nil {
		return nil, err
	}
	c.wg.Go(c.follow)
	if err := c.bootstrap(ctx); err != nil {
		return nil, err
	}
	if err := c.register(ctx); err != nil {
		return nil, err
	}
	c.wg.Go(c.heartbeats)
	c.wg.Go(c.control)
	c.wg.Go(c.keepGroups)
	if err := c.awaitActive(ctx); err != nil {
		return c, err
	}
	return c, c.awaitLeaders(ctx)
}

// leadersMax bounds how long a node that starts waits to hear of the leaders.
const leadersMax = 3 * time.Second

// awaitLeaders returns when this node knows who leads its shards: a client that asks it
// for a leader gets an answer from its first moment on. A shard may have none, so that
// the wait has an end.
func (c *cluster) awaitLeaders(ctx context.Context) error {
	timer := c.log.cfg.Clock.NewTimer(leadersMax)
	defer timer.Stop()
	for {
		changed, known := c.leaders.next(), true
		for s := range c.machine.Image().Shards() {
			known = known && c.leading(s.ID).Node != 0
		}
		if known {
			return nil
		}
		select {
		case <-changed:
		case <-timer.C():
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// listen takes calls of other nodes.
func (c *cluster) listen() (err error) {
	c.transport, err = replication.NewTransport(replication.TransportConfig{
		NodeID:                 c.self,
		ClusterID:              c.identity.ClusterID,
		RaftAddr:               c.cfg.RaftAddr,
		ListenAddr:             c.cfg.RaftListen,
		Network:                c.log.cfg.Machine.Network,
		TLS:                    replication.TLSSource(c.cfg.TLS),
		Insecure:               c.cfg.Insecure,
		SnapshotBytesPerSecond: max(0, c.cfg.SnapshotBytesPerSecond),
		Call:                   c.serveCall,
		Logger:                 c.log.cfg.Logger,
	})
	if err != nil {
		return fmt.Errorf("leat: %w", err)
	}
	if err := c.transport.Listen(); err != nil {
		return fmt.Errorf("leat: node %d cannot listen for its peers: %w", c.self, err)
	}
	return c.listenForClients()
}

// startNode starts replication, with the metadata.
func (c *cluster) startNode(ctx context.Context) (err error) {
	c.node, err = replication.Open(ctx, replication.Config{
		Transport:      c.transport,
		Store:          c.log.store,
		Dir:            filepath.Join(c.log.cfg.Dir, "raft"),
		FS:             c.raftFS(),
		Logger:         c.log.cfg.Logger,
		OnLeaderChange: c.leaderChanged,
		OnPartitions:   c.arrivals.note,
		OnFail:         c.log.cfg.Hooks.StorageFailed,
	})
	if err != nil {
		return fmt.Errorf("leat: node %d: %w", c.self, err)
	}
	members := make(map[base.ReplicaID]string)
	for i, m := range c.identity.Founders {
		members[base.ReplicaID(i+1)] = m.RaftAddr
	}
	meta, err := c.node.StartMeta(replication.ShardConfig{
		Shard:   raftmeta.MetadataShard,
		Replica: c.identity.Replica,
		Members: members,
		Join:    len(members) == 0,
		// Who joins is an observer first. If it was promoted since, its Raft log says so.
		NonVoting: len(members) == 0,
	}, c.machine)
	if err != nil {
		return fmt.Errorf("leat: node %d: the metadata: %w", c.self, err)
	}
	c.meta.Store(meta)
	return nil
}

// raftFS is where Raft has its files: beside the store's, in memory if that is there.
func (c *cluster) raftFS() *replication.FS {
	fs := c.log.cfg.Machine.RaftFS
	if fs == nil && c.log.cfg.fs != nil {
		fs = replication.NewMemFS()
	}
	return fs
}

// startPeers makes ready to send requests to the client addresses of others.
func (c *cluster) startPeers() (err error) {
	cfg := peer.Config{ClientID: fmt.Sprintf("leat-node-%d", c.self), Logger: c.log.cfg.Logger}
	if n := c.log.cfg.Machine.Network; n != nil {
		cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return n.Dial(ctx, addr) }
	}
	if c.cfg.TLS != nil {
		first, err := c.cfg.TLS()
		if err != nil {
			return fmt.Errorf("leat: Config.Cluster.TLS: %w", err)
		}
		cfg.TLS = reloadingPeerTLS(first, c.cfg.TLS)
	}
	c.peers, err = peer.New(cfg)
	return err
}

// metaShard is the metadata's Raft group, nil before it was started.
func (c *cluster) metaShard() *replication.MetaShard { return c.meta.Load() }

// leaderChanged is told by replication. It must not block.
func (c *cluster) leaderChanged(shard base.ShardID, leader base.ReplicaID, term uint64) {
	node := c.nodeOf(shard, leader)
	if node == c.self {
		select {
		case c.beatNow <- struct{}{}:
		default:
		}
	}
	if at := c.leaders.get(shard); leader == 0 && at.Term == term {
		c.leaders.lost(at) // it hears of no majority
	}
	if c.leaders.learn(leadership{Shard: shard, Node: node, Term: term}) && leader != 0 {
		c.leaderChanges.Add(1)
	}
	if s := c.shards.get(shard); s != nil {
		s.kick()
	}
}

// nodeOf returns the node of a replica, 0 if it is not known.
func (c *cluster) nodeOf(shard base.ShardID, replica base.ReplicaID) base.NodeID {
	if replica == 0 {
		return 0
	}
	if s := c.machine.Image().Shard(shard); s != nil {
		if r, ok := s.Replica(replica); ok {
			return r.Node
		}
	}
	if founders := c.founders(); shard == raftmeta.MetadataShard && int(replica) <= len(founders) {
		return founders[replica-1].Node
	}
	if s := c.shards.get(shard); s != nil && s.replica == replica {
		return c.self
	}
	return 0
}

// awaitActive returns when the cluster takes this node for alive, and the catalog has
// what was there before.
func (c *cluster) awaitActive(ctx context.Context) error {
	w := c.machine.Watch(nil)
	defer w.Close()
	for {
		d, err := w.Next(ctx)
		if err != nil {
			return fmt.Errorf("leat: node %d was not taken into its cluster: %w", c.self, err)
		}
		if b := d.To.Broker(c.self); b != nil && uint64(b.Epoch) >= c.epoch.Load() && !b.Fenced {
			c.topics.adopt(d.To)
			return nil
		}
	}
}

// close ends all that the node does. Its replicas stop; others go on.
func (c *cluster) close() error {
	c.cancel()
	var errs []error
	if c.listener != nil {
		errs = append(errs, c.listener.close())
	} else if c.clients != nil {
		errs = append(errs, c.clients.Close())
	}
	if c.peers != nil {
		c.peers.Close()
	}
	c.wg.Wait()
	if c.node != nil {
		errs = append(errs, c.node.Close())
	}
	if c.transport != nil {
		errs = append(errs, c.transport.Close())
	}
	return errors.Join(errs...)
}
