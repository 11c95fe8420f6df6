package store

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/recordbatch"
)

// importCommitBytes is how much of an import is written at once.
const importCommitBytes = 2 << 20

// importer is one run of ImportShard.
type importer struct {
	s       *Store
	sh      *shard
	f       *frameReader
	b       *pebble.Batch
	applied base.RaftIndex

	partitions map[base.PartitionID]bool
	batches    uint64
	at         base.PartitionID // the partition that batches belong to
	next       base.Offset      // where its next batch may begin
	position   base.RaftIndex   // of its last batch
}

// ImportShard replaces all that a shard's partitions are here with what
// ExportShard wrote elsewhere, and returns the applied index that they have then.
// Entries of the Raft log up to that index go; those behind it stay, with their
// payloads. It is durable when it returns.
//
// A stream for another shard, or one that is older than what is applied here
// (ErrAppliedRegressed), changes nothing. After any later error, as after a crash,
// the shard's partitions are those of no index: AppliedIndex is 0 and reads get
// ErrShardImporting until an import comes to its end. Damage is ErrCorrupt, an end
// too early io.ErrUnexpectedEOF, an id that is in use ErrPartitionExists. progress
// and stop are as for ExportShard.
func (s *Store) ImportShard(id base.ShardID, r io.Reader, progress func(bytes int64), stop <-chan struct{}) (applied base.RaftIndex, err error) {
	if err := s.beginRead(); err != nil {
		return 0, err
	}
	defer s.endRead()
	sh, err := s.shard(id)
	if err == nil {
		err = errors.Join(sh.regressed, s.usableDisk())
	}
	if err == nil {
		err = s.markRaft()
	}
	if err != nil {
		return 0, err
	}
	i := &importer{s: s, sh: sh, f: &frameReader{r: r, progress: progress, stop: stop}, partitions: make(map[base.PartitionID]bool)}
	if err := i.head(); err != nil {
		return 0, i.explain(err)
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if have := base.RaftIndex(sh.applied.Load()); i.applied < have {
		return 0, fmt.Errorf("%w: shard %d has applied %d, the snapshot is of %d", ErrAppliedRegressed, id, have, i.applied)
	}
	if err := i.run(); err != nil {
		return 0, i.explain(err)
	}
	return i.applied, nil
}

func (i *importer) explain(err error) error {
	return fmt.Errorf("importing shard %d: %w", i.sh.id, err)
}

// head reads what the stream is of.
func (i *importer) head() error {
	if err := i.f.begin(); err != nil {
		return err
	}
	kind, body, err := i.f.frame()
	if err != nil {
		return err
	}
	d := varintDecoder{b: body}
	id := base.ShardID(d.uvarint(math.MaxUint64))
	i.applied = base.RaftIndex(d.uvarint(math.MaxUint64 - 1))
	if kind != frameHead || d.bad || len(d.b) != 0 {
		return i.f.corrupt("the first frame is of kind %d, or not to be decoded", kind)
	}
	if id != i.sh.id {
		return i.f.corrupt("it is of shard %d", id)
	}
	return nil
}

// run replaces the partitions. It needs sh.mu.
func (i *importer) run() error {
	if !i.sh.importing() {
		i.sh.imports.Add(1)
	}
	i.sh.applied.Store(0)
	for _, p := range i.open() {
		p.mu.Lock()
		p.tail = tailRing{}
		p.mu.Unlock()
	}
	if err := i.clear(); err != nil {
		return err
	}
	if err := i.frames(); err != nil {
		return err
	}
	rec := shardRecord{applied: i.applied}
	err := i.s.writeRaft(true, func(b *pebble.Batch) error { return b.Set(shardKey(kindShard, i.sh.id), rec.encode(), nil) })
	if err != nil {
		return err
	}
	return i.publish()
}

// open returns the shard's partitions that are in memory.
func (i *importer) open() (out []*Partition) {
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	for _, p := range i.s.partitions {
		if p.sh == i.sh {
			out = append(out, p)
		}
	}
	return out
}

// clear removes what was there, and notes that what comes is not whole. The order
// of the write-ahead log keeps the two apart, so that it needs no fsync.
func (i *importer) clear() error {
	id := i.sh.id
	members, err := i.s.members(i.s.db, id)
	if err != nil {
		return err
	}
	replicas, err := i.s.replicasOf(id)
	if err != nil {
		return err
	}
	var logs []*raftLog
	for _, r := range replicas {
		l, err := i.s.raftLog(r.Shard, r.Replica)
		if err != nil {
			return err
		}
		logs = append(logs, l)
		l.mu.Lock()
		defer l.mu.Unlock()
	}
	// An import that did not come to its end may have been of a higher index. The
	// log has no entries up to that since then.
	upTo := i.applied
	var rec shardRecord
	if v, ok, err := i.s.get(shardKey(kindShard, id)); err != nil {
		return err
	} else if ok && rec.decode(v) == nil && rec.importing {
		upTo = max(upTo, rec.applied)
	}
	var removed func()
	err = i.s.writeRaft(false, func(b *pebble.Batch) (err error) {
		rec := shardRecord{applied: upTo, importing: true}
		removed, err = i.s.removeDeferred(b, id, math.MaxUint64)
		err = errors.Join(err, b.Set(shardKey(kindShard, id), rec.encode(), nil))
		for _, p := range members {
			for _, kind := range []byte{kindIndex, kindState, kindProducers} {
				err = errors.Join(err, b.DeleteRange(partitionKey(kind, p), partitionEnd(kind, p), nil))
			}
			// What lies above belongs to entries that the log still has.
			err = errors.Join(err, b.DeleteRange(positionKey(p, 0), positionKey(p, upTo+1), nil))
		}
		for _, kind := range []byte{kindMember, kindShardSetting} {
			err = errors.Join(err, b.DeleteRange(shardKey(kind, id), shardEnd(kind, id), nil))
		}
		for _, l := range logs {
			err = errors.Join(err, l.forgetTo(i.s, b, i.applied))
		}
		return err
	})
	for _, l := range logs {
		if err == nil {
			l.publishLocked()
		} else {
			l.next = *l.written.Load()
		}
	}
	if err == nil {
		removed()
		for _, p := range members {
			i.s.garbage.add(p, max(1, i.s.sizeIfOpen(p)), base.Offset(upTo)+1, 0)
		}
	}
	return err
}

// forgetTo removes the entries up to an index from the log, for there is a
// snapshot of it, with their payloads, which are of no use any more.
func (l *raftLog) forgetTo(s *Store, b *pebble.Batch, index base.RaftIndex) error {
	if index < l.next.first {
		return nil
	}
	err := l.scan(s, l.next.first, min(index, l.next.last), func(at base.RaftIndex, e *raftEntry) (bool, error) {
		if e.hasPayload {
			return true, b.Delete(positionKey(e.partition, at), nil)
		}
		return true, nil
	})
	l.next.first, l.next.last, l.next.applied = index+1, max(l.next.last, index), 0
	return errors.Join(err,
		b.DeleteRange(raftEntryKey(l.shard, l.replica, 0), raftEntryKey(l.shard, l.replica, index+1), nil),
		b.Set(raftMetaKey(l.shard, l.replica, raftStart), encodeRaftStart(l.next.first, 0), nil),
	)
}

// frames reads the stream to its end and writes what it holds.
func (i *importer) frames() error {
	for {
		end := false
		err := i.s.writeRaft(false, func(b *pebble.Batch) (err error) {
			i.b = b
			for b.Len() < importCommitBytes && !end && err == nil {
				end, err = i.frame()
			}
			return err
		})
		if err != nil || end {
			return err
		}
	}
}

func (i *importer) frame() (end bool, err error) {
	kind, body, err := i.f.frame()
	if err != nil {
		return false, err
	}
	d := varintDecoder{b: body}
	switch kind {
	case framePartition:
		var p streamPartition
		if !p.decode(body) {
			return false, i.f.corrupt("partition cannot be decoded")
		}
		return false, i.partition(&p)
	case frameBatches:
		for len(d.b) > 0 {
			var x streamBatch
			if !x.next(&d) {
				return false, i.f.corrupt("batch of partition %d cannot be decoded", i.at)
			}
			if err := i.batch(&x); err != nil {
				return false, err
			}
		}
		return false, nil
	case frameSetting:
		name, value := d.string(), d.string()
		if d.bad || len(d.b) != 0 {
			return false, i.f.corrupt("setting cannot be decoded")
		}
		return false, i.b.Set(shardSettingKey(i.sh.id, string(name)), value, nil)
	case frameEnd:
		partitions, batches := d.uvarint(math.MaxUint64), d.uvarint(math.MaxUint64)
		if d.bad || len(d.b) != 0 || partitions != uint64(len(i.partitions)) || batches != i.batches {
			return false, i.f.corrupt("it ends after %d partitions and %d batches, and says %d and %d",
				len(i.partitions), i.batches, partitions, batches)
		}
		return true, nil
	default:
		return false, i.f.corrupt("frame of kind %d in the middle", kind)
	}
}

func (i *importer) partition(p *streamPartition) error {
	var st partitionState
	if err := st.decode(p.state); err != nil || st.shard != i.sh.id {
		return i.f.corrupt("state of partition %d is of shard %d, or cannot be decoded", p.id, st.shard)
	}
	if len(i.partitions) > 0 && p.id <= i.at {
		return i.f.corrupt("partition %d follows %d", p.id, i.at)
	}
	if len(p.producers) > 0 {
		if _, err := new(producerTable).decode(p.producers); err != nil {
			return i.f.corrupt("producers of partition %d cannot be decoded", p.id)
		}
	}
	if err := i.claim(p.id); err != nil {
		return err
	}
	i.at, i.next, i.position = p.id, 0, 0
	i.partitions[p.id] = true
	err := errors.Join(
		i.b.Set(memberKey(i.sh.id, p.id), []byte{memberVersion}, nil),
		i.b.Set(partitionKey(kindState, p.id), p.state, nil),
	)
	if len(p.producers) > 0 {
		err = errors.Join(err, i.b.Set(partitionKey(kindProducers, p.id), p.producers, nil))
	}
	return err
}

// claim makes sure that an id is this shard's.
func (i *importer) claim(id base.PartitionID) error {
	p, _, err := i.s.lookup(id)
	if err != nil {
		return err
	}
	if p != nil && p.sh == i.sh {
		return nil
	}
	return i.s.vacate(id)
}

func (i *importer) batch(x *streamBatch) error {
	bad := func(format string, args ...any) error {
		return i.f.corrupt("batch at offset %d of partition %d: %s", x.at, i.at, fmt.Sprintf(format, args...))
	}
	if len(i.partitions) == 0 {
		return bad("there was no partition before")
	}
	var e indexEntry
	if err := e.decode(x.entry); err != nil {
		return bad("%v", err)
	}
	h, err := recordbatch.Verify(x.data)
	if err != nil {
		return bad("%v", err)
	}
	switch {
	case e.lastOffsetDelta != h.LastOffsetDelta || e.records != h.NumRecords || int(e.size) != len(x.data):
		return bad("its index entry is of another")
	case x.at < i.next || x.at > math.MaxInt64-base.Offset(e.lastOffsetDelta)-1:
		return bad("the one before ends at %d", i.next)
	case e.position <= i.position || e.position > i.applied:
		return bad("its position is %d, after %d, applied is %d", e.position, i.position, i.applied)
	}
	i.next, i.position = e.lastOffset(x.at)+1, e.position
	i.batches++
	return errors.Join(
		i.b.Set(positionKey(i.at, e.position), x.data, nil),
		i.b.Set(entryKey(kindIndex, i.at, x.at), x.entry, nil),
	)
}

// publish lets readers see what is there now.
func (i *importer) publish() (err error) {
	for _, p := range i.open() {
		if i.partitions[p.id] {
			err = errors.Join(err, p.reload())
			continue
		}
		p.app.dropped = true
		(&touched{p: p, dropped: true, garbage: uint64(p.SizeBytes())}).publishRemoval()
	}
	if err != nil {
		return i.s.fail(fmt.Errorf("reading the partitions of shard %d anew: %w", i.sh.id, err))
	}
	i.sh.applied.Store(uint64(i.applied))
	i.sh.imports.Add(1)
	for _, p := range i.open() {
		p.mu.Lock()
		p.wakeLocked()
		p.mu.Unlock()
	}
	return nil
}
