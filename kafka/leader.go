package kafka

import (
	"context"
	"maps"
	"slices"

	"github.com/leatlog/leat/internal/base"
)

// noEpoch is the leader epoch of a client that knows none, or does not tell.
const noEpoch int32 = -1

// leading returns where a partition is that this node leads; else the error is
// a *NotLeaderError, or one about the epoch that the client knows (KIP-320).
func (c *conn) leading(t Topic, partition, epoch int32) (Location, error) {
	at, err := t.Locate(partition)
	if err != nil {
		return at, err
	}
	if err := checkEpoch(at.Epoch, epoch); err != nil {
		return at, err
	}
	if at.Leader != c.server.self || at.Replica == nil {
		return at, notLeader(&at)
	}
	return at, nil
}

func notLeader(at *Location) error { return &NotLeaderError{Leader: at.Leader, Epoch: int32(at.Epoch)} }

// checkEpoch compares the epoch that a client knows with that of now.
func checkEpoch(now base.LeaderEpoch, epoch int32) error {
	switch {
	case epoch < 0 || epoch == int32(now):
		return nil
	case epoch < int32(now):
		return ErrFencedLeaderEpoch
	}
	return ErrUnknownLeaderEpoch
}

// leads are partitions of a request that want to be answered by their leader.
type leads struct{ all []lead }

type lead struct {
	topic, partition int // where in the request
	replica          Replica
	err              error
}

func (l *leads) add(topic, partition int, r Replica, err error) {
	l.all = append(l.all, lead{topic, partition, r, err})
}

// wait is Backend.ReadBarrier for those without an error.
func (l *leads) wait(ctx context.Context, b Backend) {
	replicas := make([]Replica, 0, len(l.all))
	for _, one := range l.all {
		if one.err == nil {
			replicas = append(replicas, one.replica)
		}
	}
	if len(replicas) == 0 {
		return
	}
	errs := b.ReadBarrier(ctx, replicas)
	if errs == nil {
		return
	}
	for i := range l.all {
		if l.all[i].err == nil {
			l.all[i].err, errs = errs[0], errs[1:]
		}
	}
}

// endpoint returns where the client reaches a node.
func (c *conn) endpoint(n *Node) (host string, port int32) {
	if n.Host == "" {
		return c.advertised()
	}
	return n.Host, n.Port
}

// endpoints returns the nodes of these ids that are known, with where the
// client reaches them.
func (c *conn) endpoints(ids map[int32]struct{}) (nodes []Node) {
	if len(ids) == 0 {
		return nil
	}
	cluster := c.server.backend.Cluster()
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		if n := cluster.node(id); n != nil {
			found := *n
			found.Host, found.Port = c.endpoint(n)
			nodes = append(nodes, found)
		}
	}
	return nodes
}

// describe returns what the client is told of an error; nil is none.
func (c *conn) describe(err error) (code int16, text *string) {
	if err == nil {
		return 0, nil
	}
	s := err.Error()
	return int16(c.code(err)), &s
}
