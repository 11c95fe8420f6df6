package assignor

import "slices"

// relieve evens out the loads where subscriptions differ. From the member with
// the most it looks for the member with the least that can be reached by
// hand-overs: x reaches y when x has a partition of a topic that y subscribes
// to. Along that chain each hands one to the next, as long as the ends differ by
// two or more.
//
// A member from which nobody with two less can be reached is done, and so is
// all it reaches: whatever is found later starts at a member with no more load
// and ends at one with two less than that, hence outside of what it reaches, and
// changes nothing there. So every search either improves the balance or takes
// its members out of the game.
func (g *grid) relieve() {
	held := make([][]int, len(g.members)) // by member: count per topic, parallel to topicsOf
	for m := range held {
		held[m] = make([]int, len(g.topicsOf[m]))
	}
	at := func(m, t int32) *int {
		i, _ := slices.BinarySearch(g.topicsOf[m], t)
		return &held[m][i]
	}
	for t := range g.owner {
		for _, m := range g.owner[t] {
			*at(m, int32(t))++
		}
	}
	s := search{
		grid: g, held: held,
		from: make([]int32, len(g.members)), via: make([]int32, len(g.members)),
		seenTopic: make([]bool, len(g.topics)), done: make([]bool, len(g.members)),
	}
	for {
		source := nobody
		for m := range g.members {
			if !s.done[m] && (source == nobody || g.load[m] > g.load[source]) {
				source = int32(m)
			}
		}
		if source == nobody {
			return
		}
		target := s.run(source)
		if g.load[source]-g.load[target] < 2 {
			for _, m := range s.queue {
				s.done[m] = true
			}
			continue
		}
		// Hand over as much at once as levels the two ends and every link has.
		units := (g.load[source] - g.load[target]) / 2
		for m := target; m != source; m = s.from[m] {
			units = min(units, *at(s.from[m], s.via[m]))
		}
		for m := target; m != source; m = s.from[m] {
			giver, t := s.from[m], s.via[m]
			g.hand(giver, m, t, units)
			*at(giver, t) -= units
			*at(m, t) += units
		}
		g.load[source] -= units
		g.load[target] += units
	}
}

// search is a breadth-first search over hand-overs; its slices are reused.
type search struct {
	*grid
	held      [][]int
	from, via []int32 // by member: who would hand it a partition, of which topic
	seenTopic []bool
	done      []bool
	queue     []int32 // the members reached, the source first
}

// run returns the member with the least load that source reaches, the nearest
// of several, and leaves the way to it in from and via.
func (s *search) run(source int32) int32 {
	clear(s.seenTopic)
	for m := range s.from {
		s.from[m] = nobody
	}
	s.queue = append(s.queue[:0], source)
	s.from[source] = source
	best := source
	for i := 0; i < len(s.queue); i++ {
		m := s.queue[i]
		for j, t := range s.topicsOf[m] {
			if s.seenTopic[t] || s.held[m][j] == 0 {
				continue
			}
			s.seenTopic[t] = true // all its subscribers are reached from here on
			for _, next := range s.subs[t] {
				if s.from[next] != nobody || s.done[next] {
					continue
				}
				s.from[next], s.via[next] = m, t
				s.queue = append(s.queue, next)
				if s.load[next] < s.load[best] {
					best = next
				}
			}
		}
	}
	return best
}

// hand moves units partitions of topic t from giver to taker: first those that
// taker had, then those that giver had not, then the highest.
func (g *grid) hand(giver, taker, t int32, units int) {
	owner, had := g.owner[t], g.had[t]
	wanted := [...]func(p int) bool{
		func(p int) bool { return had[p] == taker },
		func(p int) bool { return had[p] != giver },
		func(int) bool { return true },
	}
	for _, want := range wanted {
		for p := len(owner) - 1; p >= 0 && units > 0; p-- {
			if owner[p] == giver && want(p) {
				owner[p] = taker
				units--
			}
		}
	}
}
