package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// alteredTopic is how topic alter tells of a topic.
type alteredTopic struct {
	Name    string `json:"name"`
	Altered bool   `json:"altered"` // false if it was only tried
}

func (a *app) topicAlterCommand() *cobra.Command {
	var partitions int
	var set, remove []string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "alter TOPIC...",
		Short: "Change the configs of topics, or add partitions",
		Example: "  leat topic alter orders --config retention.ms=86400000 --delete-config max.message.bytes\n" +
			"  leat topic alter orders --partitions 12",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeTopics,
	}
	f := cmd.Flags()
	f.IntVarP(&partitions, "partitions", "p", 0, "add partitions up to this `number`; keys then land in other partitions")
	f.StringArrayVarP(&set, "config", "c", nil, "set `property=value`; may be repeated")
	f.StringArrayVar(&remove, "delete-config", nil, "set a `property` back to its default; may be repeated")
	f.BoolVar(&dryRun, "dry-run", false, "only check whether it would succeed")
	var changes []kadm.AlterConfig
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if !f.Changed("partitions") && len(set)+len(remove) == 0 {
			return usagef("nothing to alter: give --partitions, --config or --delete-config")
		}
		for _, s := range set {
			name, value, err := property("config", s)
			if err != nil {
				return err
			}
			changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value})
		}
		for _, name := range remove {
			changes = append(changes, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: name})
		}
		return nil
	}
	cmd.RunE = a.administers(func(ctx context.Context, adm *kadm.Client, topics []string) error {
		if len(changes) > 0 {
			if err := alterConfigs(ctx, adm, changes, dryRun, topics); err != nil {
				return err
			}
		}
		if f.Changed("partitions") {
			if err := addPartitions(ctx, adm, partitions, dryRun, topics); err != nil {
				if len(changes) > 0 && !dryRun {
					err = fmt.Errorf("the configs were altered, but %w", err)
				}
				return err
			}
		}
		done := []alteredTopic{}
		for _, t := range topics {
			done = append(done, alteredTopic{t, !dryRun})
		}
		return a.print(done, func(w io.Writer) {
			for _, t := range done {
				if dryRun {
					row(w, "would alter "+t.Name)
				} else {
					row(w, "altered "+t.Name)
				}
			}
		})
	})
	return cmd
}

func alterConfigs(ctx context.Context, adm *kadm.Client, changes []kadm.AlterConfig, dryRun bool, topics []string) error {
	alter := adm.AlterTopicConfigs
	if dryRun {
		alter = adm.ValidateAlterTopicConfigs
	}
	answers, err := alter(ctx, changes, topics...)
	errs := []error{err}
	for _, r := range answers {
		errs = append(errs, about(r.Err, r.ErrMessage, "the configs of topic %q", r.Name))
	}
	return errors.Join(errs...)
}

// addPartitions lets topics have n partitions.
func addPartitions(ctx context.Context, adm *kadm.Client, n int, dryRun bool, topics []string) error {
	details, err := adm.ListTopics(ctx, topics...)
	if err != nil {
		return err
	}
	found, err := topicsOf(details, topics)
	if err != nil {
		return err
	}
	for _, d := range found {
		if len(d.Partitions) >= n {
			return hintf(fmt.Errorf("topic %q has %d partitions, it cannot have %d", d.Topic, len(d.Partitions), n),
				"partitions can only be added")
		}
	}
	if dryRun {
		for _, d := range found {
			answers, err := adm.ValidateCreatePartitions(ctx, n-len(d.Partitions), d.Topic)
			if err = errors.Join(err, partitionErrors(answers)); err != nil {
				return err
			}
		}
		return nil
	}
	answers, err := adm.UpdatePartitions(ctx, n, topics...)
	return errors.Join(err, partitionErrors(answers))
}

func partitionErrors(answers kadm.CreatePartitionsResponses) error {
	var errs []error
	for _, r := range answers.Sorted() {
		errs = append(errs, about(r.Err, r.ErrMessage, "the partitions of topic %q", r.Topic))
	}
	return errors.Join(errs...)
}
