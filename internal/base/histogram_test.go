package base

import (
	"math"
	"testing"
)

func TestHistogramBuckets(t *testing.T) {
	for _, tt := range []struct {
		v    int64
		want int
	}{
		{math.MinInt64, 0}, {0, 0}, {1, 0}, {10, 0},
		{11, 1}, {20, 1},
		{21, 2}, {40, 2},
		{41, 3},
		{10 << 22, 22},
		{10<<22 + 1, 23},
		{math.MaxInt64, 23},
	} {
		var h Histogram
		h.Observe(tt.v, 10)
		counts, sum := h.Read()
		for i, n := range counts {
			if (n == 1) != (i == tt.want) || n > 1 {
				t.Errorf("%d: bucket %d has %d, want one value in bucket %d", tt.v, i, n, tt.want)
			}
		}
		if sum != max(tt.v, 0) {
			t.Errorf("%d: sum %d", tt.v, sum)
		}
	}
}

func BenchmarkHistogramObserve(b *testing.B) {
	var h Histogram
	for i := range b.N {
		h.Observe(int64(i), 10_000)
	}
}
