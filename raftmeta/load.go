package raftmeta

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// load is what the nodes have to carry, as it will be once all moves that are
// under way, and those that a plan has decided on, are complete.
type load struct {
	img      *Image
	eligible []NodeID // that may get replicas, sorted
	replicas map[NodeID]int
	leaders  map[NodeID]int // shards that the node should lead
}

// newLoad counts the shards of partitions; the metadata's is not worth counting.
func newLoad(img *Image) *load {
	l := &load{img: img, replicas: make(map[NodeID]int), leaders: make(map[NodeID]int)}
	for b := range img.Brokers() {
		if b.Eligible() {
			l.eligible = append(l.eligible, b.ID)
		}
	}
	for s := range img.Shards() {
		if s.Kind != ShardMetadata {
			l.add(s.Voters(), s.Preferred)
		}
	}
	return l
}

func (l *load) add(nodes, preferred []NodeID) {
	for _, node := range nodes {
		l.replicas[node]++
	}
	if len(preferred) > 0 {
		l.leaders[preferred[0]]++
	}
}

func (l *load) remove(nodes, preferred []NodeID) {
	for _, node := range nodes {
		l.replicas[node]--
	}
	if len(preferred) > 0 {
		l.leaders[preferred[0]]--
	}
}

func (l *load) rack(node NodeID) string {
	if b := l.img.Broker(node); b != nil {
		return b.rack()
	}
	return ""
}

// racks returns how many different racks the nodes are in.
func (l *load) racks(nodes []NodeID) int {
	seen := make(map[string]bool)
	for _, node := range nodes {
		seen[l.rack(node)] = true
	}
	return len(seen)
}

// shared returns how many of the nodes are in the rack of node.
func (l *load) shared(node NodeID, nodes []NodeID) int {
	n := 0
	for _, other := range nodes {
		if other != node && l.rack(other) == l.rack(node) {
			n++
		}
	}
	return n
}

// pick returns the node that should get the next replica of a shard that is on
// nodes: in a rack with as few of them as can be, and there the one with the least
// to carry. There is none when all eligible ones are taken.
func (l *load) pick(nodes []NodeID) (NodeID, bool) {
	var best NodeID
	for _, node := range l.eligible {
		if !slices.Contains(nodes, node) && (best == 0 || l.better(node, best, nodes)) {
			best = node
		}
	}
	return best, best != 0
}

func (l *load) better(a, b NodeID, nodes []NodeID) bool {
	return cmp.Or(
		cmp.Compare(l.shared(a, nodes), l.shared(b, nodes)),
		cmp.Compare(l.replicas[a], l.replicas[b]),
		cmp.Compare(l.leaders[a], l.leaders[b]),
		cmp.Compare(a, b),
	) < 0
}

// place picks the nodes of a new shard and counts them. The nodes are in the
// order in which they should lead; turn is a number that varies with the shard,
// so that what one node led does not fall to the same other one each time.
func (l *load) place(factor, turn int) ([]NodeID, bool) {
	var nodes []NodeID
	for range factor {
		node, ok := l.pick(nodes)
		if !ok {
			l.remove(nodes, nil)
			return nil, false
		}
		nodes = append(nodes, node)
		l.replicas[node]++
	}
	nodes = l.order(nodes, turn)
	l.leaders[nodes[0]]++
	return nodes, true
}

// order puts the node that leads the least first, and the rest in turn behind.
func (l *load) order(nodes []NodeID, turn int) []NodeID {
	nodes = slices.Sorted(slices.Values(nodes))
	first := slices.MinFunc(nodes, func(a, b NodeID) int {
		return cmp.Or(cmp.Compare(l.leaders[a], l.leaders[b]), cmp.Compare(a, b))
	})
	rest := slices.DeleteFunc(nodes, func(n NodeID) bool { return n == first })
	ordered := []NodeID{first}
	for i := range rest {
		ordered = append(ordered, rest[(i+turn)%len(rest)])
	}
	return ordered
}

// tooFew returns the refusal of a replication factor that the eligible nodes do
// not suffice for.
func (l *load) tooFew(what string, factor int) *Error {
	counts := make([]int, BrokerRemoved)
	brokers := 0
	for b := range l.img.Brokers() {
		counts[b.State()]++
		brokers++
	}
	var parts []string
	for state, n := range counts {
		if n > 0 || BrokerState(state) == BrokerActive {
			parts = append(parts, fmt.Sprintf("%d %v", n, BrokerState(state)))
		}
	}
	return refuse(NotEnoughBrokers, "%s: replication factor %d needs as many active brokers, and of %s there are %s",
		what, factor, plural(brokers, "broker"), strings.Join(parts, ", "))
}

// spread evens out how many shards the nodes lead by changing who is first of as
// few shards as it can. Of each shard it is given the nodes that could lead, the
// first of which does; counts has what they lead with these shards and with
// others that stay as they are. No node ends more than one above another that
// could take something from it, directly or through others.
func spread(shards [][]NodeID, counts map[NodeID]int) {
	for evenOut(shards, counts) {
	}
}

// evenOut makes one node lead one shard less, and one that leads at least two
// less one more; the nodes between them hand on what they get.
func evenOut(shards [][]NodeID, counts map[NodeID]int) bool {
	led := make(map[NodeID][]int)
	var nodes []NodeID
	for i, candidates := range shards {
		if _, ok := led[candidates[0]]; !ok {
			nodes = append(nodes, candidates[0])
		}
		led[candidates[0]] = append(led[candidates[0]], i)
	}
	slices.SortFunc(nodes, func(a, b NodeID) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	type step struct {
		from  NodeID
		shard int
	}
	for _, top := range nodes {
		via := map[NodeID]step{top: {}}
		for queue := []NodeID{top}; len(queue) > 0; queue = queue[1:] {
			from := queue[0]
			for _, i := range led[from] {
				for _, to := range shards[i][1:] {
					if _, seen := via[to]; seen {
						continue
					}
					via[to] = step{from, i}
					queue = append(queue, to)
					if counts[to] > counts[top]-2 {
						continue
					}
					counts[top]--
					counts[to]++
					for node := to; node != top; node = via[node].from {
						lead(shards[via[node].shard], node)
					}
					return true
				}
			}
		}
	}
	return false
}

// lead brings node to the front and keeps the order of the rest.
func lead(nodes []NodeID, node NodeID) {
	i := slices.Index(nodes, node)
	copy(nodes[1:i+1], nodes[:i])
	nodes[0] = node
}
