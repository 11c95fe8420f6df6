package store

import (
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// ProducerState is what a partition remembers of an idempotent producer.
type ProducerState struct {
	ID            int64
	Epoch         int16
	LastSequence  int32
	LastTimestamp int64 // of its newest batch, ms
}

// Producers returns the producers that are remembered, by ascending id. It waits for
// its turn among the commits, and writes nothing.
func (p *Partition) Producers() (states []ProducerState, err error) {
	t := &task{wake: make(chan signal, 1), build: func(*pebble.Batch) error {
		if p.app.dropped {
			return ErrPartitionDropped
		}
		for _, id := range slices.Sorted(maps.Keys(p.app.producers.entries)) {
			e := p.app.producers.entries[id]
			states = append(states, ProducerState{ID: id, Epoch: e.epoch, LastSequence: e.lastSequence(), LastTimestamp: e.lastTimestamp})
		}
		return nil
	}}
	return states, p.store.commit(t)
}

// DiskUsage returns how large the volume of the directory is and what of it can be
// used, or an error where the file system does not tell, as in memory.
func (s *Store) DiskUsage() (totalBytes, usableBytes uint64, err error) {
	u, err := s.opts.FS.GetDiskUsage(s.opts.Dir)
	return u.TotalBytes, u.AvailBytes, err
}
