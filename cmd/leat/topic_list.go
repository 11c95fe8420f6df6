package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// listedTopic is how topic list tells of a topic.
type listedTopic struct {
	Name              string `json:"name"`
	Partitions        int    `json:"partitions"`
	ReplicationFactor int    `json:"replication_factor"`
	Internal          bool   `json:"internal"`
}

func (a *app) topicListCommand() *cobra.Command {
	var internal bool
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List topics",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&internal, "internal", false, "list the brokers' own topics too")
	cmd.RunE = a.administers(func(ctx context.Context, adm *kadm.Client, _ []string) error {
		list := adm.ListTopics
		if internal {
			list = adm.ListTopicsWithInternal
		}
		details, err := list(ctx)
		if err != nil {
			return err
		}
		topics := []listedTopic{}
		for _, d := range details.Sorted() {
			topics = append(topics, listedTopic{d.Topic, len(d.Partitions), replicationFactor(&d), d.IsInternal})
		}
		return a.print(topics, func(w io.Writer) {
			row(w, "TOPIC", "PARTITIONS", "REPLICAS")
			for _, t := range topics {
				row(w, t.Name, t.Partitions, t.ReplicationFactor)
			}
		})
	})
	return cmd
}
