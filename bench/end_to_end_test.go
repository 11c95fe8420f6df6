package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
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
//
// rate=half first sends through the same producer and consumer as fast as they
// take it, for a second, and then offers half of that: what each system does
// with the headroom that a service would leave it.
func BenchmarkEndToEnd(b *testing.B) {
	for _, rate := range rates(b) {
		b.Run(fmt.Sprintf("rate=%s/size=%s", rate, size1KiB.name), func(b *testing.B) {
			keep := func(s System) bool { return s.Tails }
			eachSystem(b, keep, func(b *testing.B, s System) { benchEndToEnd(b, s, size1KiB, rate) })
		})
	}
}

func benchEndToEnd(b *testing.B, s System, sz size, rate loadRate) {
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

	perSecond, full := int(rate), 0.0
	if rate == halfLoad {
		full, err = maxRate(ctx, p, c, values, maxRateTime)
		must(b, err)
		perSecond = max(1, int(full/2))
	}
	pacer, err := NewPacer(perSecond)
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
		if err := sendStamped(ctx, p, values, due.Sub(base)); err != nil {
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
	if rate == halfLoad {
		// disk-B/B would show the records of before as well.
		b.ReportMetric(full, "max-records/s")
		return
	}
	written.report(b, records*sz.bytes)
}

// loadRate is a number of records per second, or halfLoad.
type loadRate int

// halfLoad is half of what the system takes at most.
const halfLoad loadRate = 0

// String returns the name in LEAT_BENCH_RATES and in sub-benchmarks.
func (r loadRate) String() string {
	if r == halfLoad {
		return "half"
	}
	return strconv.Itoa(int(r))
}

// rates returns the rates of LEAT_BENCH_RATES, or the default.
func rates(b testing.TB) []loadRate {
	b.Helper()
	text := os.Getenv(envRates)
	if text == "" {
		return []loadRate{10_000, 100_000, halfLoad}
	}
	var rates []loadRate
	for part := range strings.SplitSeq(text, ",") {
		rate := halfLoad
		if part != halfLoad.String() {
			n, err := positive(part)
			if err != nil {
				b.Fatalf("%s: %q: %v", envRates, part, err)
			}
			rate = loadRate(n)
		}
		rates = append(rates, rate)
	}
	return rates
}

// maxRateTime is for how long a system shows what it takes.
const maxRateTime = time.Second

// maxRate sends for a time as fast as the producer takes records, while the consumer
// reads them, and returns how many per second came through. All have been read when it
// returns.
func maxRate(ctx context.Context, p Producer, c Consumer, values *Values, d time.Duration) (perSecond float64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, endToEndPatience, errors.New("the records did not come in time"))
	defer cancel()
	var total atomic.Int64 // records sent, once that is known
	total.Store(-1)
	start := time.Now()
	sent := make(chan error, 1)
	go func() {
		err := func() error {
			n := int64(1)
			for ; time.Since(start) < d; n++ {
				if err := sendStamped(ctx, p, values, 0); err != nil {
					return err
				}
			}
			total.Store(n) // with the last one, which the consumer cannot miss then
			if err := sendStamped(ctx, p, values, 0); err != nil {
				return err
			}
			return p.Flush(ctx)
		}()
		if err != nil {
			cancel() // the consumer would wait for what does not come
		}
		sent <- err
	}()
	var received int64
	for received != total.Load() {
		n, pollErr := c.Poll(ctx, func([]byte) {})
		received += int64(n)
		if pollErr != nil {
			err = errors.Join(pollErr, context.Cause(ctx))
			cancel()
			break
		}
	}
	elapsed := time.Since(start)
	if err := errors.Join(<-sent, err); err != nil {
		return 0, err
	}
	return float64(received) / elapsed.Seconds(), nil
}

// sendStamped sends a record that says when it was due. It is a slice of its own,
// as in a program that makes its records.
func sendStamped(ctx context.Context, p Producer, values *Values, due time.Duration) error {
	value := append([]byte(nil), values.Next()...)
	stamp(value, due)
	return p.Send(ctx, nil, value)
}

// stamp writes into the first eight bytes of a value when it was due.
func stamp(value []byte, due time.Duration) { binary.LittleEndian.PutUint64(value, uint64(due)) }

// stamped reads what stamp wrote.
func stamped(value []byte) time.Duration {
	return time.Duration(binary.LittleEndian.Uint64(value))
}
