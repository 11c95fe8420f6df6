package leat

import (
	"crypto/rand"
	"encoding/json"
	"fmt"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/store"
	"github.com/leatlog/leat/raftmeta"
)

// clusterIdentity is what a directory says of the node that it belongs to, as JSON
// under identitySetting. Fields are only ever added.
type clusterIdentity struct {
	Version   int         `json:"version"` // 1
	NodeID    base.NodeID `json:"node_id"`
	Directory []byte      `json:"directory"` // drawn when the directory was first used
	// ClusterID is empty until the node has formed or joined a cluster. What follows
	// is set with it.
	ClusterID string `json:"cluster_id,omitempty"`
	// Replica is this node's replica of the metadata's Raft group. Founders are the
	// nodes that started the group, with the replica ids 1, 2, ...; it is nil when this
	// one has joined.
	Replica  base.ReplicaID  `json:"replica,omitempty"`
	Founders []clusterMember `json:"founders,omitempty"`
	// RaftAddr is where the node was when it entered; it cannot move.
	RaftAddr string `json:"raft_addr,omitempty"`
}

// clusterMember is a node that forms a cluster.
type clusterMember struct {
	Node     base.NodeID `json:"node"`
	RaftAddr string      `json:"raft_addr"`
}

const (
	identitySetting = "cluster-identity"
	identityVersion = 1
)

// loadIdentity returns what the directory says, and marks a new one. A directory that
// was used without a cluster, or that belongs to another node or cluster, is refused.
func loadIdentity(s *store.Store, dir string, cfg *ClusterConfig) (id clusterIdentity, err error) {
	err = s.Update(func(tx *store.Tx) error {
		v, ok, err := tx.Get(identitySetting)
		if err != nil {
			return err
		}
		if ok {
			if err := json.Unmarshal(v, &id); err != nil {
				return fmt.Errorf("%w: setting %q: %w", ErrCorrupt, identitySetting, err)
			}
			switch {
			case id.Version > identityVersion:
				return fmt.Errorf("%w: setting %q has version %d, this version reads up to %d", ErrNewerFormat, identitySetting, id.Version, identityVersion)
			case len(id.Directory) != len(raftmeta.Directory{}) || id.ClusterID != "" && id.Replica == 0:
				return fmt.Errorf("%w: setting %q is incomplete", ErrCorrupt, identitySetting)
			case id.NodeID != base.NodeID(cfg.NodeID):
				return &DirectoryError{Dir: dir, Rule: fmt.Sprintf("it belongs to node %d, not to node %d", id.NodeID, cfg.NodeID)}
			case cfg.ClusterID != "" && id.ClusterID != "" && id.ClusterID != cfg.ClusterID:
				return &DirectoryError{Dir: dir, Rule: fmt.Sprintf("it belongs to cluster %q, not to %q", id.ClusterID, cfg.ClusterID)}
			case id.RaftAddr != "" && id.RaftAddr != cfg.RaftAddr:
				return &DirectoryError{Dir: dir, Rule: fmt.Sprintf("its node %d has RaftAddr %s, which cannot become %s: remove the node, and add it under another number with an empty directory", id.NodeID, id.RaftAddr, cfg.RaftAddr)}
			}
			return nil
		}
		if _, used, err := tx.Get(nextPartitionIDSetting); err != nil || used {
			if used {
				err = &DirectoryError{Dir: dir, Rule: "it holds the topics of a standalone Log, which cannot become a cluster's"}
			}
			return err
		}
		id = clusterIdentity{Version: identityVersion, NodeID: base.NodeID(cfg.NodeID), Directory: make([]byte, len(raftmeta.Directory{}))}
		_, _ = rand.Read(id.Directory) // never fails, by its documentation
		return setIdentity(tx, &id)
	})
	return id, err
}

// founders are the nodes that formed the cluster, nil before that and where this node has
// joined. Calls of others ask while the node enters.
func (c *cluster) founders() []clusterMember {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.identity.Founders
}

func setIdentity(tx *store.Tx, id *clusterIdentity) error {
	v, err := json.Marshal(id)
	if err != nil {
		return err
	}
	return tx.Set(identitySetting, v)
}

// refuseClustered returns a *DirectoryError for the directory of a cluster's node.
func refuseClustered(s *store.Store, dir string) error {
	_, ok, err := s.Get(identitySetting)
	if ok {
		return &DirectoryError{Dir: dir, Rule: "it belongs to a node of a cluster and cannot be opened without Config.Cluster"}
	}
	return err
}
