package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
)

// TestMain lets the test serve as kfake, as the program does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serveKfake {
		main()
		return
	}
	os.Exit(m.Run())
}

// Every load runs, its own checks of what comes back included, and every system has
// a figure for each row.
func TestSmallRun(t *testing.T) {
	var out, diagnostics bytes.Buffer
	err := run(t.Context(), []string{"-systems", "leat,kfake,kfake-fsync", "-only", "stream,sync,start",
		"-rounds", "1", "-scale", "0.002", "-data", t.TempDir()}, &out, &diagnostics)
	if err != nil {
		t.Fatalf("%v\n%s%s", err, &out, &diagnostics)
	}
	for _, want := range []string{
		"BenchmarkKafkaProduce/size=1KiB/partitions=6/system=leat\t1000\t",
		"BenchmarkKafkaProduce/size=1KiB/partitions=6/system=kfake-fsync\t1000\t",
		"BenchmarkKafkaConsume/size=100B/partitions=6/system=kfake\t6018\t",
		"BenchmarkKafkaProduceSync/clients=64/size=1KiB/partitions=6/system=leat\t24\t",
		"BenchmarkKafkaStart/dir=existing/system=leat\t1\t",
		"\n| produce 1 KiB, acks=all, fsynced | records/s | ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

func TestIdle(t *testing.T) {
	w, err := openWorkshop(t.Context(), t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	}()
	r := newResults(new(bytes.Buffer))
	load := idling{consumers: 6, groups: 2}
	if err := load.run(t.Context(), w, leat(), r); err != nil {
		t.Fatal(err)
	}
	if _, _, _, ok := r.median(load.name(), "leat", "KiB/consumer"); !ok {
		t.Error("no memory was measured")
	}
}

// A broker that ends is an error that names its log, not a wait without end.
func TestBrokerEnds(t *testing.T) {
	w := &workshop{data: t.TempDir()}
	b, err := w.start(system{name: "false", command: func(*workshop, string, int) []string { return []string{"false"} }}, "", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.reachable(t.Context()); err == nil || !strings.Contains(err.Error(), "false.log") {
		t.Errorf("got %v", err)
	}
	if err := b.stop(); err != nil {
		t.Error(err)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := run(ctx, []string{"-systems", "leat", "-data", t.TempDir()}, new(bytes.Buffer), new(bytes.Buffer))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestTable(t *testing.T) {
	r := newResults(new(bytes.Buffer))
	name := waiting{clients: 64}.name()
	r.warming = true
	r.add(sample{bench: name, system: "leat", unit: "records/s", value: 1e9})
	r.warming = false
	for _, v := range []float64{30_000, 10_000, 20_000} {
		r.add(sample{bench: name, system: "leat", unit: "records/s", value: v})
	}
	r.add(sample{bench: name, system: "kafka-flush", unit: "records/s", value: 8_000})
	r.add(sample{bench: name, system: "kafka", unit: "records/s", value: 15_000})
	idle := idling{consumers: 1000, groups: 100}.name()
	r.add(sample{bench: idle, system: "leat", unit: "KiB/consumer", value: 90.04})
	var out strings.Builder
	if err := r.table(&out); err != nil {
		t.Fatal(err)
	}
	want := `| workload | unit | leat | peer | ratio | wanted | |
|---|---|---:|---|---:|---:|---|
| 64 sync clients, 1 KiB, acks/s | records/s | 20k (10k to 30k) | kafka-flush 8000 (8000 to 8000) | 2.5 | >= 3.00 x | **missed** |
| the same | records/s | 20k (10k to 30k) | kafka 15k (15k to 15k) | 1.33 | >= 1.00 x | met |
| the same: memory of each | KiB/consumer | 90 (90 to 90) |  |  | <= 100 | met |
`
	if out.String() != want {
		t.Errorf("got\n%s", &out)
	}
}
