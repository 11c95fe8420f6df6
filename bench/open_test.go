package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/leatlog/leat/internal/procs"
)

// envOpen makes the test binary open a system once and report, instead of running
// tests: a process of its own has neither the heap nor the warm code of the one
// that filled the log. Its value is an openRequest as JSON.
const envOpen = "LEAT_BENCH_OPEN_CHILD"

type openRequest struct {
	System string
	Config Config
}

type openReport struct {
	Elapsed             time.Duration // of Open
	BaseBytes, RSSBytes int64         // resident memory before Open and idle after it
}

func TestMain(m *testing.M) {
	procs.Main(map[string]func(*procs.Child) error{clusterChild: runClusterNode})
	request := os.Getenv(envOpen)
	if request == "" {
		os.Exit(m.Run())
	}
	if err := openOnce(request); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// openOnce is what the child process does.
func openOnce(request string) (err error) {
	var req openRequest
	if err := json.Unmarshal([]byte(request), &req); err != nil {
		return err
	}
	i := slices.IndexFunc(Systems(), func(s System) bool { return s.Name == req.System })
	if i < 0 {
		return fmt.Errorf("no system %q", req.System)
	}
	var rep openReport
	if rep.BaseBytes, err = idleBytes(); err != nil {
		return err
	}
	begin := time.Now()
	in, err := Systems()[i].Open(context.Background(), req.Config)
	if err != nil {
		return err
	}
	rep.Elapsed = time.Since(begin)
	rep.RSSBytes, err = idleBytes()
	return errors.Join(err, in.Close(), json.NewEncoder(os.Stdout).Encode(rep))
}

func idleBytes() (int64, error) {
	debug.FreeOSMemory()
	return ResidentBytes()
}

// openInChild opens a closed directory in a process of its own.
func openInChild(req openRequest) (openReport, error) {
	var rep openReport
	self, err := os.Executable()
	if err != nil {
		return rep, err
	}
	request, err := json.Marshal(req)
	if err != nil {
		return rep, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), envOpen+"="+string(request))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return rep, fmt.Errorf("opening in a child process: %w: %s", err, stderr.String())
	}
	return rep, json.Unmarshal(stdout.Bytes(), &rep)
}

// BenchmarkOpen opens a log that was closed in order, in a process of its own.
// ns/op is the time of Open alone, on average; RSS-MiB is the resident memory of
// the idle process afterwards, and base-RSS-MiB before (the Go runtime, this
// binary with every peer in it).
func BenchmarkOpen(b *testing.B) {
	for _, amount := range append([]size{{"empty", 0}}, stored()...) {
		b.Run("size="+amount.name, func(b *testing.B) {
			// The largest amount is for leat alone.
			keep := func(s System) bool {
				return s.Persistent && s.Partitioned && !s.SlowToFill &&
					(amount.bytes <= size1GiB.bytes || s.Name == "leat")
			}
			eachSystem(b, keep, func(b *testing.B, s System) { benchOpen(b, s, amount) })
		})
	}
}

func benchOpen(b *testing.B, s System, amount size) {
	cfg := Config{Dir: dataDir(b), Partitions: partitions(b), RecordBytes: int(size1KiB.bytes)}
	in := open(b, s, cfg)
	_, err := fill(context.Background(), in, NewValues(cfg.RecordBytes), amount.bytes)
	must(b, err)
	must(b, in.Close())

	var (
		elapsed   time.Duration
		base, rss int64
	)
	for b.Loop() {
		rep, err := openInChild(openRequest{System: s.Name, Config: cfg})
		if err != nil {
			b.Fatal(err)
		}
		elapsed += rep.Elapsed
		base, rss = max(base, rep.BaseBytes), max(rss, rep.RSSBytes)
	}
	b.ReportMetric(float64(elapsed.Nanoseconds())/float64(b.N), "ns/op")
	b.ReportMetric(float64(base)/(1<<20), "base-RSS-MiB")
	b.ReportMetric(float64(rss)/(1<<20), "RSS-MiB")
}
