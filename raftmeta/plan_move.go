package raftmeta

import (
	"cmp"
	"fmt"
	"slices"
)

// to returns the move that brings the shard's voters to the nodes, with the
// observers that it has.
func (s *Shard) to(nodes []NodeID) *MoveShard {
	m := &MoveShard{Shard: s.ID, Version: s.Version, Voters: nodes, Observers: slices.Clone(s.Observers)}
	if !s.Moving() {
		for _, r := range s.Replicas {
			if r.State == ReplicaObserver {
				m.Observers = append(m.Observers, r.Node)
			}
		}
	}
	m.Observers = slices.DeleteFunc(m.Observers, func(n NodeID) bool { return slices.Contains(nodes, n) })
	return m
}

// replace returns the shard's preferred order with other nodes: who stays keeps
// its place, and who comes takes that of one who goes, or the end.
func replace(preferred, nodes []NodeID) []NodeID {
	var come []NodeID
	for _, node := range nodes {
		if !slices.Contains(preferred, node) {
			come = append(come, node)
		}
	}
	var order []NodeID
	for _, node := range preferred {
		switch {
		case slices.Contains(nodes, node):
			order = append(order, node)
		case len(come) > 0:
			order, come = append(order, come[0]), come[1:]
		}
	}
	return append(order, come...)
}

// settle gives the moved shards the leaders that make the whole as even as it
// can be, without changing the leaders of others.
func (l *load) settle(moves []*MoveShard) {
	leads := make([][]NodeID, len(moves))
	for i, m := range moves {
		leads[i] = m.Voters
	}
	spread(leads, l.leaders)
}

// PlanDrain returns the moves that take the shards of partitions off a node. It
// does not matter whether the node is alive; it is not to be active, so drain it
// by a DrainBroker first. Shards that are moving away already are left alone. When
// nothing comes back, the node has none any more, or they are all on the way.
//
// The error is an *Error: UnknownNode, NodeRemoved, InvalidRequest for a node that
// does not drain, or NotEnoughBrokers when some shard finds no other node; the
// moves for the other shards are returned with it.
func PlanDrain(img *Image, node NodeID) ([]*MoveShard, error) {
	b, refusal := img.present(node)
	if refusal != nil {
		return nil, refusal
	}
	if !b.Draining {
		return nil, refuse(InvalidRequest, "node %d does not drain", node)
	}
	l := newLoad(img)
	var moves []*MoveShard
	var stuck []*Shard
	for s := range img.Shards() {
		old := s.Voters()
		if s.Kind == ShardMetadata || !slices.Contains(old, node) {
			continue
		}
		rest := slices.DeleteFunc(slices.Clone(old), func(n NodeID) bool { return n == node })
		other, ok := l.pick(rest)
		if !ok {
			stuck = append(stuck, s)
			continue
		}
		nodes := replace(s.Preferred, append(rest, other))
		l.remove(old, s.Preferred)
		l.add(nodes, nodes)
		moves = append(moves, s.to(nodes))
	}
	l.settle(moves)
	if len(stuck) > 0 {
		ids := make([]ShardID, len(stuck))
		for i, s := range stuck {
			ids[i] = s.ID
		}
		return moves, l.tooFew(fmt.Sprintf("node %d cannot hand over %s (%s)", node, plural(len(stuck), "shard"), join10(ids)), stuck[0].class())
	}
	return moves, nil
}

// PlanBalance returns the moves that even out the replicas over the active nodes
// with as little movement as it takes, after a node joined or left: no two of
// them end more than one replica apart, unless racks ask for it. First come
// moves of shards that have more than one replica in a rack while there are
// enough racks. Shards that are moving, or have lost a replica, are left alone, and
// count as what they are going to be. Run PlanLeaders when the moves are complete.
func PlanBalance(img *Image) []*MoveShard {
	l := newLoad(img)
	var shards []*Shard
	nodes := make(map[ShardID][]NodeID)
	for s := range img.Shards() {
		if s.Kind != ShardMetadata && !s.Moving() && !s.Lost() {
			shards = append(shards, s)
			nodes[s.ID] = slices.Clone(s.Preferred)
		}
	}
	// swap takes the shard's replica from a node to another one. Who leads a shard
	// keeps its place; its counts are settled at the end.
	swap := func(s *Shard, from, to NodeID) {
		l.remove(nodes[s.ID], nodes[s.ID])
		nodes[s.ID][slices.Index(nodes[s.ID], from)] = to
		l.add(nodes[s.ID], nodes[s.ID])
	}
	for _, s := range shards {
		for l.separate(nodes[s.ID], func(from, to NodeID) { swap(s, from, to) }) {
		}
	}
	for l.level(shards, nodes, swap) {
	}
	var moves []*MoveShard
	for _, s := range shards {
		if !slices.Equal(nodes[s.ID], s.Preferred) {
			moves = append(moves, s.to(nodes[s.ID]))
		}
	}
	l.settle(moves)
	return moves
}

// separate moves one replica of a shard from a rack that has another one to a
// rack that has none.
func (l *load) separate(nodes []NodeID, swap func(from, to NodeID)) bool {
	from := NodeID(0)
	for _, node := range nodes {
		if l.shared(node, nodes) > 0 && (from == 0 || l.replicas[node] > l.replicas[from]) {
			from = node
		}
	}
	if from == 0 {
		return false
	}
	rest := slices.DeleteFunc(slices.Clone(nodes), func(n NodeID) bool { return n == from })
	to, ok := l.pick(nodes)
	if !ok || l.shared(to, rest) > 0 {
		return false
	}
	swap(from, to)
	return true
}

// level moves one replica from a node to another that has at least two fewer.
func (l *load) level(shards []*Shard, nodes map[ShardID][]NodeID, swap func(s *Shard, from, to NodeID)) bool {
	byLoad := slices.Clone(l.eligible)
	slices.SortFunc(byLoad, func(a, b NodeID) int {
		return cmp.Or(cmp.Compare(l.replicas[a], l.replicas[b]), cmp.Compare(a, b))
	})
	for i := len(byLoad) - 1; i > 0; i-- {
		from := byLoad[i]
		for _, to := range byLoad[:i] {
			if l.replicas[to] > l.replicas[from]-2 {
				break
			}
			if s := l.movable(shards, nodes, from, to); s != nil {
				swap(s, from, to)
				return true
			}
		}
	}
	return false
}

// movable returns a shard that can go from a node to another without its racks
// becoming fewer: rather one that moves anyway, then one that is not led there,
// then the one with the fewest partitions.
func (l *load) movable(shards []*Shard, nodes map[ShardID][]NodeID, from, to NodeID) *Shard {
	var best *Shard
	rank := func(s *Shard) (moves, leads int) {
		if slices.Equal(nodes[s.ID], s.Preferred) {
			moves = 1
		}
		if nodes[s.ID][0] == from {
			leads = 1
		}
		return moves, leads
	}
	for _, s := range shards {
		on := nodes[s.ID]
		i := slices.Index(on, from)
		if i < 0 || slices.Contains(on, to) {
			continue
		}
		moved := slices.Clone(on)
		moved[i] = to
		if l.racks(moved) < l.racks(on) {
			continue
		}
		if best != nil {
			moves, leads := rank(s)
			bestMoves, bestLeads := rank(best)
			if cmp.Or(cmp.Compare(moves, bestMoves), cmp.Compare(leads, bestLeads), cmp.Compare(s.Partitions, best.Partitions)) >= 0 {
				continue
			}
		}
		best = s
	}
	return best
}

// PlanReplaceLost returns the moves that replace, on the same nodes and under
// new ids, the replicas that were lost with their directories. Shards that are
// moving replace them by themselves.
//
// The error is an *Error that is Unrecoverable when the voters that are left of
// some shards are no majority; the moves for the other shards are returned with it.
func PlanReplaceLost(img *Image) ([]*MoveShard, error) {
	var moves []*MoveShard
	var dead []ShardID
	for s := range img.Shards() {
		if s.Moving() || !s.Lost() {
			continue
		}
		left := 0
		for _, r := range s.Replicas {
			if r.State == ReplicaVoter {
				left++
			}
		}
		if left <= len(s.Preferred)/2 {
			dead = append(dead, s.ID)
			continue
		}
		m := s.to(slices.Clone(s.Preferred))
		for _, r := range s.Replicas {
			if r.State == ReplicaLost && !slices.Contains(m.Voters, r.Node) && !slices.Contains(m.Observers, r.Node) {
				if b := img.Broker(r.Node); b != nil && !b.Removed {
					m.Observers = append(m.Observers, r.Node)
				}
			}
		}
		moves = append(moves, m)
	}
	if len(dead) > 0 {
		return moves, refuse(Unrecoverable, "%s (%s) have lost the majority of their replicas with the directories of their nodes; what they held is gone unless a directory comes back", plural(len(dead), "shard"), join10(dead))
	}
	return moves, nil
}

// PlanReplicationFactor returns the move that gives a shard, and so all of its
// partitions, another replication factor.
//
// The error is an *Error: UnknownShard, MoveInProgress, InvalidRequest, or
// NotEnoughBrokers.
func PlanReplicationFactor(img *Image, shard ShardID, factor int) (*MoveShard, error) {
	s := img.Shard(shard)
	switch {
	case s == nil:
		return nil, refuse(UnknownShard, "shard %d is not known", shard)
	case s.Kind == ShardMetadata:
		return nil, refuse(InvalidRequest, "shard %d holds the metadata, which is on every node", shard)
	case s.Moving():
		return nil, refuse(MoveInProgress, "shard %d is moving", shard)
	case factor < 1 || factor > replicationFactorMax:
		return nil, refuse(InvalidRequest, "shard %d: replication factor %d is not within 1 and %d", shard, factor, replicationFactorMax)
	}
	l := newLoad(img)
	nodes := slices.Clone(s.Preferred)
	for len(nodes) < factor {
		node, ok := l.pick(nodes)
		if !ok {
			return nil, l.tooFew(fmt.Sprintf("shard %d", shard), factor)
		}
		nodes = append(nodes, node)
	}
	for len(nodes) > factor {
		nodes = slices.Delete(nodes, l.worst(nodes), l.worst(nodes)+1)
	}
	return s.to(nodes), nil
}

// worst returns the place of the node that a shard can best do without: one that
// may get no replicas, then one that shares its rack, then the one with the most
// to carry.
func (l *load) worst(nodes []NodeID) int {
	inactive := func(n NodeID) int {
		if slices.Contains(l.eligible, n) {
			return 0
		}
		return 1
	}
	worst := len(nodes) - 1
	for i := len(nodes) - 2; i >= 0; i-- {
		a, b := nodes[i], nodes[worst]
		if cmp.Or(
			cmp.Compare(inactive(a), inactive(b)),
			cmp.Compare(l.shared(a, nodes), l.shared(b, nodes)),
			cmp.Compare(l.replicas[a], l.replicas[b]),
		) > 0 {
			worst = i
		}
	}
	return worst
}

// PlanLeaders returns the changes of preferred leaders that even out how many
// shards each node should lead; as few as it takes. Shards that are moving are left
// alone.
func PlanLeaders(img *Image) []*SetPreferredLeaders {
	l := newLoad(img)
	var shards []*Shard
	var leads [][]NodeID
	for s := range img.Shards() {
		if s.Kind != ShardMetadata && !s.Moving() && len(s.Preferred) > 0 {
			shards = append(shards, s)
			leads = append(leads, slices.Clone(s.Preferred))
		}
	}
	spread(leads, l.leaders)
	var changes []*SetPreferredLeaders
	for i, s := range shards {
		if !slices.Equal(leads[i], s.Preferred) {
			changes = append(changes, &SetPreferredLeaders{Shard: s.ID, Version: s.Version, Preferred: leads[i]})
		}
	}
	return changes
}
