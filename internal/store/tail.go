package store

import (
	"sort"
	"sync"

	"github.com/leatlog/leat/internal/base"
)

// tailBatch is a batch that was published and is still in memory.
type tailBatch struct {
	base, last base.Offset
	bytes      []byte
}

// tailRing holds the newest batches of one partition, oldest first. They follow
// each other without a hole but for those that compaction removed for good:
// they are added in publication order, and what is still stored is only ever
// dropped from the front. It is guarded by Partition.mu.
type tailRing struct {
	batches []tailBatch
}

func (r *tailRing) push(b tailBatch) { r.batches = append(r.batches, b) }

// dropFront forgets the oldest batch if it begins at the given offset.
func (r *tailRing) dropFront(at base.Offset) bool {
	if len(r.batches) == 0 || r.batches[0].base != at {
		return false
	}
	r.batches[0] = tailBatch{}
	r.batches = r.batches[1:]
	if len(r.batches) == 0 {
		r.batches = nil
	}
	return true
}

// rewrite does what a compaction did, in the order of offsets, to the batches
// that are in memory. Their share of the cache's bound stays what it was until
// their turn to be evicted comes.
func (r *tailRing) rewrite(edits []edit) {
	if len(r.batches) == 0 || len(edits) == 0 || edits[len(edits)-1].at < r.batches[0].base {
		return
	}
	kept := r.batches[:0]
	for _, b := range r.batches {
		for len(edits) > 0 && edits[0].at < b.base {
			edits = edits[1:]
		}
		if len(edits) > 0 && edits[0].at == b.base {
			if b.bytes = edits[0].batch; b.bytes == nil {
				continue
			}
		}
		kept = append(kept, b)
	}
	clear(r.batches[len(kept):])
	r.batches = kept
}

// find returns the batches from the one that holds the offset on, or nil when
// the offset is older than what is kept.
func (r *tailRing) find(from base.Offset) []tailBatch {
	if len(r.batches) == 0 || from < r.batches[0].base {
		return nil
	}
	i := sort.Search(len(r.batches), func(i int) bool { return r.batches[i].last >= from })
	return r.batches[i:]
}

// tailCache bounds the bytes of all rings of a store: first in, first out over
// all partitions. Lock order: mu, Partition.mu.
type tailCache struct {
	limitBytes int64

	mu    sync.Mutex
	bytes int64
	fifo  []tailRef
	head  int
}

type tailRef struct {
	p     *Partition
	base  base.Offset
	bytes int64
}

// added accounts for a batch that was pushed to p's ring and evicts the oldest
// ones beyond the limit. It returns the bytes of all that is kept.
func (c *tailCache) added(p *Partition, b tailBatch) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := int64(cap(b.bytes))
	c.fifo = append(c.fifo, tailRef{p, b.base, size})
	c.bytes += size
	for c.bytes > c.limitBytes && c.head < len(c.fifo) {
		ref := c.fifo[c.head]
		c.fifo[c.head] = tailRef{}
		c.head++
		c.bytes -= ref.bytes
		ref.p.mu.Lock()
		ref.p.tail.dropFront(ref.base)
		ref.p.mu.Unlock()
	}
	if c.head > 1024 && c.head*2 > len(c.fifo) {
		n := copy(c.fifo, c.fifo[c.head:])
		clear(c.fifo[n:])
		c.fifo, c.head = c.fifo[:n], 0
	}
	return c.bytes
}
