package leat

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"maps"
	"math"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/leatlog/leat/kafka"
)

// ClusterConfig makes a Log a node of a cluster. Zero values are defaults.
//
// A cluster is formed once, when all of its Seeds were started for the first time
// and have reached each other. From then on a majority is enough.
type ClusterConfig struct {
	// NodeID is this node's number in the cluster, 1 to 2,147,483,647. It belongs to
	// the directory: a node that lost it comes back under the same number with an
	// empty one. Kafka's node.id. Required.
	NodeID uint64
	// ClusterID names the cluster. Default: made when the cluster is formed. A node
	// refuses peers, and a directory, of another one. Kafka's cluster.id.
	ClusterID string

	// RaftAddr is the host:port that peers reach this node at, and where it listens.
	// Required.
	RaftAddr string
	// ClientAddr is the host:port that Kafka's clients and the peers' routed requests
	// reach this node at, and where it listens. Required.
	ClientAddr string
	// RaftListen and ClientListen are where to listen if that differs from RaftAddr and
	// ClientAddr, as behind a translated address or for all of a machine's.
	RaftListen   string
	ClientListen string

	// Seeds are the nodes that form the cluster, with their RaftAddr, this one
	// included; or with Join any nodes of the cluster. Required. More than
	// five make a cluster whose metadata has five voters.
	Seeds map[uint64]string
	// Join makes the node enter a cluster that exists, instead of forming one. In the
	// directory of a node that is in its cluster already it has no effect.
	Join bool

	// Rack is where the node is: replicas of a partition are spread over racks. Default
	// none. Kafka's broker.rack.
	Rack string

	// TLS is asked for the configuration of new connections, accepted or dialled, to
	// peers and from clients, so that certificates can be replaced while the Log runs.
	// It has a certificate, and RootCAs by which nodes verify each other. Peers must
	// show theirs at RaftAddr; clients at ClientAddr must if ClientAuth says so.
	// ClusterTLSFiles makes one of PEM files.
	TLS func() (*tls.Config, error)
	// Insecure allows plain text on addresses that are not loopback ones. Whoever can
	// reach them can read, write and delete everything.
	Insecure bool

	// Kafka are options of the listener at ClientAddr, which is ServeKafka's.
	Kafka []KafkaOption

	// ReplicationFactor is of topics that say none: 1 to 64, not more than there are
	// nodes when the topic is made. It takes effect when the cluster is formed. Default
	// 3, or as many as there are seeds if they are fewer. Kafka's
	// default.replication.factor.
	ReplicationFactor int
	// ShardsPerFactor is how many Raft groups share the partitions of each replication
	// factor, 1 to 1,024. It takes effect when the cluster is formed. Default 12.
	ShardsPerFactor int

	// HeartbeatInterval is the time between two signs of life of the node, and
	// SessionTimeout after how long without one it is taken for dead, and leads nothing
	// (broker.heartbeat.interval.ms, broker.session.timeout.ms). Default 2 s and 9 s.
	// How soon a shard whose leader died gets another one does not depend on it.
	HeartbeatInterval time.Duration
	SessionTimeout    time.Duration
	// SnapshotBytesPerSecond bounds what the node sends to replicas that are made anew
	// (leader.replication.throttled.rate). Default 128 MiB; negative means no bound.
	SnapshotBytesPerSecond int64
}

const (
	defaultReplicationFactor = 3
	replicationFactorMax     = 64
	shardsPerFactorMax       = 1024
	defaultBrokerHeartbeat   = 2 * time.Second
	defaultBrokerSession     = 9 * time.Second
	defaultSnapshotRate      = 128 << 20
	brokerHeartbeatMin       = 50 * time.Millisecond
	nodeIDMax                = math.MaxInt32
)

func (c ClusterConfig) withDefaults() ClusterConfig {
	c.Seeds = maps.Clone(c.Seeds)
	c.RaftListen = cmp.Or(c.RaftListen, c.RaftAddr)
	c.ClientListen = cmp.Or(c.ClientListen, c.ClientAddr)
	c.ReplicationFactor = cmp.Or(c.ReplicationFactor, min(defaultReplicationFactor, len(c.Seeds)))
	c.HeartbeatInterval = cmp.Or(c.HeartbeatInterval, defaultBrokerHeartbeat)
	c.SessionTimeout = cmp.Or(c.SessionTimeout, defaultBrokerSession)
	c.SnapshotBytesPerSecond = cmp.Or(c.SnapshotBytesPerSecond, defaultSnapshotRate)
	return c
}

// validate returns a *ConfigError for the first field that breaks its rule.
func (c *ClusterConfig) validate() error {
	bad := func(field, value, rule string) error {
		return &ConfigError{Property: "Cluster." + field, Value: value, Rule: rule}
	}
	id := func(n uint64) string { return strconv.FormatUint(n, 10) }
	if c.NodeID < 1 || c.NodeID > nodeIDMax {
		return bad("NodeID", id(c.NodeID), "must be from 1 to 2147483647")
	}
	if len(c.Seeds) == 0 {
		return bad("Seeds", "", "must name the nodes that form the cluster, or with Join some of its nodes")
	}
	addrs := []struct{ field, value string }{
		{"RaftAddr", c.RaftAddr}, {"ClientAddr", c.ClientAddr},
		{"RaftListen", cmp.Or(c.RaftListen, c.RaftAddr)}, {"ClientListen", cmp.Or(c.ClientListen, c.ClientAddr)},
	}
	seeds := slices.Sorted(maps.Keys(c.Seeds))
	byAddr := make(map[string]uint64)
	for _, n := range seeds {
		if n < 1 || n > nodeIDMax {
			return bad("Seeds", id(n), "must have node ids from 1 to 2147483647")
		}
		addrs = append(addrs, struct{ field, value string }{fmt.Sprintf("Seeds[%d]", n), c.Seeds[n]})
		if other, ok := byAddr[c.Seeds[n]]; ok {
			return bad(fmt.Sprintf("Seeds[%d]", n), c.Seeds[n], fmt.Sprintf("must not be the address of node %d too", other))
		}
		byAddr[c.Seeds[n]] = n
	}
	for _, a := range addrs {
		host, port, err := net.SplitHostPort(a.value)
		if err != nil {
			return bad(a.field, a.value, "must be host:port")
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return bad(a.field, a.value, "must have a port from 1 to 65535: other nodes are told it")
		}
		if host == "" && (a.field == "RaftAddr" || a.field == "ClientAddr") {
			return bad(a.field, a.value, "must have a host that other nodes can reach; RaftListen and ClientListen may be of all interfaces")
		}
		if a.field != "ClientAddr" && !c.isSecure(a.field == "ClientListen") && !isLoopbackHost(host) {
			return bad(a.field, a.value, "must be a loopback address unless TLS is set, or Insecure to do without: what is sent could be read and changed by others")
		}
	}
	own, seeded := c.Seeds[c.NodeID]
	switch {
	case !c.Join && !seeded:
		return bad("Seeds", fmt.Sprint(seeds), fmt.Sprintf("must have node %d, unless Join is set", c.NodeID))
	case seeded && own != c.RaftAddr:
		return bad("RaftAddr", c.RaftAddr, fmt.Sprintf("must be what Seeds has for node %d, %s", c.NodeID, own))
	case c.Join && seeded && len(c.Seeds) == 1:
		return bad("Seeds", fmt.Sprint(seeds), "must name another node to join")
	case c.RaftAddr == c.ClientAddr:
		return bad("ClientAddr", c.ClientAddr, "must not be RaftAddr")
	case c.ReplicationFactor < 0 || c.ReplicationFactor > replicationFactorMax:
		return bad("ReplicationFactor", strconv.Itoa(c.ReplicationFactor), "must be from 1 to 64")
	case c.ShardsPerFactor < 0 || c.ShardsPerFactor > shardsPerFactorMax:
		return bad("ShardsPerFactor", strconv.Itoa(c.ShardsPerFactor), "must be from 1 to 1024")
	case c.HeartbeatInterval != 0 && c.HeartbeatInterval < brokerHeartbeatMin:
		return bad("HeartbeatInterval", c.HeartbeatInterval.String(), "must be at least 50ms")
	case cmp.Or(c.SessionTimeout, defaultBrokerSession) <= cmp.Or(c.HeartbeatInterval, defaultBrokerHeartbeat):
		return bad("SessionTimeout", c.SessionTimeout.String(), "must be more than HeartbeatInterval")
	case len(c.ClusterID) > clusterIDBytesMax:
		return bad("ClusterID", quoteShort(c.ClusterID), "must not be longer than 64 bytes")
	}
	return nil
}

const clusterIDBytesMax = 64

// isSecure tells whether an address may be one that other machines reach: the one for
// clients has options of its own.
func (c *ClusterConfig) isSecure(clients bool) bool {
	var o kafka.Options
	if clients {
		for _, opt := range c.Kafka {
			if opt != nil {
				opt(&o)
			}
		}
	}
	return c.TLS != nil || c.Insecure || o.TLS != nil || o.Insecure
}

// isLoopbackHost tells whether a host is this machine for itself alone. Of names only
// localhost is taken for it: what others stand for may change.
func isLoopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
