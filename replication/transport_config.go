package replication

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/leatlog/leat/internal/base"
)

// Defaults and bounds of a TransportConfig.
const (
	DefaultMaxFrameBytes  = 16 << 20
	MinMaxFrameBytes      = 4 << 20 // a piece of a Raft snapshot has 2 MiB
	MaxMaxFrameBytes      = 1 << 30
	DefaultMaxConnections = 1024
)

// TransportConfig is what NewTransport needs. Zero values mean the defaults.
type TransportConfig struct {
	// NodeID is this node's, at least 1.
	NodeID base.NodeID
	// ClusterID is the id of the cluster, up to 64 bytes; empty when it is not
	// known yet: then only calls are possible until SetClusterID.
	ClusterID string
	// RaftAddr is host:port under which the peers reach this node. Empty: the
	// address that the listener got.
	RaftAddr string
	// ListenAddr is where to listen. Empty: RaftAddr.
	ListenAddr string
	// Network listens and dials. Nil: TCP.
	Network Network
	// TLS gives certificates and authorities. Nil: plain text, which is
	// refused for addresses other than loopback without Insecure.
	TLS TLSSource
	// Insecure allows plain text everywhere: whoever reaches the port may then
	// read and change everything.
	Insecure bool
	// MaxFrameBytes bounds what a peer may send at once, and with it the
	// largest command that can be proposed, which must leave 1 KiB of it.
	// Default 16 MiB, between 4 MiB and 1 GiB; the same on all nodes.
	MaxFrameBytes int
	// MaxConnections bounds the accepted connections, default 1024. A quarter
	// of it may be in their handshake; a node opens up to 6 to each other and
	// one for each call.
	MaxConnections int
	// SnapshotBytesPerSecond bounds what all Raft snapshots that this node sends
	// take of the network together. 0: no bound. Kafka's
	// leader.replication.throttled.rate.
	SnapshotBytesPerSecond int64
	// Call answers the peers' calls. Nil: they get an error.
	Call CallHandler
	// Clock and Logger; nil: the system's and none.
	Clock  base.Clock
	Logger *slog.Logger
}

func (c TransportConfig) withDefaults() TransportConfig {
	if c.ListenAddr == "" {
		c.ListenAddr = c.RaftAddr
	}
	if c.Network == nil {
		c.Network = TCP{}
	}
	if c.MaxFrameBytes == 0 {
		c.MaxFrameBytes = DefaultMaxFrameBytes
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = DefaultMaxConnections
	}
	if c.Clock == nil {
		c.Clock = base.SystemClock{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c *TransportConfig) validate() error {
	switch {
	case c.NodeID == 0:
		return errors.New("replication: NodeID is not set; ids begin at 1")
	case len(c.ClusterID) > maxClusterIDBytes:
		return &TooLargeError{What: "ClusterID", Size: len(c.ClusterID), Limit: maxClusterIDBytes}
	case c.ListenAddr == "":
		return errors.New("replication: neither RaftAddr nor ListenAddr is set")
	case !isAddress(c.ListenAddr):
		return fmt.Errorf("replication: the listener's address %q is not host:port", c.ListenAddr)
	case c.RaftAddr != "" && !isAddress(c.RaftAddr):
		return fmt.Errorf("replication: RaftAddr %q is not host:port", c.RaftAddr)
	case c.MaxFrameBytes < MinMaxFrameBytes || c.MaxFrameBytes > MaxMaxFrameBytes:
		return fmt.Errorf("replication: MaxFrameBytes %d is outside [%d, %d]", c.MaxFrameBytes, MinMaxFrameBytes, MaxMaxFrameBytes)
	case c.MaxConnections < 8:
		return fmt.Errorf("replication: MaxConnections %d is below 8", c.MaxConnections)
	case c.SnapshotBytesPerSecond < 0:
		return fmt.Errorf("replication: SnapshotBytesPerSecond %d is negative", c.SnapshotBytesPerSecond)
	}
	for _, addr := range []string{c.ListenAddr, c.RaftAddr} {
		if c.TLS == nil && !c.Insecure && addr != "" && !isLoopback(addr) {
			return fmt.Errorf("replication: %s: %w", addr, ErrInsecure)
		}
	}
	return nil
}
