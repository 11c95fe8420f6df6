package bench

import (
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// latencyMax is the longest latency that a histogram tells from longer ones.
const latencyMax = 2 * time.Minute

// Latencies is a histogram of durations from a nanosecond to two minutes, to
// three significant digits. It is not safe for concurrent use: each goroutine
// has its own, merged at the end.
type Latencies struct{ h *hdrhistogram.Histogram }

// NewLatencies returns an empty histogram.
func NewLatencies() *Latencies {
	return &Latencies{hdrhistogram.New(1, latencyMax.Nanoseconds(), 3)}
}

// Record adds one duration. What is out of range counts as its end of the range.
func (l *Latencies) Record(d time.Duration) {
	// The value is in range, which is the one thing RecordValue can refuse.
	_ = l.h.RecordValue(min(max(d.Nanoseconds(), 1), latencyMax.Nanoseconds()))
}

// Merge adds what other holds.
func (l *Latencies) Merge(other *Latencies) { l.h.Merge(other.h) }

// Count returns how many durations were recorded.
func (l *Latencies) Count() int64 { return l.h.TotalCount() }

// Quantile returns the duration that q percent of those recorded do not exceed.
func (l *Latencies) Quantile(q float64) time.Duration {
	return time.Duration(l.h.ValueAtQuantile(q))
}

// Report adds p50-us, p99-us and p99.9-us to the benchmark's result.
func (l *Latencies) Report(b *testing.B) {
	b.ReportMetric(float64(l.Quantile(50))/1e3, "p50-us")
	b.ReportMetric(float64(l.Quantile(99))/1e3, "p99-us")
	b.ReportMetric(float64(l.Quantile(99.9))/1e3, "p99.9-us")
}
