package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func (a *app) groupDescribeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "describe GROUP...",
		Short:             "Show members, committed offsets and lag of groups",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeGroups,
	}
	cmd.RunE = a.administers(func(ctx context.Context, adm *kadm.Client, names []string) error {
		var groups []*describedGroup
		for _, name := range names {
			g, err := describeGroup(ctx, adm, name)
			if err != nil {
				return err
			}
			groups = append(groups, g)
		}
		return a.print(groups, func(w io.Writer) {
			for i, g := range groups {
				if i > 0 {
					fmt.Fprintln(w)
				}
				g.write(w)
			}
		})
	})
	return cmd
}

func (g *describedGroup) write(w io.Writer) {
	fmt.Fprintf(w, "%s: %s (%s), %d members, lag %d, coordinator %d\n", g.Group, g.State, g.Type, len(g.Members), g.Lag, g.Coordinator)
	if len(g.Partitions) > 0 {
		fmt.Fprintln(w)
		row(w, "TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER")
	}
	for _, p := range g.Partitions {
		member := p.Member
		if member == "" {
			member = "-"
		}
		row(w, p.Topic, p.Partition, maybe(p.Committed), maybe(p.End), maybe(p.Lag), member)
	}
	if len(g.Members) > 0 {
		fmt.Fprintln(w)
		row(w, "MEMBER", "CLIENT", "HOST", "PARTITIONS")
	}
	for _, m := range g.Members {
		row(w, m.Member, m.Client, m.Host, len(m.Partitions))
	}
}
