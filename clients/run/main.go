package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	targets   []string
	only      []string
	scenarios []string
	parallel  int
	verbose   bool
	install   bool
	records   int
	interval  time.Duration
}

func main() {
	var o options
	target := flag.String("target", "standalone,cluster", "`targets` to run against, with commas between them")
	only := flag.String("only", "", "`clients` to run, with commas between them; all if empty")
	scenarios := flag.String("scenarios", "", "`scenarios` to run, with commas between them; all if empty")
	flag.IntVar(&o.parallel, "parallel", 4, "`programs` at a time")
	flag.BoolVar(&o.verbose, "v", false, "show the reports of the programs too")
	flag.BoolVar(&o.install, "install", false, "install and build the clients, and end")
	flag.IntVar(&o.records, "failover-records", 400, "`records` that each client sends in failover")
	flag.DurationVar(&o.interval, "failover-interval", 25*time.Millisecond, "`time` between two of them")
	flag.Parse()
	o.targets, o.only, o.scenarios = list(*target), list(*only), list(*scenarios)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	failures, err := run(ctx, o, &sink{out: os.Stdout})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if failures > 0 {
		fmt.Printf("%d failed\n", failures)
		os.Exit(1)
	}
	fmt.Println("all ok")
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func run(ctx context.Context, o options, out io.Writer) (failures int, err error) {
	began := time.Now()
	w, err := newWorkshop(ctx, out)
	if err != nil {
		return 0, err
	}
	chosen, err := choose(o)
	if err != nil {
		return 0, err
	}
	bin, err := buildLeat(w)
	if err != nil {
		return 0, err
	}
	for _, c := range chosen {
		if c.prepare != nil {
			if err := c.prepare(w); err != nil {
				return 0, fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	fmt.Fprintf(out, "== installed and built: %.1f s\n", time.Since(began).Seconds())
	if o.install {
		return 0, nil
	}
	dir, err := os.MkdirTemp("", "leat-clients-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var results []result
	for _, name := range o.targets {
		i := slices.IndexFunc(targets, func(t targetKind) bool { return t.name == name })
		t, err := targets[i].make(bin, dir)
		if err != nil {
			return 0, err
		}
		fmt.Fprintf(out, "== target %s\n", name)
		of, err := against(ctx, w, o, chosen, t)
		if err != nil {
			return 0, fmt.Errorf("target %s: %w", name, err)
		}
		results = append(results, of...)
	}
	failures, err = writeTable(out, results)
	fmt.Fprintf(out, "== in all: %.1f s\n", time.Since(began).Seconds())
	return failures, errors.Join(err, ctx.Err())
}

// against runs the clients against a target, from its start to its end.
func against(ctx context.Context, w *workshop, o options, chosen []*client, t *target) (results []result, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, t.kill())
		}
	}()
	if err := t.start(); err != nil {
		return nil, err
	}
	if err := makeTopics(ctx, t.bootstrap(), int16(t.replication()), chosen); err != nil {
		return nil, err
	}
	if results, err = matrix(ctx, w, o, chosen, t); err != nil {
		return nil, err
	}
	for i := range results {
		results[i].target = t.name
	}
	return results, t.stop()
}

// choose returns the clients that are wanted, each with the scenarios that are.
func choose(o options) ([]*client, error) {
	var chosen []*client
	known := map[string]bool{failover: true}
	for _, c := range clients() {
		for _, s := range c.scenarios {
			known[s] = true
		}
		if len(o.only) == 0 || slices.Contains(o.only, c.name) {
			c.only(o.scenarios)
			chosen = append(chosen, c)
		}
	}
	for _, name := range o.targets {
		if !slices.ContainsFunc(targets, func(t targetKind) bool { return t.name == name }) {
			return nil, fmt.Errorf("there is no target %q", name)
		}
	}
	for _, s := range o.scenarios {
		if !known[s] {
			return nil, fmt.Errorf("there is no scenario %q", s)
		}
	}
	if len(o.only) > 0 && len(chosen) != len(o.only) {
		return nil, fmt.Errorf("-only %s: %d of these clients are known", strings.Join(o.only, ","), len(chosen))
	}
	return chosen, nil
}

// matrix runs every scenario of every client.
func matrix(ctx context.Context, w *workshop, o options, chosen []*client, t *target) ([]result, error) {
	began := time.Now()
	start := began.Add(-time.Hour).Truncate(time.Second)
	env := func(c *client) []string {
		return []string{
			"BOOTSTRAP=" + t.bootstrap(), "PREFIX=" + c.name, fmt.Sprintf("START_MS=%d", start.UnixMilli()), fmt.Sprintf("REPLICATION=%d", t.replication()),
			fmt.Sprintf("FAILOVER_RECORDS=%d", o.records), fmt.Sprintf("FAILOVER_MS=%d", o.interval.Milliseconds()),
		}
	}
	perClient := make([][]result, len(chosen))
	inParallel(len(chosen), o.parallel, func(i int) {
		c := chosen[i]
		if len(c.scenarios) == 0 {
			return
		}
		t1 := &task{client: c, scenarios: c.scenarios, env: env(c)}
		perClient[i] = t1.run(ctx, w, o.verbose)
		checkStored(ctx, t.bootstrap(), start.UnixMilli(), c, perClient[i])
	})
	fmt.Fprintf(w.out, "== scenarios: %.1f s\n", time.Since(began).Seconds())
	began = time.Now()
	err := failovers(ctx, w, o, chosen, t, func(i int, onProgress func(int)) {
		c := chosen[i]
		t1 := &task{client: c, scenarios: []string{failover}, env: env(c), onProgress: onProgress}
		of := t1.run(ctx, w, o.verbose)
		checkFailover(ctx, t.bootstrap(), o.records, c, of)
		perClient[i] = append(perClient[i], of...)
	})
	fmt.Fprintf(w.out, "== failover: %.1f s\n", time.Since(began).Seconds())
	return slices.Concat(perClient...), err
}

// failovers runs the failover of the clients that have one, all at once, while a node of
// the target is away if there are others.
func failovers(ctx context.Context, w *workshop, o options, chosen []*client, t *target, run func(i int, onProgress func(int))) error {
	if !slices.ContainsFunc(chosen, func(c *client) bool { return c.failover }) {
		return nil
	}
	out := newOutage(t, chosen, o.records, w.out)
	ended, away := make(chan struct{}), make(chan error, 1)
	if len(t.nodes) > 1 {
		go func() { away <- out.run(ctx, ended) }()
	} else {
		away <- nil
	}
	inParallel(len(chosen), len(chosen), func(i int) {
		if chosen[i].failover {
			run(i, func(records int) { out.note(chosen[i].name, records) })
		}
	})
	close(ended)
	return <-away
}

// inParallel calls fn for 0 to n-1, several at a time.
func inParallel(n, workers int, fn func(i int)) {
	var wg sync.WaitGroup
	free := make(chan struct{}, max(workers, 1))
	for i := range n {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			fn(i)
		})
	}
	wg.Wait()
}
