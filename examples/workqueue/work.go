package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/leatlog/leat"
)

const (
	maxAttempts   = 3
	attemptHeader = "attempt" // of this job before, in digits
	reasonHeader  = "reason"
)

// work counts what becomes of the jobs.
type work struct {
	mu      sync.Mutex
	done    map[string]int // by job: how often it succeeded
	dead    int
	retried int
	enough  int
	stop    context.CancelFunc // called when so many jobs are settled
}

func newWork() *work { return &work{done: make(map[string]int)} }

// until runs workers until n jobs are settled in all, or ctx ends.
func (w *work) until(ctx context.Context, log *leat.Log, n int) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	w.mu.Lock()
	w.enough, w.stop = n, stop
	w.mu.Unlock()

	errs := make([]error, workers)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			defer stop() // one that fails ends the others
			errs[i] = w.worker(running, log)
		})
	}
	wg.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}

// worker does jobs until ctx ends.
func (w *work) worker(ctx context.Context, log *leat.Log) (err error) {
	p, err := log.NewProducer()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	g, err := log.JoinGroup(ctx, groupName, []string{jobsTopic})
	if err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it began
		}
		return err
	}
	// Close commits what is marked, then leaves.
	defer func() { err = errors.Join(err, g.Close()) }()
	for job, err := range g.Records(ctx) {
		if ctx.Err() != nil {
			return nil // the job was not begun and is not marked
		}
		if err != nil {
			return err
		}
		if err := w.settle(p, &job); err != nil {
			return err
		}
		g.Mark(job)
	}
	return nil
}

// settle does a job and returns when its outcome is durable. It does not stop in
// the middle.
func (w *work) settle(p *leat.Producer, job *leat.Record) error {
	attempt := 1
	for _, h := range job.Headers {
		if h.Key == attemptHeader {
			before, err := strconv.Atoi(string(h.Value))
			if err != nil {
				return fmt.Errorf("job %s: header %q: %w", job.Key, attemptHeader, err)
			}
			attempt = before + 1
		}
	}
	failure := do(job, attempt)
	if failure == nil {
		w.note(func() { w.done[string(job.Key)]++ })
		return nil
	}
	next := leat.Record{Topic: jobsTopic, Key: job.Key, Value: job.Value,
		Headers: []leat.Header{{Key: attemptHeader, Value: strconv.AppendInt(nil, int64(attempt), 10)}}}
	if attempt == maxAttempts {
		next.Topic = deadTopic
		next.Headers = append(next.Headers, leat.Header{Key: reasonHeader, Value: []byte(failure.Error())})
	}
	if _, err := p.ProduceSync(context.Background(), next); err != nil {
		return fmt.Errorf("job %s to %s: %w", job.Key, next.Topic, err)
	}
	w.note(func() {
		if next.Topic == deadTopic {
			w.dead++
		} else {
			w.retried++
		}
	})
	return nil
}

// do is the work: some jobs fail at first, some always.
func do(job *leat.Record, attempt int) error {
	id, err := strconv.Atoi(string(job.Key))
	switch {
	case err != nil:
		return err
	case id%50 == 7:
		return errors.New("nobody can do this")
	case id%10 == 3 && attempt == 1:
		return errors.New("not at the first attempt")
	}
	return nil
}

// note counts, and stops the workers when enough is settled.
func (w *work) note(count func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	count()
	if len(w.done)+w.dead >= w.enough {
		w.stop()
	}
}

// settled returns how many jobs are done or dead.
func (w *work) settled() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.done) + w.dead
}

// check compares the outcome with what must come of the jobs.
func (w *work) check(dead map[string]int) error {
	for id := range jobs {
		key := strconv.Itoa(id)
		done, died := 1, 0
		if id%50 == 7 {
			done, died = 0, 1
		}
		if w.done[key] != done || dead[key] != died {
			return fmt.Errorf("job %s was done %d times and died %d times, want %d and %d", key, w.done[key], dead[key], done, died)
		}
	}
	return nil
}
