package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (a *app) benchConsumeCommand() *cobra.Command {
	var c benchConfig
	cmd := &cobra.Command{
		Use:     "consume",
		Short:   "Measure how fast records are handed out, from the earliest to the last",
		Example: "  leat bench consume --topic orders\n  leat bench consume --records 1000000 --json",
		Args:    cobra.NoArgs,
	}
	c.addFlags(cmd)
	cmd.PreRunE = func(*cobra.Command, []string) error { return c.validate() }
	cmd.RunE = a.does(func(ctx context.Context, _ []string) error { return a.benchConsume(ctx, &c) })
	return cmd
}

// fetchHook notes how long fetches take.
type fetchHook struct{ l *latencies }

var _ kgo.HookBrokerE2E = fetchHook{}

func (h fetchHook) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	if kmsg.Key(key) == kmsg.Fetch && e2e.Err() == nil {
		h.l.add(e2e.DurationE2E())
	}
}

// remaining returns what there is to read of a topic.
func (a *app) remaining(ctx context.Context, topic string) (spans, error) {
	admin, err := a.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	within, cancel := a.within(ctx)
	defer cancel()
	adm := kadm.NewClient(admin)
	chosen, err := choosePartitions(within, adm, []string{topic}, nil)
	if err != nil {
		return nil, err
	}
	left, err := start{kind: fromEarliest}.resolve(within, adm, []string{topic}, false)
	if err != nil {
		return nil, err
	}
	left.keep(chosen)
	if len(left) == 0 {
		return nil, hintf(fmt.Errorf("topic %q has no records", topic), "\"leat bench produce\" makes some")
	}
	return left, nil
}

func (a *app) benchConsume(ctx context.Context, c *benchConfig) error {
	left, err := a.remaining(ctx, c.topic)
	if err != nil {
		return err
	}
	l := new(latencies)
	client, err := a.connect(ctx, kgo.ConsumePartitions(left.clientOffsets()), kgo.KeepControlRecords(), kgo.WithHooks(fetchHook{l}))
	if err != nil {
		return err
	}
	defer client.Close()
	consuming, cancel := c.within(ctx)
	defer cancel()
	bar := a.progress(c.total(), "records")
	defer bar.end()
	var n, bytes int64
	began := time.Now()
	for len(left) > 0 && (c.records == 0 || n < c.records) {
		fetches := client.PollFetches(consuming)
		if consuming.Err() != nil {
			break
		}
		if err := fetchError(fetches); err != nil {
			return err
		}
		before := n
		fetches.EachRecord(func(r *kgo.Record) {
			n++
			bytes += int64(len(r.Key) + len(r.Value))
			left.read(r)
		})
		bar.add(int(n - before))
	}
	took := time.Since(began)
	bar.end()
	r := newBenchResult("consume", c.topic, n, bytes, took, l)
	return a.print(r, r.write)
}
