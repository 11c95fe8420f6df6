package kafka

import "context"

// Membership manages the nodes of a cluster: it empties them, and removes them. A node
// that it does not know, or that was removed, gets an *[Error] with
// BrokerIDNotRegistered. Its methods may be called concurrently, on any node, of any
// node, whether that is up or down.
type Membership interface {
	// Member tells what the cluster knows of a node. It does not block. ok is false for
	// one that is not of the cluster.
	Member(node int32) (m Member, ok bool)
	// SetDraining says that a node is to lose its replicas to others, or that it may
	// keep what it has. It returns when the nodes know that; Member tells how far the
	// moves are.
	SetDraining(ctx context.Context, node int32, draining bool) error
	// Remove takes a node out for good, and does nothing for one that was. One that has
	// replicas is an *Error with InvalidRequest.
	Remove(ctx context.Context, node int32) error
}

// Member is what a cluster knows of a node.
type Member struct {
	// Draining is true for a node that is to lose its replicas.
	Draining bool
	// Shards is how many shards of partitions have a replica on the node, those on
	// their way included. Without any it can be removed.
	Shards int
}
