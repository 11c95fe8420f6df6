package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// listedGroup is how group list tells of a group.
type listedGroup struct {
	Group        string `json:"group"`
	State        string `json:"state"`
	ProtocolType string `json:"protocol_type"` // consumer, connect, ...; "" for offsets only
	Coordinator  int32  `json:"coordinator"`
}

func (a *app) groupListCommand() *cobra.Command {
	var states []string
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List consumer groups",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().StringSliceVar(&states, "state", nil, "only groups in these `states`: Stable, Empty, ...")
	cmd.RunE = a.administers(func(ctx context.Context, adm *kadm.Client, _ []string) error {
		listed, err := adm.ListGroups(ctx, states...)
		if err != nil {
			return err
		}
		groups := []listedGroup{}
		for _, g := range listed.Sorted() {
			groups = append(groups, listedGroup{g.Group, g.State, g.ProtocolType, g.Coordinator})
		}
		return a.print(groups, func(w io.Writer) {
			row(w, "GROUP", "STATE", "COORDINATOR")
			for _, g := range groups {
				row(w, g.Group, g.State, g.Coordinator)
			}
		})
	})
	return cmd
}
