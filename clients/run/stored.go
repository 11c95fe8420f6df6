package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leatlog/leat/clients/scenario"
)

var codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"} // by Kafka's numbers

// checkStored looks with another client at what a client has produced: the records are
// the samples, and the batches are compressed with the codec that the scenario names,
// or written by an idempotent producer. It turns results that lied into failures.
func checkStored(ctx context.Context, bootstrap string, startMillis int64, c *client, results []result) {
	for i := range results {
		r := &results[i]
		if r.outcome != held || !(slices.Contains(codecs, r.scenario) || r.scenario == "idempotent") {
			continue
		}
		got, err := stored(ctx, bootstrap, c.name+"-"+r.scenario, r.scenario)
		if err == nil && !c.ownData {
			env := scenario.Env{StartMillis: startMillis}
			err = scenario.SameAll(got, env.Samples(0, 0, len(got)), 0)
		}
		if err != nil {
			r.outcome, r.note = failed, "what is stored: "+err.Error()
		}
	}
}

// stored reads the records of a topic, all as the scenario wants them to be stored.
func stored(ctx context.Context, bootstrap, topic, name string) ([]scenario.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	want := 40
	if name == "idempotent" {
		want = 200
	}
	cl, err := newClient(bootstrap, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	var got []scenario.Record
	for len(got) < want {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read %d of %d records: %w", len(got), want, err)
		}
		for k := range fetches.RecordsAll() {
			r := scenario.Record{Offset: k.Offset, Key: k.Key, Value: k.Value, Timestamp: k.Timestamp.UnixMilli()}
			for _, h := range k.Headers {
				r.Headers = append(r.Headers, scenario.Header(h))
			}
			got = append(got, r)
			switch codec := codecs[k.Attrs.CompressionType()]; {
			case name == "idempotent" && k.ProducerID < 0:
				return nil, fmt.Errorf("offset %d: the producer is not idempotent", k.Offset)
			case name == "idempotent":
			case codec != name:
				return nil, fmt.Errorf("offset %d: the codec is %s", k.Offset, codec)
			}
		}
	}
	return got, nil
}

// checkFailover looks at what a client has left in the topic of failover: the records
// once each and in order. Some may be there twice in a row if the client is not idempotent.
func checkFailover(ctx context.Context, bootstrap string, records int, c *client, results []result) {
	for i := range results {
		r := &results[i]
		if r.outcome != held {
			continue
		}
		repeated, err := afterFailover(ctx, bootstrap, records, c)
		switch {
		case err != nil:
			r.outcome, r.note = failed, "what is stored: "+err.Error()
		case repeated > 0:
			r.note += fmt.Sprintf("; %d repeated (n/a: no idempotent producer)", repeated)
		}
	}
}

const failoverPartitions = 3

func afterFailover(ctx context.Context, bootstrap string, records int, c *client) (repeated int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	topic := c.name + "-" + failover
	from := make(map[int32]kgo.Offset)
	for p := range failoverPartitions {
		if len(c.sentInFailover(p, records)) > 0 {
			from[int32(p)] = kgo.NewOffset().AtStart()
		}
	}
	cl, err := newClient(bootstrap, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	got := make([][]string, failoverPartitions)
	for ended := make(map[int32]bool); len(ended) < len(from); {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return 0, fmt.Errorf("ends of %d partitions seen: %w", len(ended), err)
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			for _, k := range p.Records {
				if int64(len(got[p.Partition])) != k.Offset {
					err = fmt.Errorf("partition %d: offset %d at place %d", p.Partition, k.Offset, len(got[p.Partition]))
				}
				got[p.Partition] = append(got[p.Partition], string(k.Value))
			}
			if int64(len(got[p.Partition])) >= p.HighWatermark {
				ended[p.Partition] = true
			}
		})
		if err != nil {
			return 0, err
		}
	}
	for p := range from {
		want := c.sentInFailover(int(p), records)
		if c.repeats {
			whole := len(got[p])
			got[p] = slices.Compact(got[p])
			repeated += whole - len(got[p])
		}
		if err := scenario.SameValues(got[p], want); err != nil {
			return 0, fmt.Errorf("partition %d: %w", p, err)
		}
	}
	return repeated, nil
}
