package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leatlog/leat/internal/base"
)

// reclaimGapBytes is up to what size the live part of a partition is taken along
// when what was removed before it and behind it is compacted in one go: its
// values stay where they are, only its keys are written again.
const reclaimGapBytes = 64 << 20

// garbage notes what was removed and may still take space on disk.
//
// The database frees a file of values once no table refers to it, and the tables
// are so small, for they hold keys only, that its own compactions may not come to
// them for as long as the Log is small or idle. Reclaim sees to it.
type garbage struct {
	mu    sync.Mutex
	spans map[base.PartitionID]garbageSpan
	bytes int64 // sum over spans
}

type garbageSpan struct {
	bytes int64
	// upTo is the offset below which something was removed.
	upTo base.Offset
	// live is about what the partition still stores.
	live int64
}

func (g *garbage) add(id base.PartitionID, bytes int64, upTo base.Offset, live int64) {
	if bytes <= 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.spans == nil {
		g.spans = make(map[base.PartitionID]garbageSpan)
	}
	s := g.spans[id]
	g.spans[id] = garbageSpan{bytes: s.bytes + bytes, upTo: max(s.upTo, upTo), live: live}
	g.bytes += bytes
}

func (g *garbage) take() (map[base.PartitionID]garbageSpan, int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	spans, bytes := g.spans, g.bytes
	g.spans, g.bytes = nil, 0
	return spans, bytes
}

// GarbageBytes is what trims, compactions and dropped partitions removed since
// the last Reclaim, or since the store was opened.
func (s *Store) GarbageBytes() int64 {
	s.garbage.mu.Lock()
	defer s.garbage.mu.Unlock()
	return s.garbage.bytes
}

// Reclaim gives back the space of what was removed, and returns when the files
// that hold nothing else are gone or about to go. It writes the keys around what
// was removed once more, not the values. A file of values in which more than
// half is still in use is left as it is; what is only partly used is written
// anew by the database in the background, once it is a minute old. The error is
// ErrClosed, ErrFailed, or ctx's; what was not reclaimed is for the next call.
func (s *Store) Reclaim(ctx context.Context) (err error) {
	if err := s.beginRead(); err != nil {
		return err
	}
	defer s.endRead()
	defer s.caught("reclaiming space", &err)
	if err := s.usableDisk(); err != nil {
		return err
	}
	spans, _ := s.garbage.take()
	for _, r := range reclaimRanges(spans) {
		if err == nil {
			err = s.reclaim(ctx, r)
		}
		if err != nil {
			for _, id := range r.ids {
				g := spans[id]
				s.garbage.add(id, g.bytes, g.upTo, g.live)
			}
		}
	}
	if err != nil {
		return errors.Join(err, s.usableDisk())
	}
	return s.usableDisk()
}

func (s *Store) reclaim(ctx context.Context, r reclaimRange) error {
	for _, kind := range []byte{kindData, kindIndex} {
		from, to := entryKey(kind, r.ids[0], 0), entryKey(kind, r.ids[len(r.ids)-1], r.upTo)
		if err := s.db.Compact(ctx, from, to, false); err != nil {
			if errors.Is(err, pebble.ErrClosed) {
				return ErrClosed
			}
			return fmt.Errorf("reclaiming space of partitions %d to %d: %w", r.ids[0], r.ids[len(r.ids)-1], err)
		}
	}
	return nil
}

// reclaimDueBytes is the least for which ReclaimDue does something.
const reclaimDueBytes = 1 << 20

// ReclaimDue is Reclaim for when it is worth it: when a sixteenth of the disk's
// bytes were removed, so that keys are not written again and again. It also has
// files looked at that became old enough to be written anew, which the database
// of an idle store does not do by itself.
func (s *Store) ReclaimDue(ctx context.Context) error {
	if err := s.beginRead(); err != nil {
		return err
	}
	m := s.db.Metrics()
	s.endRead()
	if due := max(reclaimDueBytes, int64(m.DiskSpaceUsage()/16)); s.GarbageBytes() >= due {
		return s.Reclaim(ctx)
	}
	all, used := m.BlobFiles.ValueSize, m.BlobFiles.ReferencedValueSize
	if all > used && all-used >= reclaimDueBytes && float64(all-used) > blobGarbageRatio*float64(all) {
		return s.Flush() // after it, Pebble looks for compactions to do
	}
	return nil
}

// reclaimRange is partitions with consecutive ids, from the start of the first to
// an offset of the last.
type reclaimRange struct {
	ids  []base.PartitionID
	upTo base.Offset
}

// reclaimRanges joins neighbours: the keys of many small partitions are in one
// table, which would be written anew for each of them.
func reclaimRanges(spans map[base.PartitionID]garbageSpan) []reclaimRange {
	var out []reclaimRange
	live := int64(0)
	for _, id := range slices.SortedFunc(maps.Keys(spans), cmp.Compare[base.PartitionID]) {
		s := spans[id]
		if n := len(out); n > 0 && out[n-1].ids[len(out[n-1].ids)-1]+1 == id && live <= reclaimGapBytes {
			out[n-1].ids = append(out[n-1].ids, id)
			out[n-1].upTo = s.upTo
		} else {
			out = append(out, reclaimRange{ids: []base.PartitionID{id}, upTo: s.upTo})
		}
		live = s.live
	}
	return out
}
