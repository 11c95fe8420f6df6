package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
)

// raftCommand is an entry that was committed, and what must come of it.
type raftCommand struct {
	kind  string
	p     base.PartitionID
	to    base.Offset
	batch *Append
	model modelAppend
	now   int64
	name  string
	value string

	// What the first replica that applied it said; the model says the same.
	at  base.Offset
	dup bool
	err error
}

// raftShardModel is a shard as a function of its committed entries.
type raftShardModel struct {
	partitions map[base.PartitionID]*modelPartition
	settings   map[string]string
}

var errOutOfRange = errors.New("out of range")

// applyOne applies an entry and compares what comes of it with what must.
func (w *raftWorld) applyOne(a *Apply, i base.RaftIndex, c *raftCommand) error {
	var at base.Offset
	var dup bool
	var err error
	switch c.kind {
	case "create":
		err = a.CreatePartition(c.p)
	case "drop":
		err = a.DropPartition(c.p)
	case "set":
		err = a.Set(c.name, []byte(c.value))
	case "delete":
		err = a.Delete(c.name)
	case "trim":
		at, err = a.Trim(c.p, c.to)
		if errors.As(err, new(*OffsetOutOfRangeError)) {
			err = errOutOfRange
		}
	case "append":
		at, dup, err = a.Append(AppendCommand{Partition: c.p, Position: i, Batch: c.batch.Batch, Header: c.batch.Header,
			Epoch: c.batch.Epoch, NowMillis: c.now})
	}
	if !errors.Is(err, c.err) || at != c.at || dup != c.dup {
		return fmt.Errorf("entry %d, %s %d: %d %v %w, want %d %v %w", i, c.kind, c.p, at, dup, err, c.at, c.dup, c.err)
	}
	return nil
}

// compacted tells which partitions may be compacted: the others are compared byte
// by byte.
func compactedHere(id base.PartitionID) bool { return id%2 == 0 }

// same tells whether a store's logs and applied indexes are as given.
func (w *raftWorld) same(n *raftNode, want [2]raftReplicaState) bool {
	for si, s := range w.shards {
		r := &want[si]
		first, last, err := n.s.LogBounds(s.id, r.id)
		w.m.ok(err)
		applied, err := n.s.AppliedIndex(s.id)
		w.m.ok(err)
		state, _, err := n.s.LogState(s.id, r.id)
		w.m.ok(err)
		if first != r.first || last != r.last() || applied != r.applied || string(state) != r.state {
			return false
		}
		i := 0
		err = n.s.LogEntries(s.id, r.id, first, last+1, math.MaxUint64, func(e LogEntry) (bool, error) {
			x := &r.log[i]
			i++
			if !bytes.Equal(e.Head, x.Head) || !bytes.Equal(e.Payload, x.Payload) {
				return false, errDiffers
			}
			return true, nil
		})
		if errors.Is(err, errDiffers) {
			return false
		}
		w.m.ok(err)
		if i != len(r.log) {
			return false
		}
	}
	return true
}

var errDiffers = errors.New("differs")

// check compares a store with what it should be, completely.
func (w *raftWorld) check(n *raftNode) {
	w.t.Helper()
	if !w.same(n, n.now) {
		w.m.ok(errors.New("the Raft logs are not as they should be"))
	}
	for si, s := range w.shards {
		m := s.at(n.now[si].applied)
		ids, err := n.s.ShardPartitions(s.id)
		w.m.ok(err)
		require.Equal(w.t, slices.Sorted(maps.Keys(m.partitions)), ids)
		for i := range 4 {
			name := fmt.Sprint("s", i)
			v, ok, err := n.s.ShardSetting(s.id, name)
			w.m.ok(err)
			want, has := m.settings[name]
			require.Equal(w.t, has, ok)
			require.Equal(w.t, want, string(v))
		}
		for id, mp := range m.partitions {
			p, err := n.s.Replicated(id)
			w.m.ok(err)
			if compactedHere(id) {
				w.m.ok(mp.checkLatest(p))
			} else {
				w.m.ok(mp.check(p))
			}
		}
	}
}

// checkLatest compares what compaction must leave.
func (m *modelPartition) checkLatest(p *Partition) error {
	if err := p.valid(); err != nil {
		return err
	}
	if p.HighWatermark() != m.next || p.LogStart() != m.start || p.MaxTimestamp() != m.maxTime {
		return fmt.Errorf("has [%d, %d), time %d; want [%d, %d), %d", p.LogStart(), p.HighWatermark(), p.MaxTimestamp(), m.start, m.next, m.maxTime)
	}
	want, got := map[string]kv{}, map[string]kv{}
	note := func(to map[string]kv, r kv) {
		switch {
		case r.key == "-" || r.offset < m.start:
		case r.value == "-":
			delete(to, r.key)
		default:
			to[r.key] = r
		}
	}
	for _, b := range m.batches {
		for _, r := range b.records {
			note(want, r)
		}
	}
	err := p.scanBatches(m.start, m.next, func(b storedBatch) (bool, error) {
		_, records, err := decodeBatch(b.bytes)
		for _, r := range records {
			note(got, r)
		}
		return true, err
	})
	if err == nil && !maps.Equal(got, want) {
		err = fmt.Errorf("the last records of the keys are %v, want %v", got, want)
	}
	return err
}

// finish lets everybody come to the end, and looks for what is left over.
func (w *raftWorld) finish() {
	for _, s := range w.shards { // to replace all junk
		end := len(s.committed)
		for _, n := range w.nodes {
			end = max(end, int(n.now[s.id-16].last()))
		}
		for len(s.committed) <= end {
			s.committed = append(s.committed, &raftCommand{kind: "nothing"})
		}
	}
	for ni, n := range w.nodes {
		for si, s := range w.shards {
			r := &n.now[si]
			u := LogUpdate{Shard: s.id, Replica: r.id}
			for i := s.agreed(r) + 1; int(i) <= len(s.committed); i++ {
				u.Entries = append(u.Entries, s.entry(i))
			}
			w.m.ok(n.s.SaveLog([]LogUpdate{u}))
			r.put(u.Entries)
			n.wrote(false)
			for int(r.applied) < len(s.committed) {
				w.applyTo(ni, n, si, s, math.MaxInt32)
			}
		}
		w.check(n)
	}
	for _, s := range w.shards {
		a, b := hashOf(w.t, w.nodes[0].s, s.id, compactedHere), hashOf(w.t, w.nodes[1].s, s.id, compactedHere)
		if a != b {
			w.m.ok(fmt.Errorf("shard %d: the replicas differ", s.id))
		}
	}
	for _, n := range w.nodes {
		for si, s := range w.shards {
			w.m.ok(n.s.RemoveLogTo(s.id, n.now[si].id, math.MaxUint64))
		}
		if data, index := countKeys(w.t, n.s, kindData), countKeys(w.t, n.s, kindIndex); data != index {
			w.m.ok(fmt.Errorf("%d batches are stored, the index has %d", data, index))
		}
		requireNothingDeferred(w.t, n.s)
		require.Zero(w.t, countKeys(w.t, n.s, kindRaftEntry))
		w.m.ok(n.s.Close())
	}
}
