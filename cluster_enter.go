package leat

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/store"
	"github.com/leatlog/leat/raftmeta"
	"github.com/leatlog/leat/replication"
)

// metadataVoters is how many of the seeds start the metadata's Raft group.
const metadataVoters = 5

// helloRequest asks a node who it is.
type helloRequest struct {
	Node base.NodeID `json:"node"` // who asks
}

// helloReply is what a node says of itself and of who asked.
type helloReply struct {
	Node base.NodeID `json:"node"`
	// ClusterID and Founders are empty while the node belongs to no cluster; Proposal is
	// the id that it would give one.
	ClusterID string          `json:"cluster_id,omitempty"`
	Founders  []clusterMember `json:"founders,omitempty"`
	Proposal  string          `json:"proposal,omitempty"`
	// Seeds are those of a node that belongs to no cluster.
	Seeds map[uint64]string `json:"seeds,omitempty"`
	// Incarnation is the life of the node that answers.
	Incarnation []byte `json:"incarnation,omitempty"`
	// Known says that the cluster has, or had, a node of the number of who asked.
	Known bool `json:"known,omitempty"`
	// Removed says that it was removed for good.
	Removed bool `json:"removed,omitempty"`
}

// joinRequest asks a node of a cluster to make the sender one, or to give it a new
// replica of the metadata when it has lost its directory.
type joinRequest struct {
	Broker raftmeta.RegisterBroker `json:"broker"`
}

type joinReply struct {
	ClusterID string         `json:"cluster_id"`
	Replica   base.ReplicaID `json:"replica"` // of the metadata
}

// otherSeeds returns the seeds and founders but this node, by number.
func (c *cluster) otherSeeds() []clusterMember {
	all := make(map[base.NodeID]string)
	for n, addr := range c.cfg.Seeds {
		all[base.NodeID(n)] = addr
	}
	for _, m := range c.founders() {
		all[m.Node] = m.RaftAddr
	}
	delete(all, c.self)
	out := make([]clusterMember, 0, len(all))
	for _, n := range slices.Sorted(maps.Keys(all)) {
		out = append(out, clusterMember{n, all[n]})
	}
	return out
}

// enter makes a new directory that of a node in a cluster: one that it forms with the
// other seeds, or one that there is. It waits for others as long as it must.
func (c *cluster) enter(ctx context.Context) error {
	pause := newBackoff(c.log.cfg.Clock, 50*time.Millisecond, time.Second)
	var told time.Time
	for {
		done, waiting, err := c.tryToEnter(ctx)
		if done || err != nil {
			return err
		}
		if now := c.log.cfg.Clock.Now(); now.Sub(told) > 10*time.Second {
			told = now
			c.log.cfg.Logger.Info("waiting to enter the cluster", "node", c.self, "for", waiting)
		}
		if err := pause.wait(ctx, nil); err != nil {
			return fmt.Errorf("leat: node %d has not entered its cluster: %s: %w", c.self, waiting, err)
		}
	}
}

func (c *cluster) tryToEnter(ctx context.Context) (done bool, waiting string, err error) {
	others := c.otherSeeds()
	replies := make([]helloReply, 0, len(others))
	var formed *helloReply
	var strangers []error
	for _, m := range others {
		r, err := callJSON[helloReply](ctx, c.transport, m.RaftAddr, callHello, helloRequest{c.self})
		switch {
		case isRefusedForGood(err):
			return false, "", err
		case ctx.Err() != nil:
			return false, "", fmt.Errorf("leat: node %d has not entered its cluster: node %d at %s: %w", c.self, m.Node, m.RaftAddr, ctx.Err())
		case err != nil:
			if waiting = fmt.Sprintf("node %d at %s: %v", m.Node, m.RaftAddr, err); isStranger(err) {
				strangers = append(strangers, fmt.Errorf("node %d at %s: %w", m.Node, m.RaftAddr, err))
			}
			continue
		case r.Node != m.Node:
			return false, "", &ConfigError{Property: fmt.Sprintf("Cluster.Seeds[%d]", m.Node), Value: m.RaftAddr, Rule: fmt.Sprintf("must be the address of that node; it is node %d's", r.Node)}
		}
		if replies = append(replies, r); r.ClusterID != "" {
			formed = &r
			break
		}
	}
	if len(strangers) > 0 && len(strangers) == len(others) { // one of two would not know which of them is wrong
		return false, "", fmt.Errorf("leat: node %d understands none of its seeds; see Config.Cluster.TLS and Seeds: %w", c.self, errors.Join(strangers...))
	}
	if formed != nil {
		if want := c.cfg.ClusterID; want != "" && want != formed.ClusterID {
			return false, "", &ConfigError{Property: "Cluster.ClusterID", Value: want, Rule: fmt.Sprintf("the seeds belong to cluster %q", formed.ClusterID)}
		}
		if !formed.Known && !c.cfg.Join {
			if i := slices.IndexFunc(formed.Founders, func(m clusterMember) bool { return m.Node == c.self }); i >= 0 {
				return true, "", c.found(formed.ClusterID, formed.Founders)
			}
		}
		return c.tryToJoin(ctx, others)
	}
	switch {
	case c.cfg.Join:
		return false, cmp.Or(waiting, "the seeds have not formed a cluster yet"), nil
	case len(replies) < len(others):
		return false, waiting, nil
	}
	// All seeds are new. Each of them sees the same proposals and takes that of the
	// lowest number.
	lowest, id := c.self, c.proposal
	for _, r := range replies {
		if c.cfg.ClusterID != "" && r.Proposal != c.cfg.ClusterID {
			return false, "", &ConfigError{Property: "Cluster.ClusterID", Value: c.cfg.ClusterID, Rule: fmt.Sprintf("node %d is configured with another one, or none", r.Node)}
		}
		if !maps.Equal(r.Seeds, c.cfg.Seeds) {
			return false, "", &ConfigError{Property: "Cluster.Seeds", Value: fmt.Sprint(c.cfg.Seeds), Rule: fmt.Sprintf("must be the same on all nodes that form a cluster; node %d has %v", r.Node, r.Seeds)}
		}
		if r.Node < lowest {
			lowest, id = r.Node, r.Proposal
		}
	}
	founders := append(others, clusterMember{c.self, c.cfg.RaftAddr})
	slices.SortFunc(founders, func(a, b clusterMember) int { return cmp.Compare(a.Node, b.Node) })
	if founders = founders[:min(len(founders), metadataVoters)]; !slices.ContainsFunc(founders, func(m clusterMember) bool { return m.Node == c.self }) {
		return false, "the first seeds to form the cluster", nil
	}
	return true, "", c.found(id, founders)
}

// isStranger tells errors of a connection over which no node of this cluster answered in
// a way that is understood: plain text where TLS is spoken, or the other way round, or a
// certificate of another authority, on either side.
func isStranger(err error) bool {
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var op *net.OpError
	return errors.As(err, &cert) || errors.As(err, &record) || errors.Is(err, replication.ErrBadFrame) ||
		errors.As(err, &op) && op.Op == "remote error" // an alert of TLS
}

// found notes that this node is one of those that form the cluster.
func (c *cluster) found(id string, founders []clusterMember) error {
	i := slices.IndexFunc(founders, func(m clusterMember) bool { return m.Node == c.self })
	c.log.cfg.Logger.Info("cluster formed", "cluster", id, "node", c.self)
	return c.settle(func(n *clusterIdentity) {
		n.ClusterID, n.Founders, n.Replica = id, founders, base.ReplicaID(i+1)
	})
}

// settle changes what the directory says of the node.
func (c *cluster) settle(change func(n *clusterIdentity)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.identity
	next.RaftAddr = c.cfg.RaftAddr
	change(&next)
	if err := c.log.store.Update(func(tx *store.Tx) error { return setIdentity(tx, &next) }); err != nil {
		return err
	}
	c.identity = next
	return nil
}

// tryToJoin asks the nodes of a cluster to let this one in.
func (c *cluster) tryToJoin(ctx context.Context, others []clusterMember) (done bool, waiting string, err error) {
	for _, m := range others {
		r, err := callJSON[joinReply](ctx, c.transport, m.RaftAddr, callJoin, joinRequest{c.registration("")})
		var remote *replication.RemoteError
		switch {
		case errors.As(err, &remote) && remote.Code == callRefused:
			return false, "", fmt.Errorf("leat: node %d cannot join: %w", c.self, err)
		case ctx.Err() != nil:
			return false, "", fmt.Errorf("leat: node %d has not entered its cluster: node %d at %s: %w", c.self, m.Node, m.RaftAddr, ctx.Err())
		case err != nil:
			waiting = fmt.Sprintf("node %d at %s: %v", m.Node, m.RaftAddr, err)
			continue
		}
		c.log.cfg.Logger.Info("cluster joined", "cluster", r.ClusterID, "node", c.self)
		return true, "", c.settle(func(n *clusterIdentity) { n.ClusterID, n.Replica, n.Founders = r.ClusterID, r.Replica, nil })
	}
	return false, waiting, nil
}

// callRefused is the code of a CallError that another attempt does not change.
const callRefused uint16 = 2

func (c *cluster) serveHello(_ context.Context, req helloRequest) (helloReply, error) {
	c.mu.Lock()
	r := helloReply{Node: c.self, ClusterID: c.identity.ClusterID, Founders: c.identity.Founders, Proposal: c.proposal, Incarnation: c.incarnation[:]}
	c.mu.Unlock()
	if r.ClusterID == "" {
		r.Seeds = c.cfg.Seeds
	}
	if b := c.machine.Image().Broker(req.Node); b != nil {
		r.Known, r.Removed = true, b.Removed
	}
	return r, nil
}

// ErrNodeRemoved is returned by Open, and by the calls of a Log that is open, for a node
// that was removed from its cluster. Its number never returns: it may join with another
// one, and an empty directory.
var ErrNodeRemoved = errors.New("leat: the node was removed from its cluster")

// removedTimeout bounds how long a node that starts asks whether it was removed.
const removedTimeout = time.Second

// checkRemoved asks those whom this node knows whether it was removed meanwhile, and
// whether they are of its cluster: it would wait for its cluster for ever. Who does not
// answer says nothing.
func (c *cluster) checkRemoved(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, removedTimeout)
	defer cancel()
	var removed, known atomic.Bool
	var other atomic.Pointer[replication.RefusedError]
	var wg sync.WaitGroup
	for _, m := range c.otherSeeds() {
		wg.Go(func() {
			r, err := callJSON[helloReply](ctx, c.transport, m.RaftAddr, callHello, helloRequest{c.self})
			var refused *replication.RefusedError
			switch {
			case err == nil && r.Removed:
				removed.Store(true)
				cancel()
			case err == nil:
				known.Store(true)
			case errors.As(err, &refused) && refused.Reason == replication.RefusedCluster:
				other.Store(refused)
			}
		})
	}
	wg.Wait()
	if removed.Load() {
		return fmt.Errorf("node %d of cluster %q: %w", c.self, c.identity.ClusterID, ErrNodeRemoved)
	}
	if refused := other.Load(); refused != nil && !known.Load() {
		return &DirectoryError{Dir: c.log.cfg.Dir, Rule: fmt.Sprintf("it belongs to cluster %q, and its seeds to another cluster: %v", c.identity.ClusterID, refused)}
	}
	return nil
}

// runs tells whether the life of a node that registered last answers at its address.
func (c *cluster) runs(ctx context.Context, b *raftmeta.Broker) bool {
	if b == nil || b.ID == c.self {
		return b != nil
	}
	r, err := callJSON[helloReply](ctx, c.transport, b.RaftAddr, callHello, helloRequest{c.self})
	return err == nil && bytes.Equal(r.Incarnation, b.Incarnation[:])
}

// serveJoin makes a node known and gives it a replica of the metadata.
func (c *cluster) serveJoin(ctx context.Context, req joinRequest) (joinReply, error) {
	if c.machine.Image().ClusterID() == "" {
		return joinReply{}, errors.New("the cluster is not formed yet")
	}
	_, img, err := c.changeMetadata(ctx, func(img *raftmeta.Image) (raftmeta.Command, error) {
		r := req.Broker
		if b := img.Broker(r.Node); b != nil && b.Incarnation == r.Incarnation && bytes.Equal(b.Directory[:], r.Directory[:]) {
			return nil, nil // it has asked before
		}
		return &r, nil
	})
	var refused *raftmeta.Error
	switch {
	case errors.Is(err, raftmeta.NodeIDInUse) && c.runs(ctx, img.Broker(req.Broker.Node)):
		return joinReply{}, &replication.CallError{Code: callRefused, Message: err.Error()}
	case errors.As(err, &refused) && refused.Code != raftmeta.NodeIDInUse:
		// A node that was lost a moment ago is taken for alive until its session has run out.
		return joinReply{}, &replication.CallError{Code: callRefused, Message: err.Error()}
	case err != nil:
		return joinReply{}, err
	}
	// The leader of the metadata sees to the replica.
	w := c.machine.Watch(img)
	defer w.Close()
	for {
		if r, ok := img.Shard(raftmeta.MetadataShard).On(req.Broker.Node); ok {
			return joinReply{ClusterID: img.ClusterID(), Replica: r.ID}, nil
		}
		d, err := w.Next(ctx)
		if err != nil {
			return joinReply{}, err
		}
		img = d.To
	}
}
