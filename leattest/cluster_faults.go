package leattest

import (
	"time"

	"github.com/leatlog/leat/internal/faultnet"
)

// Link is how fast a link between nodes is.
type Link struct {
	// Latency is how long a byte is under way, and Jitter what is added to it at
	// most.
	Latency, Jitter time.Duration
	// BytesPerSecond bounds what passes; 0: no bound.
	BytesPerSecond int
	// BreakChance is the probability, 0 to 1, that a write breaks its connection.
	BreakChance float64
}

// Cut cuts the network between two nodes, both ways. What is under way waits for
// Heal, and nobody is told.
func (c *Cluster) Cut(a, b int) { c.t.Helper(); c.net.Cut(c.names(a, b)) }

// CutOneWay cuts what one node sends to another.
func (c *Cluster) CutOneWay(from, to int) { c.t.Helper(); c.net.CutOneWay(c.names(from, to)) }

func (c *Cluster) names(a, b int) (string, string) {
	c.t.Helper()
	return name(c.node(a).id), name(c.node(b).id)
}

// Isolate cuts a node off from all others, and from clients.
func (c *Cluster) Isolate(id int) {
	c.t.Helper()
	n := c.node(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	n.isolated = true
	c.net.Isolate(name(id))
}

// Rejoin undoes Isolate.
func (c *Cluster) Rejoin(id int) {
	c.t.Helper()
	n := c.node(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	n.isolated = false
	if n.log != nil {
		c.net.Rejoin(name(id))
	}
}

// Partition cuts the network between groups of nodes.
func (c *Cluster) Partition(groups ...[]int) {
	c.t.Helper()
	named := make([][]string, len(groups))
	for i, group := range groups {
		for _, id := range group {
			named[i] = append(named[i], name(c.node(id).id))
		}
	}
	c.net.Partition(named...)
}

// Chain leaves of the network between nodes only what joins neighbours in the order
// given.
func (c *Cluster) Chain(ids ...int) { c.t.Helper(); c.net.Chain(c.allNames(ids)...) }

// OneWayRing leaves of the network between nodes only what leads from each to the
// next, and from the last to the first.
func (c *Cluster) OneWayRing(ids ...int) { c.t.Helper(); c.net.OneWayRing(c.allNames(ids)...) }

func (c *Cluster) allNames(ids []int) []string {
	c.t.Helper()
	var names []string
	for _, id := range ids {
		names = append(names, name(c.node(id).id))
	}
	return names
}

// Heal undoes all cuts.
func (c *Cluster) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.net.Heal()
	for _, n := range c.nodes {
		n.isolated = false
		if n.log == nil {
			c.net.Isolate(name(n.id)) // it is down: nobody answers
		}
	}
}

// Slow makes the network between two nodes slow, both ways.
func (c *Cluster) Slow(a, b int, l Link) {
	c.t.Helper()
	x, y := c.names(a, b)
	c.net.Slow(x, y, faultnet.Conditions(l))
}

// SlowAll makes the whole network slow, that of clients too.
func (c *Cluster) SlowAll(l Link) { c.net.SlowAll(faultnet.Conditions(l)) }

// Fast undoes Slow and SlowAll.
func (c *Cluster) Fast() { c.net.Fast() }

// ResetConnections breaks every connection there is.
func (c *Cluster) ResetConnections() { c.net.ResetAll() }

// FillDisk makes a node's disk full. The node fails, as a Log does whose disk does:
// after RepairDisk it has to be restarted.
func (c *Cluster) FillDisk(id int) { c.t.Helper(); c.node(id).disk.Fill() }

// FailDisk makes every fsync of a node's disk fail.
func (c *Cluster) FailDisk(id int) { c.t.Helper(); c.node(id).disk.FailSync() }

// HangDisk makes every fsync of a node's disk wait, until RepairDisk.
func (c *Cluster) HangDisk(id int) { c.t.Helper(); c.node(id).disk.HangSync() }

// RepairDisk undoes FillDisk, FailDisk and HangDisk.
func (c *Cluster) RepairDisk(id int) { c.t.Helper(); c.node(id).disk.Repair() }
