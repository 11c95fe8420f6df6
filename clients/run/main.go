package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
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
	only := flag.String("only", "", "`clients` to run, with commas between them; all if empty")
	scenarios := flag.String("scenarios", "", "`scenarios` to run, with commas between them; all if empty")
	flag.IntVar(&o.parallel, "parallel", 4, "`programs` at a time")
	flag.BoolVar(&o.verbose, "v", false, "show the reports of the programs too")
	flag.BoolVar(&o.install, "install", false, "install and build the clients, and end")
	flag.IntVar(&o.records, "failover-records", 400, "`records` that each client sends in failover")
	flag.DurationVar(&o.interval, "failover-interval", 25*time.Millisecond, "`time` between two of them")
	flag.Parse()
	o.only, o.scenarios = list(*only), list(*scenarios)
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
	n, err := startNode(bin, filepath.Join(dir, "node"))
	if err != nil {
		return 0, err
	}
	if err := makeTopics(ctx, n.addr, 1, chosen); err != nil {
		return 0, errors.Join(err, n.kill())
	}
	results := matrix(ctx, w, o, chosen, n.addr)
	if err := n.stop(); err != nil {
		return 0, err
	}
	failures, err = writeTable(out, results)
	fmt.Fprintf(out, "== in all: %.1f s\n", time.Since(began).Seconds())
	return failures, errors.Join(err, ctx.Err())
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
func matrix(ctx context.Context, w *workshop, o options, chosen []*client, bootstrap string) []result {
	began := time.Now()
	start := began.Add(-time.Hour).Truncate(time.Second)
	env := func(c *client) []string {
		return []string{
			"BOOTSTRAP=" + bootstrap, "PREFIX=" + c.name, fmt.Sprintf("START_MS=%d", start.UnixMilli()), "REPLICATION=1",
			fmt.Sprintf("FAILOVER_RECORDS=%d", o.records), fmt.Sprintf("FAILOVER_MS=%d", o.interval.Milliseconds()),
		}
	}
	perClient := make([][]result, len(chosen))
	inParallel(len(chosen), o.parallel, func(i int) {
		c := chosen[i]
		if len(c.scenarios) == 0 {
			return
		}
		t := &task{client: c, scenarios: c.scenarios, env: env(c)}
		perClient[i] = t.run(ctx, w, o.verbose)
		checkStored(ctx, bootstrap, start.UnixMilli(), c, perClient[i])
	})
	fmt.Fprintf(w.out, "== scenarios: %.1f s\n", time.Since(began).Seconds())
	began = time.Now()
	inParallel(len(chosen), len(chosen), func(i int) {
		if c := chosen[i]; c.failover {
			t := &task{client: c, scenarios: []string{failover}, env: env(c)}
			perClient[i] = append(perClient[i], t.run(ctx, w, o.verbose)...)
		}
	})
	fmt.Fprintf(w.out, "== failover: %.1f s\n", time.Since(began).Seconds())
	return slices.Concat(perClient...)
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
