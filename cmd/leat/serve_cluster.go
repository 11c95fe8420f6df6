package main

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/leatlog/leat"
)

// serveCluster is what serve's flags say of the node of a cluster that it is.
type serveCluster struct {
	nodeID            uint64 // 0: none
	clusterID         string
	raftListen        string
	raftAdvertise     string
	seeds             []string // node=host:port
	join              bool
	rack              string
	replicationFactor int
	tlsCA             string
}

func (c *serveCluster) addFlags(f *pflag.FlagSet) {
	f.Uint64Var(&c.nodeID, "node-id", 0, "`number` of this node in a cluster; makes it one (node.id)")
	f.StringVar(&c.clusterID, "cluster-id", "", "`name` of the cluster (default made when it is formed)")
	f.StringVar(&c.raftListen, "raft-listen", "", "`host:port` for the other nodes (default the one of --raft-advertise)")
	f.StringVar(&c.raftAdvertise, "raft-advertise", "", "`host:port` that the other nodes connect to (default the one of --raft-listen)")
	f.StringSliceVar(&c.seeds, "seeds", nil, "`node=host:port,...` of the nodes that form the cluster, this one included, or with --join of some that are in it")
	f.BoolVar(&c.join, "join", false, "enter a cluster that exists")
	f.StringVar(&c.rack, "rack", "", "`name` of where the node is; replicas are spread over racks (broker.rack)")
	f.IntVar(&c.replicationFactor, "replication-factor", 0, "`replicas` of topics that do not say how many, set when the cluster is formed (default 3, or one for each seed if they are fewer)")
	f.StringVar(&c.tlsCA, "raft-tls-ca", "", "PEM `file` with who signs the nodes' certificates, which --tls-cert is one of")
}

// config returns nil for a log that is on its own.
func (c *serveCluster) config(s *serveConfig) (*leat.ClusterConfig, error) {
	if c.nodeID == 0 {
		if c.clusterID != "" || c.raftListen != "" || c.raftAdvertise != "" || len(c.seeds) > 0 || c.join || c.rack != "" || c.replicationFactor != 0 || c.tlsCA != "" {
			return nil, usagef("--node-id must say which node of the cluster this is")
		}
		return nil, nil
	}
	switch {
	case c.raftListen == "" && c.raftAdvertise == "":
		return nil, usagef("--raft-listen must say where the other nodes reach this one")
	case (s.tls.cert != "" || s.tls.key != "" || c.tlsCA != "") && (s.tls.cert == "" || s.tls.key == "" || c.tlsCA == ""):
		return nil, usagef("a node's TLS needs --tls-cert, --tls-key and --raft-tls-ca")
	}
	cfg := &leat.ClusterConfig{
		NodeID:            c.nodeID,
		ClusterID:         c.clusterID,
		RaftAddr:          cmp.Or(c.raftAdvertise, c.raftListen),
		RaftListen:        c.raftListen,
		ClientAddr:        cmp.Or(s.advertise, s.listen),
		ClientListen:      s.listen,
		Seeds:             make(map[uint64]string),
		Join:              c.join,
		Rack:              c.rack,
		ReplicationFactor: c.replicationFactor,
		Insecure:          s.insecure,
	}
	for _, seed := range c.seeds {
		node, addr, ok := strings.Cut(seed, "=")
		n, err := strconv.ParseUint(strings.TrimSpace(node), 10, 64)
		if !ok || err != nil {
			return nil, usagef("--seeds %q must have the form node=host:port", seed)
		}
		if _, twice := cfg.Seeds[n]; twice {
			return nil, usagef("--seeds has node %d twice", n)
		}
		cfg.Seeds[n] = strings.TrimSpace(addr)
	}
	if c.tlsCA != "" {
		cfg.TLS = leat.ClusterTLSFiles(s.tls.cert, s.tls.key, c.tlsCA)
	}
	return cfg, nil
}

// awaitEnd returns when ctx ends: the Log of a cluster's node serves clients by itself.
func awaitEnd(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
