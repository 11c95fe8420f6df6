package main

import "github.com/spf13/cobra"

func (a *app) clusterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Show the brokers, move partitions between them, and drain and remove nodes",
	}
	cmd.AddCommand(a.clusterStatusCommand(), a.clusterReassignCommand(), a.clusterDrainCommand(), a.clusterRemoveCommand())
	return cmd
}
