package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// deletedGroup is how group delete tells of a group.
type deletedGroup struct {
	Group   string `json:"group"`
	Deleted bool   `json:"deleted"`
}

func (a *app) groupDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "delete GROUP...",
		Aliases:           []string{"rm"},
		Short:             "Delete groups without members, with their offsets",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeGroups,
	}
	cmd.RunE = a.administers(func(ctx context.Context, adm *kadm.Client, groups []string) error {
		answers, err := adm.DeleteGroups(ctx, groups...)
		if err != nil {
			return err
		}
		done := []deletedGroup{}
		var errs []error
		for _, r := range answers.Sorted() {
			if r.Err != nil {
				errs = append(errs, about(r.Err, "", "group %q", r.Group))
				continue
			}
			done = append(done, deletedGroup{r.Group, true})
		}
		err = a.print(done, func(w io.Writer) {
			for _, g := range done {
				row(w, "deleted "+g.Group)
			}
		})
		return errors.Join(append(errs, err)...)
	})
	return cmd
}
