package main

import (
	"context"
	"errors"
	"iter"
	"strconv"
	"sync"
	"time"

	"github.com/leatlog/leat"
)

// Published is what became of the lines.
type Published struct {
	Produced, Acked int
	UnavailableMax  time.Duration
}

// publish produces every line of every file, evenly over a time, and returns when all
// are acknowledged.
func (s *service) publish(ctx context.Context, lasting time.Duration) (Published, error) {
	p, err := s.log.NewProducer(leat.WithCompression(leat.Zstd))
	if err != nil {
		return Published{}, err
	}
	produced := 0
	for r := range paced(ctx, s.files, lasting) {
		p.Produce(ctx, r, s.acks.expect())
		produced++
	}
	err = errors.Join(p.Close(), ctx.Err())
	s.acks.mu.Lock()
	defer s.acks.mu.Unlock()
	return Published{produced, s.acks.n, s.acks.gapMax}, errors.Join(err, s.acks.err)
}

// paced yields a record for each line. It ends early with ctx.
func paced(ctx context.Context, files []sourceFile, lasting time.Duration) iter.Seq[leat.Record] {
	return func(yield func(leat.Record) bool) {
		total, n := 0, 0
		for _, f := range files {
			total += len(f.lines)
		}
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		began, due := time.Now(), 0
		for _, f := range files {
			for i, line := range f.lines {
				for n >= due {
					select {
					case <-tick.C:
						due = int(float64(total) * min(1, float64(time.Since(began))/float64(lasting)))
					case <-ctx.Done():
						return
					}
				}
				n++
				if !yield(newRecord(f.name, i, line)) {
					return
				}
			}
		}
	}
}

// lineHeader tells a record's line, so that a line that comes twice is told from two
// that are alike.
const lineHeader = "line"

func newRecord(file string, i int, line []byte) leat.Record {
	return leat.Record{Topic: topicName, Key: []byte(file), Value: line,
		Headers: []leat.Header{{Key: lineHeader, Value: strconv.AppendInt(nil, int64(i), 10)}}}
}

// lineNumber returns the line of a record, counted from 0, or -1.
func lineNumber(r *leat.Record) int {
	for _, h := range r.Headers {
		if n, err := strconv.Atoi(string(h.Value)); h.Key == lineHeader && err == nil {
			return n
		}
	}
	return -1
}

// acks counts what the cluster acknowledged, and measures for how long it did not.
type acks struct {
	mu      sync.Mutex
	changed sync.Cond // n has grown, or err was set
	n       int
	last    map[int32]time.Time // of each partition
	gapMax  time.Duration
	err     error // of the first record that failed
}

func newAcks() *acks {
	a := &acks{last: make(map[int32]time.Time)}
	a.changed.L = &a.mu
	return a
}

// expect returns the callback of a record that is produced now.
func (a *acks) expect() func(leat.RecordMetadata, error) {
	produced := time.Now()
	return func(m leat.RecordMetadata, err error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		defer a.changed.Broadcast()
		if err != nil {
			a.err = errors.Join(a.err, err)
			return
		}
		a.n++
		// The partition had this record to acknowledge since then, and was silent since
		// its last one.
		since := produced
		if last := a.last[m.Partition]; last.After(since) {
			since = last
		}
		now := time.Now()
		a.last[m.Partition] = now
		a.gapMax = max(a.gapMax, now.Sub(since))
	}
}

// await returns when n records are acknowledged, or the error of one that failed.
func (a *acks) await(n int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.n < n && a.err == nil {
		a.changed.Wait()
	}
	return a.err
}
