package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// completionTimeout is how long a shell is kept waiting for names.
const completionTimeout = 2 * time.Second

// completeTopics completes arguments with the names of topics.
func (a *app) completeTopics(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.completeNames(cmd, args, begun, func(ctx context.Context, adm *kadm.Client) ([]string, error) {
		details, err := adm.ListTopics(ctx)
		return details.Names(), err
	})
}

// completeTopic completes one argument with the name of a topic.
func (a *app) completeTopic(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeTopics(cmd, args, begun)
}

// completeGroups completes arguments with the names of groups.
func (a *app) completeGroups(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.completeNames(cmd, args, begun, func(ctx context.Context, adm *kadm.Client) ([]string, error) {
		groups, err := adm.ListGroups(ctx)
		return groups.Groups(), err
	})
}

// completeNames lists names without those that are given already. A broker that is not
// there completes nothing.
func (a *app) completeNames(cmd *cobra.Command, given []string, begun string, list func(context.Context, *kadm.Client) ([]string, error)) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	c, err := a.connect(ctx)
	if err != nil {
		cobra.CompErrorln(err.Error())
		return nil, cobra.ShellCompDirectiveError
	}
	defer c.Close()
	names, err := list(ctx, kadm.NewClient(c))
	if err != nil {
		cobra.CompErrorln(err.Error())
		return nil, cobra.ShellCompDirectiveError
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		return !strings.HasPrefix(name, begun) || slices.Contains(given, name)
	})
	slices.Sort(names)
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeWords completes a flag with one of a few words.
func completeWords(cmd *cobra.Command, flag string, words ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // the command has no such flag
	}
}
