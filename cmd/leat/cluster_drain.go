package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// drainedNode is how cluster drain tells of the node.
type drainedNode struct {
	Node       int32 `json:"node"`
	Draining   bool  `json:"draining"`
	ShardsLeft int   `json:"shards_left"` // that have a replica on it; none: it may be removed
}

func (a *app) clusterDrainCommand() *cobra.Command {
	var cancel, wait bool
	cmd := &cobra.Command{
		Use:   "drain NODE",
		Short: "Move all replicas off a node, so that it can be removed",
		Long: "Drain lets a node of a leat cluster get no new replicas, and moves those that it has to\n" +
			"the others. The node may be down. It waits until the node is empty; interrupted or with\n" +
			"--wait=false the cluster goes on by itself. --cancel ends that: what has moved stays where\n" +
			"it is, until the cluster evens its nodes out.",
		Example:           "  leat cluster drain 4 && leat cluster remove 4\n  leat cluster drain 4 --cancel",
		Args:              nodeArgument,
		ValidArgsFunction: a.completeNode,
	}
	cmd.Flags().BoolVar(&cancel, "cancel", false, "let the node keep what it has, and get replicas again")
	cmd.Flags().BoolVar(&wait, "wait", true, "wait until the node is empty")
	cmd.MarkFlagsMutuallyExclusive("cancel", "wait")
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		client, err := a.connect(ctx)
		if err != nil {
			return err
		}
		defer client.Close()
		node := nodeID(args[0])
		// Another Kafka takes any property of a broker and does nothing for this one:
		// only who tells of it drains.
		if _, err := a.nodeStateOf(ctx, client, node); err != nil {
			return err
		}
		if err := a.setDraining(ctx, client, node, !cancel); err != nil {
			return err
		}
		s, err := a.nodeStateOf(ctx, client, node)
		if err != nil {
			return err
		}
		if !cancel && s.shards > 0 {
			if err := a.warnOfTooFew(ctx, client, node); err != nil {
				return err
			}
			if wait {
				if s, err = a.awaitDrained(ctx, client, node, s); err != nil {
					return err
				}
			}
		}
		return a.print(drainedNode{node, s.draining, s.shards}, func(w io.Writer) {
			switch {
			case cancel:
				fmt.Fprintf(w, "node %d keeps its replicas\n", node)
			case s.shards > 0:
				fmt.Fprintf(w, "node %d is being drained: replicas of %d shards are left\n", node, s.shards)
			default:
				fmt.Fprintf(w, "node %d is empty and may be removed: leat cluster remove %d\n", node, node)
			}
		})
	})
	return cmd
}

// setDraining begins or ends the draining of a node.
func (a *app) setDraining(ctx context.Context, client *kgo.Client, node int32, draining bool) error {
	ctx, cancel := a.within(ctx)
	defer cancel()
	value := strconv.FormatBool(draining)
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(node))
	p := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	p.Name, p.Op, p.Value = drainingProperty, kmsg.IncrementalAlterConfigOpSet, &value
	r.Configs = append(r.Configs, p)
	req.Resources = append(req.Resources, r)
	resp, err := askAny(ctx, client, node, req)
	if err != nil {
		return err
	}
	for _, o := range resp.(*kmsg.IncrementalAlterConfigsResponse).Resources {
		return about(kerr.ErrorForCode(o.ErrorCode), text(o.ErrorMessage), "node %d", node)
	}
	return fmt.Errorf("node %d: %w", node, errNoAnswer)
}

// warnOfTooFew tells of partitions that have more replicas than there are other nodes
// that could have them: they stay until a node joins.
func (a *app) warnOfTooFew(ctx context.Context, client *kgo.Client, node int32) error {
	ctx, cancel := a.within(ctx)
	defer cancel()
	m, err := kadm.NewClient(client).Metadata(ctx)
	if err != nil {
		return err
	}
	states, err := nodeStates(ctx, client, m.Brokers.NodeIDs()...)
	if err != nil {
		return err
	}
	others := 0
	for id, s := range states {
		if id != node && !s.draining {
			others++
		}
	}
	stay, most := 0, 0
	m.Topics.EachPartition(func(p kadm.PartitionDetail) {
		if slices.Contains(p.Replicas, node) && len(p.Replicas) > others {
			stay, most = stay+1, max(most, len(p.Replicas))
		}
	})
	if stay > 0 {
		fmt.Fprintf(a.stderr, "hint: %d partitions have up to %d replicas, and there are %d other nodes to have them: they stay until a node joins (leat serve --join)\n", stay, most, others)
	}
	return nil
}

// awaitDrained waits until no shard has a replica on a node that drains.
func (a *app) awaitDrained(ctx context.Context, client *kgo.Client, node int32, s nodeState) (nodeState, error) {
	total, done := s.shards, 0
	bar := a.progress(int64(total), "shards")
	defer bar.end()
	for s.shards > 0 {
		p := pace{interval: reassignPoll, next: time.Now().Add(reassignPoll)}
		err := p.wait(ctx)
		if err != nil {
			return s, fmt.Errorf("node %d still has replicas of %d shards, which go on moving: %w", node, s.shards, err)
		}
		if s, err = a.nodeStateOf(ctx, client, node); err != nil {
			return s, fmt.Errorf("node %d is being drained, and asking how far failed: %w", node, err)
		}
		if !s.draining {
			return s, fmt.Errorf("node %d is not drained any more: somebody cancelled it", node)
		}
		if total-s.shards > done {
			bar.add(total - s.shards - done)
			done = total - s.shards
		}
	}
	return s, nil
}
