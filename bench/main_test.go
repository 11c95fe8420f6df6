package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// The environment that steers the benchmarks beyond go test's own flags.
const (
	envDir   = "LEAT_BENCH_DIR"   // where data goes; default: the test's temporary directory
	envBig   = "LEAT_BENCH_BIG"   // "1": also the sizes of 20 GiB
	envRates = "LEAT_BENCH_RATES" // records/s for BenchmarkEndToEnd or "half", separated by commas
	envKeys  = "LEAT_BENCH_KEYS"  // number of distinct keys in BenchmarkProduce; default: no keys

	envPartitions = "LEAT_BENCH_PARTITIONS" // in all but BenchmarkPartitions; default: 6
)

// size is a size of values or data with the name it has in sub-benchmarks.
type size struct {
	name  string
	bytes int64
}

var (
	size100B  = size{"100B", 100}
	size1KiB  = size{"1KiB", 1 << 10}
	size1GiB  = size{"1GiB", 1 << 30}
	size20GiB = size{"20GiB", 20 << 30}
)

// stored returns the amounts that benchmarks of a filled log use.
func stored() []size {
	if os.Getenv(envBig) == "1" {
		return []size{size1GiB, size20GiB}
	}
	return []size{size1GiB}
}

// partitions returns the number of partitions where the benchmark does not vary it.
func partitions(b testing.TB) int {
	b.Helper()
	return envInts(b, envPartitions, 6)[0]
}

// eachSystem runs f for every system that passes keep, as system=name.
func eachSystem(b *testing.B, keep func(System) bool, f func(b *testing.B, s System)) {
	for _, s := range Systems() {
		if keep == nil || keep(s) {
			b.Run("system="+s.Name, func(b *testing.B) { f(b, s) })
		}
	}
}

// dataDir makes an empty directory that is removed when the benchmark ends.
func dataDir(b testing.TB) string {
	b.Helper()
	parent := os.Getenv(envDir)
	if parent == "" {
		return b.TempDir()
	}
	dir, err := os.MkdirTemp(parent, "leat-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			b.Error(err)
		}
	})
	return dir
}

// open opens a system and closes it, unless the caller did, when the benchmark ends.
func open(b testing.TB, s System, cfg Config) Instance {
	b.Helper()
	in, err := s.Open(context.Background(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	o := &onceClosed{Instance: in}
	b.Cleanup(func() {
		if err := o.Close(); err != nil {
			b.Error(err)
		}
	})
	return o
}

// onceClosed makes Close idempotent.
type onceClosed struct {
	Instance
	closed bool
}

func (o *onceClosed) Close() error {
	if o.closed {
		return nil
	}
	o.closed = true
	return o.Instance.Close()
}

// disked measures what a benchmark writes to disk.
type disked struct{ before int64 }

func startDisked(b *testing.B) disked {
	b.Helper()
	n, err := WrittenBytes()
	if err != nil {
		b.Fatal(err)
	}
	return disked{n}
}

// report gives disk-B/B: bytes written to disk per byte of record value. It is
// called after the instance was closed, so that what was written behind counts.
func (d disked) report(b *testing.B, valueBytes int64) {
	b.Helper()
	n, err := WrittenBytes()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(n-d.before)/float64(valueBytes), "disk-B/B")
}

// reportRate gives records/s and MB/s of what ran while the clock did.
func reportRate(b *testing.B, records, valueBytes int64) {
	seconds := b.Elapsed().Seconds()
	b.ReportMetric(float64(records)/seconds, "records/s")
	b.ReportMetric(float64(valueBytes)/1e6/seconds, "MB/s")
}

// envInts returns a list of numbers from the environment, or the default.
func envInts(b testing.TB, name string, def ...int) []int {
	b.Helper()
	text := os.Getenv(name)
	if text == "" {
		return def
	}
	var numbers []int
	for part := range strings.SplitSeq(text, ",") {
		n, err := positive(part)
		if err != nil {
			b.Fatal(fmt.Errorf("%s: %q: %w", name, part, err))
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// positive parses a number from 1.
func positive(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err == nil && n < 1 {
		err = errors.New("not positive")
	}
	return n, err
}

func must(b testing.TB, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
