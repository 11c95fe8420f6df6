package replication

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"
	"github.com/lni/vfs"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/store"
)

// Node runs the replicas of a node of a cluster. Its methods may be called
// concurrently.
type Node struct {
	cfg   Config
	fault *fault
	host  *dragonboat.NodeHost

	done chan struct{} // closed by Close, for watchFault
	wg   sync.WaitGroup

	counters counters
	commands sync.Pool      // *[]byte, to encode commands in
	calls    sync.WaitGroup // those that use host
	mu       sync.Mutex
	// shards is what runs here, or has been stopped and not started again.
	shards  map[base.ShardID]*Shard
	closing bool
	closed  chan struct{} // closed when Close is through
}

func osFS() *FS { return &FS{vfs.Default} }

// Open starts a Node. Its shards are started one by one with StartData and
// StartMeta, also after a restart. The directory must be of the same node: one
// with another Raft address is an error.
func Open(ctx context.Context, c Config) (*Node, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.FS.fs == vfs.Default {
		dir, err := filepath.Abs(c.Dir)
		if err != nil {
			return nil, fmt.Errorf("replication: %w", err)
		}
		c.Dir = dir
	} else {
		c.Dir = "/" + strings.TrimPrefix(c.Dir, "/")
	}
	n := &Node{
		cfg:    c,
		fault:  newFault(c.Transport.seal),
		done:   make(chan struct{}),
		shards: make(map[base.ShardID]*Shard),
		closed: make(chan struct{}),
	}
	n.commands.New = func() any { return new([]byte) }
	fs, err := newRaftFS(c.FS.fs, c.Dir, n.fault)
	if err != nil {
		return nil, fmt.Errorf("replication: %w", err)
	}
	if err := mkdirSynced(c.FS.fs, c.Dir); err != nil {
		return nil, fmt.Errorf("replication: %w", err)
	}
	raftLoggers.add(c.Logger)
	if n.host, err = n.openHost(fs); err != nil {
		raftLoggers.remove(c.Logger)
		return nil, err
	}
	n.wg.Add(1)
	go n.watchFault()
	return n, nil
}

func (n *Node) openHost(fs *raftFS) (*dragonboat.NodeHost, error) {
	logs := newLogDB(n.cfg.Store, n.fault, fs.from+string(os.PathSeparator))
	hc := config.NodeHostConfig{
		NodeHostDir:       n.cfg.Dir,
		RTTMillisecond:    uint64(n.cfg.Tick / time.Millisecond),
		RaftAddress:       n.cfg.Transport.Addr(),
		RaftEventListener: listener{n},
		// What is over these is dropped and sent again.
		MaxSendQueueSize:    64 << 20,
		MaxReceiveQueueSize: 64 << 20,
		Expert: config.ExpertConfig{
			LogDBFactory:     logDBFactory{logs},
			TransportFactory: transportFactory{t: n.cfg.Transport, check: n.checkMessage},
			// It cannot be changed once a directory was used with it.
			Engine: config.EngineConfig{ExecShards: 4, CommitShards: 1, ApplyShards: 4, SnapshotShards: 4, CloseShards: 2},
			LogDB:  config.GetTinyMemLogDBConfig(),
			FS:     fs,
		},
	}
	host, err := newHost(hc)
	if err != nil && strings.Contains(err.Error(), "hostname changed") {
		// The address was the same, which is what matters; dragonboat writes
		// the file anew.
		if err := fs.Remove(fs.PathJoin(n.cfg.Dir, flagFile)); err != nil {
			return nil, fmt.Errorf("replication: %w", err)
		}
		host, err = newHost(hc)
	}
	if err != nil {
		return nil, fmt.Errorf("replication: open %s: %w", n.cfg.Dir, err)
	}
	return host, nil
}

// ErrLogLost is in the failure of a node that runs a replica whose log, or the end
// of it, is gone, as after its disk was replaced or restored from a copy.
var ErrLogLost = errors.New("the end of the replica's log is lost; remove the replica and add another under a new id")

// checkMessage fails the node when a leader says that a replica here has had what
// it does not have. dragonboat would panic; and such a replica must not vote, for
// it has forgotten what it voted for and what it took.
func (n *Node) checkMessage(m *pb.Message) error {
	if m.Type != pb.Heartbeat || m.Commit == 0 {
		return nil
	}
	// A heartbeat commits what the replica has confirmed, at most.
	_, last, err := n.cfg.Store.LogBounds(base.ShardID(m.ShardID), base.ReplicaID(m.To))
	if err != nil || uint64(last) >= m.Commit {
		return nil // what cannot be read is noticed by whoever needs it
	}
	if _, index, ok, err := n.cfg.Store.LogSnapshot(base.ShardID(m.ShardID), base.ReplicaID(m.To)); err != nil || ok && uint64(index) >= m.Commit {
		return nil
	}
	s, err := n.Shard(base.ShardID(m.ShardID))
	if err != nil || s.replica != base.ReplicaID(m.To) {
		return nil // it does not run here
	}
	n.fault.fail(fmt.Errorf("shard %d, replica %d: %w: it has entries up to %d, and had confirmed %d", m.ShardID, m.To, ErrLogLost, last, m.Commit))
	return n.fault.err()
}

// flagFile is where dragonboat keeps whose directory it is.
const flagFile = "dragonboat.ds"

// newHost opens a NodeHost.
func newHost(c config.NodeHostConfig) (host *dragonboat.NodeHost, err error) {
	err = caught(func() error {
		var err error
		host, err = dragonboat.NewNodeHost(c)
		return err
	})
	return host, err
}

// caught returns an error that dragonboat panics with as an error.
func caught(f func() error) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case error:
			err = r
		default:
			err = fmt.Errorf("%v", r)
		}
	}()
	return f()
}

// Addr returns the Raft address.
func (n *Node) Addr() string { return n.cfg.Transport.Addr() }

// Err returns why the node has failed, nil if it has not. It matches
// store.ErrFailed.
func (n *Node) Err() error { return n.fault.err() }

// Transfers returns the Raft snapshots that are on their way; see
// Transport.Transfers.
func (n *Node) Transfers() []Transfer { return n.cfg.Transport.Transfers() }

func (n *Node) watchFault() {
	defer n.wg.Done()
	select {
	case <-n.fault.failed:
	case <-n.done:
		return
	}
	err := n.fault.err()
	n.cfg.Logger.Error("the node has failed and replicates nothing any more", "err", err)
	if n.cfg.OnFail != nil {
		n.cfg.OnFail(err)
	}
}

// Close stops all shards and waits for their goroutines; what waits for a result
// gets ErrClosed. It is idempotent, and returns once the Node is closed.
func (n *Node) Close() error {
	n.mu.Lock()
	first := !n.closing
	n.closing = true
	n.mu.Unlock()
	if !first {
		<-n.closed
		return nil
	}
	close(n.done)
	n.mu.Lock()
	var stop []*Shard
	for _, s := range n.shards {
		stop = append(stop, s)
	}
	n.mu.Unlock()
	for _, s := range stop {
		// What the caller may have done already.
		if err := n.host.StopReplica(uint64(s.id), uint64(s.replica)); err != nil && !errors.Is(err, dragonboat.ErrShardNotFound) {
			n.cfg.Logger.Warn("stopping a replica failed", "shard", s.id, "replica", s.replica, "err", err)
		}
	}
	n.fault.release()
	n.calls.Wait()
	n.host.Close()
	raftLoggers.remove(n.cfg.Logger)
	n.wg.Wait()
	close(n.closed)
	return nil
}

// enter is called before the NodeHost is used, and leave after: it does not
// forgive being used once it is closed.
func (n *Node) enter() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closing {
		return ErrClosed
	}
	if err := n.fault.err(); err != nil {
		return err
	}
	n.calls.Add(1)
	return nil
}

func (n *Node) leave() { n.calls.Done() }

// listener gets dragonboat's events.
type listener struct{ n *Node }

var _ raftio.IRaftEventListener = listener{}

func (l listener) LeaderUpdated(i raftio.LeaderInfo) {
	if f := l.n.cfg.OnLeaderChange; f != nil {
		f(base.ShardID(i.ShardID), base.ReplicaID(i.LeaderID), i.Term)
	}
}

// ShardConfig is what a replica of a shard is started with.
type ShardConfig struct {
	Shard   base.ShardID
	Replica base.ReplicaID
	// Members is the Raft addresses of the replicas that the shard begins with,
	// the same for each of them; empty with Join, and at a restart it may be.
	Members map[base.ReplicaID]string
	// Join says that the replica was added to a shard that exists, with
	// AddReplica or AddNonVoting; again at a restart.
	Join bool
	// NonVoting says that it was added with AddNonVoting. Whether it was promoted
	// since is found in the directory.
	NonVoting bool
}

func (c *ShardConfig) validate() error {
	switch {
	case c.Shard == 0 || c.Replica == 0:
		return fmt.Errorf("replication: shard %d, replica %d: ids begin at 1", c.Shard, c.Replica)
	case c.Join && len(c.Members) > 0:
		return fmt.Errorf("replication: shard %d: a replica that joins learns of the members from the shard", c.Shard)
	case !c.Join && c.NonVoting && len(c.Members) > 0:
		return fmt.Errorf("replication: shard %d: replica %d cannot be among the first members and not vote", c.Shard, c.Replica)
	}
	for id, addr := range c.Members {
		if id == 0 || !isAddress(addr) {
			return fmt.Errorf("replication: shard %d: member %d at %q: not an id and host:port", c.Shard, id, addr)
		}
	}
	return nil
}

// nonVoting tells whether a replica begins without a vote: dragonboat takes the members
// from the last Raft snapshot, and whom that has as a voter must begin as one; the log
// behind it promotes the others.
func (n *Node) nonVoting(c *ShardConfig) (bool, error) {
	if !c.NonVoting {
		return false, nil
	}
	v, _, ok, err := n.cfg.Store.LogSnapshot(c.Shard, c.Replica)
	if err != nil || !ok {
		return true, err
	}
	var s pb.Snapshot
	if err := s.Unmarshal(v); err != nil {
		return false, fmt.Errorf("%w: the record of the Raft snapshot: %w", store.ErrCorrupt, err)
	}
	_, votes := s.Membership.Addresses[uint64(c.Replica)]
	return !votes, nil
}

// start starts a replica with one of NodeHost's methods.
func (n *Node) start(c ShardConfig, do func(members map[uint64]dragonboat.Target, rc config.Config) error) (*Shard, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	if err := n.enter(); err != nil {
		return nil, err
	}
	defer n.leave()
	nonVoting, err := n.nonVoting(&c)
	if err != nil {
		return nil, fmt.Errorf("replication: start shard %d, replica %d: %w", c.Shard, c.Replica, err)
	}
	members := make(map[uint64]dragonboat.Target, len(c.Members))
	for id, addr := range c.Members {
		members[uint64(id)] = addr
	}
	err = caught(func() error {
		return do(members, config.Config{
			ShardID:             uint64(c.Shard),
			ReplicaID:           uint64(c.Replica),
			ElectionRTT:         uint64(n.cfg.ElectionTicks),
			HeartbeatRTT:        uint64(n.cfg.HeartbeatTicks),
			CheckQuorum:         true,
			PreVote:             true,
			OrderedConfigChange: true,
			Quiesce:             n.cfg.Quiesce,
			IsNonVoting:         nonVoting,
			SnapshotEntries:     uint64(n.cfg.SnapshotEntries),
			CompactionOverhead:  uint64(n.cfg.LogTailEntries),
			MaxInMemLogSize:     uint64(n.cfg.MaxUnappliedBytes),
		})
	})
	if err := n.fault.err(); err != nil {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("replication: start shard %d, replica %d: %w", c.Shard, c.Replica, hostError(err, c.Shard))
	}
	s, err := newShard(n, c)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.shards[c.Shard] = s
	n.mu.Unlock()
	return s, nil
}

// Shard returns a shard that was started here.
func (n *Node) Shard(id base.ShardID) (*Shard, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closing {
		return nil, ErrClosed
	}
	if s := n.shards[id]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("shard %d: %w", id, ErrShardStopped)
}

// StopShard stops a shard's replica on this node; its data stay, and it may be
// started again. It does not wait for calls that are under way, which get
// ErrShardStopped.
func (n *Node) StopShard(id base.ShardID) error {
	if err := n.enter(); err != nil {
		return err
	}
	defer n.leave()
	s, err := n.Shard(id)
	if err != nil {
		return err
	}
	err = hostError(n.host.StopReplica(uint64(id), uint64(s.replica)), id)
	if err != nil && !errors.Is(err, ErrShardStopped) { // it stops by itself when it has been removed
		return fmt.Errorf("replication: stop shard %d: %w", id, err)
	}
	n.mu.Lock()
	delete(n.shards, id)
	n.mu.Unlock()
	return nil
}

// RemoveReplicaData removes what is here of the Raft log of a replica that was
// removed from its shard and stopped; it can never be started again. The
// partitions' data stay until the store removes the shard. It waits for the
// replica to be unloaded.
func (n *Node) RemoveReplicaData(ctx context.Context, shard base.ShardID, replica base.ReplicaID) error {
	if err := n.enter(); err != nil {
		return err
	}
	defer n.leave()
	ctx, cancel := n.bound(ctx)
	defer cancel()
	for {
		err := caught(func() error { return n.host.RemoveData(uint64(shard), uint64(replica)) })
		if !errors.Is(err, dragonboat.ErrShardNotStopped) {
			if err != nil {
				err = fmt.Errorf("replication: remove shard %d, replica %d: %w", shard, replica, hostError(err, shard))
			}
			return err
		}
		if err := n.pause(ctx); err != nil {
			return err
		}
	}
}

// pause waits between two tries of what has no event to wait for.
func (n *Node) pause(ctx context.Context) error {
	t := time.NewTimer(n.cfg.Tick)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-n.done:
		return ErrClosed
	case <-n.fault.failed:
		return n.fault.err()
	}
}

// bound returns a context with a deadline, as dragonboat needs one.
func (n *Node) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, n.cfg.ProposeTimeout)
}

// hostError gives dragonboat's errors this package's names.
func hostError(err error, shard base.ShardID) error {
	switch {
	case errors.Is(err, dragonboat.ErrSystemBusy):
		return fmt.Errorf("shard %d: %w", shard, ErrBusy)
	case errors.Is(err, dragonboat.ErrShardNotFound), errors.Is(err, dragonboat.ErrShardClosed):
		return fmt.Errorf("shard %d: %w", shard, ErrShardStopped)
	case errors.Is(err, dragonboat.ErrShardNotReady), errors.Is(err, dragonboat.ErrShardNotInitialized):
		return &NotLeaderError{Shard: shard}
	case errors.Is(err, dragonboat.ErrClosed):
		return ErrClosed
	case errors.Is(err, dragonboat.ErrTimeout):
		return fmt.Errorf("shard %d: %w", shard, ErrTimeout)
	case errors.Is(err, dragonboat.ErrRejected):
		return fmt.Errorf("shard %d: %w", shard, ErrRejected)
	case errors.Is(err, dragonboat.ErrAborted), errors.Is(err, dragonboat.ErrCanceled):
		return fmt.Errorf("shard %d: %w", shard, ErrDropped)
	}
	return err
}
