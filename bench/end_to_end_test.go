package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// endToEndPatience is how long a run waits for the next record before it fails.
const endToEndPatience = time.Minute

// warmUp is how many records go through before the load starts.
const warmUp = 6

// BenchmarkEndToEnd offers records at a fixed rate, whether or not the system
// keeps up, and measures from when each was due to be sent until a consumer has
// it. A system that stalls is charged for every record that was due meanwhile
// (no coordinated omission); one that is slower than the rate shows a latency
// that grows with the duration of the run, and records/s below the rate.
func BenchmarkEndToEnd(b *testing.B) {
	for _, rate := range envInts(b, envRates, 10_000, 100_000) {
		b.Run(fmt.Sprintf("rate=%d/size=%s", rate, size1KiB.name), func(b *testing.B) {
			keep := func(s System) bool { return s.Tails }
			eachSystem(b, keep, func(b *testing.B, s System) { benchEndToEnd(b, s, size1KiB, rate) })
		})
	}
}

func benchEndToEnd(b *testing.B, s System, sz size, rate int) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	in := open(b, s, Config{Dir: dataDir(b), Partitions: partitions(b), RecordBytes: int(sz.bytes)})
	p, err := in.NewProducer(ctx, Latency)
	must(b, err)
	c, err := in.NewConsumer(ctx)
	must(b, err)
	values := NewValues(int(sz.bytes))

	// Both ends are connected and have moved records before the load starts.
	for range warmUp {
		must(b, p.Send(ctx, nil, values.Next()))
	}
	must(b, p.Flush(ctx))
	must(b, readAll(ctx, c, warmUp, func([]byte) {}))

	pacer, err := NewPacer(rate)
	must(b, err)
	defer pacer.Close()
	var (
		base      = time.Now() // what stamps count from
		latencies = NewLatencies()
		received  atomic.Int64
		total     atomic.Int64 // records sent, once that is known
		consumed  = make(chan error, 1)
	)
	total.Store(-1)
	watchdog := time.AfterFunc(endToEndPatience, func() { cancel(errors.New("no record came in time")) })
	defer watchdog.Stop()
	done := func() bool { return received.Load() == total.Load() }
	go func() {
		for {
			n, err := c.Poll(ctx, func(value []byte) {
				latencies.Record(time.Since(base) - stamped(value))
			})
			received.Add(int64(n))
			watchdog.Reset(endToEndPatience)
			if done() {
				consumed <- nil
				return
			}
			if err != nil {
				consumed <- errors.Join(err, context.Cause(ctx))
				return
			}
		}
	}()

	written := startDisked(b)
	b.ReportAllocs()
	for b.Loop() {
		due, err := pacer.Wait()
		if err != nil {
			b.Fatal(err)
		}
		// Every record is a slice of its own, as in a program that makes them.
		value := append([]byte(nil), values.Next()...)
		stamp(value, due.Sub(base))
		if err := p.Send(ctx, nil, value); err != nil {
			b.Fatal(err)
		}
	}
	b.StartTimer() // Loop stopped it with records still on their way
	must(b, p.Flush(ctx))
	total.Store(int64(b.N))
	if done() {
		cancel(nil) // the consumer may be waiting for one more
	}
	must(b, <-consumed)
	b.StopTimer()

	records := int64(b.N)
	if latencies.Count() != records {
		b.Fatalf("%d latencies for %d records", latencies.Count(), records)
	}
	reportRate(b, records, records*sz.bytes)
	latencies.Report(b)
	must(b, c.Close())
	must(b, p.Close())
	must(b, in.Close())
	written.report(b, records*sz.bytes)
}

// stamp writes into the first eight bytes of a value when it was due.
func stamp(value []byte, due time.Duration) { binary.LittleEndian.PutUint64(value, uint64(due)) }

// stamped reads what stamp wrote.
func stamped(value []byte) time.Duration {
	return time.Duration(binary.LittleEndian.Uint64(value))
}
