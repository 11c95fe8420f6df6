package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// printing prints what a client consumes. It is used by one goroutine.
type printing struct {
	config *consumeConfig
	write  func(b []byte, r *kgo.Record) ([]byte, error)
	out    *bufio.Writer
	bar    *progress

	left    spans // what is to be read before it ends; nil: it does not end
	printed int64
}

// run prints until ctx ends, which is no error, or what is asked for is printed.
func (p *printing) run(ctx context.Context, client *kgo.Client) error {
	var line []byte
	for {
		fetches := client.PollFetches(ctx)
		var done bool
		var err error
		for records := fetches.RecordIter(); !records.Done() && !done && err == nil; {
			r := records.Next()
			if !r.Attrs.IsControl() && !p.left.isBehind(r) {
				if line, err = p.write(line[:0], r); err == nil {
					_, err = p.out.Write(line)
				}
				p.printed++
				p.bar.add(1)
			}
			p.left.read(r)
			if p.config.group != "" {
				client.MarkCommitRecords(r)
			}
			done = (p.config.count > 0 && p.printed == p.config.count) || (p.left != nil && len(p.left) == 0)
		}
		if err = errors.Join(err, p.out.Flush()); err != nil {
			return fmt.Errorf("printing: %w", err)
		}
		if p.config.group != "" {
			client.AllowRebalance()
		}
		if done || ctx.Err() != nil {
			return nil
		}
		if err := fetchError(fetches); err != nil {
			return err
		}
	}
}

// fetchError returns the first error that the client does not get over by itself.
func fetchError(fetches kgo.Fetches) error {
	for _, e := range fetches.Errors() {
		var lost *kgo.ErrDataLoss
		if errors.As(e.Err, &lost) {
			continue // it goes on at the earliest
		}
		if e.Topic == "" {
			return e.Err
		}
		return fmt.Errorf("topic %q partition %d: %w", e.Topic, e.Partition, e.Err)
	}
	return nil
}

// isBehind reports whether a record lies behind what is to be read of its partition.
func (s spans) isBehind(r *kgo.Record) bool {
	if s == nil {
		return false
	}
	sp, ok := s[r.Topic][r.Partition]
	return !ok || r.Offset >= sp.to
}

// read takes off what has been read with a record.
func (s spans) read(r *kgo.Record) {
	if sp, ok := s[r.Topic][r.Partition]; ok {
		sp.from = r.Offset + 1
		s.set(r.Topic, r.Partition, sp)
	}
}

// set keeps a span, or drops it if it is empty.
func (s spans) set(topic string, partition int32, sp span) {
	if sp.from < sp.to {
		s[topic][partition] = sp
		return
	}
	delete(s[topic], partition)
	if len(s[topic]) == 0 {
		delete(s, topic)
	}
}

// keep drops the partitions that are not chosen, and empty ones.
func (s spans) keep(chosen map[string][]int32) {
	for topic, partitions := range s {
		for n, sp := range partitions {
			if !slices.Contains(chosen[topic], n) {
				sp = span{}
			}
			s.set(topic, n, sp)
		}
	}
}

// from begins where a group has committed.
func (s spans) from(ctx context.Context, adm *kadm.Client, group string) error {
	commits, err := adm.FetchOffsets(ctx, group)
	if err != nil {
		return fmt.Errorf("asking for the offsets of group %q: %w", group, err)
	}
	for topic, partitions := range s {
		for n, sp := range partitions {
			if o, ok := commits.Lookup(topic, n); ok && o.Err == nil && o.At >= 0 {
				sp.from = o.At
				partitions[n] = sp
			}
		}
	}
	return nil
}

func (s spans) clientOffsets() map[string]map[int32]kgo.Offset {
	out := make(map[string]map[int32]kgo.Offset)
	for topic, partitions := range s {
		out[topic] = make(map[int32]kgo.Offset)
		for n, sp := range partitions {
			out[topic][n] = kgo.NewOffset().At(sp.from)
		}
	}
	return out
}
