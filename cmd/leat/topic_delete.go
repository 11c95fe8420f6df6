package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// deletedTopic is how topic delete tells of a topic.
type deletedTopic struct {
	Name    string `json:"name"`
	Deleted bool   `json:"deleted"` // false if it was not there
}

func (a *app) topicDeleteCommand() *cobra.Command {
	var ifExists bool
	cmd := &cobra.Command{
		Use:               "delete TOPIC...",
		Aliases:           []string{"rm"},
		Short:             "Delete topics with all their records",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeTopics,
	}
	cmd.Flags().BoolVar(&ifExists, "if-exists", false, "succeed if a topic is not there")
	cmd.RunE = a.administers(func(ctx context.Context, adm *kadm.Client, topics []string) error {
		answers, err := adm.DeleteTopics(ctx, topics...)
		if err != nil {
			return err
		}
		done := []deletedTopic{}
		var errs []error
		for _, r := range answers.Sorted() {
			missing := errors.Is(r.Err, kerr.UnknownTopicOrPartition)
			if r.Err != nil && (!missing || !ifExists) {
				errs = append(errs, about(r.Err, r.ErrMessage, "topic %q", r.Topic))
				continue
			}
			done = append(done, deletedTopic{r.Topic, !missing})
		}
		err = a.print(done, func(w io.Writer) {
			for _, t := range done {
				if t.Deleted {
					row(w, "deleted "+t.Name)
				} else {
					row(w, t.Name+" is not there")
				}
			}
		})
		return errors.Join(append(errs, err)...)
	})
	return cmd
}
