package raftmeta

import (
	"maps"
	"slices"
)

// A Topic is a named set of partitions. It is immutable, its map included.
type Topic struct {
	Name string
	ID   TopicID
	// Internal is true for the library's own topics.
	Internal bool
	// Configs is what was set for the topic, by Kafka's names. Nothing here checks
	// the values.
	Configs map[string]string
	// Factor is the replication factor that it was created with. What a partition
	// has now is its shard's.
	Factor int
	// CreatedMs is when it was created, Unix milliseconds, by the clock of the node
	// that was asked to.
	CreatedMs int64
	// Partitions is the partitions, by number.
	Partitions []Partition
	// Version grows with every change of the topic.
	Version uint64
}

// A Partition is where one partition of a topic is.
type Partition struct {
	// ID names the partition in the whole cluster. It is never used again.
	ID PartitionID
	// Shard is the shard that replicates it.
	Shard ShardID
}

// A PartitionRef says whose a partition is.
type PartitionRef struct {
	Topic  TopicID
	Number int32 // within the topic
}

func (t *Topic) encode(e *encoder) {
	e.string(t.Name)
	e.id(t.ID)
	e.bool(t.Internal)
	putConfigs(e, t.Configs)
	e.uvarint(uint64(t.Factor))
	e.varint(t.CreatedMs)
	list(e, t.Partitions, func(e *encoder, p Partition) {
		e.uvarint(uint64(p.ID))
		e.uvarint(uint64(p.Shard))
	})
	e.uvarint(t.Version)
}

func decodeTopic(d *decoder) *Topic {
	return &Topic{
		Name:      d.string(),
		ID:        d.id(),
		Internal:  d.bool(),
		Configs:   takeConfigs(d),
		Factor:    int(d.int32()),
		CreatedMs: d.varint(),
		Partitions: takeList(d, 2, func(d *decoder) Partition {
			return Partition{ID: takeNumber[PartitionID](d), Shard: takeNumber[ShardID](d)}
		}),
		Version: d.uvarint(),
	}
}

// putConfigs appends a map in the order of its keys.
func putConfigs(e *encoder, configs map[string]string) {
	list(e, slices.Sorted(maps.Keys(configs)), func(e *encoder, name string) {
		e.string(name)
		e.string(configs[name])
	})
}

// takeConfigs takes what putConfigs appended; no configs are nil.
func takeConfigs(d *decoder) map[string]string {
	n := d.count(2)
	if n == 0 {
		return nil
	}
	configs := make(map[string]string)
	last := ""
	for i := range n {
		name, value := d.string(), d.string()
		if d.err == nil && i > 0 && name <= last {
			d.fail("configs out of order")
		}
		if d.err != nil {
			return nil
		}
		configs[name], last = value, name
	}
	return configs
}
