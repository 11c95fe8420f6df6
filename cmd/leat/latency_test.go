package main

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestLatencyBuckets(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "d") >> rapid.IntRange(0, 62).Draw(t, "shift"))
		b := bucketOf(d)
		require.Less(t, b, len(latencies{}.counts))
		require.GreaterOrEqual(t, upperBound(b), d)
		require.LessOrEqual(t, upperBound(b)-d, d/64)
		if d > 0 {
			require.LessOrEqual(t, bucketOf(d-1), b)
		}
	})
}

func TestLatencyQuantiles(t *testing.T) {
	t.Parallel()
	var l latencies
	require.Zero(t, l.quantile(0.5))
	for i := range 1000 {
		l.add(time.Duration(i+1) * time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 500, 0.99: 990, 0.999: 999, 1: 1000} {
		require.InEpsilon(t, want*time.Millisecond, l.quantile(q), 1.0/64, q)
		require.GreaterOrEqual(t, l.quantile(q), want*time.Millisecond)
	}
	require.Equal(t, time.Second, l.largest())
	require.Equal(t, time.Second, l.quantile(1))
}
