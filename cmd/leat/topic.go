package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func (a *app) topicCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "topic",
		Aliases: []string{"topics"},
		Short:   "Create, list, describe, alter and delete topics",
	}
	cmd.AddCommand(a.topicCreateCommand(), a.topicListCommand(), a.topicDescribeCommand(), a.topicAlterCommand(), a.topicDeleteCommand())
	return cmd
}

// property splits the value of a flag into a property's name and its value.
func property(flag, s string) (name, value string, err error) {
	name, value, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return "", "", usagef("--%s %q must have the form property=value, such as retention.ms=86400000", flag, s)
	}
	return name, value, nil
}

// topicsOf returns the details of topics, of all if none are named, or an error for the
// first that is not there.
func topicsOf(details kadm.TopicDetails, names []string) ([]kadm.TopicDetail, error) {
	if len(names) == 0 {
		return details.Sorted(), nil
	}
	var out []kadm.TopicDetail
	for _, name := range names {
		d, ok := details[name]
		if err := d.Err; !ok || err != nil {
			if err == nil {
				err = errNoAnswer
			}
			return nil, about(err, "", "topic %q", name)
		}
		out = append(out, d)
	}
	return out, nil
}

// replicationFactor returns that of most partitions; they all have the same but while
// replicas move.
func replicationFactor(d *kadm.TopicDetail) int {
	return d.Partitions.NumReplicas()
}
