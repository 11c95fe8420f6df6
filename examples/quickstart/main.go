// Quickstart sends the source of Go's net packages through a log, and checks that
// all of it arrives.
//
//	go run ./examples/quickstart
//	go run ./examples/quickstart -dir /var/tmp/quickstart
//
// It opens a Log in a temporary directory, or in the one that -dir names, and
// publishes every line of every .go file below $(go env GOROOT)/src/net as a
// record, keyed by the file's path, to a topic of six partitions. A group of three
// members counts the words meanwhile; half way one of them leaves, and the others
// take over what it had. Then the Log is opened again and read from the start.
//
// Each time every line must come once, and the lines of a file in their order. The
// last line says what was found; the exit status is 0 only if all of it is right.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"time"

	"github.com/leatlog/leat"
)

const (
	topicName  = "quickstart-lines"
	groupName  = "quickstart-words"
	partitions = 6
	members    = 3
)

func main() {
	dir := flag.String("dir", "", "`directory` of the Log; a temporary one if empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// result is what the last line says.
type result struct {
	files, produced, consumed    int
	lost, duplicated, misordered int
}

func (r *result) add(l *ledger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.lost += r.produced - l.consumed
	r.duplicated += l.duplicated
	r.misordered += l.misordered
}

func (r *result) right() bool {
	return r.produced > 0 && r.consumed == r.produced && r.lost == 0 && r.duplicated == 0 && r.misordered == 0
}

func run(ctx context.Context, dir string) error {
	if dir == "" {
		temporary, err := os.MkdirTemp("", "leat-quickstart")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temporary)
		dir = temporary
	}
	files, err := loadSource()
	if err != nil {
		return err
	}
	began := time.Now()
	total := 0
	for _, f := range files {
		total += len(f.lines)
	}
	res := result{files: len(files)}

	grouped := newLedger(files)
	if err := through(ctx, dir, files, grouped, total, &res.produced); err != nil {
		return err
	}
	again := newLedger(files)
	if err := readAgain(ctx, dir, again); err != nil {
		return fmt.Errorf("reading again: %w", err)
	}

	res.consumed = grouped.count()
	res.add(grouped)
	res.add(again)
	fmt.Printf("commonest words: %s\n", strings.Join(grouped.commonest(8), " "))
	fmt.Printf("quickstart: files=%d produced=%d consumed=%d lost=%d duplicated=%d misordered=%d elapsed=%v\n",
		res.files, res.produced, res.consumed, res.lost, res.duplicated, res.misordered, time.Since(began).Round(time.Millisecond))
	if !res.right() || res.produced != total {
		return fmt.Errorf("%d lines in %d files did not all arrive once and in order", total, res.files)
	}
	return nil
}

// through opens the Log, starts the group, publishes, and returns when the group
// has consumed everything. It notes in produced how many records were
// acknowledged.
func through(ctx context.Context, dir string, files []sourceFile, l *ledger, total int, produced *int) (err error) {
	log, err := leat.Open(ctx, leat.Config{Dir: dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if err := freshTopic(ctx, log); err != nil {
		return err
	}

	var acknowledged atomic.Int64
	show := showProgress(func() string {
		n := l.count()
		return fmt.Sprintf("%s published %d, consumed %d of %d lines", bar(n, total, 30), acknowledged.Load(), n, total)
	})
	defer show.end()

	half, all := l.reached(max(1, total/2)), l.reached(total)
	g, err := startGroup(ctx, log, l, half)
	if err != nil {
		return fmt.Errorf("starting the group: %w", err)
	}
	if err := publish(ctx, log, files, &acknowledged); err != nil {
		return errors.Join(fmt.Errorf("publishing: %w", err), g.stop())
	}
	*produced = int(acknowledged.Load())
	select {
	case <-all:
	case <-g.failed: // stop returns why
	case <-ctx.Done():
	case <-time.After(time.Minute): // what is missing shows as lost
	}
	err = errors.Join(ctx.Err(), g.stop())
	show.end()
	fmt.Printf("lines by member: %v\n", g.counts)
	return err
}

// freshTopic makes the topic, in place of one that an earlier run left in -dir.
func freshTopic(ctx context.Context, log *leat.Log) error {
	if err := log.DeleteTopic(ctx, topicName); err != nil && !errors.Is(err, leat.ErrUnknownTopic) {
		return err
	}
	_, err := log.CreateTopic(ctx, topicName, leat.TopicConfig{Partitions: partitions})
	return err
}

// publish produces every line and returns when all are acknowledged.
func publish(ctx context.Context, log *leat.Log, files []sourceFile, acknowledged *atomic.Int64) error {
	p, err := log.NewProducer(leat.WithCompression(leat.Zstd))
	if err != nil {
		return err
	}
	var failure error // belongs to the callbacks, which come one at a time, until Close returns
	acknowledge := func(_ leat.RecordMetadata, err error) {
		if err == nil {
			acknowledged.Add(1)
		} else if failure == nil {
			failure = err
		}
	}
	for _, f := range files {
		key := []byte(f.name)
		for _, line := range f.lines {
			p.Produce(ctx, leat.Record{Topic: topicName, Key: key, Value: line}, acknowledge)
		}
	}
	return errors.Join(p.Close(), failure)
}

// readAgain opens the Log anew and enters all its records into a ledger, in the
// order in which a consumer gets them. What the group committed must be there too.
func readAgain(ctx context.Context, dir string, l *ledger) (err error) {
	log, err := leat.Open(ctx, leat.Config{Dir: dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	c, err := log.NewConsumer(leat.Assign(topicName), leat.StartAt(leat.Earliest))
	if err != nil {
		return err
	}
	for r, err := range c.RecordsToEnd(ctx) {
		if err != nil {
			return err
		}
		l.enter(&r)
	}
	lags, err := log.GroupLag(ctx, groupName)
	if err != nil {
		return err
	}
	for _, p := range lags {
		if p.Lag != 0 {
			return fmt.Errorf("the group committed offset %d of %v, want %d", p.Committed, p.TopicPartition, p.HighWatermark)
		}
	}
	return nil
}
