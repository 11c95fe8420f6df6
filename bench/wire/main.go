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
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

var (
	size1KiB = size{"1KiB", 1 << 10}
	size100B = size{"100B", 100}
)

// settings are what the flags say.
type settings struct {
	rounds  int      // that count; one more warms up
	scale   float64  // of all amounts
	only    []string // parts; empty is all
	systems []string // by name; empty is all
	data    string   // directory for the brokers' data
	leat    []string // more flags for `leat serve`
}

// parts are what -only chooses from.
var parts = []string{"stream", "sync", "start", "idle"}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "wire:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, diagnostics io.Writer) error {
	if len(args) > 0 && args[0] == serveKfake {
		return runKfake(ctx, args[1:])
	}
	var s settings
	f := flag.NewFlagSet("wire", flag.ContinueOnError)
	f.SetOutput(diagnostics)
	f.IntVar(&s.rounds, "rounds", 5, "rounds that count; one more comes before them")
	f.Float64Var(&s.scale, "scale", 1, "of all amounts, for a quick look: 0.1 is a tenth")
	f.StringVar(&s.data, "data", "", "directory on a disk for the data; default the temporary directory")
	list(f, &s.only, "only", "parts to run of "+strings.Join(parts, ", "), parts)
	var names []string
	for _, sys := range systems() {
		names = append(names, sys.name)
	}
	list(f, &s.systems, "systems", "to run of "+strings.Join(names, ", "), names)
	f.Func("leat", "a further `flag` for leat serve, such as --memtable-bytes=8MiB; may be repeated", func(v string) error {
		s.leat = append(s.leat, v)
		return nil
	})
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case f.NArg() > 0:
		return fmt.Errorf("%q is no flag", f.Arg(0))
	case s.rounds < 1 || s.scale <= 0:
		return errors.New("-rounds must be at least 1, -scale above 0")
	}
	r := newResults(out)
	if err := s.run(ctx, r, diagnostics); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out); err != nil {
		return err
	}
	return r.table(out)
}

// list is a flag whose value is some of what there is, separated by commas.
func list(f *flag.FlagSet, into *[]string, name, usage string, of []string) {
	f.Func(name, usage+", separated by commas; default all", func(v string) error {
		for item := range strings.SplitSeq(v, ",") {
			if !slices.Contains(of, item) {
				return fmt.Errorf("%q is none of %s", item, strings.Join(of, ", "))
			}
			*into = append(*into, item)
		}
		return nil
	})
}

func chosen(list []string, name string) bool { return len(list) == 0 || slices.Contains(list, name) }

// scaled returns an amount, at least one.
func (s *settings) scaled(n int) int { return max(1, int(float64(n)*s.scale)) }

// run does the parts that are chosen, one after the other.
func (s *settings) run(ctx context.Context, r *results, diagnostics io.Writer) (err error) {
	var all []system
	for _, sys := range systems() {
		if chosen(s.systems, sys.name) {
			all = append(all, sys)
		}
	}
	needKafka := slices.ContainsFunc(all, func(sys system) bool { return strings.HasPrefix(sys.name, "kafka") })
	w, err := openWorkshop(ctx, s.data, needKafka)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	w.leatFlags = s.leat
	begun := time.Now()
	say := func(what string) {
		_, _ = fmt.Fprintf(diagnostics, "%6.1fs %s\n", time.Since(begun).Seconds(), what) // for who watches
	}
	if chosen(s.only, "stream") || chosen(s.only, "sync") {
		if err := s.loads(ctx, w, all, r, say); err != nil {
			return err
		}
	}
	// Starts and idle consumers are not compared with a test double.
	all = slices.DeleteFunc(all, func(sys system) bool { return sys.name != "leat" && sys.name != "kafka" })
	if chosen(s.only, "start") {
		for round := range s.rounds + 1 {
			r.warming = round == 0
			for _, sys := range all {
				say(fmt.Sprintf("round %d: start: %s", round, sys.name))
				syncDisks()
				if err := starting(ctx, w, sys, r); err != nil {
					return err
				}
			}
		}
	}
	if chosen(s.only, "idle") {
		r.warming = false
		load := idling{consumers: s.scaled(1000), groups: s.scaled(100), settle: 3 * time.Second, watch: 20 * time.Second}
		for _, sys := range all {
			say("idle: " + sys.name)
			if err := load.run(ctx, w, sys, r); err != nil {
				return fmt.Errorf("idle consumers: %s: %w", sys.name, err)
			}
		}
	}
	say("done")
	return nil
}

// loads runs brokers beside each other, which take turns under the same load.
func (s *settings) loads(ctx context.Context, w *workshop, all []system, r *results, say func(string)) (err error) {
	var brokers []*broker
	defer func() {
		for _, b := range brokers {
			err = errors.Join(err, b.stop())
		}
	}()
	for _, sys := range all {
		say("starting " + sys.name)
		b, err := w.launch(ctx, sys)
		if err != nil {
			return err
		}
		brokers = append(brokers, b)
		if _, err := b.firstAck(ctx, true); err != nil {
			return err
		}
	}
	type load struct {
		part, name string
		turn       func(ctx context.Context, b *broker, topic string, r *results) error
	}
	var loads []load
	for _, of := range []stream{{size1KiB, s.scaled(500_000)}, {size100B, s.scaled(3_000_000)}} {
		loads = append(loads, load{"stream", "stream-" + of.size.name, of.turn})
	}
	for _, of := range []waiting{{1, s.scaled(2_000), size1KiB.bytes}, {64, s.scaled(12_000), size1KiB.bytes}} {
		loads = append(loads, load{"sync", fmt.Sprintf("sync-%d", of.clients), of.turn})
	}
	if chosen(s.only, "stream") {
		if err := brokers[0].pause(ctx, 3*time.Second); err != nil {
			return err
		}
		for _, b := range brokers {
			idle, err := b.residentMiB()
			if err != nil {
				return err
			}
			r.add(sample{bench: "KafkaMemory/load=none", system: b.system.name, value: idle, unit: "RSS-MiB"})
		}
	}
	for _, l := range loads {
		if !chosen(s.only, l.part) {
			continue
		}
		for round := range s.rounds + 1 {
			r.warming = round == 0
			for i := range brokers {
				b := brokers[(i+round)%len(brokers)]
				if l.part == "sync" && b.system.name == "kfake-fsync" {
					continue // an fsync for each record: 64 clients would take a minute
				}
				say(fmt.Sprintf("round %d: %s: %s", round, l.name, b.system.name))
				syncDisks()
				if err := l.turn(ctx, b, fmt.Sprintf("%s-%d", l.name, round), r); err != nil {
					return fmt.Errorf("%s: %s: %w", l.name, b.system.name, err)
				}
			}
		}
	}
	return nil
}

// syncDisks has the kernel write what it holds back, so that no system writes at the
// cost of the one after it.
func syncDisks() { unix.Sync() }
