package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The properties by which a cluster of leat tells how far a node is drained. Other
// Kafkas have none of them.
const (
	drainingProperty = "leat.node.draining"
	shardsProperty   = "leat.node.shards"
)

// nodeState is what those properties say.
type nodeState struct {
	draining bool
	shards   int // which have a replica on the node
}

// errNoDrain is what a broker gets that does not know of draining.
var errNoDrain = errors.New("the brokers cannot drain a node")

// nodeArgument reads the one argument of a command that is about a node.
func nodeArgument(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("accepts 1 arg, the number of a node, received %d", len(args))
	}
	if n, err := strconv.ParseInt(args[0], 10, 32); err != nil || n < 1 {
		return usagef("%q is not the number of a node, see \"leat cluster status\"", args[0])
	}
	return nil
}

// nodeID is for what nodeArgument has accepted.
func nodeID(arg string) int32 {
	n, _ := strconv.ParseInt(arg, 10, 32)
	return int32(n)
}

// completeNode completes one argument with the number of a broker.
func (a *app) completeNode(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeNames(cmd, args, begun, func(ctx context.Context, adm *kadm.Client) (ids []string, err error) {
		brokers, err := adm.ListBrokers(ctx)
		for _, b := range brokers {
			ids = append(ids, strconv.Itoa(int(b.NodeID)))
		}
		return ids, err
	})
}

// askAny asks one broker after the other until one answers, for what all of them know or
// pass on; the client itself would ask the very node that it is about, which may be down.
// That node comes last.
func askAny(ctx context.Context, client *kgo.Client, last int32, req kmsg.Request) (kmsg.Response, error) {
	brokers, err := kadm.NewClient(client).ListBrokers(ctx)
	if err != nil {
		return nil, err
	}
	ids := slices.DeleteFunc(brokers.NodeIDs(), func(id int32) bool { return id == last })
	if len(ids) < len(brokers) {
		ids = append(ids, last)
	}
	var errs []error
	for _, id := range ids {
		resp, err := client.Broker(int(id)).Request(ctx, req)
		if err == nil {
			return resp, nil
		}
		if errs = append(errs, fmt.Errorf("broker %d: %w", id, err)); ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// nodeStates asks for the states of nodes. Those that are not told are missing in
// the map; the error says why, errNoDrain where brokers do not know of it.
func nodeStates(ctx context.Context, client *kgo.Client, ids ...int32) (map[int32]nodeState, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	for _, id := range ids {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(id))
		r.ConfigNames = []string{drainingProperty, shardsProperty}
		req.Resources = append(req.Resources, r)
	}
	resp, err := askAny(ctx, client, ids[0], req)
	if err != nil {
		return nil, err
	}
	var untold []error
	states := make(map[int32]nodeState)
	for _, r := range resp.(*kmsg.DescribeConfigsResponse).Resources {
		id, err := strconv.ParseInt(r.ResourceName, 10, 32)
		if err == nil {
			err = about(kerr.ErrorForCode(r.ErrorCode), text(r.ErrorMessage), "node %s", r.ResourceName)
		}
		var s nodeState
		if err == nil {
			s, err = stateOf(r.Configs)
		}
		if err != nil {
			untold = append(untold, err)
			continue
		}
		states[int32(id)] = s
	}
	return states, errors.Join(untold...)
}

func stateOf(configs []kmsg.DescribeConfigsResponseResourceConfig) (s nodeState, err error) {
	told := 0
	for _, p := range configs {
		switch p.Name {
		case drainingProperty:
			s.draining, err = strconv.ParseBool(text(p.Value))
		case shardsProperty:
			s.shards, err = strconv.Atoi(text(p.Value))
		default:
			continue
		}
		if err != nil {
			return s, fmt.Errorf("%s: %w", p.Name, err)
		}
		told++
	}
	if told < 2 {
		return s, hintf(errNoDrain, "only a cluster of leat drains its nodes; \"leat cluster reassign\" moves partitions of any Kafka")
	}
	return s, nil
}

// nodeStateOf asks for the state of one node.
func (a *app) nodeStateOf(ctx context.Context, client *kgo.Client, node int32) (nodeState, error) {
	ctx, cancel := a.within(ctx)
	defer cancel()
	states, err := nodeStates(ctx, client, node)
	s, ok := states[node]
	if !ok && err == nil {
		err = fmt.Errorf("node %d: %w", node, errNoAnswer)
	}
	return s, err
}

// text is "" for nil.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
