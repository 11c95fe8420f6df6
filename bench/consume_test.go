package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
)

const (
	// consumeStoredBytes is how much BenchmarkConsume/from=disk reads in one
	// pass. It is larger than any system's own cache.
	consumeStoredBytes = 256 << 20
	// consumeTailBytes is how much is produced before BenchmarkConsume/from=tail
	// reads it: little enough to be still in memory for a system that keeps
	// its newest records there.
	consumeTailBytes = 24 << 20
)

// BenchmarkConsume reads as fast as it can.
//
// from=disk: the records were written, the log was closed and opened again, so
// that none is in the process's memory. Each pass over the data has a new consumer,
// and includes its start. The kernel's page cache still has the files.
//
// from=cold: the same, with the page cache emptied of them before each pass, off
// the clock.
//
// from=tail: the newest 24 MiB, just acknowledged, again and again; producing them
// is off the clock.
//
// from=disk/api=records: as from=disk, through the iterator that hands out single
// records, for leat alone; the others are read in batches.
//
// JetStream with an fsync for each message reads as JetStream without, so it is
// not measured twice.
func BenchmarkConsume(b *testing.B) {
	for _, sz := range []size{size100B, size1KiB} {
		for _, from := range []string{"disk", "cold"} {
			b.Run(fmt.Sprintf("size=%s/from=%s", sz.name, from), func(b *testing.B) {
				keep := func(s System) bool { return s.Persistent && !s.SlowToFill }
				eachSystem(b, keep, func(b *testing.B, s System) {
					benchConsumeDisk(b, s, sz, from == "cold")
				})
			})
		}
		b.Run(fmt.Sprintf("size=%s/from=disk/api=records", sz.name), func(b *testing.B) {
			keep := func(s System) bool { return s.Name == "leat" }
			eachSystem(b, keep, func(b *testing.B, s System) { benchConsumeRecords(b, s, sz) })
		})
		b.Run(fmt.Sprintf("size=%s/from=tail", sz.name), func(b *testing.B) {
			keep := func(s System) bool { return s.Tails && !s.SlowToFill }
			eachSystem(b, keep, func(b *testing.B, s System) { benchConsumeTail(b, s, sz) })
		})
	}
}

func benchConsumeDisk(b *testing.B, s System, sz size, cold bool) {
	ctx := context.Background()
	in, cfg, stored := openStored(b, s, sz)
	if cold {
		must(b, in.Close())
		must(b, DropPageCache(cfg.Dir))
		in = open(b, s, cfg)
	}

	c, err := in.NewConsumer(ctx)
	must(b, err)
	var (
		have  int   // polled records not yet counted as an operation
		pass  int64 // records polled since the consumer's start
		bytes int64
	)
	visit := func(value []byte) { bytes += int64(len(value)) }
	b.ReportAllocs()
	for b.Loop() {
		for have == 0 {
			if pass >= stored {
				must(b, c.Close())
				if cold {
					b.StopTimer()
					must(b, DropPageCache(cfg.Dir))
					b.StartTimer()
				}
				c, err = in.NewConsumer(ctx)
				must(b, err)
				pass = 0
			}
			have, err = c.Poll(ctx, visit)
			if err != nil {
				b.Fatal(err)
			}
			pass += int64(have)
		}
		have--
	}
	if pass > stored {
		b.Fatalf("%d records came of the %d stored", pass, stored)
	}
	reportRate(b, int64(b.N), int64(b.N)*sz.bytes)
	checkBytes(b, bytes, int64(b.N)+int64(have), sz)
	must(b, c.Close())
	must(b, in.Close())
}

// benchConsumeRecords is benchConsumeDisk with a loop over single records.
func benchConsumeRecords(b *testing.B, s System, sz size) {
	ctx := context.Background()
	in, _, stored := openStored(b, s, sz)
	var bytes int64
	b.ReportAllocs()
	for more := b.Loop(); more; {
		c, err := in.NewConsumer(ctx)
		must(b, err)
		left := stored
		for value, err := range c.(leatConsumer).values(ctx) {
			if err != nil { // must would cost more than the record
				b.Fatal(err)
			}
			bytes += int64(len(value))
			left--
			if more = b.Loop(); !more || left == 0 {
				break
			}
		}
		must(b, c.Close())
	}
	reportRate(b, int64(b.N), int64(b.N)*sz.bytes)
	checkBytes(b, bytes, int64(b.N), sz)
	must(b, in.Close())
}

// openStored fills a log, closes it and opens it again. It returns how many
// records there are.
func openStored(b *testing.B, s System, sz size) (Instance, Config, int64) {
	b.Helper()
	cfg := Config{Dir: dataDir(b), Partitions: partitions(b), RecordBytes: int(sz.bytes)}
	in := open(b, s, cfg)
	stored, err := fill(context.Background(), in, NewValues(int(sz.bytes)), consumeStoredBytes)
	must(b, err)
	must(b, in.Close())
	return open(b, s, cfg), cfg, stored
}

func benchConsumeTail(b *testing.B, s System, sz size) {
	ctx := context.Background()
	in := open(b, s, Config{Dir: dataDir(b), Partitions: partitions(b), RecordBytes: int(sz.bytes)})
	p, err := in.NewProducer(ctx, Throughput)
	must(b, err)
	c, err := in.NewConsumer(ctx)
	must(b, err)
	values := NewValues(int(sz.bytes))
	var (
		have  int   // polled records not yet counted as an operation
		ahead int64 // produced records not yet polled
		bytes int64
	)
	visit := func(value []byte) { bytes += int64(len(value)) }
	more := func() {
		must(b, c.Pause(ctx))
		for n := int64(0); n < consumeTailBytes; n += sz.bytes {
			if err := p.Send(ctx, nil, values.Next()); err != nil {
				b.Fatal(err)
			}
			ahead++
		}
		must(b, p.Flush(ctx))
	}
	more()
	b.ReportAllocs()
	first := true
	for b.Loop() {
		for have == 0 {
			if ahead == 0 {
				b.StopTimer()
				more()
				b.StartTimer()
				first = true
			}
			if first {
				must(b, c.Resume(ctx))
				first = false
			}
			have, err = c.Poll(ctx, visit)
			if err != nil {
				b.Fatal(err)
			}
			ahead -= int64(have)
		}
		have--
	}
	if ahead < 0 {
		b.Fatalf("%d records more came than were produced", -ahead)
	}
	reportRate(b, int64(b.N), int64(b.N)*sz.bytes)
	checkBytes(b, bytes, int64(b.N)+int64(have), sz)
	must(b, c.Close())
	must(b, p.Close())
	must(b, in.Close())
}

// checkBytes fails if the values read were not all there.
func checkBytes(b *testing.B, bytes, records int64, sz size) {
	b.Helper()
	if bytes != records*sz.bytes {
		b.Fatalf("%d records had %d bytes, not %d", records, bytes, records*sz.bytes)
	}
}

// readAll polls until n records came, for callers that know how many there are.
func readAll(ctx context.Context, c Consumer, n int64, visit func([]byte)) error {
	for n > 0 {
		got, err := c.Poll(ctx, visit)
		n -= int64(got)
		if err != nil && !(errors.Is(err, io.EOF) && n == 0) {
			return err
		}
	}
	if n < 0 {
		return fmt.Errorf("%d records too many", -n)
	}
	return nil
}
