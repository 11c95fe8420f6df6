package faultnet

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Bounds of the network.
const (
	bufferBytes = 256 << 10 // of each direction of a connection
	pieceBytes  = 16 << 10  // what arrives at once, at most
	backlog     = 128       // connections a listener has not accepted yet
)

// Conditions are how a link is. The zero value is a perfect one.
type Conditions struct {
	// Latency is how long a byte is under way. Connecting takes one both ways.
	Latency time.Duration
	// Jitter is added to the latency of each write, at most, evenly spread.
	// Bytes do not overtake each other.
	Jitter time.Duration
	// BytesPerSecond bounds what passes, over all connections of the link.
	// 0: no bound.
	BytesPerSecond int
	// BreakChance is the probability, 0 to 1, that a write breaks its connection
	// in place of being sent.
	BreakChance float64
}

// Network is machines, named Nodes, and the links between them.
type Network struct {
	// mu guards all below. A pair's lock may be held when it is taken, never the
	// other way round.
	mu        sync.Mutex
	rng       *rand.Rand
	nodes     map[string]*Node
	listeners map[string]*listener // by address
	pairs     map[*pair]struct{}   // connections that are open at one end at least
	links     map[route]*link
	usual     Conditions      // of links that Slow did not name
	isolated  map[string]bool // nodes without any link
	// changed is closed, and replaced, whenever a Dial that waits should look
	// again: a link was healed, a listener came or accepted.
	changed chan struct{}
}

// route is a link: what goes from one node to another, not back.
type route struct{ from, to string }

type link struct {
	cut        bool
	conditions *Conditions // nil: the usual ones
	freeAt     time.Time   // when what is under way has passed the bandwidth
}

// New returns a Network without faults. What it draws by chance comes from seed.
func New(seed uint64) *Network {
	return &Network{
		rng:       rand.New(rand.NewPCG(seed, 0x6661756c746e6574)),
		nodes:     make(map[string]*Node),
		listeners: make(map[string]*listener),
		pairs:     make(map[*pair]struct{}),
		links:     make(map[route]*link),
		isolated:  make(map[string]bool),
		changed:   make(chan struct{}),
	}
}

// Node returns the machine of a name, which is made when first asked for. The
// name is the host part of its addresses.
func (n *Network) Node(name string) *Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	node := n.nodes[name]
	if node == nil {
		node = &Node{net: n, name: name, nextPort: firstPort}
		n.nodes[name] = node
	}
	return node
}

// Open returns how many connections are open at one end at least.
func (n *Network) Open() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.pairs)
}

// Cut cuts both directions between two nodes.
func (n *Network) Cut(a, b string) {
	n.change(func() { n.cutLocked(a, b, true); n.cutLocked(b, a, true) })
}

// CutOneWay cuts what goes from one node to another; the other way stays.
func (n *Network) CutOneWay(from, to string) { n.change(func() { n.cutLocked(from, to, true) }) }

// Join undoes Cut and CutOneWay between two nodes.
func (n *Network) Join(a, b string) {
	n.change(func() { n.cutLocked(a, b, false); n.cutLocked(b, a, false) })
}

// Isolate cuts a node off from every other, those that come later too.
func (n *Network) Isolate(node string) { n.change(func() { n.isolated[node] = true }) }

// Rejoin undoes Isolate.
func (n *Network) Rejoin(node string) { n.change(func() { delete(n.isolated, node) }) }

// Partition cuts all links between nodes of different groups. Nodes in no group
// keep theirs.
func (n *Network) Partition(groups ...[]string) {
	n.change(func() {
		for i, group := range groups {
			for j, other := range groups {
				if i == j {
					continue
				}
				for _, a := range group {
					for _, b := range other {
						n.cutLocked(a, b, true)
					}
				}
			}
		}
	})
}

// Chain leaves of the links between nodes only those of neighbours in the order
// given: with three, the first and the last do not hear each other, and each
// hears the one between.
func (n *Network) Chain(nodes ...string) {
	n.keep(nodes, func(from, to int) bool { return from-to == 1 || to-from == 1 })
}

// Ring leaves of the links between nodes only those of neighbours in a circle.
// With fewer than four that is all of them.
func (n *Network) Ring(nodes ...string) {
	n.keep(nodes, func(from, to int) bool {
		distance := (to - from + len(nodes)) % len(nodes)
		return distance == 1 || distance == len(nodes)-1
	})
}

// OneWayRing leaves of the links between nodes only those from each to the next
// in a circle: each is heard by one, and hears another.
func (n *Network) OneWayRing(nodes ...string) {
	n.keep(nodes, func(from, to int) bool { return (from+1)%len(nodes) == to })
}

func (n *Network) keep(nodes []string, kept func(from, to int) bool) {
	nodes = slices.Clone(nodes)
	n.change(func() {
		for i, from := range nodes {
			for j, to := range nodes {
				if i != j && !kept(i, j) {
					n.cutLocked(from, to, true)
				}
			}
		}
	})
}

// Heal undoes everything that cuts, not what slows.
func (n *Network) Heal() {
	n.change(func() {
		clear(n.isolated)
		for _, l := range n.links {
			l.cut = false
		}
	})
}

// Slow sets the conditions of both directions between two nodes. What is under
// way keeps those it was written under.
func (n *Network) Slow(a, b string, c Conditions) {
	n.change(func() { n.linkLocked(a, b).conditions = &c; n.linkLocked(b, a).conditions = &c })
}

// SlowOneWay sets the conditions of what goes from one node to another.
func (n *Network) SlowOneWay(from, to string, c Conditions) {
	n.change(func() { n.linkLocked(from, to).conditions = &c })
}

// SlowAll sets the conditions of all links between different nodes, also of
// those that Slow named before. Slow after it goes before it.
func (n *Network) SlowAll(c Conditions) {
	n.change(func() {
		n.usual = c
		for _, l := range n.links {
			l.conditions = nil
		}
	})
}

// Fast undoes Slow, SlowOneWay and SlowAll.
func (n *Network) Fast() { n.SlowAll(Conditions{}) }

// Reset breaks every connection between two nodes. An end that a cut link keeps
// from learning it learns it when the link is healed.
func (n *Network) Reset(a, b string) {
	n.breakWhere(func(p *pair) bool {
		x, y := p.ends[0].node.name, p.ends[1].node.name
		return (x == a && y == b) || (x == b && y == a)
	})
}

// ResetAll breaks every connection.
func (n *Network) ResetAll() { n.breakWhere(func(*pair) bool { return true }) }

func (n *Network) breakWhere(chosen func(*pair) bool) {
	for _, p := range n.snapshot() {
		if chosen(p) {
			p.breakBoth()
		}
	}
}

func (n *Network) snapshot() []*pair {
	n.mu.Lock()
	defer n.mu.Unlock()
	pairs := make([]*pair, 0, len(n.pairs))
	for p := range n.pairs {
		pairs = append(pairs, p)
	}
	return pairs
}

// change runs f with mu held, then wakes all that may go on by it.
func (n *Network) change(f func()) {
	n.mu.Lock()
	f()
	n.wakeDialsLocked()
	n.mu.Unlock()
	for _, p := range n.snapshot() {
		p.wake()
	}
}

func (n *Network) wakeDialsLocked() {
	close(n.changed)
	n.changed = make(chan struct{})
}

func (n *Network) cutLocked(from, to string, cut bool) { n.linkLocked(from, to).cut = cut }

func (n *Network) linkLocked(from, to string) *link {
	r := route{from, to}
	l := n.links[r]
	if l == nil {
		l = &link{}
		n.links[r] = l
	}
	return l
}

// cut tells whether nothing passes from one node to another now.
func (n *Network) cut(from, to string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.isCutLocked(from, to)
}

func (n *Network) isCutLocked(from, to string) bool {
	if from == to {
		return false
	}
	l := n.links[route{from, to}]
	return n.isolated[from] || n.isolated[to] || (l != nil && l.cut)
}

func (n *Network) conditionsLocked(from, to string) Conditions {
	l := n.links[route{from, to}]
	switch {
	case l != nil && l.conditions != nil:
		return *l.conditions
	case from == to:
		return Conditions{}
	}
	return n.usual
}

// send says when bytes that are written now arrive, or that they break the
// connection. No bytes, which is an end, break nothing.
func (n *Network) send(from, to string, bytes int) (arrives time.Time, broken bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.conditionsLocked(from, to)
	if bytes > 0 && c.BreakChance > 0 && n.rng.Float64() < c.BreakChance {
		return time.Time{}, true
	}
	if c == (Conditions{}) {
		return time.Time{}, false // at once, without asking the clock
	}
	now := time.Now()
	arrives = now
	if c.BytesPerSecond > 0 {
		l := n.linkLocked(from, to)
		if l.freeAt.Before(now) {
			l.freeAt = now
		}
		l.freeAt = l.freeAt.Add(time.Duration(float64(bytes) / float64(c.BytesPerSecond) * float64(time.Second)))
		arrives = l.freeAt
	}
	arrives = arrives.Add(c.Latency)
	if c.Jitter > 0 {
		arrives = arrives.Add(time.Duration(n.rng.Int64N(int64(c.Jitter) + 1)))
	}
	return arrives, false
}
