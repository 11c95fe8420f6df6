package coordinator

import (
	"maps"
	"slices"
	"time"
)

// expireOffsets removes what nobody will ask for any more: offsets of topics that
// are gone, offsets of groups without members after offsets.retention.minutes
// (KIP-211: counted from when the last member left, or the commit if that is
// later), and then groups without members and offsets. What does not fit into
// one round waits for the next; it reports whether there is more.
func (t *tx) expireOffsets() (more bool) {
	for _, id := range slices.Sorted(maps.Keys(t.groups)) {
		g := t.groups[id]
		empty := !g.occupied() && (g.classic == nil || len(g.classic.pending) == 0)
		for _, k := range g.sortedOffsets() {
			v := g.offsets[k]
			topic, exists := t.opts.Topics.Topic(k.topic)
			since := max(v.commitMs, g.emptyMs())
			old := empty && t.opts.OffsetsRetention >= 0 &&
				t.now.Sub(time.UnixMilli(since)) >= t.opts.OffsetsRetention
			if exists && v.of(topic.ID) && !old {
				continue
			}
			if t.bytes > t.opts.MaxBatchBytes {
				return true
			}
			t.emit(&offsetRecord{g.id, k.topic, k.partition, nil})
		}
		if t.groups[id] == g && empty && len(g.offsets) == 0 {
			t.deleteGroup(g)
		}
	}
	return false
}

// expireDeleted removes the offsets of topics that are gone, after a change of
// the topics.
func (t *tx) expireDeleted() (more bool) {
	for _, id := range slices.Sorted(maps.Keys(t.groups)) {
		g := t.groups[id]
		for _, k := range g.sortedOffsets() {
			if topic, exists := t.opts.Topics.Topic(k.topic); exists && g.offsets[k].of(topic.ID) {
				continue
			}
			if t.bytes > t.opts.MaxBatchBytes {
				return true
			}
			t.emit(&offsetRecord{g.id, k.topic, k.partition, nil})
		}
	}
	return false
}
