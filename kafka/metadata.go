package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// noOperations says that authorized operations are not told.
const noOperations int32 = -1 << 31

// metadata describes topics, all or those asked for, and makes those that do not
// exist where the Log and the client want that.
func metadata(ctx context.Context, c *conn, req *kmsg.MetadataRequest) kmsg.Response {
	b := c.server.backend
	resp := kmsg.NewPtrMetadataResponse()
	cluster := b.Cluster()
	for i := range cluster.Nodes {
		n := &cluster.Nodes[i]
		broker := kmsg.NewMetadataResponseBroker()
		broker.NodeID, broker.Rack = n.ID, rackOf(n)
		broker.Host, broker.Port = c.endpoint(n)
		resp.Brokers = append(resp.Brokers, broker)
	}
	resp.ClusterID, resp.ControllerID = &cluster.ID, cluster.Controller
	resp.AuthorizedOperations = noOperations

	if req.Topics == nil || (req.Version == 0 && len(req.Topics) == 0) {
		for _, t := range b.Topics() {
			resp.Topics = append(resp.Topics, describeTopic(t))
		}
		return resp
	}
	create := req.AllowAutoTopicCreation || req.Version < 4
	type key struct {
		id   [16]byte
		name string
	}
	seen := make(map[key]struct{}, len(req.Topics))
	for i := range req.Topics {
		k := key{id: req.Topics[i].TopicID}
		if name := req.Topics[i].Topic; name != nil {
			k = key{name: *name}
		}
		if !first(seen, k) {
			continue
		}
		resp.Topics = append(resp.Topics, c.findForMetadata(ctx, &req.Topics[i], create))
	}
	return resp
}

func (c *conn) findForMetadata(ctx context.Context, want *kmsg.MetadataRequestTopic, create bool) kmsg.MetadataResponseTopic {
	b := c.server.backend
	missing := kmsg.NewMetadataResponseTopic()
	missing.Topic, missing.TopicID = want.Topic, want.TopicID
	missing.AuthorizedOperations = noOperations
	if want.Topic == nil {
		if t := b.TopicByID(want.TopicID); t != nil {
			return describeTopic(t)
		}
		missing.ErrorCode = int16(UnknownTopicID)
		return missing
	}
	t := b.Topic(*want.Topic)
	if t == nil && create {
		var err error
		if t, err = b.UseTopic(ctx, *want.Topic); err != nil {
			missing.ErrorCode = int16(c.code(err))
			return missing
		}
	}
	if t == nil {
		missing.ErrorCode = int16(UnknownTopicOrPartition)
		return missing
	}
	return describeTopic(t)
}

func describeTopic(t Topic) kmsg.MetadataResponseTopic {
	m := kmsg.NewMetadataResponseTopic()
	name := t.Name()
	m.Topic, m.TopicID, m.IsInternal = &name, t.UniqueID(), t.IsInternal()
	m.AuthorizedOperations = noOperations
	placements := t.Placements()
	m.Partitions = make([]kmsg.MetadataResponseTopicPartition, len(placements))
	for i := range m.Partitions {
		at := &placements[i]
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Partition, p.Leader, p.LeaderEpoch = int32(i), at.Leader, int32(at.Epoch)
		p.Replicas, p.ISR, p.OfflineReplicas = at.Replicas, at.InSync, at.Offline
		if at.Leader == NoNode {
			p.ErrorCode = int16(LeaderNotAvailable) // clients ask again soon
		}
		m.Partitions[i] = p
	}
	return m
}

// rackOf is a node's rack as the protocol has it: null without one.
func rackOf(n *Node) *string {
	if n.Rack == "" {
		return nil
	}
	return &n.Rack
}
