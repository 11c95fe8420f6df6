package peer

import (
	"context"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
)

// Metadata is what a peer knows of the cluster.
type Metadata struct {
	ClusterID  string
	Controller base.NodeID // 0 if none is known
	Brokers    []Broker
	Topics     []TopicMetadata // in the order of the question
}

// Broker is a node as clients know it.
type Broker struct {
	Node base.NodeID
	Host string
	Port uint16
	Rack string
}

// TopicMetadata is a topic, or why it is none.
type TopicMetadata struct {
	Name       string
	ID         [16]byte
	Internal   bool
	Partitions []PartitionMetadata // in the peer's order
	Err        error               // an *Error
}

// PartitionMetadata is a partition with its replicas.
type PartitionMetadata struct {
	Partition     int32
	Leader        base.NodeID // 0 if there is none
	LeaderEpoch   base.LeaderEpoch
	Replicas, ISR []base.NodeID
	Err           error // an *Error
}

// Metadata asks a node about topics by name; it makes none. The error is one of
// Wait's.
func (p *Pool) Metadata(ctx context.Context, id base.NodeID, topics ...string) (*Metadata, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = make([]kmsg.MetadataRequestTopic, 0, len(topics)) // nil would be all
	asked := make(map[string]int, len(topics))
	for _, name := range topics {
		if _, again := asked[name]; again || name == "" {
			return nil, fmt.Errorf("%w: topic %q is empty or there twice", ErrInvalidRequest, name)
		}
		asked[name] = len(req.Topics)
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
	}
	answer, err := p.Do(ctx, id, req)
	if err != nil {
		return nil, err
	}
	from := answerer{id, kmsg.Metadata}
	resp := answer.(*kmsg.MetadataResponse)
	if err := from.code(resp.ErrorCode, nil); err != nil {
		return nil, err
	}
	m := &Metadata{Controller: nodeID(resp.ControllerID), Topics: make([]TopicMetadata, len(topics))}
	if resp.ClusterID != nil {
		m.ClusterID = *resp.ClusterID
	}
	for _, b := range resp.Brokers {
		if b.NodeID <= 0 || b.Port < 0 || b.Port > math.MaxUint16 {
			return nil, fmt.Errorf("%w: node %d knows a broker %d at port %d", ErrMalformed, id, b.NodeID, b.Port)
		}
		broker := Broker{Node: nodeID(b.NodeID), Host: b.Host, Port: uint16(b.Port)}
		if b.Rack != nil {
			broker.Rack = *b.Rack
		}
		m.Brokers = append(m.Brokers, broker)
	}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		if t.Topic == nil {
			return nil, from.missing("name of a topic")
		}
		k, ok := asked[*t.Topic]
		if !ok {
			return nil, fmt.Errorf("%w: node %d answered Metadata of topic %q, which was not asked for, or twice", ErrMalformed, id, *t.Topic)
		}
		delete(asked, *t.Topic)
		m.Topics[k] = topicMetadata(from, t)
	}
	for name := range asked {
		return nil, from.missing(fmt.Sprintf("topic %q", name))
	}
	return m, nil
}

func topicMetadata(from answerer, t *kmsg.MetadataResponseTopic) TopicMetadata {
	m := TopicMetadata{Name: *t.Topic, ID: t.TopicID, Internal: t.IsInternal,
		Err: from.partition(&TopicPartition{Topic: *t.Topic, Partition: -1}, t.ErrorCode, nil, -1, -1)}
	for i := range t.Partitions {
		o := &t.Partitions[i]
		m.Partitions = append(m.Partitions, PartitionMetadata{Partition: o.Partition, Leader: nodeID(o.Leader), LeaderEpoch: base.LeaderEpoch(o.LeaderEpoch),
			Replicas: nodeIDs(o.Replicas), ISR: nodeIDs(o.ISR),
			Err: from.partition(&TopicPartition{Topic: *t.Topic, Partition: o.Partition}, o.ErrorCode, nil, -1, -1)})
	}
	return m
}

// nodeID is a broker id of the protocol; what is none there, -1, is 0.
func nodeID(id int32) base.NodeID { return base.NodeID(max(id, 0)) }

func nodeIDs(ids []int32) []base.NodeID {
	out := make([]base.NodeID, len(ids))
	for i, id := range ids {
		out[i] = nodeID(id)
	}
	return out
}
