package raftmeta

import (
	"cmp"
	"iter"
)

// A Delta is two images and what differs between them. What it finds costs what
// was changed, not what there is. It may be kept and read by several goroutines
// at once.
type Delta struct {
	From, To *Image
}

// Change is one thing in the two images of a Delta: Old is nil where To has it
// anew, New is nil where To has it no more.
type Change[T any] struct {
	Old, New *T
}

// Settings reports whether the cluster's id or its Settings changed.
func (d Delta) Settings() bool {
	return d.From.settings != d.To.settings || d.From.clusterID != d.To.clusterID
}

// Brokers yields the brokers that changed, by id.
func (d Delta) Brokers() iter.Seq[Change[Broker]] {
	return changes(d.From.brokers.tree, d.To.brokers.tree, cmp.Compare[NodeID])
}

// Shards yields the shards that changed, by id. A shard changes too when it gets
// or loses partitions; Partitions has those.
func (d Delta) Shards() iter.Seq[Change[Shard]] {
	return changes(d.From.shards.tree, d.To.shards.tree, cmp.Compare[ShardID])
}

// Topics yields the topics that changed, by name. One that was deleted and
// created anew is one change, of two ids.
func (d Delta) Topics() iter.Seq[Change[Topic]] {
	return changes(d.From.topics.tree, d.To.topics.tree, cmp.Compare[string])
}

// Empty reports whether nothing differs but the index.
func (d Delta) Empty() bool {
	if d.Settings() || d.From.nextProducerID != d.To.nextProducerID {
		return false
	}
	for range d.Brokers() {
		return false
	}
	for range d.Shards() {
		return false
	}
	for range d.Topics() {
		return false
	}
	return true
}

// encodable is what a Delta compares where the images share nothing: after a
// Restore.
type encodable[T any] interface {
	*T
	encode(*encoder)
}

func changes[K, T any, P encodable[T]](old, new tree[K, P], compare func(a, b K) int) iter.Seq[Change[T]] {
	same := func(a, b P) bool { return a == b || sameEncoding(a, b) && samePartitions(a, b) }
	return func(yield func(Change[T]) bool) {
		for c := range diff(old, new, compare, same) {
			if !yield(Change[T]{Old: (*T)(c.old), New: (*T)(c.new)}) {
				return
			}
		}
	}
}

// samePartitions compares what the encoding of a shard leaves to the topics.
func samePartitions(a, b any) bool {
	x, ok := a.(*Shard)
	return !ok || x.Partitions == b.(*Shard).Partitions
}
