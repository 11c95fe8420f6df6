package replication

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/plugin/tan"
	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"
	"github.com/lni/vfs"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/faultdisk"
	"github.com/leatlog/leat/internal/store"
)

// pair is our Raft log and dragonboat's own, tan, with one history. What it
// generates is what Raft may do.
type pair struct {
	t   *testing.T
	rng *rand.Rand

	disk  *faultdisk.Disk
	store *store.Store
	ours  *logDB

	files vfs.FS
	tan   raftio.ILogDB

	logs map[raftio.NodeInfo]*refLog
	ops  []string
}

// refLog is what a replica's log must be.
type refLog struct {
	state    pb.State
	removed  uint64 // entries up to it are gone
	snapshot uint64 // index of the last Raft snapshot
	last     uint64
}

func newPair(t *testing.T, seed uint64) *pair {
	p := &pair{t: t, rng: rand.New(rand.NewPCG(seed, 77)), disk: faultdisk.New(seed), files: vfs.NewMem(), logs: make(map[raftio.NodeInfo]*refLog)}
	p.open()
	t.Cleanup(p.close)
	return p
}

func (p *pair) open() {
	p.t.Helper()
	var err error
	if p.store, err = store.Open(store.Options{Dir: "store", FS: p.disk.FS()}); err != nil {
		p.t.Fatal(err)
	}
	f := newFault(func() {})
	f.release() // a failure is seen by both
	p.ours = newLogDB(p.store, f, "/dir/host/")
	if err := p.files.MkdirAll("/tan", 0o755); err != nil {
		p.t.Fatal(err)
	}
	c := config.NodeHostConfig{Expert: config.ExpertConfig{LogDB: config.GetTinyMemLogDBConfig(), FS: p.files}}
	if p.tan, err = tan.Factory.Create(c, func(config.LogDBInfo) {}, []string{"/tan"}, []string{"/tan"}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pair) close() {
	if err := p.tan.Close(); err != nil {
		p.t.Error(err)
	}
	if err := p.store.Close(); err != nil {
		p.t.Error(err)
	}
}

func (p *pair) fatalf(format string, args ...any) {
	p.t.Helper()
	for _, op := range p.ops[max(0, len(p.ops)-12):] {
		p.t.Log(op)
	}
	p.t.Fatalf(format, args...)
}

// both runs an operation on both and wants no error of either.
func (p *pair) both(what string, f func(db raftio.ILogDB) error) {
	p.t.Helper()
	p.ops = append(p.ops, what)
	for name, db := range map[string]raftio.ILogDB{"ours": p.ours, "tan": p.tan} {
		if err := f(db); err != nil {
			p.fatalf("%s: %s: %v", name, what, err)
		}
	}
	if err := p.ours.fault.err(); err != nil {
		p.fatalf("%s: %v", what, err)
	}
}

func (p *pair) entry(shard, index, term uint64) pb.Entry {
	e := pb.Entry{Index: index, Term: term, Type: pb.EntryType(p.rng.IntN(3)), Key: p.rng.Uint64(), ClientID: p.rng.Uint64(), SeriesID: p.rng.Uint64N(9)}
	switch p.rng.IntN(4) {
	case 0: // a new leader's
		e.Type = pb.ApplicationEntry
	case 1: // an append, as Propose makes it
		e.Type = pb.EncodedEntry
		c := command{kind: kindAppend, partition: base.PartitionID(10*shard + p.rng.Uint64N(3)), epoch: 1, nowMillis: 5, batch: make([]byte, 1+p.rng.IntN(2000))}
		e.Cmd = c.appendTo([]byte{0})
	default:
		e.Cmd = make([]byte, 1+p.rng.IntN(300))
		e.Cmd[0] = byte(p.rng.IntN(3))
	}
	return e
}

// update makes a change of one replica's log.
func (p *pair) update(id raftio.NodeInfo, l *refLog) pb.Update {
	u := pb.Update{ShardID: id.ShardID, ReplicaID: id.ReplicaID}
	if p.rng.IntN(4) == 0 {
		l.state.Term++
		l.state.Vote = p.rng.Uint64N(4)
	}
	l.state.Term = max(l.state.Term, 1)
	first := l.last + 1
	switch p.rng.IntN(10) {
	case 0: // from another replica, for this one is too far behind
		index := l.last + 1 + p.rng.Uint64N(10)
		u.Snapshot = pb.Snapshot{Index: index, Term: l.state.Term, ShardID: id.ShardID, Filepath: fmt.Sprintf("/dir/host/x/%d", index), OnDiskIndex: index}
		l.state.Commit = max(l.state.Commit, index)
		l.snapshot, l.removed, l.last = index, index, index
		first = index + 1
	case 1, 2: // another leader's entries take the place of some
		if l.last > max(l.state.Commit, l.removed) {
			low := max(l.state.Commit, l.removed) + 1
			first = low + p.rng.Uint64N(l.last-low+1)
			l.state.Term++
		}
	}
	if u.Snapshot.Index == 0 {
		for i := range p.rng.Uint64N(12) {
			u.EntriesToSave = append(u.EntriesToSave, p.entry(id.ShardID, first+i, l.state.Term))
		}
		if n := len(u.EntriesToSave); n > 0 {
			l.last = first + uint64(n) - 1
		} else if first <= l.last {
			l.state.Term-- // nothing was replaced
		}
	}
	if l.last > l.state.Commit && p.rng.IntN(2) == 0 {
		l.state.Commit += p.rng.Uint64N(l.last - l.state.Commit + 1)
	}
	u.State = l.state
	return u
}

func (p *pair) step() {
	p.t.Helper()
	id := raftio.GetNodeInfo(16+p.rng.Uint64N(3), 1)
	l := p.logs[id]
	if l == nil {
		l = &refLog{}
		p.logs[id] = l
		b := pb.NewBootstrapInfo(false, pb.OnDiskStateMachine, map[uint64]string{1: "h:1"})
		p.both(fmt.Sprintf("bootstrap %v", id), func(db raftio.ILogDB) error { return db.SaveBootstrapInfo(id.ShardID, id.ReplicaID, b) })
		return
	}
	switch p.rng.IntN(12) {
	default:
		var updates []pb.Update
		updates = append(updates, p.update(id, l))
		if other := raftio.GetNodeInfo(16+(id.ShardID-15)%3, 1); p.logs[other] != nil {
			updates = append(updates, p.update(other, p.logs[other]))
		}
		what := "save"
		for _, u := range updates {
			what += fmt.Sprintf(" %d: %d entries, %+v, snapshot %d;", u.ShardID, len(u.EntriesToSave), u.State, u.Snapshot.Index)
		}
		p.both(what, func(db raftio.ILogDB) error { return db.SaveRaftState(updates, 1) })
	case 0: // its own Raft snapshot
		p.apply(id, l)
		if l.state.Commit > l.snapshot {
			l.snapshot += 1 + p.rng.Uint64N(l.state.Commit-l.snapshot)
			u := pb.Update{ShardID: id.ShardID, ReplicaID: id.ReplicaID, Snapshot: pb.Snapshot{
				Index: l.snapshot, Term: l.state.Term, ShardID: id.ShardID, Dummy: true, Filepath: fmt.Sprintf("/dir/host/y/%d", l.snapshot)}}
			p.both(fmt.Sprintf("snapshot of %d at %d", id.ShardID, l.snapshot), func(db raftio.ILogDB) error { return db.SaveSnapshots([]pb.Update{u}) })
		}
	case 1:
		p.apply(id, l)
		if l.snapshot > l.removed {
			l.removed += 1 + p.rng.Uint64N(l.snapshot-l.removed)
			p.both(fmt.Sprintf("remove %d to %d", id.ShardID, l.removed), func(db raftio.ILogDB) error {
				return db.RemoveEntriesTo(id.ShardID, id.ReplicaID, l.removed)
			})
		}
	case 2:
		p.ops = append(p.ops, "reopen")
		if err := p.tan.Close(); err != nil {
			p.fatalf("%v", err)
		}
		if p.rng.IntN(2) == 0 {
			// What both were told to keep is there after a power loss.
			p.disk.Crash([]int{0, 50, 100}[p.rng.IntN(3)])
			_ = p.store.Close() // the life on that disk has ended
		} else if err := p.store.Close(); err != nil {
			p.fatalf("%v", err)
		}
		p.open()
	}
	p.compare()
}

// apply tells the store that all up to the commit index is applied.
func (p *pair) apply(id raftio.NodeInfo, l *refLog) {
	p.t.Helper()
	shard := base.ShardID(id.ShardID)
	applied, err := p.store.AppliedIndex(shard)
	if err != nil {
		p.fatalf("%v", err)
	}
	if uint64(applied) >= l.state.Commit {
		return
	}
	a, err := p.store.BeginApply(shard)
	if err == nil {
		err = a.Commit(base.RaftIndex(l.state.Commit))
	}
	if err == nil {
		err = p.store.SyncApplied()
	}
	if err != nil {
		p.fatalf("apply: %v", err)
	}
}

func compareNodes(a, b raftio.NodeInfo) int {
	return cmp.Or(cmp.Compare(a.ShardID, b.ShardID), cmp.Compare(a.ReplicaID, b.ReplicaID))
}

// compare reads everything from both.
func (p *pair) compare() {
	p.t.Helper()
	ours, err := p.ours.ListNodeInfo()
	if err != nil {
		p.fatalf("%v", err)
	}
	theirs, err := p.tan.ListNodeInfo()
	if err != nil {
		p.fatalf("%v", err)
	}
	slices.SortFunc(ours, compareNodes)
	slices.SortFunc(theirs, compareNodes)
	if !slices.Equal(ours, theirs) {
		p.fatalf("nodes: %v, tan %v", ours, theirs)
	}
	for id, l := range p.logs {
		s, r := id.ShardID, id.ReplicaID
		a, aerr := p.ours.ReadRaftState(s, r, l.snapshot)
		b, berr := p.tan.ReadRaftState(s, r, l.snapshot)
		if !errors.Is(aerr, berr) || a != b {
			p.fatalf("state of %d behind %d: %+v %v, tan %+v %v; %+v", s, l.snapshot, a, aerr, b, berr, *l)
		}
		as, err := p.ours.GetSnapshot(s, r)
		if err != nil {
			p.fatalf("%v", err)
		}
		bs, err := p.tan.GetSnapshot(s, r)
		if err != nil {
			p.fatalf("%v", err)
		}
		if as.Index != bs.Index || as.Term != bs.Term || as.Filepath != bs.Filepath || as.Dummy != bs.Dummy {
			p.fatalf("snapshot of %d: %+v, tan %+v", s, as, bs)
		}
		if l.last == l.removed {
			continue
		}
		low := l.removed + 1 + p.rng.Uint64N(l.last-l.removed)
		high := low + 1 + p.rng.Uint64N(l.last-low+1)
		size := 1 + p.rng.Uint64N(4000)
		ae, an, err := p.ours.IterateEntries(nil, 0, s, r, low, high, size)
		if err != nil {
			p.fatalf("%v", err)
		}
		be, bn, err := p.tan.IterateEntries(nil, 0, s, r, low, high, size)
		if err != nil {
			p.fatalf("%v", err)
		}
		if err := p.ours.fault.err(); err != nil {
			p.fatalf("entries [%d, %d) of %d: %v; %+v", low, high, s, err, *l)
		}
		if len(ae) != len(be) || an != bn || len(ae) == 0 {
			p.fatalf("entries [%d, %d) of %d up to %d bytes: %d of %d bytes, tan %d of %d", low, high, s, size, len(ae), an, len(be), bn)
		}
		for i := range ae {
			x, y := ae[i], be[i]
			cmds := bytes.Equal(x.Cmd, y.Cmd)
			if x.Cmd, y.Cmd = nil, nil; !cmds || fmt.Sprint(x) != fmt.Sprint(y) {
				p.fatalf("entry %d of %d: %+v, tan %+v", low+uint64(i), s, ae[i], be[i])
			}
		}
	}
}

// The Raft log in the store reads back what dragonboat's own does, after any
// history.
func TestLogReadsBackLikeTan(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			p := newPair(t, seed)
			for range 100 {
				p.step()
			}
		})
	}
}
