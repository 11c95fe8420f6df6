package store

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leatlog/leat/internal/base"
)

// View is what a shard's partitions were at one applied index, while they go on.
// It keeps what is removed meanwhile on disk, so that it should be closed soon. Its
// methods may be called concurrently; after Close of it or of the Store they
// return ErrClosed.
type View struct {
	s        *Store
	sh       *shard
	applied  base.RaftIndex
	snapshot *pebble.Snapshot
}

// View returns a View of a shard as of now. It waits for an Apply that is under
// way. The error is ErrClosed, ErrFailed, ErrShardImporting or ErrAppliedRegressed.
func (s *Store) View(id base.ShardID) (*View, error) {
	if err := s.beginRead(); err != nil {
		return nil, err
	}
	defer s.endRead()
	sh, err := s.shard(id)
	if err == nil {
		err = errors.Join(sh.regressed, s.usableDisk())
	}
	if err != nil {
		return nil, err
	}
	if sh.importing() {
		return nil, ErrShardImporting // it may take long
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.importing() {
		return nil, ErrShardImporting
	}
	v := &View{s: s, sh: sh, applied: base.RaftIndex(sh.applied.Load()), snapshot: s.db.NewSnapshot()}
	s.raft.mu.Lock()
	if s.raft.views == nil {
		s.raft.views = make(map[*View]struct{})
	}
	s.raft.views[v] = struct{}{}
	s.raft.mu.Unlock()
	return v, nil
}

// Applied is the index that the partitions are at.
func (v *View) Applied() base.RaftIndex { return v.applied }

// Shard is the shard that the View is of.
func (v *View) Shard() base.ShardID { return v.sh.id }

// Close ends the View. It must not be called while another of its methods is
// under way; the second call does nothing.
func (v *View) Close() (err error) {
	if v.s.beginRead() != nil {
		return nil // the store closed it
	}
	defer v.s.endRead()
	defer v.s.caught("closing a view", &err)
	v.s.raft.mu.Lock()
	_, open := v.s.raft.views[v]
	delete(v.s.raft.views, v)
	v.s.raft.mu.Unlock()
	if !open {
		return nil
	}
	return v.snapshot.Close()
}

// begin keeps the View usable until v.s.endRead.
func (v *View) begin() error {
	if err := v.s.beginRead(); err != nil {
		return err
	}
	v.s.raft.mu.Lock()
	_, open := v.s.raft.views[v]
	v.s.raft.mu.Unlock()
	if !open {
		v.s.endRead()
		return ErrClosed
	}
	return nil
}

// partition returns a partition as it was, for v alone.
func (v *View) partition(id base.PartitionID) (*Partition, error) {
	p := &Partition{id: id, store: v.s, sh: v.sh}
	if err := p.loadFrom(v.snapshot); err != nil {
		return nil, err
	}
	return p, nil
}

// settings calls fn for each setting of the shard, in the order of names. The
// bytes are valid until fn returns.
func (v *View) settings(fn func(name, value []byte) error) (err error) {
	it, err := v.snapshot.NewIter(&pebble.IterOptions{
		LowerBound: shardKey(kindShardSetting, v.sh.id), UpperBound: shardEnd(kindShardSetting, v.sh.id),
	})
	if err != nil {
		return v.s.readError("settings of a shard", err)
	}
	defer func() { err = errors.Join(err, v.s.readError("settings of a shard", it.Close())) }()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return v.s.readError("settings of a shard", err)
		}
		if err := fn(it.Key()[shardKeyLen:], value); err != nil {
			return err
		}
	}
	return nil
}
