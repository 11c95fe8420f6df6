package base

import (
	"math/bits"
	"sync/atomic"
)

// HistogramBuckets is the number of buckets of a Histogram, the last of which
// takes all that is too large for the others.
const HistogramBuckets = 24

// Histogram counts how large values were, in buckets of which each reaches twice
// as far as the one before. Observe costs two atomic additions; it may be called
// concurrently with itself and with Read.
type Histogram struct {
	counts [HistogramBuckets]atomic.Int64
	sum    atomic.Int64
}

// Observe counts a value; unit is where the first bucket ends, at least 1, and
// the same in all calls. A negative value counts as 0.
func (h *Histogram) Observe(v, unit int64) {
	v = max(v, 0)
	i := 0
	if v > unit {
		i = min(bits.Len64(uint64((v-1)/unit)), HistogramBuckets-1)
	}
	h.counts[i].Add(1)
	h.sum.Add(v)
}

// Read returns how many values there were in each bucket and the sum of all. It
// is not a moment's picture: what is counted meanwhile may be in one of them
// only.
func (h *Histogram) Read() (counts [HistogramBuckets]int64, sum int64) {
	for i := range h.counts {
		counts[i] = h.counts[i].Load()
	}
	return counts, h.sum.Load()
}
