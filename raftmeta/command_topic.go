package raftmeta

import (
	"fmt"
	"maps"
	"slices"
)

const (
	topicNameBytesMax = 249 // Kafka's

	// TopicPartitionsMax is how many partitions a topic may have.
	TopicPartitionsMax = 100_000
)

// NewShard is a shard that a command makes: it gets the command's FirstShard as
// its id, the next one of the same command the next id.
type NewShard struct {
	// Dedicated shards take partitions of the command's topic only.
	Dedicated bool
	// Nodes is where the replicas are, in the order in which they should lead.
	Nodes []NodeID
}

func putNewShards(e *encoder, shards []NewShard) {
	list(e, shards, func(e *encoder, s NewShard) {
		e.bool(s.Dedicated)
		numbers(e, s.Nodes)
	})
}

func takeNewShards(d *decoder) []NewShard {
	return takeList(d, 2, func(d *decoder) NewShard {
		return NewShard{Dedicated: d.bool(), Nodes: takeNumbers[NodeID](d)}
	})
}

// CreateTopic makes a topic whose placement is decided. PlanCreateTopic makes it.
type CreateTopic struct {
	Name      string
	ID        TopicID
	Internal  bool
	Configs   map[string]string
	Factor    int
	CreatedMs int64

	// FirstShard is the Image's NextShard if NewShards are to be made; otherwise it
	// is not looked at.
	FirstShard ShardID
	NewShards  []NewShard
	// Shards is the shard of each partition, of old ones and of NewShards.
	Shards []ShardID
}

func (*CreateTopic) header() (Kind, byte, MetadataVersion) { return KindCreateTopic, 1, MetadataV1 }

func (c *CreateTopic) encode(e *encoder) {
	e.string(c.Name)
	e.id(c.ID)
	e.bool(c.Internal)
	putConfigs(e, c.Configs)
	e.uvarint(uint64(c.Factor))
	e.varint(c.CreatedMs)
	e.uvarint(uint64(c.FirstShard))
	putNewShards(e, c.NewShards)
	numbers(e, c.Shards)
}

func decodeCreateTopic(d *decoder) *CreateTopic {
	return &CreateTopic{
		Name:       d.string(),
		ID:         d.id(),
		Internal:   d.bool(),
		Configs:    takeConfigs(d),
		Factor:     int(d.int32()),
		CreatedMs:  d.varint(),
		FirstShard: takeNumber[ShardID](d),
		NewShards:  takeNewShards(d),
		Shards:     takeNumbers[ShardID](d),
	}
}

func (c *CreateTopic) apply(img *Image, result *Result) *Error {
	switch {
	case c.Name == "" || len(c.Name) > topicNameBytesMax:
		return refuse(InvalidRequest, "topic name %q must have 1 to %d bytes", c.Name, topicNameBytesMax)
	case c.ID == TopicID{}:
		return refuse(InvalidRequest, "topic %q has no id", c.Name)
	case c.Factor < 1 || c.Factor > replicationFactorMax:
		return refuse(InvalidRequest, "topic %q: replication factor %d is not within 1 and %d", c.Name, c.Factor, replicationFactorMax)
	case img.Topic(c.Name) != nil:
		return refuse(TopicExists, "topic %q exists", c.Name)
	case img.TopicByID(c.ID) != nil:
		return refuse(TopicExists, "topic id %v is topic %q's", c.ID, img.TopicByID(c.ID).Name)
	}
	if err := checkConfigs(c.Name, c.Configs); err != nil {
		return err
	}
	t := &Topic{Name: c.Name, ID: c.ID, Internal: c.Internal, Configs: maps.Clone(c.Configs), Factor: c.Factor, CreatedMs: c.CreatedMs}
	return img.extend(t, c.FirstShard, c.NewShards, c.Shards, result)
}

// extend makes shards, and gives a topic that is not in use yet partitions in
// old and new ones.
func (img *Image) extend(t *Topic, firstShard ShardID, made []NewShard, shards []ShardID, result *Result) *Error {
	if n := len(t.Partitions) + len(shards); len(shards) == 0 || n > TopicPartitionsMax {
		return refuse(InvalidRequest, "topic %q with %d partitions and %d new ones: there must be a new one, and at most %d in all", t.Name, len(t.Partitions), len(shards), TopicPartitionsMax)
	}
	if len(made) > 0 {
		if firstShard != img.nextShard {
			return refuse(Stale, "topic %q: other shards were made meanwhile", t.Name)
		}
		result.FirstShard = firstShard
	}
	for _, n := range made {
		if err := checkNodes(n.Nodes); err != nil {
			return err
		}
		for _, node := range n.Nodes {
			if _, err := img.present(node); err != nil {
				return refuse(Stale, "topic %q: %s", t.Name, err.Message)
			}
		}
		kind, owner := ShardShared, TopicID{}
		if n.Dedicated {
			kind, owner = ShardDedicated, t.ID
		}
		img.putShard(newShard(img.nextShard, kind, owner, n.Nodes))
		img.nextShard++
	}
	result.FirstPartition = img.nextPartition
	old := len(t.Partitions)
	t.Partitions = slices.Grow(slices.Clip(t.Partitions), len(shards))
	for _, id := range shards {
		if s := img.Shard(id); s == nil || s.Kind == ShardMetadata || (s.Kind == ShardDedicated && s.Topic != t.ID) {
			return refuse(Stale, "topic %q: shard %d is not there for it", t.Name, id)
		}
		t.Partitions = append(t.Partitions, Partition{ID: img.nextPartition, Shard: id})
		img.nextPartition++
	}
	t.Version++
	img.putTopic(t)
	img.addPartitions(t, old)
	return nil
}

// DeleteTopic deletes a topic with its partitions and the shards dedicated to it.
type DeleteTopic struct {
	ID TopicID
}

func (*DeleteTopic) header() (Kind, byte, MetadataVersion) { return KindDeleteTopic, 1, MetadataV1 }

func (c *DeleteTopic) encode(e *encoder) { e.id(c.ID) }

func (c *DeleteTopic) apply(img *Image, _ *Result) *Error {
	t, err := img.known(c.ID)
	if err != nil {
		return err
	}
	img.removePartitions(t)
	for _, p := range t.Partitions {
		if s := img.Shard(p.Shard); s != nil && s.Kind == ShardDedicated {
			img.shards = img.shards.without(s.ID)
		}
	}
	img.topics = img.topics.without(t.Name)
	img.topicIDs = without(img.topicIDs, TopicID.compare, t.ID)
	return nil
}

// known returns the topic with the id.
func (img *Image) known(id TopicID) (*Topic, *Error) {
	t := img.TopicByID(id)
	if t == nil {
		return nil, refuse(UnknownTopic, "topic id %v is not known", id)
	}
	return t, nil
}

// AddPartitions gives a topic more partitions. PlanAddPartitions makes it.
type AddPartitions struct {
	Topic TopicID
	// Count is how many partitions the topic has before.
	Count int

	FirstShard ShardID // as in CreateTopic
	NewShards  []NewShard
	Shards     []ShardID
}

func (*AddPartitions) header() (Kind, byte, MetadataVersion) { return KindAddPartitions, 1, MetadataV1 }

func (c *AddPartitions) encode(e *encoder) {
	e.id(c.Topic)
	e.uvarint(uint64(c.Count))
	e.uvarint(uint64(c.FirstShard))
	putNewShards(e, c.NewShards)
	numbers(e, c.Shards)
}

func decodeAddPartitions(d *decoder) *AddPartitions {
	return &AddPartitions{
		Topic:      d.id(),
		Count:      int(d.int32()),
		FirstShard: takeNumber[ShardID](d),
		NewShards:  takeNewShards(d),
		Shards:     takeNumbers[ShardID](d),
	}
}

func (c *AddPartitions) apply(img *Image, result *Result) *Error {
	t, err := img.known(c.Topic)
	if err != nil {
		return err
	}
	if len(t.Partitions) != c.Count {
		return refuse(Stale, "topic %q has %s now, not %d", t.Name, plural(len(t.Partitions), "partition"), c.Count)
	}
	changed := *t
	return img.extend(&changed, c.FirstShard, c.NewShards, c.Shards, result)
}

// SetTopicConfigs sets and deletes configs of a topic; a name in both is set.
// Names and values are checked before, by who knows what they mean.
type SetTopicConfigs struct {
	Topic TopicID
	// Version is the Topic.Version that the change was decided on, or 0 for any.
	Version uint64
	Set     map[string]string
	Delete  []string
}

func (*SetTopicConfigs) header() (Kind, byte, MetadataVersion) {
	return KindSetTopicConfigs, 1, MetadataV1
}

func (c *SetTopicConfigs) encode(e *encoder) {
	e.id(c.Topic)
	e.uvarint(c.Version)
	putConfigs(e, c.Set)
	list(e, c.Delete, (*encoder).string)
}

func decodeSetTopicConfigs(d *decoder) *SetTopicConfigs {
	return &SetTopicConfigs{Topic: d.id(), Version: d.uvarint(), Set: takeConfigs(d), Delete: takeList(d, 1, (*decoder).string)}
}

func (c *SetTopicConfigs) apply(img *Image, _ *Result) *Error {
	t, err := img.known(c.Topic)
	if err != nil {
		return err
	}
	if c.Version != 0 && c.Version != t.Version {
		return refuse(Stale, "topic %q was changed meanwhile: it has version %d, not %d", t.Name, t.Version, c.Version)
	}
	changed := *t
	changed.Configs = make(map[string]string, len(t.Configs)+len(c.Set))
	maps.Copy(changed.Configs, t.Configs)
	for _, name := range c.Delete {
		delete(changed.Configs, name)
	}
	maps.Copy(changed.Configs, c.Set)
	if len(changed.Configs) == 0 {
		changed.Configs = nil
	}
	if err := checkConfigs(t.Name, changed.Configs); err != nil {
		return err
	}
	if maps.Equal(changed.Configs, t.Configs) {
		return nil
	}
	changed.Version++
	img.putTopic(&changed)
	return nil
}

// topicConfigsMax and topicConfigsBytesMax bound what a topic's configs can grow
// to: a topic is one record of a snapshot.
const (
	topicConfigsMax      = 1000
	topicConfigsBytesMax = 1 << 20
)

func checkConfigs(topic string, configs map[string]string) *Error {
	bytes := 0
	for name, value := range configs { // a sum knows no order
		bytes += len(name) + len(value)
	}
	if len(configs) > topicConfigsMax || bytes > topicConfigsBytesMax {
		return refuse(InvalidRequest, "topic %q would have %s of %d bytes; at most %d of %d", topic, plural(len(configs), "config"), bytes, topicConfigsMax, topicConfigsBytesMax)
	}
	return nil
}

// String returns what the command does, for a log line.
func (c *CreateTopic) String() string {
	return fmt.Sprintf("create topic %q with %s, replication factor %d and %s", c.Name, plural(len(c.Shards), "partition"), c.Factor, plural(len(c.NewShards), "new shard"))
}
