package main

import (
	"math"
	"math/bits"
	"sync"
	"time"
)

// latencies counts durations in buckets that are at most 1/64 of their value wide. It may
// be used concurrently. Its zero value is empty.
type latencies struct {
	mu     sync.Mutex
	counts [(64 - latencyBits + 1) << latencyBits]int64
	n      int64
	max    time.Duration
}

// latencyBits is how many bits behind the first one a bucket tells apart.
const latencyBits = 6

// bucketOf returns the bucket of d.
func bucketOf(d time.Duration) int {
	v := uint64(max(d, 0))
	exp := bits.Len64(v) - 1 - latencyBits // how many low bits a bucket does not tell
	if exp <= 0 {
		return int(v)
	}
	return exp<<latencyBits + int(v>>exp)
}

// upperBound returns the largest duration of a bucket.
func upperBound(bucket int) time.Duration {
	exp := bucket>>latencyBits - 1
	if exp <= 0 {
		return time.Duration(bucket)
	}
	first := uint64(bucket - exp<<latencyBits)
	return time.Duration(min((first+1)<<exp-1, math.MaxInt64))
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[bucketOf(d)]++
	l.n++
	l.max = max(l.max, d)
}

// quantile returns a duration that the part q of all does not exceed, at most 1/64 too
// large; 0 if there is none.
func (l *latencies) quantile(q float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	want := int64(math.Ceil(q * float64(l.n)))
	var seen int64
	for i, c := range l.counts {
		if seen += c; c > 0 && seen >= want {
			return min(upperBound(i), l.max)
		}
	}
	return 0
}

func (l *latencies) largest() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.max
}
