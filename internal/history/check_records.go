package history

import (
	"cmp"
	"maps"
	"slices"
)

// window is how many batches of a producer a partition remembers.
const window = 5

// checkAcked looks for acknowledged records on the replicas (invariant 1).
func (c *checker) checkAcked(f *facts) {
	if f.Compacted {
		return
	}
	for _, r := range f.replicas {
		has := make(map[int64]string, len(r.Records))
		for _, rec := range r.Records {
			has[rec.Offset] = rec.Value
		}
		for _, s := range f.sends {
			if s.outcome != OK {
				continue
			}
			for i, v := range s.Values {
				offset := s.offset + int64(i)
				if offset < r.Start {
					continue // invariant 20's
				}
				if got, ok := has[offset]; !ok {
					c.violated(1, s.ops, "%s offset %d, acknowledged as %q, is missing on replica %s, which holds [%d, %d)",
						f.Partition, offset, v, r.Name, r.Start, r.End)
				} else if got != v {
					c.violated(1, s.ops, "%s offset %d, acknowledged as %q, is %q on replica %s", f.Partition, offset, v, got, r.Name)
				}
			}
		}
	}
}

// checkReadThenLost looks on the replicas for what was read: what was not
// durable may be gone (invariant 9).
func (c *checker) checkReadThenLost(f *facts) {
	if f.Compacted {
		return
	}
	for _, r := range f.replicas {
		has := make(map[int64]bool, len(r.Records))
		for _, rec := range r.Records {
			has[rec.Offset] = true
		}
		told := make(map[int64]bool)
		for _, i := range f.reads {
			for _, rec := range c.ops[i].Result.Records {
				if rec.Offset >= r.Start && !has[rec.Offset] && !told[rec.Offset] {
					told[rec.Offset] = true
					c.violated(9, []int{i}, "%s offset %d was read as %q and is missing on replica %s, which holds [%d, %d)",
						f.Partition, rec.Offset, rec.Value, r.Name, r.Start, r.End)
				}
			}
		}
	}
}

// checkTries looks at sends that were tried several times (invariants 4 and 5).
func (c *checker) checkTries() {
	type key struct {
		Partition
		producer string
	}
	byProducer := make(map[key][]*send)
	for _, s := range c.tries {
		if s.Idempotent {
			byProducer[key{s.Partition, s.Producer}] = append(byProducer[key{s.Partition, s.Producer}], s)
		}
		if !s.Idempotent {
			continue
		}
		for _, i := range s.ops {
			if o := c.ops[i]; o.Outcome == OK && o.Result.Offset != s.offset {
				c.violated(4, s.ops, "%s: tries of one send were acknowledged at offsets %d and %d", s.Partition, s.offset, o.Result.Offset)
			}
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(byProducer), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Number, b.Number), cmp.Compare(a.producer, b.producer))
	}) {
		sends := byProducer[k]
		slices.SortFunc(sends, func(a, b *send) int { return cmp.Compare(a.Sequence, b.Sequence) })
		for n, s := range sends {
			if !s.Batch {
				continue
			}
			for _, i := range s.ops[1:] {
				// Later batches that were acknowledged before this try began.
				var later []int
				for _, l := range sends[n+1:] {
					if l.Batch && l.outcome == OK && l.end < c.ops[i].Start {
						later = append(later, l.ops[0])
					}
				}
				if len(later) >= window && c.ops[i].Outcome == OK {
					c.violated(5, append(slices.Clone(s.ops), later...), "%s: a retry that is %d batches late was acknowledged", s.Partition, len(later))
				}
			}
		}
	}
}

// checkOrder compares the order of a producer's sends with that of their offsets
// (invariant 6).
func (c *checker) checkOrder(f *facts) {
	byProducer := make(map[string][]*send)
	for _, s := range f.sends {
		if s.Idempotent {
			byProducer[s.Producer] = append(byProducer[s.Producer], s)
		}
	}
	for _, producer := range slices.Sorted(maps.Keys(byProducer)) {
		sends := byProducer[producer]
		slices.SortFunc(sends, func(a, b *send) int { return cmp.Compare(a.Sequence, b.Sequence) })
		last, lastSend := int64(-1), (*send)(nil)
		for _, s := range sends {
			for i, v := range s.Values {
				at, ok := f.known(s, i)
				if !ok {
					continue
				}
				if at <= last {
					c.violated(6, append(slices.Clone(lastSend.ops), s.ops...), "%s: producer %s sent %q (sequence %d), which is at offset %d, after what is at offset %d",
						f.Partition, producer, v, s.Sequence, at, last)
				}
				last, lastSend = at, s
			}
		}
	}
}

// checkGrowth looks for a send that got an offset not above one that was known
// before it began (invariant 7), and at the offsets within a replica.
func (c *checker) checkGrowth(f *facts) {
	type event struct {
		at     int64 // an offset
		op     int
		s      *send
		starts bool
	}
	var events []event
	for _, s := range f.sends {
		if s.outcome == OK {
			events = append(events, event{at: s.offset, op: s.ops[0], s: s, starts: true})
			for _, i := range s.ops {
				if c.ops[i].Outcome == OK {
					events = append(events, event{at: s.offset + int64(len(s.Values)) - 1, op: i, s: s})
				}
			}
		}
	}
	for _, i := range f.reads {
		if n := len(c.ops[i].Result.Records); n > 0 {
			events = append(events, event{at: c.ops[i].Result.Records[n-1].Offset, op: i})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int {
		at := func(e event) int64 {
			if e.starts {
				return int64(c.ops[e.op].Start)
			}
			return int64(c.ops[e.op].End)
		}
		if at(a) != at(b) {
			return cmp.Compare(at(a), at(b))
		}
		if a.starts != b.starts && a.starts {
			return -1 // what begins when another ends is beside it
		}
		return 0
	})
	highest := event{at: -1, op: -1}
	for _, e := range events {
		switch {
		case !e.starts:
			if e.at > highest.at {
				highest = e
			}
		case e.at <= highest.at:
			c.violated(7, append([]int{highest.op}, e.s.ops...), "%s: a send that began when offset %d was known got offset %d", f.Partition, highest.at, e.at)
		}
	}
	for _, r := range f.replicas {
		expected := r.Start
		for _, rec := range r.Records {
			if rec.Offset < expected || (rec.Offset > expected && !f.Compacted) || rec.Offset >= r.End {
				c.violated(7, nil, "%s on replica %s, which holds [%d, %d): offset %d follows where %d is due", f.Partition, r.Name, r.Start, r.End, rec.Offset, expected)
			}
			expected = rec.Offset + 1
		}
		if expected != r.End && !f.Compacted {
			c.violated(7, nil, "%s on replica %s ends at offset %d, and its last record is before %d", f.Partition, r.Name, r.End, expected)
		}
	}
}

// checkRemoval compares where replicas begin with what was asked to be removed
// (invariant 20).
func (c *checker) checkRemoval(f *facts) {
	asked, done := c.trimmed(f, Never), int64(0)
	for _, i := range f.trims {
		if o := c.ops[i]; o.Outcome == OK {
			done = max(done, o.Action.(Trim).Before)
		}
	}
	for _, r := range f.replicas {
		switch {
		case r.Start > asked && !f.Retained:
			c.violated(20, f.trims, "%s begins at offset %d on replica %s, and no more than what is before %d was to be removed", f.Partition, r.Start, r.Name, asked)
		case r.Start < done:
			c.violated(20, f.trims, "%s begins at offset %d on replica %s, and what is before %d was removed", f.Partition, r.Start, r.Name, done)
		}
	}
	for _, i := range f.reads {
		o := c.ops[i]
		if a := o.Action.(Read); !a.Current || len(o.Result.Records) == 0 {
			continue
		}
		for _, t := range f.trims {
			if tr := c.ops[t]; tr.Outcome == OK && tr.End < o.Start && o.Result.Records[0].Offset < tr.Action.(Trim).Before {
				c.violated(20, []int{t, i}, "%s offset %d was read after it was removed", f.Partition, o.Result.Records[0].Offset)
			}
		}
	}
}

// checkConsumers follows each consumer's position (invariant 8).
func (c *checker) checkConsumers() {
	type key struct {
		client string
		Partition
	}
	type position struct {
		at int64
		op int // which set it
	}
	positions := make(map[key]position)
	for i, o := range c.ops {
		if o.Outcome != OK {
			continue
		}
		switch a := o.Action.(type) {
		case Seek:
			k := key{o.Client, a.Partition}
			if a.Position == None {
				delete(positions, k)
			} else {
				positions[k] = position{a.Position, i}
			}
		case Read:
			k := key{o.Client, a.Partition}
			f := c.facts(a.Partition)
			due, ok := positions[k]
			if ok && due.at != a.Position {
				c.violated(8, []int{due.op, i}, "%s was at offset %d of %s and read from %d", o.Client, due.at, f.Partition, a.Position)
			}
			expected, last := a.Position, i
			if ok {
				last = due.op
			}
			for _, r := range o.Result.Records {
				switch {
				case r.Offset < expected:
					c.violated(8, []int{last, i}, "%s read offset %d of %s where %d was due: backwards", o.Client, r.Offset, f.Partition, expected)
				case r.Offset > expected && !f.Compacted && !f.Retained && r.Offset > c.trimmed(f, o.End):
					c.violated(8, []int{last, i}, "%s read offset %d of %s where %d was due: a gap", o.Client, r.Offset, f.Partition, expected)
				}
				expected, last = r.Offset+1, i
			}
			positions[k] = position{expected, i}
		}
	}
}

// checkHashes compares the content of replicas (invariant 15).
func (c *checker) checkHashes() {
	type key struct {
		Partition
		applied uint64
	}
	first := make(map[key]Replica)
	for _, r := range c.replicas {
		if r.Hash == "" {
			continue
		}
		k := key{r.Partition, r.Applied}
		if other, ok := first[k]; !ok {
			first[k] = r
		} else if other.Hash != r.Hash {
			c.violated(15, nil, "%s at applied index %d has hash %s on replica %s and %s on replica %s", r.Partition, r.Applied, other.Hash, other.Name, r.Hash, r.Name)
		}
	}
}
