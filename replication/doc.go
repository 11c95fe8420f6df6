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
// # What a Node promises
//
// A command that was answered is on the disks of a majority, and every replica
// comes to the same result, in the same order. The Raft log is kept in the node's
// store, where an append's batch is written once and to the place from which it is
// read. A replica that was away gets what it missed from the log, or, if that does
// not reach back far enough, a Raft snapshot of the whole shard.
//
// A disk that fails, a file that cannot be understood and a replica whose log is
// lost fail the Node, not the process: it is cut off from its peers, which go on
// without it, every call returns the reason, and Close works. What a failed Node
// knew is on disk as of that moment. dragonboat panics when an invariant of its own
// is broken, on goroutines of its own: that cannot be caught, and ends the process.
//
// A replica must never come back without its log under its old id: a node that
// lost its disk is given new replica ids. A Node notices it, but only once the
// leader has spoken to it, and by then it may have voted.
//
// What waits is bounded: the bytes of a shard's proposals, frames, connections,
// calls. A caller that goes over gets ErrBusy, and nothing was proposed.
//
// # Process-wide state
//
// dragonboat has state that all Nodes of a process share: its loggers, and
// settings that it reads from a file dragonboat-soft-settings.json in the
// working directory, if there is one.
package replication
