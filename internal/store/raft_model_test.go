package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
)

// TestRaftMetamorphic does what Raft may do to the replicas of two shards on two
// stores, and compares with what they should be: entries that lose, entries that
// come again, applies in any grouping, shortened logs, snapshots, wiped replicas,
// compactions, crashes.
//
//	go test ./internal/store -run TestRaftMetamorphic -store.seed N
func TestRaftMetamorphic(t *testing.T) {
	for i := range *metaRuns {
		seed := *metaSeed
		if seed == 0 {
			seed = rand.Uint64()
		} else if i > 0 {
			break
		}
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			newRaftWorld(t, seed).run(*metaSteps)
		})
	}
}

func (m *raftShardModel) apply(c *raftCommand) (at base.Offset, dup bool, err error) {
	p := m.partitions[c.p]
	switch c.kind {
	case "create":
		m.partitions[c.p] = newModelPartition()
	case "set":
		m.settings[c.name] = c.value
	case "delete":
		delete(m.settings, c.name)
	case "append":
		if p == nil {
			return 0, false, ErrUnknownPartition
		}
		return p.append(c.model)
	case "trim":
		switch {
		case p == nil:
			return 0, false, ErrUnknownPartition
		case c.to > p.next:
			return 0, false, errOutOfRange
		}
		p.trim(c.to)
		return p.start, false, nil
	case "drop":
		if p == nil {
			return 0, false, ErrUnknownPartition
		}
		delete(m.partitions, c.p)
	}
	return 0, false, nil
}

// raftShard is the truth of one shard.
type raftShard struct {
	id        base.ShardID
	committed []*raftCommand     // [i] is entry i+1
	ids       []base.PartitionID // that it ever had
	now       *raftShardModel
}

// unknown is a partition that the shard never has. An id is only ever used with
// one shard, also if it is of no partition.
func (s *raftShard) unknown(r *rand.Rand) base.PartitionID {
	return base.PartitionID(s.id)*1000 + base.PartitionID(r.IntN(2))
}

// at makes the model as of an applied index.
func (s *raftShard) at(applied base.RaftIndex) *raftShardModel {
	m := &raftShardModel{partitions: map[base.PartitionID]*modelPartition{}, settings: map[string]string{}}
	for _, c := range s.committed[:applied] {
		_, _, _ = m.apply(c)
	}
	return m
}

// raftReplicaState is what one replica on one store should be. It is copied by
// value; log is never written to in place.
type raftReplicaState struct {
	id      base.ReplicaID
	first   base.RaftIndex
	log     []LogEntry // from first on
	applied base.RaftIndex
	state   string
}

func (r *raftReplicaState) last() base.RaftIndex { return r.first + base.RaftIndex(len(r.log)) - 1 }

// raftNode is one store with a replica of each shard.
type raftNode struct {
	disk    *vfs.MemFS
	s       *Store
	now     [2]raftReplicaState
	history [][2]raftReplicaState // since all was durable; any of it may be what a crash leaves
}

type raftWorld struct {
	t       *testing.T
	m       *metamorphic // for its batches and its history
	r       *rand.Rand
	opts    Options
	shards  [2]*raftShard
	nodes   [2]*raftNode
	junk    int
	copies  int
	nextID  base.PartitionID
	replica base.ReplicaID
}

func newRaftWorld(t *testing.T, seed uint64) *raftWorld {
	r := rand.New(rand.NewPCG(seed, 2))
	w := &raftWorld{t: t, r: r, nextID: 1, replica: 1,
		m: &metamorphic{t: t, r: r, now: 1_700_000_000_000}}
	w.opts = Options{
		Dir:            "log",
		MemTableBytes:  []int64{64 << 10, 256 << 10, 4 << 20}[r.IntN(3)],
		TailCacheBytes: []int64{1, 8 << 10, 1 << 20}[r.IntN(3)],
		CacheBytes:     1 << 20,
	}
	for i := range w.shards {
		w.shards[i] = &raftShard{id: base.ShardID(16 + i)}
		w.shards[i].now = w.shards[i].at(0)
	}
	for i := range w.nodes {
		n := &raftNode{disk: vfs.NewCrashableMem()}
		w.nodes[i] = n
		w.open(n, n.disk)
		for j := range n.now {
			n.now[j] = raftReplicaState{id: w.replica, first: 1}
			w.m.ok(n.s.SetBootstrap(w.shards[j].id, w.replica, []byte("b")))
		}
		n.durable()
	}
	return w
}

func (w *raftWorld) open(n *raftNode, disk *vfs.MemFS) {
	n.disk = disk
	o := w.opts
	o.FS = disk
	s, err := Open(o)
	w.m.ok(err)
	n.s = s
}

// durable says that a crash takes nothing of what was done so far.
func (n *raftNode) durable() { n.history = [][2]raftReplicaState{n.now} }

// wrote notes what was written, and whether it and all before it is durable.
func (n *raftNode) wrote(sync bool) {
	if sync {
		n.durable()
		return
	}
	n.history = append(n.history, n.now)
}

func (w *raftWorld) run(steps int) {
	ops := []struct {
		weight int
		op     func()
	}{
		{30, w.propose}, {40, w.save}, {8, w.saveJunk}, {35, w.apply}, {8, w.shorten}, {10, w.compact}, {10, w.read},
		{3, w.misuse}, {2, w.flush}, {3, w.snapshot}, {1, w.wipe}, {3, w.reopen}, {5, w.crash}, {1, w.checkpoint}, {1, w.reclaim},
	}
	total := 0
	for _, o := range ops {
		total += o.weight
	}
	for range steps {
		k := w.r.IntN(total)
		for _, o := range ops {
			if k -= o.weight; k < 0 {
				o.op()
				break
			}
		}
		if w.t.Failed() {
			return
		}
	}
	w.finish()
}

func (w *raftWorld) pick() (ni int, n *raftNode, si int, s *raftShard) {
	ni, si = w.r.IntN(len(w.nodes)), w.r.IntN(len(w.shards))
	return ni, w.nodes[ni], si, w.shards[si]
}

// propose commits entries.
func (w *raftWorld) propose() {
	s := w.shards[w.r.IntN(len(w.shards))]
	for range 1 + w.r.IntN(6) {
		// Leaders have clocks of their own, and hours pass.
		c := &raftCommand{kind: "nothing", now: w.m.now + int64(w.r.IntN(7_200_000)) - 3_600_000}
		if w.r.IntN(8) == 0 {
			w.m.now += int64(w.r.IntN(20 * 3_600_000))
		}
		ids := slices.Sorted(maps.Keys(s.now.partitions))
		if len(ids) > 0 {
			c.p = ids[w.r.IntN(len(ids))]
		} else {
			c.p = w.nextID + 1000
		}
		switch k := w.r.IntN(30); {
		case len(ids) < 2 || (k == 0 && len(ids) < 5):
			c.kind, c.p = "create", w.nextID
			s.ids = append(s.ids, c.p)
			w.nextID++
		case k == 1:
			c.kind = "drop"
		case k < 5:
			m := s.now.partitions[c.p]
			c.kind, c.to = "trim", m.start+base.Offset(w.r.Int64N(int64(m.next-m.start)+2))
		case k == 5:
			c.kind, c.name, c.value = "set", fmt.Sprint("s", w.r.IntN(4)), fmt.Sprint(w.r.Int())
		case k == 6:
			c.kind, c.name = "delete", fmt.Sprint("s", w.r.IntN(4))
		case k == 7:
			c.kind, c.p = "append", s.unknown(w.r)
			c.model = modelAppend{records: w.m.records(), id: -1, ts: w.m.now, now: c.now}
			c.batch = w.m.build(nil, c.model)
		case k > 8:
			c.kind, c.model = "append", w.m.batch(s.now.partitions[c.p])
			c.model.now = c.now
			c.batch = w.m.build(nil, c.model)
		}
		c.at, c.dup, c.err = s.now.apply(c)
		s.committed = append(s.committed, c)
		w.m.say("shard %d entry %d: %s %d: %d %v %v", s.id, len(s.committed), c.kind, c.p, c.at, c.dup, c.err)
	}
}

// entry is the log's entry of a committed command.
func (s *raftShard) entry(i base.RaftIndex) LogEntry {
	c := s.committed[i-1]
	e := LogEntry{Index: i, Head: fmt.Append(nil, "committed ", i)}
	if c.kind == "append" {
		e.Partition, e.Payload = c.p, c.batch.Batch
	}
	return e
}

// agreed is the last entry of a replica's log that is a committed one, and all
// before it.
func (s *raftShard) agreed(r *raftReplicaState) base.RaftIndex {
	at := r.first - 1
	for i, e := range r.log {
		if !bytes.HasPrefix(e.Head, []byte("committed")) {
			break
		}
		at = r.first + base.RaftIndex(i)
	}
	return at
}

// put changes the expected log as SaveLog does.
func (r *raftReplicaState) put(entries []LogEntry) {
	keep := entries[0].Index - r.first
	r.log = append(slices.Clone(r.log[:keep]), entries...)
}

// save brings some replicas of a node nearer to what is committed, in one call.
func (w *raftWorld) save() {
	ni, n, _, _ := w.pick()
	var us []LogUpdate
	sync := w.r.IntN(3) > 0
	for si, s := range w.shards {
		r := &n.now[si]
		from := s.agreed(r) + 1
		if w.r.IntN(4) == 0 || int(from) > len(s.committed) {
			continue
		}
		u := LogUpdate{Shard: s.id, Replica: r.id, Sync: sync && w.r.IntN(2) == 0}
		for i := from; int(i) <= len(s.committed) && len(u.Entries) < 1+w.r.IntN(8); i++ {
			u.Entries = append(u.Entries, s.entry(i))
		}
		if w.r.IntN(2) == 0 {
			u.State = fmt.Append(nil, "state ", w.r.Int())
			r.state = string(u.State)
		}
		r.put(u.Entries)
		w.m.say("node %d shard %d: saved [%d, %d]", ni, s.id, from, r.last())
		us = append(us, u)
	}
	if len(us) == 0 {
		return
	}
	us[len(us)-1].Sync = us[len(us)-1].Sync || sync
	w.m.ok(n.s.SaveLog(us))
	n.wrote(slices.ContainsFunc(us, func(u LogUpdate) bool { return u.Sync }))
}

// saveJunk saves entries that will lose.
func (w *raftWorld) saveJunk() {
	ni, n, si, s := w.pick()
	r := &n.now[si]
	lo := max(r.applied+1, r.first)
	from := lo + base.RaftIndex(w.r.Int64N(int64(r.last()-lo)+2))
	u := LogUpdate{Shard: s.id, Replica: r.id, Sync: w.r.IntN(2) == 0}
	for i := range 1 + w.r.IntN(6) {
		w.junk++
		e := LogEntry{Index: from + base.RaftIndex(i), Head: fmt.Append(nil, "junk ", w.junk)}
		if w.r.IntN(4) > 0 {
			e.Partition = s.unknown(w.r)
			if len(s.ids) > 0 && w.r.IntN(4) > 0 {
				e.Partition = s.ids[w.r.IntN(len(s.ids))]
			}
			e.Payload = fmt.Append(nil, "junk ", w.junk, strings.Repeat("j", w.r.IntN(3000)))
		}
		u.Entries = append(u.Entries, e)
	}
	w.m.say("node %d shard %d: junk from %d on", ni, s.id, from)
	w.m.ok(n.s.SaveLog([]LogUpdate{u}))
	r.put(u.Entries)
	n.wrote(u.Sync)
}

// apply applies some of what a replica has of what is committed.
func (w *raftWorld) apply() {
	ni, n, si, s := w.pick()
	w.applyTo(ni, n, si, s, 1+w.r.IntN(10))
}

func (w *raftWorld) applyTo(ni int, n *raftNode, si int, s *raftShard, limit int) {
	r := &n.now[si]
	to := min(s.agreed(r), r.applied+base.RaftIndex(limit))
	if to <= r.applied {
		return
	}
	discard := w.r.IntN(10) == 0
	w.m.say("node %d shard %d: apply (%d, %d], discard %v", ni, s.id, r.applied, to, discard)
	a, err := n.s.BeginApply(s.id)
	w.m.ok(err)
	for i := r.applied + 1; i <= to; i++ {
		w.m.ok(w.applyOne(a, i, s.committed[i-1]))
	}
	if discard {
		w.m.ok(a.Discard())
		return
	}
	w.m.ok(a.Commit(to))
	r.applied = to
	n.wrote(false)
}

// shorten removes the first entries of a log.
func (w *raftWorld) shorten() {
	ni, n, si, s := w.pick()
	r := &n.now[si]
	if r.applied < r.first {
		return
	}
	to := r.first + base.RaftIndex(w.r.Int64N(int64(r.applied-r.first)+1))
	w.m.say("node %d shard %d: remove the log up to %d", ni, s.id, to)
	w.m.ok(n.s.RemoveLogTo(s.id, r.id, to))
	to = min(to, r.last())
	r.log = slices.Clone(r.log[to+1-r.first:])
	r.first = to + 1
	n.wrote(true)
}

func (w *raftWorld) compact() {
	ni, n, si, s := w.pick()
	for id := range s.at(n.now[si].applied).partitions {
		if !compactedHere(id) {
			continue
		}
		p, err := n.s.Replicated(id)
		w.m.ok(err)
		w.m.now += int64(w.r.IntN(100))
		o := CompactOptions{Now: w.m.now, DeleteRetention: time.Duration(w.r.IntN(300)) * time.Millisecond}
		if w.r.IntN(2) == 0 {
			o.MemoryBytes = 1
		}
		st, err := p.Compact(w.t.Context(), o)
		w.m.ok(err)
		w.m.say("node %d: compacted %d: %+v", ni, id, st)
		w.m.ok(p.valid())
	}
}

func (w *raftWorld) read() {
	_, n, si, s := w.pick()
	for id, m := range s.at(n.now[si].applied).partitions {
		if compactedHere(id) {
			continue
		}
		p, err := n.s.Replicated(id)
		w.m.ok(err)
		w.m.ok(m.checkRead(w.r, p))
		ms := w.m.now - int64(w.r.IntN(110_000)) + 5000
		at, found, err := p.OffsetForTime(ms)
		w.m.ok(err)
		want, ok := m.offsetForTime(ms)
		if found != ok || (found && at != want) {
			w.m.ok(fmt.Errorf("partition %d: the offset for %d is %d %v, want %d %v", id, ms, at, found, want, ok))
		}
	}
}

// misuse does what must be refused and must change nothing.
func (w *raftWorld) misuse() {
	_, n, si, s := w.pick()
	r := &n.now[si]
	if at := r.last() + 2; true {
		err := n.s.SaveLog([]LogUpdate{{Shard: s.id, Replica: r.id, Entries: []LogEntry{{Index: at}}}})
		require.ErrorIs(w.t, err, ErrLogRange)
	}
	if r.applied >= r.first && r.applied <= r.last() {
		err := n.s.SaveLog([]LogUpdate{{Shard: s.id, Replica: r.id, Entries: []LogEntry{{Index: r.applied}}}})
		require.ErrorIs(w.t, err, ErrLogApplied)
	}
	a, err := n.s.BeginApply(s.id)
	w.m.ok(err)
	require.ErrorIs(w.t, a.Commit(r.applied), ErrAppliedRegressed)
	for i := r.applied + 1; i <= r.last(); i++ {
		if len(r.log[i-r.first].Payload) > 0 {
			require.ErrorIs(w.t, n.s.RemoveLogTo(s.id, r.id, i), ErrNotApplied)
			break
		}
	}
}

func (w *raftWorld) flush() {
	_, n, _, _ := w.pick()
	w.m.say("flush")
	w.m.ok(n.s.Flush())
	n.durable()
}

func (w *raftWorld) reclaim() {
	_, n, _, _ := w.pick()
	w.m.say("reclaim")
	w.m.ok(n.s.Reclaim(w.t.Context()))
}

// snapshot brings a replica to where the other node's is, if that is ahead.
func (w *raftWorld) snapshot() {
	ni, n, si, s := w.pick()
	w.snapshotTo(ni, n, si, s, w.r.IntN(3) == 0)
}

func (w *raftWorld) snapshotTo(ni int, n *raftNode, si int, s *raftShard, interrupt bool) {
	from := w.nodes[1-ni]
	r := &n.now[si]
	if from.now[si].applied <= r.applied {
		return
	}
	at := from.now[si].applied
	w.m.say("node %d shard %d: snapshot of %d, interrupted %v", ni, s.id, at, interrupt)
	v, err := from.s.View(s.id)
	w.m.ok(err)
	var stream bytes.Buffer
	w.m.ok(v.ExportShard(&stream, nil, nil))
	w.m.ok(v.Close())
	if w.r.IntN(2) == 0 {
		w.m.ok(n.s.SaveLog([]LogUpdate{{Shard: s.id, Replica: r.id, Snapshot: []byte("s"), SnapshotIndex: at, SnapshotInstalled: true, Sync: true}}))
		r.first, r.log = at+1, nil
		n.wrote(true)
	}
	if interrupt && stream.Len() > 0 {
		cut := w.r.IntN(stream.Len())
		_, err := n.s.ImportShard(s.id, bytes.NewReader(stream.Bytes()[:cut]), nil, nil)
		require.Error(w.t, err)
		if w.r.IntN(2) == 0 {
			w.m.ok(n.s.SyncApplied())
			crashed := w.clone(n)
			w.m.ok(n.s.Close())
			w.open(n, crashed)
		}
	}
	applied, err := n.s.ImportShard(s.id, bytes.NewReader(stream.Bytes()), nil, nil)
	w.m.ok(err)
	require.Equal(w.t, at, applied)
	if r.first <= at {
		r.log = slices.Clone(r.log[min(len(r.log), int(at+1-r.first)):])
		r.first = at + 1
	}
	r.applied = at
	n.wrote(true)
}

// wipe removes a replica and makes it anew, under another id.
func (w *raftWorld) wipe() {
	ni, n, si, s := w.pick()
	r := &n.now[si]
	if w.nodes[1-ni].now[si].applied == 0 {
		return
	}
	w.m.say("node %d shard %d: wiped", ni, s.id)
	w.m.ok(n.s.RemoveReplica(s.id, r.id))
	w.m.ok(n.s.RemoveShard(s.id))
	w.replica++
	*r = raftReplicaState{id: w.replica, first: 1}
	w.m.ok(n.s.SetBootstrap(s.id, r.id, []byte("b")))
	n.wrote(true)
	w.snapshotTo(ni, n, si, s, false)
}

func (w *raftWorld) reopen() {
	_, n, _, _ := w.pick()
	w.m.say("reopen")
	w.m.ok(n.s.Close())
	w.open(n, n.disk)
	n.durable()
	w.check(n)
}

func (w *raftWorld) checkpoint() {
	_, n, _, _ := w.pick()
	w.copies++
	dir := fmt.Sprint("copies/", w.copies)
	w.m.say("checkpoint")
	w.m.ok(n.s.Checkpoint(dir))
	o := w.opts
	o.Dir, o.FS = dir, n.disk
	s, err := Open(o)
	w.m.ok(err)
	w.check(&raftNode{s: s, now: n.now})
	w.m.ok(s.Close())
	w.m.ok(n.disk.RemoveAll("copies"))
	n.durable()
}

func (w *raftWorld) clone(n *raftNode) *vfs.MemFS {
	percent := []int{0, 50, 100}[w.r.IntN(3)]
	w.m.say("crash, %d%% of the unsynced survives", percent)
	return n.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(w.r.Uint64(), 1))})
}

// crash loses a suffix of what was written since all was durable, and never
// anything else: what is found is one of the states that there were.
func (w *raftWorld) crash() {
	ni, n, _, _ := w.pick()
	crashed := w.clone(n)
	w.m.ok(n.s.Close())
	w.open(n, crashed)
	for i := len(n.history) - 1; i >= 0; i-- {
		if w.same(n, n.history[i]) {
			w.m.say("node %d came back as it was %d writes ago", ni, len(n.history)-1-i)
			n.now = n.history[i]
			n.durable()
			w.check(n)
			return
		}
	}
	for si, s := range w.shards {
		first, last, err := n.s.LogBounds(s.id, n.now[si].id)
		w.m.ok(err)
		applied, err := n.s.AppliedIndex(s.id)
		w.m.ok(err)
		w.m.say("shard %d: log [%d, %d], applied %d; expected at last [%d, %d], %d", s.id, first, last, applied,
			n.now[si].first, n.now[si].last(), n.now[si].applied)
	}
	w.m.ok(errors.New("the crash left what never was"))
}
