package main

import "github.com/spf13/cobra"

func (a *app) clusterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Show the brokers, and move partitions between them",
	}
	cmd.AddCommand(a.clusterStatusCommand(), a.clusterReassignCommand())
	return cmd
}
