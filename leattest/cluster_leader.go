package leattest

import (
	"context"
	"fmt"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/peer"
)

// leaderTimeout bounds how long Leader waits for nodes to agree.
const leaderTimeout = 30 * time.Second

// Leader returns the node that leads a partition: the one that says so of itself, with
// the latest epoch that a running node knows, so that one that is cut off and has not
// noticed yet is not it once the others have another. It waits for one, and ends the
// test after half a minute.
func (c *Cluster) Leader(topic string, partition int32) int {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), leaderTimeout)
	defer cancel()
	id, err := c.awaitLeader(ctx, topic, partition)
	if err != nil {
		c.t.Fatalf("leattest: %v", err)
	}
	return id
}

func (c *Cluster) awaitLeader(ctx context.Context, topic string, partition int32) (int, error) {
	// It asks from within each node, whatever the network between them does.
	var last error
	for {
		best, self := claim{}, make(map[claim]bool)
		for id := 1; id <= c.Len(); id++ {
			said, err := c.leaderBy(ctx, id, topic, partition)
			if err != nil {
				last = err
				continue
			}
			if said.epoch > best.epoch {
				best = said
			}
			if said.node == id {
				self[said] = true
			}
		}
		if self[best] {
			return best.node, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("no node leads partition %d of topic %q: %w; last error: %w", partition, topic, ctx.Err(), last)
		case <-time.After(5 * time.Millisecond): // until an election is over
		}
	}
}

// claim is who leads a partition, 0 for nobody, and since which epoch.
type claim struct {
	node  int
	epoch base.LeaderEpoch
}

// leaderBy returns who leads a partition as one node knows it.
func (c *Cluster) leaderBy(ctx context.Context, id int, topic string, partition int32) (said claim, err error) {
	n := c.node(id)
	c.mu.Lock()
	process, up := n.process, n.log != nil
	c.mu.Unlock()
	if !up {
		return said, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	pool, err := peer.New(peer.Config{Dial: process.Dial, ClientID: "leattest"})
	if err != nil {
		return said, err
	}
	defer pool.Close()
	if err := pool.SetAddress(base.NodeID(id), address(id, clientPort)); err != nil {
		return said, err
	}
	m, err := pool.Metadata(ctx, base.NodeID(id), topic)
	if err != nil {
		return said, err
	}
	for _, t := range m.Topics {
		if t.Err != nil {
			return said, t.Err
		}
		for _, p := range t.Partitions {
			if p.Partition == partition {
				return claim{int(p.Leader), p.LeaderEpoch}, nil
			}
		}
	}
	return said, nil
}
