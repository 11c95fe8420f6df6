package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// removedNode is how cluster remove tells of the node.
type removedNode struct {
	Node    int32 `json:"node"`
	Removed bool  `json:"removed"`
}

func (a *app) clusterRemoveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove NODE",
		Short: "Take a drained node out of the cluster for good",
		Long: "Remove takes a node that \"leat cluster drain\" has emptied out of the cluster. Its number\n" +
			"is refused from then on. If the node runs, stop it.",
		Args:              nodeArgument,
		ValidArgsFunction: a.completeNode,
	}
	cmd.RunE = a.asks(func(ctx context.Context, client *kgo.Client, args []string) error {
		node := nodeID(args[0])
		if err := removeNode(ctx, client, node); err != nil {
			return err
		}
		return a.print(removedNode{node, true}, func(w io.Writer) {
			row(w, "removed node "+args[0]+": stop it if it runs, its number is not to be used again")
		})
	})
	return cmd
}

func removeNode(ctx context.Context, client *kgo.Client, node int32) error {
	if err := servesRemoval(ctx, kadm.NewClient(client)); err != nil {
		return err
	}
	req := kmsg.NewPtrUnregisterBrokerRequest()
	req.BrokerID = node
	answer, err := askAny(ctx, client, node, req)
	if err != nil {
		return err
	}
	resp := answer.(*kmsg.UnregisterBrokerResponse)
	err = about(kerr.ErrorForCode(resp.ErrorCode), text(resp.ErrorMessage), "node %d", node)
	if errors.Is(err, kerr.InvalidRequest) {
		err = hintf(err, "\"leat cluster drain %d\" empties it", node)
	}
	return err
}

// servesRemoval asks whether any broker takes UnregisterBroker.
func servesRemoval(ctx context.Context, adm *kadm.Client) error {
	brokers, err := adm.ApiVersions(ctx)
	if err != nil {
		return err
	}
	for _, b := range brokers {
		if _, ok := b.KeyMaxVersion(int16(kmsg.UnregisterBroker)); ok || b.Err != nil {
			return nil // where one is not known, the request itself tells
		}
	}
	return hintf(errors.New("the brokers do not remove nodes: none serves UnregisterBroker"),
		"a node is removed from a cluster; a broker that is on its own is stopped")
}
