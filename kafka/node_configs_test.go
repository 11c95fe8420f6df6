package kafka

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// drainRequest makes a change of a node's config.
func drainRequest(node string, validate bool, changes ...kmsg.IncrementalAlterConfigsRequestResourceConfig) *kmsg.IncrementalAlterConfigsRequest {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Version, req.ValidateOnly = 1, validate
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.Configs = kmsg.ConfigResourceTypeBroker, node, changes
	req.Resources = append(req.Resources, r)
	return req
}

func nodeChange(op kmsg.IncrementalAlterConfigOp, name, value string) kmsg.IncrementalAlterConfigsRequestResourceConfig {
	return kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: name, Op: op, Value: &value}
}

func (c *testClient) nodeConfigs(node string, names ...string) *kmsg.DescribeConfigsResponseResource {
	c.t.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version = 4
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeBroker, node, names
	req.Resources = append(req.Resources, r)
	return &ask[*kmsg.DescribeConfigsResponse](c, req).Resources[0]
}

func TestNodeConfigs(t *testing.T) {
	fc := newFakeCluster(t, Limits{})
	c := fc.nodes[1].dial(t)
	const set, remove, add = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete, kmsg.IncrementalAlterConfigOpAppend
	draining := nodeChange(set, drainingProperty, "true")
	for i, tt := range []struct {
		node    string
		changes []kmsg.IncrementalAlterConfigsRequestResourceConfig
		code    Code
		want    bool // node 3 drains afterwards
	}{
		{"3", []kmsg.IncrementalAlterConfigsRequestResourceConfig{nodeChange(set, drainingProperty, "yes")}, InvalidConfig, false},
		{"3", []kmsg.IncrementalAlterConfigsRequestResourceConfig{nodeChange(add, drainingProperty, "true")}, InvalidConfig, false},
		{"3", []kmsg.IncrementalAlterConfigsRequestResourceConfig{draining, nodeChange(set, "log.retention.ms", "1")}, InvalidRequest, false},
		{"3", []kmsg.IncrementalAlterConfigsRequestResourceConfig{nodeChange(set, shardsProperty, "0")}, InvalidRequest, false},
		{"3", []kmsg.IncrementalAlterConfigsRequestResourceConfig{draining, draining}, InvalidRequest, false},
		{"3", []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: drainingProperty}}, InvalidRequest, false},
		{"", []kmsg.IncrementalAlterConfigsRequestResourceConfig{draining}, InvalidRequest, false},
		{"03", []kmsg.IncrementalAlterConfigsRequestResourceConfig{draining}, InvalidRequest, false},
		{"4294967299", []kmsg.IncrementalAlterConfigsRequestResourceConfig{draining}, InvalidRequest, false},
		{"9", []kmsg.IncrementalAlterConfigsRequestResourceConfig{draining}, BrokerIDNotRegistered, false},
		{"-3", []kmsg.IncrementalAlterConfigsRequestResourceConfig{draining}, BrokerIDNotRegistered, false},
		{"3", nil, None, false},
		{"3", []kmsg.IncrementalAlterConfigsRequestResourceConfig{draining}, None, true},
		{"3", nil, None, true},
		{"3", []kmsg.IncrementalAlterConfigsRequestResourceConfig{nodeChange(remove, drainingProperty, "")}, None, false},
		{"3", []kmsg.IncrementalAlterConfigsRequestResourceConfig{draining}, None, true},
		{"3", []kmsg.IncrementalAlterConfigsRequestResourceConfig{nodeChange(set, drainingProperty, "false")}, None, false},
	} {
		was, _ := fc.Member(3)
		for _, validate := range []bool{true, false} {
			o := ask[*kmsg.IncrementalAlterConfigsResponse](c, drainRequest(tt.node, validate, tt.changes...)).Resources[0]
			require.EqualValues(t, tt.code, o.ErrorCode, "case %d", i)
			require.Equal(t, tt.code != None, o.ErrorMessage != nil, "case %d", i)
			m, _ := fc.Member(3)
			if validate {
				require.Equal(t, was, m, "case %d", i)
			} else {
				require.Equal(t, tt.want, m.Draining, "case %d", i)
			}
		}
	}

	// Each node tells of every one what the cluster keeps, and of itself all.
	require.NoError(t, fc.SetDraining(t.Context(), 3, true))
	for node, want := range map[string]string{"1": "false", "2": "false", "3": "true"} {
		o := c.nodeConfigs(node, drainingProperty, shardsProperty)
		require.Zero(t, o.ErrorCode)
		require.Len(t, o.Configs, 2)
		p := o.Configs[0]
		require.Equal(t, drainingProperty, p.Name)
		require.Equal(t, want, *p.Value)
		require.Equal(t, want == "false", p.Source == kmsg.ConfigSourceDefaultConfig)
		require.False(t, p.ReadOnly)
		require.Equal(t, kmsg.ConfigTypeBoolean, p.ConfigType)
		require.True(t, o.Configs[1].ReadOnly)
	}
	all := c.nodeConfigs("2")
	require.Greater(t, len(all.Configs), 5)
	require.True(t, func() bool {
		for _, p := range all.Configs {
			if p.Name == drainingProperty {
				return *p.Value == "false"
			}
		}
		return false
	}(), "it is among all")
	require.EqualValues(t, InvalidRequest, c.nodeConfigs("3").ErrorCode)
	require.EqualValues(t, InvalidRequest, c.nodeConfigs("3", drainingProperty, "log.dirs").ErrorCode)
	require.EqualValues(t, BrokerIDNotRegistered, c.nodeConfigs("9", drainingProperty).ErrorCode)
}

func TestUnregisterBroker(t *testing.T) {
	fc := newFakeCluster(t, Limits{})
	c := fc.nodes[0].dial(t)
	require.True(t, serves(c, kmsg.UnregisterBroker))
	require.NoError(t, fc.SetDraining(t.Context(), 3, true)) // and it is empty
	for node, want := range map[int32]Code{2: InvalidRequest, 3: None, 9: BrokerIDNotRegistered, -1: BrokerIDNotRegistered} {
		req := kmsg.NewPtrUnregisterBrokerRequest()
		req.BrokerID = node
		resp := ask[*kmsg.UnregisterBrokerResponse](c, req)
		require.EqualValues(t, want, resp.ErrorCode)
		require.Equal(t, want != None, resp.ErrorMessage != nil)
	}
}

func serves(c *testClient, key kmsg.Key) bool {
	c.t.Helper()
	for _, k := range ask[*kmsg.ApiVersionsResponse](c, kmsg.NewPtrApiVersionsRequest()).ApiKeys {
		if k.ApiKey == int16(key) {
			return true
		}
	}
	return false
}
