package store

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Checkpoint makes a consistent copy in a directory that must not exist, while
// writes go on: it holds everything that was durable when it was called and
// opens as a Store of its own. Files are hard links where the file system has
// them.
func (s *Store) Checkpoint(dir string) (err error) {
	if err := s.beginRead(); err != nil {
		return err
	}
	defer s.endRead()
	// Pebble panics when it cannot sync the new directory.
	defer s.caught("making a checkpoint", &err)
	if err := s.usableDisk(); err != nil {
		return err
	}
	if err := makeDir(s.opts.FS, s.opts.FS.PathDir(dir)); err != nil {
		return fmt.Errorf("checkpoint to %s: %w", dir, err)
	}
	if err := s.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("checkpoint to %s: %w", dir, err)
	}
	// The disk stood still since the failure: the copy may lack what was durable.
	if err := s.usableDisk(); err != nil {
		return errors.Join(err, s.opts.FS.RemoveAll(dir))
	}
	return nil
}

// Flush writes the memtables to tables and returns when they are durable.
func (s *Store) Flush() (err error) {
	if err := s.beginRead(); err != nil {
		return err
	}
	defer s.endRead()
	defer func() {
		if r := recover(); r != nil {
			err = errors.Join(err, s.fail(fmt.Errorf("flushing: %v", r)))
		}
	}()
	if err := s.usableDisk(); err != nil {
		return err
	}
	// After a failure the flush goes to memory.
	return errors.Join(s.db.Flush(), s.usableDisk())
}
