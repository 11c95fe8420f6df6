// Package replication carries partitions and metadata over the nodes of a
// cluster with Raft. It is the only package that knows dragonboat, whose
// multi-group Raft it runs.
//
// # Nouns
//
// A shard is a Raft group; it replicates many partitions, or the cluster's
// metadata. A replica is a node's part in a shard. A Raft index is a position in
// a shard's Raft log, never an offset.
//
// A Transport is a node's port for its peers: Raft messages, Raft snapshots, and
// calls, which work before a node belongs to a cluster.
//
// # What goes over a connection
//
// Every connection begins with the four bytes LEAT from both sides, and a
// handshake that tells version, cluster and node. What follows are frames; all
// numbers are big-endian:
//
//	0 | body length u32 | CRC-32C of the body u32 | type u8 |
//	9 | the body ...
//
// With TLS, both sides show a certificate of the cluster's authority before any
// of this. A length over the bound ends the connection before memory is
// allocated for it, and a body gets memory as it arrives. What is not of the
// protocol ends its own connection and no other.
//
// # Process-wide state
//
// dragonboat has state that all Nodes of a process share: its loggers, and
// settings that it reads from a file dragonboat-soft-settings.json in the
// working directory, if there is one.
package replication
