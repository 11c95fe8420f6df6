package leat_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat"
	"github.com/leatlog/leat/leattest"
)

// A node is drained and removed over Kafka's protocol, by any node and while it is down.
func TestKafkaDrainRemove(t *testing.T) {
	c := leattest.NewCluster(t, 3)
	require.Equal(t, 4, c.AddNode())
	ctx := testContext(t)
	_, err := c.Node(1).CreateTopic(ctx, "t", leat.TopicConfig{Partitions: 12})
	require.NoError(t, err)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ClientAddrs()...), kgo.Dialer(c.Dial))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	ask := func(via int, req kmsg.Request) kmsg.Response {
		t.Helper()
		resp, err := client.Broker(via).Request(ctx, req)
		require.NoError(t, err)
		return resp
	}
	alter := func(via int, node string, op kmsg.IncrementalAlterConfigOp, value string) (string, error) {
		t.Helper()
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		r := kmsg.NewIncrementalAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, node
		r.Configs = append(r.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: "leat.node.draining", Op: op, Value: &value})
		req.Resources = append(req.Resources, r)
		o := ask(via, req).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]
		if o.ErrorMessage == nil {
			o.ErrorMessage = new(string)
		}
		return *o.ErrorMessage, kerr.ErrorForCode(o.ErrorCode)
	}
	state := func(via, node int) (draining bool, shards int) {
		t.Helper()
		req := kmsg.NewPtrDescribeConfigsRequest()
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, strconv.Itoa(node)
		r.ConfigNames = []string{"leat.node.draining", "leat.node.shards"}
		req.Resources = append(req.Resources, r)
		o := ask(via, req).(*kmsg.DescribeConfigsResponse).Resources[0]
		require.Zero(t, o.ErrorCode)
		draining, err := strconv.ParseBool(*o.Configs[0].Value)
		require.NoError(t, err)
		shards, err = strconv.Atoi(*o.Configs[1].Value)
		require.NoError(t, err)
		return draining, shards
	}
	remove := func(via int, node int32) (string, error) {
		t.Helper()
		req := kmsg.NewPtrUnregisterBrokerRequest()
		req.BrokerID = node
		o := ask(via, req).(*kmsg.UnregisterBrokerResponse)
		if o.ErrorMessage == nil {
			o.ErrorMessage = new(string)
		}
		return *o.ErrorMessage, kerr.ErrorForCode(o.ErrorCode)
	}
	const set, del = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete

	_, shards := state(1, 4)
	require.Positive(t, shards)
	text, err := remove(2, 4)
	require.ErrorIs(t, err, kerr.InvalidRequest)
	require.Contains(t, text, "drain it first")
	for _, node := range []int32{9, 0, -4} {
		text, err = remove(2, node)
		require.ErrorIs(t, err, kerr.BrokerIDNotRegistered)
		require.Contains(t, text, fmt.Sprint(node))
		_, err = alter(2, fmt.Sprint(node), set, "true")
		require.ErrorIs(t, err, kerr.BrokerIDNotRegistered)
	}

	c.Kill(4)
	_, err = alter(1, "4", set, "true")
	require.NoError(t, err)
	for via := 1; via <= 3; via++ {
		draining, _ := state(via, 4)
		require.True(t, draining, "node %d knows it at once", via)
	}
	_, err = alter(2, "4", del, "")
	require.NoError(t, err)
	draining, _ := state(3, 4)
	require.False(t, draining)
	_, err = alter(3, "4", set, "true")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		draining, shards := state(2, 4)
		require.True(t, draining)
		return shards == 0
	}, 50*time.Second, 50*time.Millisecond)

	for via := 1; via <= 3; via++ { // the first time it does something
		text, err = remove(via, 4)
		require.NoError(t, err, text)
	}
	_, err = alter(1, "4", set, "true")
	require.ErrorIs(t, err, kerr.BrokerIDNotRegistered)
	info, err := c.Node(2).ClusterInfo(ctx)
	require.NoError(t, err)
	require.Len(t, info.Nodes, 3)
	for _, s := range info.Shards[1:] { // the metadata's replica goes last
		for _, r := range s.Replicas {
			require.NotEqualValues(t, 4, r.Node, "shard %d", s.ID)
		}
	}
}

// A standalone Log has no nodes to drain, and does not serve what removes one.
func TestKafkaDrainStandalone(t *testing.T) {
	addr := serveKafka(t, leattest.New(t))
	c := dial(t, addr)
	versions := roundTrip(t, c, kmsg.NewPtrApiVersionsRequest()).(*kmsg.ApiVersionsResponse)
	for _, k := range versions.ApiKeys {
		require.NotEqual(t, int16(kmsg.UnregisterBroker), k.ApiKey)
	}
	for _, node := range []string{"1", "2", ""} {
		value := "true"
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		r := kmsg.NewIncrementalAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, node
		r.Configs = append(r.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: "leat.node.draining", Value: &value})
		req.Resources = append(req.Resources, r)
		o := roundTrip(t, c, req).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]
		require.Equal(t, kerr.InvalidRequest.Code, o.ErrorCode)
		require.Contains(t, *o.ErrorMessage, "standalone")
	}
	_, err := c.Write(frame(kmsg.NewPtrUnregisterBrokerRequest()))
	require.NoError(t, err)
	isClosed(t, c)
}
