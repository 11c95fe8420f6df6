package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// reassignPoll is the time between two looks at partitions that move.
const reassignPoll = 500 * time.Millisecond

// reassignment is how cluster reassign tells of a partition.
type reassignment struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Before    []int32 `json:"before"`
	After     []int32 `json:"after"`
	Executed  bool    `json:"executed"` // asked for, and with --wait done
}

func (a *app) clusterReassignCommand() *cobra.Command {
	var to []int32
	var execute, wait bool
	cmd := &cobra.Command{
		Use:   "reassign TOPIC...",
		Short: "Move the partitions of topics to other brokers",
		Long: "Reassign spreads the replicas of topics over the brokers of --to, as many of each\n" +
			"partition as it has. It shows what would move, and moves it with --execute, waiting until\n" +
			"that is done; interrupted or with --wait=false the brokers go on by themselves.",
		Example:           "  leat cluster reassign orders --to 2,3,4\n  leat cluster reassign orders --to 2,3,4 --execute",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeTopics,
	}
	cmd.Flags().Int32SliceVar(&to, "to", nil, "ids of the `brokers` that are to have the partitions")
	cmd.Flags().BoolVar(&execute, "execute", false, "move the partitions")
	cmd.Flags().BoolVar(&wait, "wait", true, "with --execute, wait until they have moved")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		slices.Sort(to)
		if to = slices.Compact(to); len(to) == 0 {
			return usagef("--to must name the brokers, see \"leat cluster status\"")
		}
		return nil
	}
	cmd.RunE = a.does(func(ctx context.Context, topics []string) error {
		client, err := a.connect(ctx)
		if err != nil {
			return err
		}
		defer client.Close()
		moves, err := a.reassign(ctx, client, topics, to, execute)
		if err != nil {
			return err
		}
		if execute && wait {
			if err := a.awaitMoves(ctx, kadm.NewClient(client), moves); err != nil {
				return err
			}
		}
		return a.print(moves, func(w io.Writer) {
			row(w, "TOPIC", "PARTITION", "BEFORE", "AFTER")
			for _, m := range moves {
				row(w, m.Topic, m.Partition, brokerIDs(m.Before), brokerIDs(m.After))
			}
			if !execute {
				fmt.Fprintln(w, "\nnothing was moved; --execute does it")
			}
		})
	})
	return cmd
}

// reassign plans the moves, and asks for them with execute.
func (a *app) reassign(ctx context.Context, client *kgo.Client, topics []string, to []int32, execute bool) ([]reassignment, error) {
	ctx, cancel := a.within(ctx)
	defer cancel()
	adm := kadm.NewClient(client)
	m, err := adm.Metadata(ctx, topics...)
	if err != nil {
		return nil, err
	}
	found, err := topicsOf(m.Topics, topics)
	if err != nil {
		return nil, err
	}
	moves, err := planMoves(found, m.Brokers.NodeIDs(), to)
	if err != nil || !execute || len(moves) == 0 {
		return moves, err
	}
	req := make(kadm.AlterPartitionAssignmentsReq)
	for i := range moves {
		req.Assign(moves[i].Topic, moves[i].Partition, moves[i].After)
		moves[i].Executed = true
	}
	answers, err := adm.AlterPartitionAssignments(ctx, req)
	errs := []error{err}
	answers.Each(func(r kadm.AlterPartitionAssignmentsResponse) {
		errs = append(errs, about(r.Err, r.ErrMessage, "topic %q partition %d", r.Topic, r.Partition))
	})
	return moves, errors.Join(errs...)
}

// planMoves spreads replicas and first replicas, which lead, evenly over brokers. It
// leaves out the partitions that are there already.
func planMoves(topics []kadm.TopicDetail, brokers, to []int32) ([]reassignment, error) {
	for _, id := range to {
		if !slices.Contains(brokers, id) {
			return nil, hintf(fmt.Errorf("there is no broker %d", id), "\"leat cluster status\" shows the brokers")
		}
	}
	moves := []reassignment{}
	for _, d := range topics {
		for i, p := range d.Partitions.Sorted() {
			if len(p.Replicas) > len(to) {
				return nil, fmt.Errorf("topic %q partition %d has %d replicas, --to names only %d brokers", d.Topic, p.Partition, len(p.Replicas), len(to))
			}
			after := make([]int32, len(p.Replicas))
			for j := range after {
				after[j] = to[(i+j)%len(to)]
			}
			if !slices.Equal(after, p.Replicas) {
				moves = append(moves, reassignment{d.Topic, p.Partition, some(p.Replicas), after, false})
			}
		}
	}
	return moves, nil
}

// awaitMoves waits until no partition of moves is under way.
func (a *app) awaitMoves(ctx context.Context, adm *kadm.Client, moves []reassignment) error {
	var set kadm.TopicsSet
	for _, m := range moves {
		set.Add(m.Topic, m.Partition)
	}
	bar := a.progress(int64(len(moves)), "partitions")
	defer bar.end()
	for left := len(moves); left > 0; {
		within, cancel := a.within(ctx)
		under, err := adm.ListPartitionReassignments(within, set)
		cancel()
		if err != nil {
			return fmt.Errorf("the partitions are moving, and asking how far failed: %w", err)
		}
		n := 0
		under.Each(func(kadm.ListPartitionReassignmentsResponse) { n++ })
		bar.add(max(0, left-n))
		if left = n; left == 0 {
			break
		}
		p := pace{interval: reassignPoll, next: time.Now().Add(reassignPoll)}
		if err := p.wait(ctx); err != nil {
			return fmt.Errorf("%d partitions are still moving, and go on: %w", left, err)
		}
	}
	return nil
}
