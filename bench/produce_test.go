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
	written := startDisked(b)
	touched, err := touch(ctx, p, values, partitions)
	must(b, err)

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
	written.report(b, (touched+records)*sz.bytes)
}

// touchesPerPartition makes it all but certain that each of a thousand partitions
// gets a record when keys are spread evenly.
const touchesPerPartition = 20

// touch sends records with keys until every partition has some: the first ones
// pay for connections, metadata, streams and what a producer keeps for each
// partition. It returns how many there were.
func touch(ctx context.Context, p Producer, values *Values, partitions int) (int64, error) {
	n := touchesPerPartition * partitions
	ks := NewKeys(n)
	for range n {
		if err := p.Send(ctx, ks.Next(), values.Next()); err != nil {
			return 0, err
		}
	}
	return int64(n), p.Flush(ctx)
}
