package bench

import (
	"context"
	"fmt"
	"testing"
)

// BenchmarkProduce sends records without waiting for each, as fast as the system
// takes them; the clock stops when the last is acknowledged.
func BenchmarkProduce(b *testing.B) {
	keys := 0
	if n := envInts(b, envKeys); n != nil {
		keys = n[0]
	}
	for _, sz := range []size{size100B, size1KiB} {
		name := fmt.Sprintf("size=%s/acks=all", sz.name)
		if keys > 0 {
			name += fmt.Sprintf("/keys=%d", keys)
		}
		b.Run(name, func(b *testing.B) {
			eachSystem(b, nil, func(b *testing.B, s System) {
				benchProduce(b, s, sz, partitions(b), keys, 0)
			})
		})
	}
}

// benchProduce measures asynchronous sending into a log that holds before bytes
// of values already.
func benchProduce(b *testing.B, s System, sz size, partitions, keys int, before int64) {
	ctx := context.Background()
	in := open(b, s, Config{Dir: dataDir(b), Partitions: partitions, RecordBytes: int(sz.bytes)})
	values, ks := NewValues(int(sz.bytes)), NewKeys(keys)
	if before > 0 {
		_, err := fill(ctx, in, values, before)
		must(b, err)
	}
	p, err := in.NewProducer(ctx, Throughput)
	must(b, err)
	// The first records pay for connections, metadata and streams.
	for range partitions {
		must(b, p.Send(ctx, ks.Next(), values.Next()))
	}
	must(b, p.Flush(ctx))

	written := startDisked(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Send(ctx, ks.Next(), values.Next()); err != nil {
			b.Fatal(err)
		}
	}
	b.StartTimer() // Loop stopped it with records still on their way
	must(b, p.Flush(ctx))
	b.StopTimer()

	records := int64(b.N)
	reportRate(b, records, records*sz.bytes)
	must(b, p.Close())
	must(b, in.Close())
	written.report(b, records*sz.bytes)
}
