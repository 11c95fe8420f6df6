package leat

import (
	"math"

	"github.com/leatlog/leat/internal/base"
)

// Histogram is how large the values of something were.
type Histogram struct {
	// Count is the number of values and Sum their sum, in the unit of the buckets.
	Count int64
	Sum   float64
	// Buckets are those with an end, each reaching twice as far as the one before.
	Buckets []HistogramBucket
}

// HistogramBucket counts the values up to a bound.
type HistogramBucket struct {
	// UpperBound is the largest value that is counted here.
	UpperBound float64
	// Count is cumulative: the buckets before are included, as Prometheus has it.
	Count int64
}

// newHistogram returns what makes a Histogram of counts whose first bucket ends
// at unit, with values multiplied by scale.
func newHistogram(unit int64, scale float64) func([base.HistogramBuckets]int64, int64) Histogram {
	return func(counts [base.HistogramBuckets]int64, sum int64) Histogram {
		h := Histogram{Sum: float64(sum) * scale, Buckets: make([]HistogramBucket, base.HistogramBuckets-1)}
		for i, n := range counts {
			h.Count += n
			if i < len(h.Buckets) {
				h.Buckets[i] = HistogramBucket{UpperBound: float64(unit<<i) * scale, Count: h.Count}
			}
		}
		return h
	}
}

// Quantile estimates the value that a share q of all values, from 0 to 1, does
// not exceed, by spreading the values of a bucket evenly over it: the answer is
// off by less than a factor of two. It is the end of the last bucket for what lies
// beyond, and NaN when there are no values or q is not from 0 to 1.
func (h Histogram) Quantile(q float64) float64 {
	if h.Count == 0 || !(q >= 0 && q <= 1) {
		return math.NaN()
	}
	rank := q * float64(h.Count)
	var below HistogramBucket // UpperBound 0
	for _, b := range h.Buckets {
		if b.Count > below.Count && float64(b.Count) >= rank {
			within := (rank - float64(below.Count)) / float64(b.Count-below.Count)
			return below.UpperBound + within*(b.UpperBound-below.UpperBound)
		}
		below = b
	}
	return below.UpperBound
}
