package replication

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"
	"github.com/lni/dragonboat/v4/statemachine"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/store"
)

// logDB is the Raft log of all shards of a node as dragonboat wants it, kept in
// the store. Every method may be called concurrently, and SaveRaftState is: by
// the step workers, each for shards of its own.
//
// dragonboat has no way to live on without its log: it panics on most errors. So
// an error fails the node, and where nobody would catch the panic the call waits
// until the node is closed. It returns at that time as if nothing had happened;
// nothing leaves a failed node any more.
type logDB struct {
	store *store.Store
	fault *fault
	dir   string // what dragonboat's files are under, with a separator at the end

	mu     sync.Mutex
	states map[raftio.NodeInfo]pb.State // as saved last
}

var _ raftio.ILogDB = (*logDB)(nil)

// logDBFactory gives dragonboat its logDB.
type logDBFactory struct{ l *logDB }

var _ config.LogDBFactory = logDBFactory{}

const logDBName = "leat"

func (f logDBFactory) Name() string { return logDBName }

func (f logDBFactory) Create(config.NodeHostConfig, config.LogDBCallback, []string, []string) (raftio.ILogDB, error) {
	return f.l, nil
}

func newLogDB(s *store.Store, f *fault, dir string) *logDB {
	return &logDB{store: s, fault: f, dir: dir, states: make(map[raftio.NodeInfo]pb.State)}
}

// Name is checked by dragonboat against what made its directory.
func (l *logDB) Name() string { return logDBName }

// Close leaves the store open, which is not the Node's.
func (l *logDB) Close() error { return nil }

// BinaryFormat is that of dragonboat's own files.
func (l *logDB) BinaryFormat() uint32 { return raftio.PlainLogDBBinVersion }

func (l *logDB) ListNodeInfo() ([]raftio.NodeInfo, error) {
	replicas, err := l.store.Replicas()
	if err != nil {
		return nil, err
	}
	out := make([]raftio.NodeInfo, len(replicas))
	for i, r := range replicas {
		out[i] = raftio.GetNodeInfo(uint64(r.Shard), uint64(r.Replica))
	}
	return out, nil
}

func (l *logDB) SaveBootstrapInfo(shard, replica uint64, b pb.Bootstrap) error {
	v, err := b.Marshal()
	if err == nil {
		err = l.store.SetBootstrap(base.ShardID(shard), base.ReplicaID(replica), v)
	}
	return l.refuse("write the bootstrap record", shard, err)
}

func (l *logDB) GetBootstrapInfo(shard, replica uint64) (pb.Bootstrap, error) {
	var b pb.Bootstrap
	v, ok, err := l.store.Bootstrap(base.ShardID(shard), base.ReplicaID(replica))
	if err == nil && !ok {
		return b, raftio.ErrNoBootstrapInfo
	}
	if err == nil {
		err = b.Unmarshal(v)
	}
	return b, l.refuse("read the bootstrap record", shard, err)
}

// refuse fails the node and returns the error: it is for what runs within a call of
// the Node's user, where a panic of dragonboat is caught.
func (l *logDB) refuse(what string, shard uint64, err error) error {
	if err != nil {
		err = fmt.Errorf("shard %d: %s: %w", shard, what, err)
		l.fault.fail(err)
	}
	return err
}

// settle turns an error into a failure of the node, which the caller does not
// outlive.
func (l *logDB) settle(what string, shard uint64, err error) error {
	if err == nil {
		return nil
	}
	l.fault.fail(fmt.Errorf("shard %d: %s: %w", shard, what, err))
	l.fault.wait()
	return nil
}

// saveScratch is the memory of one SaveRaftState.
type saveScratch struct {
	updates []store.LogUpdate
	entries []store.LogEntry
	heads   []byte
}

var errOverflow = errors.New("too many entries at once")

func (l *logDB) SaveRaftState(updates []pb.Update, _ uint64) error {
	if l.fault.err() != nil {
		l.fault.wait()
		return nil
	}
	s, err := l.collect(updates)
	if err == nil && len(s.updates) > 0 {
		err = l.store.SaveLog(s.updates)
	}
	var shard uint64
	if len(updates) > 0 {
		shard = updates[0].ShardID
	}
	return l.settle("write the Raft log", shard, err)
}

// collect translates what changes. The payloads alias the entries.
func (l *logDB) collect(updates []pb.Update) (*saveScratch, error) {
	var entries, bytes int
	for i := range updates {
		for j := range updates[i].EntriesToSave {
			cmd := updates[i].EntriesToSave[j].Cmd
			bytes += logHeadMax + len(cmd[:headOf(&updates[i].EntriesToSave[j])])
		}
		entries += len(updates[i].EntriesToSave)
	}
	if entries > math.MaxInt32 {
		return nil, errOverflow
	}
	s := &saveScratch{
		updates: make([]store.LogUpdate, 0, len(updates)),
		entries: make([]store.LogEntry, 0, entries),
		heads:   make([]byte, 0, bytes),
	}
	for i := range updates {
		u := &updates[i]
		out := store.LogUpdate{
			Shard:   base.ShardID(u.ShardID),
			Replica: base.ReplicaID(u.ReplicaID),
			Sync:    len(u.EntriesToSave) > 0,
		}
		if !pb.IsEmptyState(u.State) {
			if changed, voted := l.remember(u); changed {
				out.State = encodeRaftState(u.State)
				out.Sync = out.Sync || voted
			}
		}
		if !pb.IsEmptySnapshot(u.Snapshot) {
			meta, err := l.encodeSnapshot(u.Snapshot)
			if err != nil {
				return nil, err
			}
			out.Snapshot, out.SnapshotIndex = meta, base.RaftIndex(u.Snapshot.Index)
			out.SnapshotInstalled, out.Sync = true, true
		}
		first := len(s.entries)
		for j := range u.EntriesToSave {
			s.add(&u.EntriesToSave[j])
		}
		out.Entries = s.entries[first:len(s.entries):len(s.entries)]
		if out.State != nil || out.Snapshot != nil || len(out.Entries) > 0 {
			s.updates = append(s.updates, out)
		}
	}
	return s, nil
}

// remember tells whether a replica's state differs from that saved last, and
// whether its term or vote do, which must be durable before anybody hears of
// them. A commit index is found again.
func (l *logDB) remember(u *pb.Update) (changed, voted bool) {
	id := raftio.GetNodeInfo(u.ShardID, u.ReplicaID)
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.states[id]
	l.states[id] = u.State
	return old != u.State, old.Term != u.State.Term || old.Vote != u.State.Vote
}

func (s *saveScratch) add(e *pb.Entry) {
	n := headOf(e)
	begin := len(s.heads)
	s.heads = appendLogHead(s.heads, e, n)
	out := store.LogEntry{Index: base.RaftIndex(e.Index), Head: s.heads[begin:len(s.heads):len(s.heads)]}
	if n < len(e.Cmd) {
		out.Payload = e.Cmd[n:]
		out.Partition = base.PartitionID(binary.BigEndian.Uint64(e.Cmd[1+2:]))
	}
	s.entries = append(s.entries, out)
}

// The Raft log keeps, of each entry, a version (1), its fields as
// appendEntryHead has them without the index, which is in the key, and the
// command; of an append's, the command's header only: the batch is stored where
// it will be read.
const (
	logHeadVersion = 1
	logHeadMax     = 1 + 6*binary.MaxVarintLen64
)

// headOf returns how many bytes of an entry's command stay in the log.
func headOf(e *pb.Entry) int {
	// dragonboat puts a byte before a command that says how it is encoded; 0
	// says that it is as proposed.
	if e.Type == pb.EncodedEntry && len(e.Cmd) > 1+appendHeaderBytes && e.Cmd[0] == 0 &&
		e.Cmd[1] == byte(kindAppend) && e.Cmd[2] == commandVersion {
		return 1 + appendHeaderBytes
	}
	return len(e.Cmd)
}

func appendLogHead(b []byte, e *pb.Entry, n int) []byte {
	b = append(b, logHeadVersion)
	for _, v := range [...]uint64{e.Term, uint64(e.Type), e.Key, e.ClientID, e.SeriesID, e.RespondedTo} {
		b = binary.AppendUvarint(b, v)
	}
	return append(b, e.Cmd[:n]...)
}

// decodeLogHead makes an entry of what the log kept; all its memory is its own.
func decodeLogHead(le store.LogEntry) (pb.Entry, error) {
	d := decoder{buf: le.Head}
	e := pb.Entry{Index: uint64(le.Index)}
	if v := d.uint8(); d.err == nil && v != logHeadVersion {
		return e, fmt.Errorf("%w: entry %d has version %d", ErrUnknownCommand, le.Index, v)
	}
	e.Term = d.uvarint()
	e.Type = pb.EntryType(d.uvarint())
	e.Key = d.uvarint()
	e.ClientID = d.uvarint()
	e.SeriesID = d.uvarint()
	e.RespondedTo = d.uvarint()
	if d.err != nil {
		return e, fmt.Errorf("entry %d: %w", le.Index, d.err)
	}
	if n := len(d.buf) + len(le.Payload); n > 0 {
		e.Cmd = make([]byte, 0, n)
		e.Cmd = append(append(e.Cmd, d.buf...), le.Payload...)
	}
	return e, nil
}

// IterateEntries appends the entries [low, high), until their size is over
// maxSize: the one that goes over is the last.
func (l *logDB) IterateEntries(entries []pb.Entry, size, shard, replica, low, high, maxSize uint64) ([]pb.Entry, uint64, error) {
	// The store's own bound leaves out the entry that goes over it.
	err := l.store.LogEntries(base.ShardID(shard), base.ReplicaID(replica), base.RaftIndex(low), base.RaftIndex(high), math.MaxUint64,
		func(le store.LogEntry) (bool, error) {
			e, err := decodeLogHead(le)
			if err != nil {
				return false, err
			}
			entries = append(entries, e)
			size += uint64(e.SizeUpperLimit())
			return size <= maxSize, nil
		})
	if errors.Is(err, store.ErrLogRange) {
		return entries, size, nil // compacted meanwhile; dragonboat asks for a snapshot
	}
	if err != nil {
		if err = l.settle("read the Raft log", shard, err); err == nil {
			// The node is being closed: what is made up here goes nowhere.
			return inventEntries(low, high, l.term(shard, replica)), size, nil
		}
	}
	return entries, size, err
}

func (l *logDB) term(shard, replica uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.states[raftio.GetNodeInfo(shard, replica)].Term
}

// inventEntries returns empty entries, at most 16.
func inventEntries(low, high, term uint64) []pb.Entry {
	var entries []pb.Entry
	for i := low; i < min(high, low+16); i++ {
		entries = append(entries, pb.Entry{Index: i, Term: term})
	}
	return entries
}

// ReadRaftState returns what there is behind the Raft snapshot at an index.
func (l *logDB) ReadRaftState(shard, replica, snapshot uint64) (raftio.RaftState, error) {
	v, ok, err := l.store.LogState(base.ShardID(shard), base.ReplicaID(replica))
	if err == nil && !ok {
		return raftio.RaftState{}, raftio.ErrNoSavedLog
	}
	var out raftio.RaftState
	if err == nil {
		out.State, err = decodeRaftState(v)
	}
	if err == nil {
		var first, last base.RaftIndex
		first, last, err = l.store.LogBounds(base.ShardID(shard), base.ReplicaID(replica))
		if err == nil && uint64(last) > snapshot {
			if uint64(first) > snapshot+1 {
				err = fmt.Errorf("the Raft log begins at %d, behind the Raft snapshot at %d", first, snapshot)
			}
			out.FirstIndex, out.EntryCount = snapshot+1, uint64(last)-snapshot
		}
	}
	if err != nil {
		return raftio.RaftState{}, l.refuse("read the Raft state", shard, err)
	}
	l.mu.Lock()
	l.states[raftio.GetNodeInfo(shard, replica)] = out.State
	l.mu.Unlock()
	return out, nil
}

func (l *logDB) RemoveEntriesTo(shard, replica, index uint64) error {
	err := l.store.RemoveLogTo(base.ShardID(shard), base.ReplicaID(replica), base.RaftIndex(index))
	return l.settle("remove from the Raft log", shard, err)
}

// CompactEntriesTo has nothing to do: the store frees space by itself.
func (l *logDB) CompactEntriesTo(uint64, uint64, uint64) (<-chan struct{}, error) {
	done := make(chan struct{})
	close(done)
	return done, nil
}

// SaveSnapshots records Raft snapshots that were made here.
func (l *logDB) SaveSnapshots(updates []pb.Update) error {
	var out []store.LogUpdate
	var shard uint64
	for i := range updates {
		u := &updates[i]
		if pb.IsEmptySnapshot(u.Snapshot) {
			continue
		}
		shard = u.ShardID
		meta, err := l.encodeSnapshot(u.Snapshot)
		if err != nil {
			return err
		}
		out = append(out, store.LogUpdate{
			Shard: base.ShardID(u.ShardID), Replica: base.ReplicaID(u.ReplicaID),
			Snapshot: meta, SnapshotIndex: base.RaftIndex(u.Snapshot.Index), Sync: true,
		})
	}
	if len(out) == 0 {
		return nil
	}
	if l.refuse("record a Raft snapshot", shard, l.store.SaveLog(out)) != nil {
		return statemachine.ErrSnapshotStopped // which dragonboat takes
	}
	return nil
}

func (l *logDB) GetSnapshot(shard, replica uint64) (pb.Snapshot, error) {
	v, _, ok, err := l.store.LogSnapshot(base.ShardID(shard), base.ReplicaID(replica))
	var out pb.Snapshot
	if err == nil && ok {
		out, err = l.decodeSnapshot(v)
	}
	return out, l.refuse("read the record of the Raft snapshot", shard, err)
}

func (l *logDB) RemoveNodeData(shard, replica uint64) error {
	err := l.store.RemoveReplica(base.ShardID(shard), base.ReplicaID(replica))
	l.mu.Lock()
	delete(l.states, raftio.GetNodeInfo(shard, replica))
	l.mu.Unlock()
	return l.refuse("remove a replica", shard, err)
}

// ImportSnapshot is for a tool that repairs a shard without its majority; it is
// not used.
func (l *logDB) ImportSnapshot(pb.Snapshot, uint64) error {
	return errors.New("replication: Raft snapshots are not imported")
}

// relativePath marks the path of a file below the node's directory, so that the
// directory can be moved.
const relativePath = "./"

func (l *logDB) encodeSnapshot(s pb.Snapshot) ([]byte, error) {
	if rest, ok := strings.CutPrefix(s.Filepath, l.dir); ok {
		s.Filepath = relativePath + rest
	}
	return s.Marshal()
}

func (l *logDB) decodeSnapshot(b []byte) (pb.Snapshot, error) {
	var s pb.Snapshot
	if err := s.Unmarshal(b); err != nil {
		return s, err
	}
	if rest, ok := strings.CutPrefix(s.Filepath, relativePath); ok {
		s.Filepath = l.dir + rest
	}
	return s, nil
}

// raftStateVersion begins a stored Raft state:
//
//	| version u8 | term uvarint | vote uvarint | commit uvarint |
const raftStateVersion = 1

func encodeRaftState(s pb.State) []byte {
	b := []byte{raftStateVersion}
	for _, v := range [...]uint64{s.Term, s.Vote, s.Commit} {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

func decodeRaftState(b []byte) (pb.State, error) {
	d := decoder{buf: b}
	if v := d.uint8(); d.err == nil && v != raftStateVersion {
		return pb.State{}, fmt.Errorf("a Raft state of version %d: it was written by a later version", v)
	}
	s := pb.State{Term: d.uvarint(), Vote: d.uvarint(), Commit: d.uvarint()}
	return s, d.finish()
}
