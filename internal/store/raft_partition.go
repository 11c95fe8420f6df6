package store

import (
	"github.com/cockroachdb/pebble/v2"

	"github.com/leatlog/leat/internal/base"
)

// Replicated returns a replicated partition, ErrUnknownPartition if no shard here
// has one of that id, ErrShardImporting while a Raft snapshot replaces all of them. Its batches are read, and it is compacted, as any other's;
// what else changes it are the shard's commands. Its high watermark is what was
// applied here.
func (s *Store) Replicated(id base.PartitionID) (*Partition, error) {
	p, hidden, err := s.lookup(id)
	switch {
	case err != nil:
		return nil, err
	case p == nil || p.sh == nil || hidden:
		return nil, ErrUnknownPartition
	case p.sh.importing():
		return nil, ErrShardImporting
	}
	return p, nil
}

// lookup returns the partition of an id, nil if there is none and nobody asked for
// it.
func (s *Store) lookup(id base.PartitionID) (p *Partition, hidden bool, err error) {
	if err := s.beginRead(); err != nil {
		return nil, false, err
	}
	defer s.endRead()
	defer s.caught("opening a partition", &err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.partitions[id]; p != nil {
		return p, p.hidden, nil
	}
	// A replicated one has a state from its creation on.
	if _, ok, err := s.get(partitionKey(kindState, id)); err != nil || !ok {
		return nil, false, err
	}
	p = &Partition{id: id, store: s}
	if err := p.load(); err != nil {
		return nil, false, err
	}
	s.partitions[id] = p
	return p, false, nil
}

// vacate makes an id free for a replicated partition. Whoever asked for it before
// holds a partition that stays empty and takes nothing. ErrPartitionExists says
// that the id is in use.
func (s *Store) vacate(id base.PartitionID) error {
	old, err := s.Partition(id)
	if err != nil {
		return err
	}
	if old.sh != nil {
		return ErrPartitionExists
	}
	t := &task{wake: make(chan signal, 1), build: func(*pebble.Batch) error {
		if old.app.next > 0 {
			return ErrPartitionExists
		}
		old.app.dropped = true
		return nil
	}}
	if err := s.commit(t); err != nil {
		return err
	}
	s.Forget(old)
	return nil
}

// Shard returns the shard that a replicated partition belongs to, 0 for one that
// is not replicated.
func (p *Partition) Shard() base.ShardID {
	if p.sh == nil {
		return 0
	}
	return p.sh.id
}

// reload makes the state in memory what is on disk. It needs sh.mu.
func (p *Partition) reload() (err error) {
	defer p.caught(&err)
	p.app = appendState{}
	return p.load()
}
