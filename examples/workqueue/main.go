// Workqueue hands jobs to workers that form a group.
//
//	go run ./examples/workqueue
//
// Jobs are records of a topic; the partitions are shared among the workers. A
// worker marks a job when its outcome is durable. A job that fails is put at the
// end of the queue again with the number of its attempts; after the third it goes
// to a topic of dead letters with the reason.
//
// When the program is told to stop, each worker finishes the job in its hands,
// commits what it has marked and leaves, so that nothing is done twice. Here that
// happens by itself half way, as a deployment would do it: all workers stop, and
// new ones go on. Ctrl-C does it for good.
//
// In the end every job must be done once or be among the dead letters, else the
// program exits with status 1.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"

	"github.com/leatlog/leat"
)

const (
	jobsTopic = "jobs"
	deadTopic = "jobs-dead"
	groupName = "workers"
	jobs      = 600
	workers   = 4
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "workqueue:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "leat-workqueue")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	log, err := leat.Open(ctx, leat.Config{Dir: dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if err := enqueue(ctx, log); err != nil {
		return fmt.Errorf("enqueueing: %w", err)
	}

	w := newWork()
	if err := w.until(ctx, log, jobs/2); err != nil {
		return fmt.Errorf("first workers: %w", err)
	}
	fmt.Printf("workers left with %d of %d jobs settled\n", w.settled(), jobs)
	if err := w.until(ctx, log, jobs); err != nil {
		return fmt.Errorf("second workers: %w", err)
	}

	dead, err := deadLetters(ctx, log)
	if err != nil {
		return fmt.Errorf("reading dead letters: %w", err)
	}
	fmt.Printf("workqueue: jobs=%d done=%d dead=%d retried=%d\n", jobs, len(w.done), len(dead), w.retried)
	return w.check(dead)
}

// enqueue makes the topics and puts the jobs into the queue.
func enqueue(ctx context.Context, log *leat.Log) error {
	if _, err := log.CreateTopic(ctx, jobsTopic, leat.TopicConfig{Partitions: 8}); err != nil {
		return err
	}
	if _, err := log.CreateTopic(ctx, deadTopic, leat.TopicConfig{Retention: leat.Forever}); err != nil {
		return err
	}
	p, err := log.NewProducer()
	if err != nil {
		return err
	}
	for id := range jobs {
		p.Produce(ctx, leat.Record{Topic: jobsTopic, Key: []byte(strconv.Itoa(id)), Value: fmt.Append(nil, "job ", id)}, nil)
	}
	return p.Close()
}

// deadLetters returns how often each job is among the dead letters.
func deadLetters(ctx context.Context, log *leat.Log) (map[string]int, error) {
	c, err := log.NewConsumer(leat.Assign(deadTopic))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	dead := make(map[string]int)
	for letter, err := range c.RecordsToEnd(ctx) {
		if err != nil {
			return nil, err
		}
		dead[string(letter.Key)]++
	}
	return dead, nil
}
