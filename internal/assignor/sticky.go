package assignor

// Sticky balances over all topics and moves as few partitions as that allows
// away from what members own. It is what Kafka's StickyAssignor is for: the
// classic protocol's eager rebalance, in which every member has let go of
// everything and Owned is what it had before. Members say in Generation when
// they had it, so that one that slept through a rebalance loses its claim.
//
// Uniform does the same work for KIP-848's groups; what differs is who runs it
// (a member against the coordinator) and where Owned comes from (the member's
// word against the coordinator's last target).
func Sticky(members []Member, partitions map[string]int32) Assignment {
	return newGrid(members, partitions).assign(members)
}

// CooperativeSticky is Sticky for the classic protocol's cooperative rebalance
// (KIP-429), in which members keep reading what they own. A partition that has
// to move is in nobody's assignment this time: its owner sees it gone, revokes
// it and joins again, and the next call, in which nobody owns it, gives it out.
// So, unlike with every other assignor here, a subscribed partition may be
// without a member in one result.
func CooperativeSticky(members []Member, partitions map[string]int32) Assignment {
	g := newGrid(members, partitions)
	g.balance()
	for t := range g.owner {
		for p, m := range g.owner[t] {
			if had := g.had[t][p]; had >= 0 && had != m {
				g.owner[t][p] = nobody
			}
		}
	}
	return g.result(members)
}

// Uniform is KIP-848's server-side "uniform" and the default of a group: it
// balances over all topics and moves as few partitions as that allows away from
// the members that have them. Subscriptions may be equal (each member then has
// the average, rounded down or up) or differ.
func Uniform(members []Member, partitions map[string]int32) Assignment {
	return newGrid(members, partitions).assign(members)
}
