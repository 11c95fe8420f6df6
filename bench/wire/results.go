package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// sample is one figure of one round.
type sample struct {
	bench, system string
	unit          string
	value         float64
	// operations and took are of the samples that are a rate.
	operations int
	took       time.Duration
}

// series says of what the figures are.
type series struct{ bench, system, unit string }

// results has the figures of all rounds that count.
type results struct {
	out     io.Writer // gets a line for each figure, in Go's benchmark format
	warming bool      // the round does not count
	series  map[series][]float64
}

func newResults(out io.Writer) *results {
	return &results{out: out, series: make(map[series][]float64)}
}

// add takes a figure.
func (r *results) add(s sample) {
	note := ""
	if r.warming {
		note = "# warming up: "
	} else {
		key := series{s.bench, s.system, s.unit}
		r.series[key] = append(r.series[key], s.value)
	}
	line := fmt.Sprintf("%sBenchmark%s/system=%s\t%d\t", note, s.bench, s.system, max(s.operations, 1))
	if s.operations > 0 {
		line += fmt.Sprintf("%.1f ns/op\t", float64(s.took.Nanoseconds())/float64(s.operations))
	}
	// What cannot be written is not measured less for it.
	_, _ = fmt.Fprintf(r.out, "%s%.6g %s\n", line, s.value, s.unit)
}

// median returns the middle of a series, with its least and most; ok is false if there
// is none.
func (r *results) median(bench, system, unit string) (mid, least, most float64, ok bool) {
	v := slices.Sorted(slices.Values(r.series[series{bench, system, unit}]))
	if len(v) == 0 {
		return 0, 0, 0, false
	}
	mid = v[len(v)/2]
	if len(v)%2 == 0 {
		mid = (v[len(v)/2-1] + mid) / 2
	}
	return mid, v[0], v[len(v)-1], true
}
