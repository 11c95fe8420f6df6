// Package seam is where tests put something else in place of the machine: a disk in
// memory that can lose what was not synced, and a network that can be cut. Package
// leattest is its user; programs have no use for it.
package seam

import (
	"github.com/leatlog/leat/internal/store"
	"github.com/leatlog/leat/replication"
)

// Machine is what a Log runs on. Zero values are the operating system's.
type Machine struct {
	// FS is where the Log's directory is.
	FS store.FS
	// RaftFS is where a node of a cluster keeps the files that Raft has beside the
	// store.
	RaftFS *replication.FS
	// Network is how the nodes of a cluster reach each other, at both their addresses.
	Network replication.Network
}
