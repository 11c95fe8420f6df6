// Command clustertable runs the benchmarks of a cluster and prints what came of them
// as a table in Markdown, beside what is wanted. Run it in the directory bench:
//
//	go run ./clustertable
//
// The lines of the benchmarks go to standard error as they come. It takes about ten
// minutes and 25 GiB in the temporary directory, or in LEAT_BENCH_DIR; -short takes two
// and says less.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// run is one call of the benchmarks.
type run struct {
	bench     string
	benchtime string
	count     int
	env       string
}

func runs(short bool) []run {
	if short {
		return []run{
			{"ClusterProduce$", "100000x", 1, ""},
			{"ClusterProduceSync", "5000x", 1, ""},
			{"ClusterFailover", "3x", 1, ""},
			{"ClusterRestart", "4x", 1, ""},
			{"ClusterPartitions", "100000x", 1, ""},
			{"ClusterNewReplica", "1x", 1, "LEAT_BENCH_REPLICA_MIB=256"},
		}
	}
	return []run{
		{"ClusterProduce$", "400000x", 3, ""},
		{"ClusterProduceSync", "20000x", 2, ""},
		{"ClusterFailover", "10x", 1, ""},
		{"ClusterRestart", "10x", 1, ""},
		{"ClusterIdle", "1x", 1, ""},
		{"ClusterPartitions", "400000x", 1, ""},
		{"ClusterNewReplica", "1x", 1, "LEAT_BENCH_REPLICA_MIB=5120"},
	}
}

// results is figures by the benchmark's name and their unit.
type results map[string]map[string][]float64

// note takes a line of a benchmark's output.
func (r results) note(line string) {
	f := strings.Fields(line)
	if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
		return
	}
	name := strings.TrimPrefix(f[0], "Benchmark")
	if i := strings.LastIndexByte(name, '-'); i > 0 { // the number of processors
		if _, err := strconv.Atoi(name[i+1:]); err == nil {
			name = name[:i]
		}
	}
	if r[name] == nil {
		r[name] = make(map[string][]float64)
	}
	for i := 2; i+1 < len(f); i += 2 {
		if v, err := strconv.ParseFloat(f[i], 64); err == nil {
			r[name][f[i+1]] = append(r[name][f[i+1]], v)
		}
	}
}

// median returns the median of a figure, of the first benchmark whose name begins so.
func (r results) median(prefix, unit string) (float64, bool) {
	for name, units := range r {
		if v := units[unit]; strings.HasPrefix(name, prefix) && len(v) > 0 {
			v = slices.Sorted(slices.Values(v))
			return v[len(v)/2], true
		}
	}
	return 0, false
}

// row is a line of the table: leat's figure, and what it is compared with.
type row struct {
	workload    string
	bench, unit string
	peer        string // another benchmark or the same of another system; empty: none
	peerUnit    string
	wanted      string
	bound       float64 // of the ratio to the peer, or of the figure
	most        bool    // the bound is the most and not the least
}

const (
	produce = "ClusterProduce/size=1KiB/partitions=6/system="
	sync128 = "ClusterProduceSync/size=1KiB/partitions=128/producers=128/system="
	sync1   = "ClusterProduceSync/size=1KiB/partitions=1/producers=1/system="
)

func rows() []row {
	rate := "records/s"
	return []row{
		{workload: "produce 1 KiB, 6 partitions, records/s", bench: produce + "leat", unit: rate, peer: produce + "jetstream", wanted: ">= 1.5", bound: 1.5},
		{workload: "the same, against one that fsyncs", bench: produce + "leat", unit: rate, peer: produce + "jetstream-fsync", wanted: ">= 4", bound: 4},
		{workload: "the same, processor time of all nodes and the client, ns a record", bench: produce + "leat", unit: "cpu-ns/op", peer: produce + "jetstream"},
		{workload: "128 partitions, 128 sync producers, 1 KiB, records/s", bench: sync128 + "leat", unit: rate, peer: sync128 + "jetstream", wanted: ">= 2", bound: 2},
		{workload: "the same, against one that fsyncs", bench: sync128 + "leat", unit: rate, peer: sync128 + "jetstream-fsync", wanted: ">= 4", bound: 4},
		{workload: "one sync producer, p50, us", bench: sync1 + "leat", unit: "p50-us", peer: sync1 + "jetstream-fsync", wanted: "<= 0.8", bound: 0.8, most: true},
		{workload: "a node killed under load: longest time without an acknowledgement, median, ms", bench: "ClusterFailover", unit: "median-pause-ms", wanted: "<= 2000", bound: 2000, most: true},
		{workload: "nodes restarted in turn: failed calls", bench: "ClusterRestart", unit: "errors", wanted: "0", most: true},
		{workload: "the same: median pause, ms", bench: "ClusterRestart", unit: "median-pause-ms"},
		{workload: "the same: longest pause, ms", bench: "ClusterRestart", unit: "longest-pause-ms", wanted: "<= 300", bound: 300, most: true},
		{workload: "10,000 partitions, idle: % of a core, three nodes", bench: "ClusterIdle", unit: "core-%", wanted: "<= 10", bound: 10, most: true},
		{workload: "the same: resident memory of the largest, MiB", bench: "ClusterIdle", unit: "RSS-MiB", wanted: "<= 200", bound: 200, most: true},
		{workload: "produce to 1,000 partitions, without keys, records/s", bench: "ClusterPartitions/n=1000/keys=0/", unit: rate, peer: "ClusterPartitions/n=6/keys=0/", wanted: ">= 0.8", bound: 0.8},
		{workload: "the same with 100,000 keys", bench: "ClusterPartitions/n=1000/keys=100000/", unit: rate, peer: "ClusterPartitions/n=6/keys=100000/", wanted: ">= 0.8", bound: 0.8},
		{workload: "a new replica, MiB/s", bench: "ClusterNewReplica", unit: "MiB/s", wanted: ">= 100", bound: 100},
		{workload: "the same: p99 of others meanwhile, ms, and before", bench: "ClusterNewReplica", unit: "during-p99-ms", peer: "ClusterNewReplica", peerUnit: "before-p99-ms", wanted: "<= 2", bound: 2, most: true},
		{workload: "bytes written for each byte and replica", bench: produce + "leat", unit: "disk-B/B", wanted: "<= 2.2", bound: 2.2, most: true},
	}
}

// table prints the rows for which there are figures.
func (r results) table(out io.Writer) {
	fmt.Fprintln(out, "| workload | leat | peer | ratio | wanted | |\n|---|---:|---|---:|---|---|")
	for _, w := range rows() {
		ours, ok := r.median(w.bench, w.unit)
		if !ok {
			continue
		}
		figure, peer, ratio := ours, "", ""
		if w.peer != "" {
			unit := w.peerUnit
			if unit == "" {
				unit = w.unit
			}
			// The whole name, for jetstream begins the name of jetstream-fsync too.
			theirs, ok := r.exact(w.peer, unit)
			if !ok {
				continue
			}
			figure = ours / theirs
			peer, ratio = fmt.Sprintf("%s %s", label(w), number(theirs)), fmt.Sprintf("%.2f", figure)
		}
		mark := ""
		if w.wanted != "" && ((w.most && figure > w.bound) || (!w.most && figure < w.bound)) {
			mark = "short"
		}
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s | %s |\n", w.workload, number(ours), peer, ratio, w.wanted, mark)
	}
}

// exact is median for a name that is whole, or ends with a slash.
func (r results) exact(name, unit string) (float64, bool) {
	if v := r[name][unit]; len(v) > 0 {
		v = slices.Sorted(slices.Values(v))
		return v[len(v)/2], true
	}
	if strings.Contains(name, "system=") {
		return 0, false
	}
	return r.median(name, unit)
}

func label(w row) string {
	if _, system, ok := strings.Cut(w.peer, "system="); ok {
		return system
	}
	if strings.HasPrefix(w.peer, "ClusterPartitions") {
		return "6 partitions:"
	}
	return "before"
}

func number(v float64) string {
	switch {
	case v >= 10_000:
		return fmt.Sprintf("%.1fk", v/1000)
	case v >= 100 || v == float64(int64(v)):
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func main() {
	short := flag.Bool("short", false, "a small part of the work, to try it out")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := measure(ctx, *short); err != nil {
		fmt.Fprintln(os.Stderr, "clustertable:", err)
		os.Exit(1)
	}
}

// measure runs everything; what failed leaves its rows out, and is the error.
func measure(ctx context.Context, short bool) (err error) {
	dir, err := os.MkdirTemp(os.Getenv("LEAT_BENCH_DIR"), "leat-clustertable-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary := filepath.Join(dir, "bench.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, ".")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building the benchmarks: %w", err)
	}
	all := make(results)
	var errs []error
	for _, r := range runs(short) {
		if err := r.do(ctx, binary, dir, all); err != nil {
			errs = append(errs, err)
		}
	}
	all.table(os.Stdout)
	return errors.Join(errs...)
}

func (r run) do(ctx context.Context, binary, dir string, all results) error {
	cmd := exec.CommandContext(ctx, binary, "-test.run", "^$", "-test.bench", r.bench,
		"-test.benchtime", r.benchtime, "-test.count", strconv.Itoa(r.count), "-test.timeout", "6m")
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	if r.env != "" {
		cmd.Env = append(cmd.Env, r.env)
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		fmt.Fprintln(os.Stderr, lines.Text())
		all.note(lines.Text())
	}
	if err := errors.Join(lines.Err(), cmd.Wait()); err != nil {
		return fmt.Errorf("%s: %w", r.bench, err)
	}
	return nil
}
