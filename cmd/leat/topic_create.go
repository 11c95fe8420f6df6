package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// createdTopic is how topic create tells of a topic.
type createdTopic struct {
	Name              string `json:"name"`
	Partitions        int32  `json:"partitions"`         // -1 if the broker does not tell
	ReplicationFactor int16  `json:"replication_factor"` // the same
	Created           bool   `json:"created"`            // false if it was there, or only tried
}

func (a *app) topicCreateCommand() *cobra.Command {
	var partitions int32
	var replicationFactor int16
	var configs []string
	var ifNotExists, dryRun bool
	cmd := &cobra.Command{
		Use:   "create TOPIC...",
		Short: "Create topics",
		Example: "  leat topic create orders --partitions 6\n" +
			"  leat topic create settings --config cleanup.policy=compact --if-not-exists",
		Args: cobra.MinimumNArgs(1),
	}
	f := cmd.Flags()
	f.Int32VarP(&partitions, "partitions", "p", -1, "number of partitions; -1 is the brokers' default")
	f.Int16VarP(&replicationFactor, "replication-factor", "r", -1, "number of replicas; -1 is the brokers' default")
	f.StringArrayVarP(&configs, "config", "c", nil, "`property=value` by Kafka's names, such as retention.ms=86400000; may be repeated")
	f.BoolVar(&ifNotExists, "if-not-exists", false, "succeed if a topic is there already")
	f.BoolVar(&dryRun, "dry-run", false, "only check whether it would succeed")
	properties := make(map[string]*string)
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if (partitions < 1 && partitions != -1) || (replicationFactor < 1 && replicationFactor != -1) {
			return usagef("--partitions and --replication-factor must be at least 1, or -1 for the brokers' default")
		}
		for _, c := range configs {
			name, value, err := property("config", c)
			if err != nil {
				return err
			}
			properties[name] = &value
		}
		return nil
	}
	cmd.RunE = a.administers(func(ctx context.Context, adm *kadm.Client, topics []string) error {
		create := adm.CreateTopics
		if dryRun {
			create = adm.ValidateCreateTopics
		}
		answers, err := create(ctx, partitions, replicationFactor, properties, topics...)
		if err != nil {
			return err
		}
		done := []createdTopic{}
		var errs []error
		for _, r := range answers.Sorted() {
			exists := errors.Is(r.Err, kerr.TopicAlreadyExists)
			if r.Err != nil && (!exists || !ifNotExists) {
				errs = append(errs, about(r.Err, r.ErrMessage, "topic %q", r.Topic))
				continue
			}
			t := createdTopic{r.Topic, -1, -1, !exists && !dryRun}
			if !exists && r.NumPartitions > 0 {
				t.Partitions, t.ReplicationFactor = r.NumPartitions, r.ReplicationFactor
			}
			done = append(done, t)
		}
		err = a.print(done, func(w io.Writer) {
			for _, t := range done {
				switch {
				case t.Created:
					row(w, "created "+t.Name)
				case dryRun:
					row(w, "would create "+t.Name)
				default:
					row(w, t.Name+" exists")
				}
			}
		})
		return errors.Join(append(errs, err)...)
	})
	return cmd
}
