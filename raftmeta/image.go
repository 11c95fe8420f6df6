package raftmeta

import (
	"cmp"
	"iter"
	"slices"
)

// An Image is all the metadata as it was at one Raft index. It never changes,
// and what it returns must not be changed either; it may be kept for as long as
// anybody likes, and read by several goroutines at once. The images of a Machine
// share what is the same in both.
type Image struct {
	index     RaftIndex
	clusterID string
	settings  Settings

	brokers ordered[NodeID, *Broker] // removed ones too
	shards  ordered[ShardID, *Shard]
	topics  ordered[string, *Topic]

	// topicIDs has the same topics as topics; partitions has the partitions of all
	// of them.
	topicIDs   tree[TopicID, *Topic]
	partitions tree[partitionKey, PartitionRef]

	nextShard      ShardID
	nextPartition  PartitionID
	nextProducerID int64
}

// partitionKey orders partitions by shard.
type partitionKey struct {
	shard     ShardID
	partition PartitionID
}

func (k partitionKey) compare(other partitionKey) int {
	return cmp.Or(cmp.Compare(k.shard, other.shard), cmp.Compare(k.partition, other.partition))
}

// emptyImage returns the image of a cluster that is not bootstrapped.
func emptyImage() *Image {
	return &Image{settings: DefaultSettings(), nextShard: FirstShard, nextPartition: FirstPartition}
}

// Index returns the Raft index of the last command that the image has seen.
func (img *Image) Index() RaftIndex { return img.index }

// ClusterID returns the cluster's id, "" before Bootstrap.
func (img *Image) ClusterID() string { return img.clusterID }

// Settings returns what holds for the whole cluster.
func (img *Image) Settings() Settings { return img.settings }

// NextProducerID returns the first producer id that was not given out yet.
func (img *Image) NextProducerID() int64 { return img.nextProducerID }

// NextPartition returns the first partition id that was not given out yet: a
// partition with a lower id that is not in the image was deleted.
func (img *Image) NextPartition() PartitionID { return img.nextPartition }

// NextShard returns the first shard id that was not given out yet: a shard with a
// lower id that is not in the image was deleted.
func (img *Image) NextShard() ShardID { return img.nextShard }

// Broker returns the broker with the id, also a removed one, or nil.
func (img *Image) Broker(id NodeID) *Broker {
	b, _ := img.brokers.get(id)
	return b
}

// Brokers yields the brokers that are not removed, by id.
func (img *Image) Brokers() iter.Seq[*Broker] {
	return func(yield func(*Broker) bool) {
		for _, b := range img.brokers.all() {
			if !b.Removed && !yield(b) {
				return
			}
		}
	}
}

// RemovedBrokers yields the brokers that were removed, by id.
func (img *Image) RemovedBrokers() iter.Seq[*Broker] {
	return func(yield func(*Broker) bool) {
		for _, b := range img.brokers.all() {
			if b.Removed && !yield(b) {
				return
			}
		}
	}
}

// Shard returns the shard with the id, or nil.
func (img *Image) Shard(id ShardID) *Shard {
	s, _ := img.shards.get(id)
	return s
}

// Shards yields all shards by id, the metadata's first.
func (img *Image) Shards() iter.Seq[*Shard] {
	return func(yield func(*Shard) bool) {
		for _, s := range img.shards.all() {
			if !yield(s) {
				return
			}
		}
	}
}

// ShardsOn yields, by id, the shards that have a replica of any state on the
// node. Shard.On tells which of them should run there.
func (img *Image) ShardsOn(node NodeID) iter.Seq[*Shard] {
	return func(yield func(*Shard) bool) {
		for _, s := range img.shards.all() {
			if slices.ContainsFunc(s.Replicas, func(r Replica) bool { return r.Node == node }) && !yield(s) {
				return
			}
		}
	}
}

// PartitionsOf yields the partitions of a shard, by partition id.
func (img *Image) PartitionsOf(shard ShardID) iter.Seq2[PartitionID, PartitionRef] {
	return func(yield func(PartitionID, PartitionRef) bool) {
		for k, ref := range from(img.partitions, partitionKey.compare, partitionKey{shard: shard}) {
			if k.shard != shard || !yield(k.partition, ref) {
				return
			}
		}
	}
}

// PartitionIn returns whose the partition of a shard is; false when the shard
// has no such partition.
func (img *Image) PartitionIn(shard ShardID, id PartitionID) (PartitionRef, bool) {
	return get(img.partitions, partitionKey.compare, partitionKey{shard, id})
}

// Partitions returns how many partitions there are in all topics.
func (img *Image) Partitions() int { return img.partitions.len() }

// Topic returns the topic with the name, or nil.
func (img *Image) Topic(name string) *Topic {
	t, _ := img.topics.get(name)
	return t
}

// TopicByID returns the topic with the id, or nil.
func (img *Image) TopicByID(id TopicID) *Topic {
	t, _ := get(img.topicIDs, TopicID.compare, id)
	return t
}

// Topics yields all topics by name, internal ones too.
func (img *Image) Topics() iter.Seq[*Topic] {
	return func(yield func(*Topic) bool) {
		for _, t := range img.topics.all() {
			if !yield(t) {
				return
			}
		}
	}
}

// TopicCount returns how many topics there are, internal ones too.
func (img *Image) TopicCount() int { return img.topics.len() }

// Partition returns where partition n of a topic is; false when there is no such
// topic or partition.
func (img *Image) Partition(topic string, n int32) (Partition, bool) {
	t := img.Topic(topic)
	if t == nil || n < 0 || int(n) >= len(t.Partitions) {
		return Partition{}, false
	}
	return t.Partitions[n], true
}

// LeaderPreference returns the nodes that may lead a shard in the order in which
// they should: of the nodes that have a voter, first the active ones in the
// shard's order, then those that drain, then the fenced ones. It is nil for an
// unknown shard; the slice is the caller's.
func (img *Image) LeaderPreference(id ShardID) []NodeID {
	s := img.Shard(id)
	if s == nil {
		return nil
	}
	var nodes []NodeID
	for _, node := range s.Preferred {
		if slices.ContainsFunc(s.Replicas, func(r Replica) bool { return r.Node == node && r.State == ReplicaVoter }) {
			nodes = append(nodes, node)
		}
	}
	// Who votes still but is to go comes behind who stays.
	for _, r := range s.Replicas {
		if r.State == ReplicaRemoving && !slices.Contains(nodes, r.Node) {
			nodes = append(nodes, r.Node)
		}
	}
	rank := func(n NodeID) int {
		b := img.Broker(n)
		switch {
		case b == nil || !b.Live():
			return 2
		case b.Draining:
			return 1
		}
		return 0
	}
	slices.SortStableFunc(nodes, func(a, b NodeID) int { return cmp.Compare(rank(a), rank(b)) })
	return nodes
}

// putBroker, putShard and putTopic change an image that nobody else has yet.
func (img *Image) putBroker(b *Broker) { img.brokers = img.brokers.with(b.ID, b) }
func (img *Image) putShard(s *Shard)   { img.shards = img.shards.with(s.ID, s) }

func (img *Image) putTopic(t *Topic) {
	img.topics = img.topics.with(t.Name, t)
	img.topicIDs = with(img.topicIDs, TopicID.compare, t.ID, t)
}

// index adds partitions [lo, len) of a topic to the index and to the counts of
// their shards.
func (img *Image) addPartitions(t *Topic, lo int) {
	counts := make(map[ShardID]int)
	for n, p := range t.Partitions[lo:] {
		img.partitions = with(img.partitions, partitionKey.compare, partitionKey{p.Shard, p.ID}, PartitionRef{t.ID, int32(lo + n)})
		counts[p.Shard]++
	}
	img.count(counts)
}

// removePartitions takes all partitions of a topic out of the index and of the
// counts of their shards.
func (img *Image) removePartitions(t *Topic) {
	counts := make(map[ShardID]int)
	for _, p := range t.Partitions {
		img.partitions = without(img.partitions, partitionKey.compare, partitionKey{p.Shard, p.ID})
		counts[p.Shard]--
	}
	img.count(counts)
}

// count adds to the numbers of partitions of shards. The order does not show in
// the result: each shard is changed once.
func (img *Image) count(counts map[ShardID]int) {
	for id, n := range counts {
		if s := img.Shard(id); s != nil {
			c := *s
			c.Partitions += n
			img.putShard(&c)
		}
	}
}
