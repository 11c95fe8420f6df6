package kafka

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// source tells clients whether a topic sets a property itself.
func source(own bool) kmsg.ConfigSource {
	if own {
		return kmsg.ConfigSourceDynamicTopicConfig
	}
	return kmsg.ConfigSourceDefaultConfig
}

func sortedNames(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// brokerConfigs is what consoles ask of a broker's config before they show anything,
// and what this node is set to.
func (c *conn) brokerConfigs() map[string]string {
	l := &c.server.limits
	all := map[string]string{
		"connections.max.idle.ms":               strconv.FormatInt(l.IdleTimeout.Milliseconds(), 10),
		"fetch.max.bytes":                       strconv.Itoa(l.FetchBytes),
		"inter.broker.protocol.version":         "4.0",
		"max.connections":                       strconv.Itoa(l.Connections),
		"max.connections.per.ip":                strconv.Itoa(l.ConnectionsPerAddr),
		"node.id":                               strconv.Itoa(int(c.server.self)),
		"socket.request.max.bytes":              strconv.Itoa(l.RequestBytes),
		"group.coordinator.rebalance.protocols": "classic,consumer",
	}
	maps.Copy(all, c.server.backend.NodeConfig())
	return all
}

// describeConfigs tells the configs of topics and of nodes.
func describeConfigs(_ context.Context, c *conn, req *kmsg.DescribeConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeConfigsResponse()
	type key struct {
		kind kmsg.ConfigResourceType
		name string
	}
	seen := make(map[key]struct{}, len(req.Resources))
	for i := range req.Resources {
		want := &req.Resources[i]
		if !first(seen, key{want.ResourceType, want.ResourceName}) {
			continue
		}
		o := kmsg.NewDescribeConfigsResponseResource()
		o.ResourceType, o.ResourceName = want.ResourceType, want.ResourceName
		all, own, err := c.resourceConfigs(want.ResourceType, want.ResourceName, want.ConfigNames)
		o.ErrorCode, o.ErrorMessage = c.describe(err)
		for _, name := range sortedNames(all) {
			if want.ConfigNames != nil && !slices.Contains(want.ConfigNames, name) {
				continue
			}
			o.Configs = append(o.Configs, describedConfig(want.ResourceType, name, all[name], own[name], req.IncludeSynonyms))
		}
		resp.Resources = append(resp.Resources, o)
	}
	return resp
}

func describedConfig(kind kmsg.ConfigResourceType, name, value string, own, synonyms bool) kmsg.DescribeConfigsResponseResourceConfig {
	p := kmsg.NewDescribeConfigsResponseResourceConfig()
	p.Name, p.Value = name, &value
	p.Source = source(own)
	if kind == kmsg.ConfigResourceTypeBroker {
		p.ReadOnly, p.Source = true, kmsg.ConfigSourceStaticBrokerConfig
	}
	p.ConfigType = configType(name, value)
	if kind == kmsg.ConfigResourceTypeBroker && name == drainingProperty {
		p.ReadOnly, p.Source, p.ConfigType = false, kmsg.ConfigSourceDefaultConfig, kmsg.ConfigTypeBoolean
		if value == "true" {
			p.Source = kmsg.ConfigSourceDynamicBrokerConfig
		}
	}
	p.IsDefault = p.Source == kmsg.ConfigSourceDefaultConfig
	if synonyms {
		s := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
		s.Name, s.Value, s.Source = name, &value, p.Source
		p.ConfigSynonyms = append(p.ConfigSynonyms, s)
	}
	return p
}

// configType tells how a value is to be read (KIP-569).
func configType(name, value string) kmsg.ConfigType {
	if name == "cleanup.policy" {
		return kmsg.ConfigTypeList
	}
	if _, err := strconv.ParseInt(value, 10, 64); err == nil {
		return kmsg.ConfigTypeLong
	}
	if _, err := strconv.ParseFloat(value, 64); err == nil && name != "inter.broker.protocol.version" {
		return kmsg.ConfigTypeDouble
	}
	return kmsg.ConfigTypeString
}

func (c *conn) resourceConfigs(kind kmsg.ConfigResourceType, name string, wanted []string) (all map[string]string, own map[string]bool, err error) {
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		t := c.server.backend.Topic(name)
		if t == nil {
			return nil, nil, refuse(UnknownTopicOrPartition, "there is no topic %q", name)
		}
		all, own = t.Properties()
		return all, own, nil
	case kmsg.ConfigResourceTypeBroker:
		all, err = c.nodeConfigs(name, wanted)
		return all, nil, err
	}
	return nil, nil, refuse(InvalidRequest, "only topics and nodes have a config here, not resources of type %d", kind)
}
