package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// resetGroup is how group reset tells what it did, or would do.
type resetGroup struct {
	Group      string           `json:"group"`
	Executed   bool             `json:"executed"`
	Partitions []resetPartition `json:"partitions"`
}

type resetPartition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Before    *int64 `json:"before"` // null without a commit
	After     int64  `json:"after"`
}

// resetConfig is what group reset's flags say.
type resetConfig struct {
	topics             []string // name or name:0,1
	allTopics          bool
	earliest, latest   bool
	offset, shift      int64
	hasOffset, isShift bool
	time               string
	at                 time.Time
	execute, dryRun    bool
}

func (a *app) groupResetCommand() *cobra.Command {
	var c resetConfig
	cmd := &cobra.Command{
		Use:   "reset GROUP",
		Short: "Commit other offsets for a group without members",
		Long: "Reset shows which offsets it would commit for a group, and commits them with --execute.\n" +
			"The group must not have members. An offset that a partition does not have becomes the\n" +
			"nearest that it has.",
		Example: "  leat group reset billing --topic orders --to-earliest\n" +
			"  leat group reset billing --all-topics --to-time 2h --execute\n" +
			"  leat group reset billing --topic orders:0,3 --shift-by -100 --execute",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeGroups,
	}
	f := cmd.Flags()
	f.StringArrayVar(&c.topics, "topic", nil, "`topic` or topic:partition,... to reset; may be repeated")
	f.BoolVar(&c.allTopics, "all-topics", false, "reset all that the group has committed for")
	f.BoolVar(&c.earliest, "to-earliest", false, "to the first offset")
	f.BoolVar(&c.latest, "to-latest", false, "behind the last record")
	f.Int64Var(&c.offset, "to-offset", 0, "to this `offset`")
	f.StringVar(&c.time, "to-time", "", "to the first record at or after this `time`: how long ago, such as 2h, or RFC 3339")
	f.Int64Var(&c.shift, "shift-by", 0, "by so `many` records, back if negative")
	f.BoolVar(&c.execute, "execute", false, "commit the offsets")
	f.BoolVar(&c.dryRun, "dry-run", false, "only show the offsets; so it does without --execute")
	cmd.MarkFlagsMutuallyExclusive("to-earliest", "to-latest", "to-offset", "to-time", "shift-by")
	cmd.MarkFlagsMutuallyExclusive("topic", "all-topics")
	cmd.MarkFlagsMutuallyExclusive("execute", "dry-run")
	cmd.MarkFlagsOneRequired("to-earliest", "to-latest", "to-offset", "to-time", "shift-by")
	cmd.MarkFlagsOneRequired("topic", "all-topics")
	if err := cmd.RegisterFlagCompletionFunc("topic", a.completeTopics); err != nil {
		panic(err) // there is no such flag
	}
	cmd.PreRunE = func(*cobra.Command, []string) (err error) {
		c.hasOffset, c.isShift = f.Changed("to-offset"), f.Changed("shift-by")
		if c.time != "" {
			if c.at, err = parseTime(c.time, time.Now()); err != nil {
				return usagef("--to-time: %w", err)
			}
		}
		if c.offset < 0 {
			return usagef("--to-offset must not be negative")
		}
		_, err = c.chosen()
		return err
	}
	cmd.RunE = a.administers(func(ctx context.Context, adm *kadm.Client, args []string) error {
		return a.groupReset(ctx, adm, args[0], &c)
	})
	return cmd
}

// chosen returns the partitions that --topic names by topic, nil being all of a topic.
func (c *resetConfig) chosen() (map[string][]int32, error) {
	out := make(map[string][]int32)
	for _, t := range c.topics {
		topic, list, some := strings.Cut(t, ":")
		if !some {
			out[topic] = nil
			continue
		}
		for _, s := range splitList(list) {
			n, err := strconv.ParseInt(s, 10, 32)
			if err != nil || n < 0 {
				return nil, usagef("--topic %q must have the form topic or topic:partition,partition", t)
			}
			out[topic] = append(out[topic], int32(n))
		}
	}
	return out, nil
}

func (a *app) groupReset(ctx context.Context, adm *kadm.Client, group string, c *resetConfig) error {
	g, err := describeMembers(ctx, adm, group)
	switch {
	case errors.Is(err, kerr.GroupIDNotFound) && !c.allTopics: // the commit makes it
	case err != nil:
		return err
	case len(g.Members) > 0:
		return hintf(fmt.Errorf("group %q has %d members, which would go on where they are", group, len(g.Members)),
			"stop the members first, see \"leat group describe %s\"", group)
	}
	commits, err := adm.FetchOffsets(ctx, group)
	if err == nil {
		err = commits.Error()
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // which is no commits
		return fmt.Errorf("the offsets of group %q: %w", group, err)
	}
	chosen, err := c.partitions(ctx, adm, commits)
	if err != nil {
		return err
	}
	r := resetGroup{Group: group, Executed: c.execute, Partitions: []resetPartition{}}
	if len(chosen) > 0 {
		if r.Partitions, err = c.resolve(ctx, adm, chosen, commits); err != nil {
			return err
		}
	}
	if c.execute && len(r.Partitions) > 0 {
		var offsets kadm.Offsets
		for _, p := range r.Partitions {
			offsets.AddOffset(p.Topic, p.Partition, p.After, -1)
		}
		if err := adm.CommitAllOffsets(ctx, group, offsets); err != nil {
			return fmt.Errorf("committing for group %q: %w", group, err)
		}
	}
	return a.print(r, func(w io.Writer) {
		row(w, "TOPIC", "PARTITION", "BEFORE", "AFTER")
		for _, p := range r.Partitions {
			row(w, p.Topic, p.Partition, maybe(p.Before), p.After)
		}
		if !c.execute {
			fmt.Fprintln(w, "\nnothing was committed; --execute does it")
		}
	})
}

// partitions returns the partitions to reset, by topic.
func (c *resetConfig) partitions(ctx context.Context, adm *kadm.Client, commits kadm.OffsetResponses) (map[string][]int32, error) {
	out := make(map[string][]int32)
	if c.allTopics {
		commits.Each(func(o kadm.OffsetResponse) { out[o.Topic] = append(out[o.Topic], o.Partition) })
		return out, nil
	}
	named, err := c.chosen()
	if err != nil {
		return nil, err
	}
	for topic, partitions := range named {
		found, err := choosePartitions(ctx, adm, []string{topic}, partitions)
		if err != nil {
			return nil, err
		}
		out[topic] = found[topic]
	}
	return out, nil
}

// resolve returns the new offsets, by topic and partition.
func (c *resetConfig) resolve(ctx context.Context, adm *kadm.Client, chosen map[string][]int32, commits kadm.OffsetResponses) ([]resetPartition, error) {
	var topics []string
	for topic := range chosen {
		topics = append(topics, topic)
	}
	all, err := start{kind: fromEarliest}.resolve(ctx, adm, topics, false)
	if err != nil {
		return nil, err
	}
	times := all
	if !c.at.IsZero() {
		if times, err = (start{kind: fromTime, at: c.at}).resolve(ctx, adm, topics, false); err != nil {
			return nil, err
		}
	}
	var out []resetPartition
	for topic, partitions := range chosen {
		for _, n := range partitions {
			whole, ok := all[topic][n]
			if !ok {
				return nil, about(errNoAnswer, "", "topic %q partition %d", topic, n)
			}
			p := resetPartition{Topic: topic, Partition: n}
			if o, ok := commits.Lookup(topic, n); ok && o.At >= 0 {
				p.Before = &o.At
			}
			switch {
			case c.earliest:
				p.After = whole.from
			case c.latest:
				p.After = whole.to
			case c.hasOffset:
				p.After = c.offset
			case c.isShift && p.Before == nil:
				return nil, hintf(fmt.Errorf("topic %q partition %d: there is no commit to shift", topic, n),
					"name the partitions that have one, or use --to-offset")
			case c.isShift:
				p.After = *p.Before + c.shift
			default:
				p.After = times[topic][n].from
			}
			p.After = min(max(p.After, whole.from), whole.to)
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b resetPartition) int {
		return topicPartition{a.Topic, a.Partition}.compare(topicPartition{b.Topic, b.Partition})
	})
	return out, nil
}
