package kafka

import (
	"context"
	"maps"
	"slices"
	"strconv"
)

// The properties of a node that the cluster keeps, so that every node answers for each.
// Kafka has neither: there a broker is emptied by reassigning its partitions.
const (
	// drainingProperty can be set: true empties the node.
	drainingProperty = "leat.node.draining"
	// shardsProperty is Member.Shards.
	shardsProperty = "leat.node.shards"
)

// clusterProperties are those that the cluster keeps.
var clusterProperties = []string{drainingProperty, shardsProperty}

// member returns the node that a resource of a broker's config names.
func (c *conn) member(members Membership, name string) (node int32, m Member, err error) {
	n, err := strconv.ParseInt(name, 10, 32)
	if err != nil || strconv.FormatInt(n, 10) != name {
		return 0, Member{}, refuse(InvalidRequest, "%q is not the number of a node", name)
	}
	m, ok := members.Member(int32(n))
	if !ok {
		return 0, Member{}, refuse(BrokerIDNotRegistered, "the cluster has no node %d", n)
	}
	return int32(n), m, nil
}

// nodeConfigs tells the properties of a node that a request names, of all if wanted is
// nil. Of another node this one only has what the cluster keeps, so all of it must have
// been named: who asks for everything should learn that this is not the node to ask.
func (c *conn) nodeConfigs(name string, wanted []string) (map[string]string, error) {
	if name == "" { // the defaults of all nodes: nothing is kept there
		return nil, nil
	}
	self := name == strconv.Itoa(int(c.server.self))
	members := c.server.backend.Membership()
	known := members != nil && len(wanted) > 0 &&
		!slices.ContainsFunc(wanted, func(p string) bool { return !slices.Contains(clusterProperties, p) })
	if !self && !known {
		return nil, refuse(InvalidRequest, "this is node %d: it does not know the config of node %q, ask that", c.server.self, name)
	}
	all := make(map[string]string)
	if self {
		all = c.brokerConfigs()
	}
	if members != nil {
		_, m, err := c.member(members, name)
		if err != nil && !self { // this one may have been removed, and runs on
			return nil, err
		}
		maps.Copy(all, map[string]string{drainingProperty: strconv.FormatBool(m.Draining), shardsProperty: strconv.Itoa(m.Shards)})
	}
	return all, nil
}

// alterNode makes the one change that a node's config can have.
func (c *conn) alterNode(ctx context.Context, name string, a ConfigAlteration) error {
	members := c.server.backend.Membership()
	if members == nil {
		return refuse(InvalidRequest, "only the configs of topics can be altered here: this Log is standalone, there is no node that could take the partitions of another")
	}
	node, now, err := c.member(members, name)
	if err != nil {
		return err
	}
	draining := now.Draining
	for _, p := range a.Changes {
		switch {
		case p.Name != drainingProperty:
			return refuse(InvalidRequest, "of a node only %s can be altered, not property %q", drainingProperty, p.Name)
		case p.Op == ConfigDelete:
			draining = false
		case p.Op != ConfigSet:
			return refuse(InvalidConfig, "%s is not a list, which could be appended to or subtracted from", drainingProperty)
		case p.Value != "true" && p.Value != "false":
			return refuse(InvalidConfig, "%s must be true or false, not %q", drainingProperty, p.Value)
		default:
			draining = p.Value == "true"
		}
	}
	if a.ValidateOnly || len(a.Changes) == 0 {
		return nil
	}
	return members.SetDraining(ctx, node, draining)
}
