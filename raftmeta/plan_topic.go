package raftmeta

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// ConfigDedicatedShards is the topic config that gives a topic shards of its own:
// how many; 0, or no such config, is none.
const ConfigDedicatedShards = "leat.dedicated.shards"

// CreateTopicRequest is what PlanCreateTopic places.
type CreateTopicRequest struct {
	Name string
	// ID is drawn at random by the caller.
	ID       TopicID
	Internal bool
	// Partitions is how many, 1 to TopicPartitionsMax.
	Partitions int
	// ReplicationFactor may be 0 or -1 for the cluster's default.
	ReplicationFactor int
	// Configs was checked by the caller, but for ConfigDedicatedShards.
	Configs   map[string]string
	CreatedMs int64
}

// PlanCreateTopic decides where the partitions of a new topic are. Each gets a
// shard of its own as long as the cluster has fewer partitions of the
// replication factor than shards for it (Settings.ShardsPerFactor); then the one
// with the fewest partitions. Where a new shard is due and too few brokers are
// active for it, the partition goes to an old one if there is any.
//
// The error is an *Error: TopicExists, NotEnoughBrokers or InvalidRequest. The
// result of the command may be Stale or TopicExists; after Stale plan anew.
func PlanCreateTopic(img *Image, req CreateTopicRequest) (*CreateTopic, error) {
	factor := req.ReplicationFactor
	if factor == 0 || factor == -1 {
		factor = img.settings.DefaultReplicationFactor
	}
	what := fmt.Sprintf("topic %q", req.Name)
	switch {
	case img.clusterID == "":
		return nil, refuse(NotBootstrapped, "%s: the cluster has no id yet", what)
	case req.Name == "" || len(req.Name) > topicNameBytesMax:
		return nil, refuse(InvalidRequest, "topic name %q must have 1 to %d bytes", req.Name, topicNameBytesMax)
	case req.ID == TopicID{}:
		return nil, refuse(InvalidRequest, "%s has no id", what)
	case img.Topic(req.Name) != nil:
		return nil, refuse(TopicExists, "%s exists", what)
	case req.Partitions < 1 || req.Partitions > TopicPartitionsMax:
		return nil, refuse(InvalidRequest, "%s: %d partitions is not within 1 and %d", what, req.Partitions, TopicPartitionsMax)
	case factor < 1 || factor > replicationFactorMax:
		return nil, refuse(InvalidRequest, "%s: replication factor %d is not within 1 and %d", what, factor, replicationFactorMax)
	}
	if err := checkConfigs(req.Name, req.Configs); err != nil {
		return nil, err
	}
	made, shards, err := assign(img, what, TopicID{}, req.Configs, factor, req.Partitions)
	if err != nil {
		return nil, err
	}
	return &CreateTopic{
		Name: req.Name, ID: req.ID, Internal: req.Internal, Configs: maps.Clone(req.Configs),
		Factor: factor, CreatedMs: req.CreatedMs,
		FirstShard: img.nextShard, NewShards: made, Shards: shards,
	}, nil
}

// PlanAddPartitions decides where the new partitions of a topic are that is to
// have count in all, by the rules of PlanCreateTopic.
//
// The error is an *Error: UnknownTopic, NotEnoughBrokers, or InvalidRequest for a
// count that is not above what the topic has. After a result of Stale plan anew.
func PlanAddPartitions(img *Image, topic string, count int) (*AddPartitions, error) {
	t := img.Topic(topic)
	switch {
	case t == nil:
		return nil, refuse(UnknownTopic, "topic %q is not known", topic)
	case count <= len(t.Partitions):
		return nil, refuse(InvalidRequest, "topic %q has %s, which can only become more, and not %d", topic, plural(len(t.Partitions), "partition"), count)
	case count > TopicPartitionsMax:
		return nil, refuse(InvalidRequest, "topic %q: %d partitions is above %d", topic, count, TopicPartitionsMax)
	}
	made, shards, err := assign(img, fmt.Sprintf("topic %q", topic), t.ID, t.Configs, img.factor(t), count-len(t.Partitions))
	if err != nil {
		return nil, err
	}
	return &AddPartitions{Topic: t.ID, Count: len(t.Partitions), FirstShard: img.nextShard, NewShards: made, Shards: shards}, nil
}

// PlanDeleteTopic returns the command that deletes a topic, or an *Error that is
// UnknownTopic.
func PlanDeleteTopic(img *Image, topic string) (*DeleteTopic, error) {
	t := img.Topic(topic)
	if t == nil {
		return nil, refuse(UnknownTopic, "topic %q is not known", topic)
	}
	return &DeleteTopic{ID: t.ID}, nil
}

// factor returns the replication factor that new partitions of a topic should
// have: that of the last, which may have been changed since the topic was made.
func (img *Image) factor(t *Topic) int {
	if n := len(t.Partitions); n > 0 {
		if s := img.Shard(t.Partitions[n-1].Shard); s != nil {
			return s.class()
		}
	}
	return t.Factor
}

// class returns the replication factor that the shard has or is about to have.
func (s *Shard) class() int {
	if s.Moving() {
		return len(s.Target)
	}
	return s.Factor
}

// open is a shard that may take partitions.
type open struct {
	id         ShardID
	partitions int
}

// assign gives partitions shards, and makes what is missing of these.
func assign(img *Image, what string, topic TopicID, configs map[string]string, factor, partitions int) ([]NewShard, []ShardID, error) {
	limit, dedicated := img.settings.ShardsPerFactor, false
	if value, ok := configs[ConfigDedicatedShards]; ok {
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 || n > shardsPerFactorMax {
			return nil, nil, refuse(InvalidRequest, "%s: %s of %q is not within 0 and %d", what, ConfigDedicatedShards, value, shardsPerFactorMax)
		}
		if n > 0 {
			limit, dedicated = n, true
		}
	}
	var shards []open
	for s := range img.Shards() {
		switch {
		case s.Kind == ShardShared && !dedicated && s.class() == factor,
			s.Kind == ShardDedicated && dedicated && s.Topic == topic:
			shards = append(shards, open{s.ID, s.Partitions})
		}
	}
	var made []NewShard
	l, short := newLoad(img), false
	assigned := make([]ShardID, 0, partitions)
	for range partitions {
		// The first with the fewest: ties fall to the lowest id.
		i := -1
		if len(shards) > 0 {
			least := slices.MinFunc(shards, func(a, b open) int { return cmp.Compare(a.partitions, b.partitions) })
			i = slices.Index(shards, least)
		}
		if (i < 0 || shards[i].partitions > 0) && len(shards) < limit && !short {
			nodes, ok := l.place(factor, len(shards))
			if !ok && i < 0 {
				return nil, nil, l.tooFew(what, factor)
			}
			if ok {
				shards = append(shards, open{id: img.nextShard + ShardID(len(made))})
				made = append(made, NewShard{Dedicated: dedicated, Nodes: nodes})
				i = len(shards) - 1
			}
			short = !ok
		}
		shards[i].partitions++
		assigned = append(assigned, shards[i].id)
	}
	leads := make([][]NodeID, len(made))
	for i := range made {
		leads[i] = made[i].Nodes // spread reorders them in place
	}
	spread(leads, l.leaders)
	return made, assigned, nil
}
