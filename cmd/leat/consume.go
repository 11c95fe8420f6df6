package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// consumeConfig is what consume's flags say.
type consumeConfig struct {
	topics     []string
	partitions []int32
	offset     string
	since      string
	group      string
	count      int64
	exitAtEnd  bool
	follow     bool
	committed  bool
	output     string
	format     string
}

func (a *app) consumeCommand() *cobra.Command {
	var c consumeConfig
	cmd := &cobra.Command{
		Use:   "consume TOPIC...",
		Short: "Print the records of topics",
		Long: "Consume prints records, from the earliest on and then those that come, until it is\n" +
			"interrupted. With --group it is a member of a group: it goes on where the group was, and\n" +
			"commits what it has printed.\n\nVerbs of --format: " + formatHelp,
		Example: "  leat consume orders --offset -10\n" +
			"  leat consume orders --since 10m --format '%T %p/%o %k: %v\\n'\n" +
			"  leat consume orders --json --exit-at-end | jq -r .key\n" +
			"  leat consume orders --group audit --count 100",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeTopics,
	}
	f := cmd.Flags()
	f.Int32SliceVarP(&c.partitions, "partition", "p", nil, "only these `partitions`")
	f.StringVarP(&c.offset, "offset", "o", "", "`where` to begin: earliest, latest, an offset, or -N for the last N of each partition (default earliest)")
	f.StringVar(&c.since, "since", "", "begin at this `time`: how long ago, such as 10m, or RFC 3339")
	f.StringVarP(&c.group, "group", "g", "", "be a member of this `group`; --offset and --since then are for partitions without a commit")
	f.Int64VarP(&c.count, "count", "n", 0, "end after so many `records`")
	f.BoolVarP(&c.exitAtEnd, "exit-at-end", "e", false, "end behind the last record that there was at the start")
	f.BoolVarP(&c.follow, "follow", "f", false, "wait for more records; so it does without --exit-at-end")
	f.BoolVar(&c.committed, "read-committed", false, "leave out records of transactions that are open or aborted")
	f.StringVar(&c.output, "output", "raw", "raw, which is each value and a newline, or json, as --json")
	f.StringVar(&c.format, "format", "", "print each record by this `template`")
	completeWords(cmd, "offset", "earliest", "latest")
	completeWords(cmd, "output", "raw", "json")
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		c.topics = args
		return a.consume(ctx, &c)
	})
	return cmd
}

// writer returns what appends a record as it is to be printed, or a usageError.
func (a *app) recordWriter(c *consumeConfig) (func(b []byte, r *kgo.Record) ([]byte, error), error) {
	switch {
	case c.output != "raw" && c.output != "json":
		return nil, usagef("--output %q must be raw or json; --format takes a template", c.output)
	case c.format != "" && (a.json || c.output == "json"):
		return nil, usagef("--format and JSON exclude each other")
	case a.json || c.output == "json":
		return appendJSON, nil
	case c.format != "":
		f, err := parseFormat(c.format)
		if err != nil {
			return nil, usagef("--format %w", err)
		}
		return func(b []byte, r *kgo.Record) ([]byte, error) { return f.appendTo(b, r), nil }, nil
	}
	return func(b []byte, r *kgo.Record) ([]byte, error) { return append(append(b, r.Value...), '\n'), nil }, nil
}

func (a *app) consume(ctx context.Context, c *consumeConfig) error {
	write, err := a.recordWriter(c)
	if err != nil {
		return err
	}
	begin, err := parseStart(c.offset, c.since, time.Now())
	switch {
	case err != nil:
		return err
	case c.exitAtEnd && c.follow:
		return usagef("--exit-at-end and --follow exclude each other")
	case c.count < 0:
		return usagef("--count must not be negative")
	case c.group != "" && len(c.partitions) > 0:
		return usagef("--group and --partition exclude each other: the group assigns partitions")
	}
	p := &printing{config: c, write: write, out: bufio.NewWriterSize(a.stdout, 64<<10), bar: a.consumeProgress(c)}
	defer p.bar.end()
	client, err := a.consumeClient(ctx, c, begin, p)
	if err != nil || client == nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	err = p.run(ctx, client)
	if c.group != "" {
		within, cancel := a.within(context.WithoutCancel(ctx))
		defer cancel()
		if cerr := client.CommitMarkedOffsets(within); cerr != nil {
			err = errors.Join(err, fmt.Errorf("committing for group %q: %w", c.group, cerr))
		}
	}
	return err
}

// consumeProgress shows progress where it does not mix with the records.
func (a *app) consumeProgress(c *consumeConfig) *progress {
	if isTerminal(a.stdout) {
		return &progress{end: func() {}}
	}
	total := int64(-1)
	if c.count > 0 {
		total = c.count
	}
	return a.progress(total, "records")
}

// consumeClient returns a client that consumes what c asks for, or nil if that is
// nothing. It tells p where the partitions end.
func (a *app) consumeClient(ctx context.Context, c *consumeConfig, begin start, p *printing) (*kgo.Client, error) {
	admin, err := a.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	within, cancel := a.within(ctx)
	defer cancel()
	adm := kadm.NewClient(admin)
	chosen, err := choosePartitions(within, adm, c.topics, c.partitions)
	if err != nil {
		return nil, err
	}
	opts := []kgo.Opt{
		kgo.KeepControlRecords(), // they tell how far a partition was read
		kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.ConsumeStartOffset(begin.clientOffset()),
		kgo.ConsumeResetOffset(begin.resetOffset()),
	}
	if c.committed {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	if c.exitAtEnd {
		if p.left, err = begin.resolve(within, adm, c.topics, c.committed); err != nil {
			return nil, err
		}
		if c.group != "" {
			if err := p.left.from(within, adm, c.group); err != nil {
				return nil, err
			}
		}
		p.left.keep(chosen)
		if len(p.left) == 0 {
			return nil, nil // there is nothing to read
		}
	}
	switch {
	case c.group != "":
		opts = append(opts, kgo.ConsumerGroup(c.group), kgo.ConsumeTopics(c.topics...), kgo.AutoCommitMarks(), kgo.BlockRebalanceOnPoll())
	case c.exitAtEnd:
		opts = append(opts, kgo.ConsumePartitions(p.left.clientOffsets()))
	case len(c.partitions) > 0:
		at := make(map[string]map[int32]kgo.Offset)
		for topic, partitions := range chosen {
			at[topic] = make(map[int32]kgo.Offset)
			for _, n := range partitions {
				at[topic][n] = begin.clientOffset()
			}
		}
		opts = append(opts, kgo.ConsumePartitions(at))
	default:
		opts = append(opts, kgo.ConsumeTopics(c.topics...)) // partitions that are added too
	}
	return a.connect(ctx, opts...)
}

// choosePartitions returns the partitions of topics, or those of them that are chosen,
// each of which must be there.
func choosePartitions(ctx context.Context, adm *kadm.Client, topics []string, chosen []int32) (map[string][]int32, error) {
	details, err := adm.ListTopicsWithInternal(ctx, topics...)
	if err != nil {
		return nil, err
	}
	found, err := topicsOf(details, topics)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]int32)
	for _, d := range found {
		out[d.Topic] = chosen
		if len(chosen) == 0 {
			out[d.Topic] = d.Partitions.Numbers()
		}
		for _, n := range chosen {
			if _, ok := d.Partitions[n]; !ok {
				return nil, fmt.Errorf("topic %q has no partition %d: it has %d", d.Topic, n, len(d.Partitions))
			}
		}
	}
	return out, nil
}
