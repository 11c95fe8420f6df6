package store

import (
	"bytes"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// writeRaft builds a Pebble batch and writes it, beside the commits of
// standalone partitions: Pebble joins the fsyncs of all that come at once. An
// error of build is returned as it is, and nothing is written then.
func (s *Store) writeRaft(sync bool, build func(b *pebble.Batch) error) (err error) {
	if err := s.usableDisk(); err != nil {
		return err
	}
	b := s.newRaftBatch()
	applying := false
	// Pebble panics where it cannot go on, with its locks held.
	defer func() {
		if r := recover(); r != nil {
			s.wedged.Store(s.wedged.Load() || applying)
			err = s.fail(fmt.Errorf("writing to the database: %v", r))
			return
		}
		s.releaseRaftBatch(b, err, applying)
	}()
	if err := build(b); err != nil {
		return err
	}
	if b.Empty() {
		return nil
	}
	o := pebble.NoSync
	if sync {
		o = pebble.Sync
	}
	applying = true
	began := time.Now() // how fast the disk is, whatever the store's clock says
	if err := s.db.Apply(b, o); err != nil {
		return s.fail(fmt.Errorf("writing to the database: %w", err))
	}
	if err := s.usableDisk(); err != nil { // Pebble is not told of a failing fsync, see failStopFS
		return err
	}
	if sync {
		s.counters.commits.Observe(int64(time.Since(began)), int64(CommitLatencyUnit))
	}
	return nil
}

func (s *Store) newRaftBatch() *pebble.Batch {
	s.raft.mu.Lock()
	defer s.raft.mu.Unlock()
	if n := len(s.raft.spare); n > 0 {
		b := s.raft.spare[n-1]
		s.raft.spare = s.raft.spare[:n-1]
		return b
	}
	return s.db.NewBatch(pebble.WithMaxRetainedSizeBytes(maxSpareRaftBytes))
}

// releaseRaftBatch keeps a batch for later. One that Pebble may still refer to is
// left to the garbage collector.
func (s *Store) releaseRaftBatch(b *pebble.Batch, err error, applied bool) {
	if err != nil && applied {
		return
	}
	b.Reset()
	s.raft.mu.Lock()
	defer s.raft.mu.Unlock()
	if len(s.raft.spare) < maxSpareRaftBatches {
		s.raft.spare = append(s.raft.spare, b)
	}
}

// markRaft raises the directory's format before the first key that an older
// version would not understand.
func (s *Store) markRaft() error {
	if s.raft.marked.Load() {
		return nil
	}
	v, _, err := s.get(metaKey(formatKey))
	if err != nil {
		return err
	}
	if !bytes.Equal(v, []byte{formatRaft}) {
		err = s.writeRaft(true, func(b *pebble.Batch) error { return b.Set(metaKey(formatKey), []byte{formatRaft}, nil) })
		if err != nil {
			return err
		}
	}
	s.raft.marked.Store(true)
	return nil
}

// applyRaft writes a batch that was built already.
func (s *Store) applyRaft(b *pebble.Batch, o *pebble.WriteOptions) (err error) {
	defer func() {
		if r := recover(); r != nil {
			s.wedged.Store(true)
			err = s.fail(fmt.Errorf("writing to the database: %v", r))
		}
	}()
	if err := s.db.Apply(b, o); err != nil {
		return s.fail(fmt.Errorf("writing to the database: %w", err))
	}
	return s.usableDisk() // Pebble is not told of a failing fsync, see failStopFS
}

// SyncApplied returns once all that was applied, and all else that was written
// before, is durable.
func (s *Store) SyncApplied() error {
	if err := s.beginRead(); err != nil {
		return err
	}
	defer s.endRead()
	return s.writeRaft(true, func(b *pebble.Batch) error { return b.LogData(nil, nil) })
}
