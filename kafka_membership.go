package leat

import (
	"context"
	"errors"
	"fmt"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/kafka"
	"github.com/leatlog/leat/raftmeta"
)

// kafkaMembership is the nodes of a cluster as the listener sees them.
type kafkaMembership struct{ log *Log }

var _ kafka.Membership = kafkaMembership{}

func (m kafkaMembership) Member(node int32) (kafka.Member, bool) {
	img := m.log.cluster.machine.Image()
	b := img.Broker(base.NodeID(max(node, 0))) // none has 0
	if b == nil || b.Removed {
		return kafka.Member{}, false
	}
	return kafka.Member{Draining: b.Draining, Shards: shardsOn(img, uint64(node))}, true
}

func (m kafkaMembership) SetDraining(ctx context.Context, node int32, draining bool) error {
	if node < 1 {
		return noNode(node)
	}
	c, end, err := m.log.clustered(ctx)
	if err != nil {
		return err
	}
	defer end()
	_, err = c.setDraining(ctx, uint64(node), draining)
	return membershipError(err)
}

func (m kafkaMembership) Remove(ctx context.Context, node int32) error {
	if node < 1 {
		return noNode(node)
	}
	return membershipError(m.log.RemoveNode(ctx, uint64(node)))
}

// noNode is the error for a number that no node can have.
func noNode(node int32) error {
	return &kafka.Error{Code: kafka.BrokerIDNotRegistered, Text: fmt.Sprintf("no node has the number %d", node)}
}

// membershipError gives a refusal of the metadata Kafka's code for it.
func membershipError(err error) error {
	var refused *raftmeta.Error
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.Code {
	case raftmeta.UnknownNode, raftmeta.NodeRemoved:
		return &kafka.Error{Code: kafka.BrokerIDNotRegistered, Text: refused.Message}
	case raftmeta.HasReplicas:
		return &kafka.Error{Code: kafka.InvalidRequest, Text: refused.Message}
	}
	return err
}
