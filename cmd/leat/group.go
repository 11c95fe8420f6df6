package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func (a *app) groupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "group",
		Aliases: []string{"groups"},
		Short:   "List, describe, reset and delete consumer groups",
	}
	cmd.AddCommand(a.groupListCommand(), a.groupDescribeCommand(), a.groupResetCommand(), a.groupDeleteCommand())
	return cmd
}

// describedGroup is how group describe tells of a group.
type describedGroup struct {
	Group       string           `json:"group"`
	State       string           `json:"state"`
	Type        string           `json:"type"` // consumer (KIP-848) or classic
	Assignor    string           `json:"assignor"`
	Coordinator int32            `json:"coordinator"`
	Lag         int64            `json:"lag"` // of all partitions whose lag is known
	Members     []groupMember    `json:"members"`
	Partitions  []groupPartition `json:"partitions"`
}

type groupMember struct {
	Member     string           `json:"member"`
	Instance   *string          `json:"instance"` // null for a dynamic member
	Client     string           `json:"client"`
	Host       string           `json:"host"`
	Partitions []topicPartition `json:"partitions"`
}

type topicPartition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
}

type groupPartition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed *int64 `json:"committed"` // null without a commit
	LogStart  *int64 `json:"log_start"` // null if it is not known
	End       *int64 `json:"end"`       // the same
	Lag       *int64 `json:"lag"`       // the same
	Member    string `json:"member"`    // "" if nobody has it
}

// describeMembers asks for a group of either protocol; its partitions are not filled in.
func describeMembers(ctx context.Context, adm *kadm.Client, group string) (*describedGroup, error) {
	g, err := describeConsumer(ctx, adm, group)
	if err == nil || ctx.Err() != nil {
		return g, err
	}
	// Not of KIP-848, or of a broker that does not know it.
	all, err := adm.DescribeGroups(ctx, group)
	d, onErr := all.On(group, nil)
	if err = errors.Join(err, onErr, d.Err); err == nil && d.State == "Dead" {
		err = kerr.GroupIDNotFound
	}
	if err != nil {
		return nil, about(err, d.ErrMessage, "group %q", group)
	}
	g = &describedGroup{Group: group, State: d.State, Type: "classic", Assignor: d.Protocol, Coordinator: d.Coordinator.NodeID}
	for _, m := range d.Members {
		gm := groupMember{Member: m.MemberID, Instance: m.InstanceID, Client: m.ClientID, Host: m.ClientHost, Partitions: []topicPartition{}}
		if assigned, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range assigned.Topics {
				for _, p := range t.Partitions {
					gm.Partitions = append(gm.Partitions, topicPartition{t.Topic, p})
				}
			}
		}
		g.Members = append(g.Members, gm)
	}
	return g, nil
}

func describeConsumer(ctx context.Context, adm *kadm.Client, group string) (*describedGroup, error) {
	all, err := adm.DescribeConsumerGroups(ctx, group)
	if err != nil {
		return nil, err
	}
	d, ok := all[group]
	switch {
	case !ok:
		return nil, about(errNoAnswer, "", "group %q", group)
	case d.Err != nil:
		return nil, d.Err
	}
	g := &describedGroup{Group: group, State: d.State, Type: "consumer", Assignor: d.AssignorName, Coordinator: d.Coordinator.NodeID}
	for _, m := range d.Members {
		gm := groupMember{Member: m.MemberID, Instance: m.InstanceID, Client: m.ClientID, Host: m.ClientHost, Partitions: []topicPartition{}}
		m.Assignment.Each(func(t string, p int32) { gm.Partitions = append(gm.Partitions, topicPartition{t, p}) })
		g.Members = append(g.Members, gm)
	}
	return g, nil
}

// describeGroup asks for a group with its partitions: those it has committed for, and
// those that its members have.
func describeGroup(ctx context.Context, adm *kadm.Client, group string) (*describedGroup, error) {
	g, err := describeMembers(ctx, adm, group)
	if err != nil {
		return nil, err
	}
	commits, err := adm.FetchOffsets(ctx, group)
	if err == nil {
		err = commits.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("the offsets of group %q: %w", group, err)
	}
	owner := make(map[topicPartition]string)
	commits.Each(func(o kadm.OffsetResponse) { owner[topicPartition{o.Topic, o.Partition}] = "" })
	for _, m := range g.Members {
		slices.SortFunc(m.Partitions, topicPartition.compare)
		for _, tp := range m.Partitions {
			owner[tp] = m.Member
		}
	}
	topics := make(map[string]bool)
	var names []string
	for tp := range owner {
		if !topics[tp.Topic] {
			topics[tp.Topic] = true
			names = append(names, tp.Topic)
		}
	}
	var starts, ends kadm.ListedOffsets
	if len(names) > 0 { // none would be all
		var startsErr, endsErr error
		starts, startsErr = adm.ListStartOffsets(ctx, names...)
		ends, endsErr = adm.ListEndOffsets(ctx, names...)
		if err := errors.Join(startsErr, endsErr); err != nil && ctx.Err() != nil {
			return nil, err
		} // what of them failed, a deleted topic say, is null
	}
	for tp, member := range owner {
		p := groupPartition{Topic: tp.Topic, Partition: tp.Partition, Member: member,
			LogStart: offsetPointer(starts, tp), End: offsetPointer(ends, tp)}
		if o, ok := commits.Lookup(tp.Topic, tp.Partition); ok && o.At >= 0 {
			p.Committed = &o.At
		}
		if p.End != nil && p.LogStart != nil {
			from := *p.LogStart
			if p.Committed != nil {
				from = *p.Committed
			}
			lag := max(0, *p.End-from)
			p.Lag = &lag
			g.Lag += lag
		}
		g.Partitions = append(g.Partitions, p)
	}
	slices.SortFunc(g.Partitions, func(a, b groupPartition) int {
		return topicPartition{a.Topic, a.Partition}.compare(topicPartition{b.Topic, b.Partition})
	})
	g.Members, g.Partitions = some(g.Members), some(g.Partitions)
	return g, nil
}

func (a topicPartition) compare(b topicPartition) int {
	if c := strings.Compare(a.Topic, b.Topic); c != 0 {
		return c
	}
	return int(a.Partition) - int(b.Partition)
}

func offsetPointer(l kadm.ListedOffsets, tp topicPartition) *int64 {
	if o := offsetOr(l, tp.Topic, tp.Partition, -1); o >= 0 {
		return &o
	}
	return nil
}

// maybe tells a number that may be missing.
func maybe(n *int64) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}
