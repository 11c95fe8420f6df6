package coordinator

import (
	"encoding/binary"
	"hash/fnv"

	"github.com/leatlog/leat/internal/assignor"
)

// rebalance gives the group its next epoch and a target assignment for it.
func (t *tx) rebalance(g *group) {
	next := groupValue{epoch: g.epoch() + 1, hash: t.readTopics(g)}
	if len(g.members) == 0 {
		next.emptyMs = t.nowMs()
	}
	t.emit(&groupRecord{g.id, &next})
	t.retarget(g)
}

// refresh rebalances the group if the topics that it subscribes to are not what
// they were when its epoch was set: created, deleted, recreated or grown.
func (t *tx) refresh(g *group) {
	if len(g.members) > 0 && t.readTopics(g) != g.meta.hash {
		t.rebalance(g)
	}
}

// readTopics looks up the subscribed topics, notes their names by id, and
// returns a hash of them.
func (t *tx) readTopics(g *group) int64 {
	names := make(map[TopicID]string)
	h := fnv.New64a()
	for _, name := range g.subscribed() {
		topic, ok := t.opts.Topics.Topic(name)
		if !ok {
			continue
		}
		names[topic.ID] = name
		var b []byte
		b = binary.BigEndian.AppendUint32(b, uint32(len(name)))
		b = append(b, name...)
		b = append(b, topic.ID[:]...)
		b = binary.BigEndian.AppendUint32(b, uint32(topic.Partitions))
		h.Write(b) // never fails
	}
	for tp := range g.owners { // of deleted topics too, as long as a member has them
		if name, ok := g.names[tp.topic]; ok && names[tp.topic] == "" {
			names[tp.topic] = name
		}
	}
	g.names = names
	return int64(h.Sum64())
}

// preferred returns the server-side assignor that most members name, the first
// by name of several, or the default.
func (t *tx) preferred(g *group) string {
	votes := make(map[string]int)
	for _, m := range g.members {
		if m.meta.assignor != "" {
			votes[m.meta.assignor]++
		}
	}
	best, most := t.opts.Assignor, 0
	for name, n := range votes {
		if n > most || n == most && name < best {
			best, most = name, n
		}
	}
	return best
}

// retarget makes the target assignment of the group's epoch. The assignor gets
// the last target as what members own: that is where they are heading to.
func (t *tx) retarget(g *group) {
	ids := make(map[string]TopicID)
	counts := make(map[string]int32)
	for _, name := range g.subscribed() {
		if topic, ok := t.opts.Topics.Topic(name); ok {
			ids[name], counts[name] = topic.ID, topic.Partitions
		}
	}
	members := make([]assignor.Member, 0, len(g.members))
	for _, id := range g.sortedMembers() {
		m := g.members[id]
		owned := make(assignor.Partitions)
		for topic, list := range g.target[id] {
			if name := g.names[topic]; ids[name] == topic {
				owned[name] = list
			}
		}
		members = append(members, assignor.Member{ID: id, InstanceID: m.meta.instanceID, Rack: m.meta.rack,
			Topics: m.meta.topics, Owned: owned})
	}
	assign, ok := assignor.Server(t.preferred(g))
	if !ok { // a replayed member's preference that this version does not have
		assign = assignor.Uniform
	}
	result := assign(members, counts)
	for _, m := range members {
		set := make(partitionSet, len(result[m.ID]))
		for name, list := range result[m.ID] {
			set[ids[name]] = list
		}
		if old, ok := g.target[m.ID]; !ok || !old.equal(set) {
			t.emit(&targetMemberRecord{g.id, m.ID, set})
		}
	}
	t.emit(&targetRecord{g.id, &targetValue{epoch: g.epoch()}})
}
