package bench

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"testing"
	"time"
)

// TestSystems runs each system through what the benchmarks do, with a few hundred
// records, and checks that every record that went in comes out as it was.
func TestSystems(t *testing.T) {
	for _, s := range Systems() {
		t.Run(s.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			const size = 100
			cfg := Config{Dir: dataDir(t), Partitions: 3, RecordBytes: size}
			in := open(t, s, cfg)
			sent := multiset{}
			values := NewValues(size)

			produce := func(goal Goal, n int, keys *Keys) {
				t.Helper()
				p, err := in.NewProducer(ctx, goal)
				must(t, err)
				for range n {
					v := values.Next()
					must(t, p.Send(ctx, keys.Next(), v))
					sent.add(v)
				}
				must(t, p.Flush(ctx))
				must(t, p.Close())
			}
			produce(Throughput, 300, nil)
			produce(Latency, 300, NewKeys(50))

			if s.Tails {
				got := multiset{}
				c, err := in.NewConsumer(ctx)
				must(t, err)
				must(t, readAll(ctx, c, 600, got.add))
				sent.check(t, got)
				// A paused consumer goes on where it was.
				must(t, c.Pause(ctx))
				produce(Throughput, 200, nil)
				must(t, c.Resume(ctx))
				must(t, readAll(ctx, c, 200, got.add))
				sent.check(t, got)
				must(t, c.Close())
				testMaxRate(ctx, t, in, sent)
			}
			if s.Persistent {
				n, err := fill(ctx, in, values, 10_000)
				must(t, err)
				if n != 100 {
					t.Fatalf("fill wrote %d records, not 100", n)
				}
				must(t, in.Close())
				in = open(t, s, cfg)
				got := multiset{}
				c, err := in.NewConsumer(ctx)
				must(t, err)
				must(t, readAll(ctx, c, sent.count()+100, got.add))
				for v, n := range sent {
					if got[v] < n {
						t.Fatalf("a record is missing after the log was opened again")
					}
				}
				if !s.Tails {
					if _, err := c.Poll(ctx, got.add); err != io.EOF {
						t.Fatalf("at the end: %v, not io.EOF", err)
					}
				}
				must(t, c.Close())
			}
			must(t, in.Close())
		})
	}
}

// testMaxRate checks that maxRate leaves nothing unread, and adds what it sent.
func testMaxRate(ctx context.Context, t *testing.T, in Instance, sent multiset) {
	t.Helper()
	c, err := in.NewConsumer(ctx)
	must(t, err)
	must(t, readAll(ctx, c, sent.count(), func([]byte) {}))
	p, err := in.NewProducer(ctx, Latency)
	must(t, err)
	counted := &countingConsumer{Consumer: c}
	rate, err := maxRate(ctx, p, counted, NewValues(100), 10*time.Millisecond)
	must(t, err)
	if rate <= 0 || len(counted.got) == 0 {
		t.Fatalf("%d records came at %v records/s", len(counted.got), rate)
	}
	must(t, p.Close())
	must(t, c.Close())
	// A new consumer finds these and no more: what was read is all that was sent.
	for v := range counted.got {
		sent[v] += counted.got[v]
	}
	got := multiset{}
	c, err = in.NewConsumer(ctx)
	must(t, err)
	must(t, readAll(ctx, c, sent.count(), got.add))
	sent.check(t, got)
	must(t, c.Close())
}

// countingConsumer keeps what was polled.
type countingConsumer struct {
	Consumer
	got multiset
}

func (c *countingConsumer) Poll(ctx context.Context, visit func([]byte)) (int, error) {
	if c.got == nil {
		c.got = multiset{}
	}
	return c.Consumer.Poll(ctx, func(value []byte) {
		c.got.add(value)
		visit(value)
	})
}

// TestRates checks what LEAT_BENCH_RATES takes.
func TestRates(t *testing.T) {
	t.Setenv(envRates, "250000,half")
	if got := rates(t); len(got) != 2 || got[0] != 250_000 || got[1] != halfLoad {
		t.Errorf("rates are %v", got)
	}
	t.Setenv(envRates, "")
	if got := rates(t); len(got) != 3 || got[2] != halfLoad {
		t.Errorf("default rates are %v", got)
	}
}

// TestSyncProducers has several writers send at once, and reads back what each
// was told is stored.
func TestSyncProducers(t *testing.T) {
	const (
		writers = 4
		each    = 20
		size    = 4 << 10 // the disk's own block, so that it pads nothing
	)
	for _, s := range Systems() {
		t.Run(s.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			in := open(t, s, Config{Dir: dataDir(t), Partitions: 3, RecordBytes: size})
			p, err := in.NewSyncProducer(ctx, writers)
			must(t, err)
			sent := multiset{}
			values := NewValues(size)
			errs := make(chan error, writers)
			for w := range writers {
				var mine [][]byte
				for range each {
					v := values.Next()
					sent.add(v)
					mine = append(mine, v)
				}
				go func() {
					for _, v := range mine {
						if err := p.SendSync(ctx, w, v); err != nil {
							errs <- err
							return
						}
					}
					errs <- nil
				}()
			}
			for range writers {
				must(t, <-errs)
			}
			must(t, p.Close())
			got := multiset{}
			c, err := in.NewConsumer(ctx)
			must(t, err)
			must(t, readAll(ctx, c, writers*each, got.add))
			sent.check(t, got)
			must(t, c.Close())
			must(t, in.Close())
		})
	}
}

// TestOpenInChild opens a filled log of every system that keeps one in a process
// of its own, as BenchmarkOpen does.
func TestOpenInChild(t *testing.T) {
	for _, s := range Systems() {
		if !s.Persistent {
			continue // there is nothing to find
		}
		t.Run(s.Name, func(t *testing.T) {
			cfg := Config{Dir: dataDir(t), Partitions: 3, RecordBytes: 100}
			in := open(t, s, cfg)
			_, err := fill(context.Background(), in, NewValues(100), 30_000)
			must(t, err)
			must(t, in.Close())
			rep, err := openInChild(openRequest{System: s.Name, Config: cfg})
			must(t, err)
			if rep.Elapsed <= 0 || rep.BaseBytes <= 0 || rep.RSSBytes <= 0 {
				t.Fatalf("the child measured nothing: %+v", rep)
			}
		})
	}
	if _, err := openInChild(openRequest{System: "none"}); err == nil {
		t.Fatal("a system that does not exist was opened")
	}
}

// TestPacer checks that a load is spread over its time and that what is overdue is
// not waited for.
func TestPacer(t *testing.T) {
	p, err := NewPacer(1000)
	must(t, err)
	defer p.Close()
	var first, last time.Time
	for i := range 51 {
		due, err := p.Wait()
		must(t, err)
		if now := time.Now(); now.Before(due) {
			t.Fatalf("operation %d came %v early", i, due.Sub(now))
		}
		if i == 0 {
			first = due
		}
		last = due
	}
	if d := last.Sub(first); d != 50*time.Millisecond {
		t.Fatalf("50 operations at 1000/s were due over %v", d)
	}
}

// TestLatencies checks the quantiles' unit and that merging loses nothing.
func TestLatencies(t *testing.T) {
	a, b := NewLatencies(), NewLatencies()
	for i := range 1000 {
		a.Record(time.Duration(i+1) * time.Millisecond)
		b.Record(time.Hour)
	}
	if got, want := a.Quantile(50), 500*time.Millisecond; got < want || got > want*1002/1000 {
		t.Errorf("p50 of 1..1000 ms is %v", got)
	}
	a.Merge(b)
	if a.Count() != 2000 {
		t.Errorf("merged count is %d, not 2000", a.Count())
	}
	if got := a.Quantile(99); got < latencyMax {
		t.Errorf("p99 with half out of range is %v, below %v", got, latencyMax)
	}
}

// TestValues checks that values have their size and do not repeat at once.
func TestValues(t *testing.T) {
	values := NewValues(1000)
	seen := map[[32]byte]bool{}
	for range 100_000 { // three times around the pool
		v := values.Next()
		if len(v) != 1000 {
			t.Fatalf("a value has %d bytes", len(v))
		}
		seen[sha256.Sum256(v)] = true
	}
	if len(seen) != 100_000 {
		t.Errorf("%d of 100000 values differ", len(seen))
	}
	if NewKeys(0).Next() != nil {
		t.Error("no keys yield a key")
	}
	if bytes.Equal(NewKeys(2).keys[0], NewKeys(2).keys[1]) {
		t.Error("two keys are equal")
	}
}

// multiset counts values.
type multiset map[string]int

func (m multiset) add(v []byte) { m[string(v)]++ }

func (m multiset) count() (n int64) {
	for _, c := range m {
		n += int64(c)
	}
	return n
}

func (m multiset) check(t *testing.T, got multiset) {
	t.Helper()
	if len(got) != len(m) || got.count() != m.count() {
		t.Fatalf("%d values (%d records) came back of %d (%d)", len(got), got.count(), len(m), m.count())
	}
	for v, n := range m {
		if got[v] != n {
			t.Fatalf("a value that was sent %d times came back %d times", n, got[v])
		}
	}
}
